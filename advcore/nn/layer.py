"""What every layer can do: the protocol that a network is built from."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from advcore import _check, _core
from advcore._check import Array
from advcore.nn._watch import watched

Shape = tuple[int, ...]


class Layer:
    """One step of a network: maps a batch (N, ...) to a batch, each sample by itself.

    A subclass computes ``infer`` and ``backward``, and ``output_shape``. It overrides ``forward`` where backward
    needs something else than the input. A layer with parameters gives their shapes to the constructor; the arrays
    themselves come with ``initialise``, which the network calls, so a layer costs no memory before.

    Every argument of a subclass's constructor is an attribute of the same name, so that ``config`` can write it down.
    Shapes are those of one sample, without the batch axis.

    Attributes
    ----------
    parameter_shapes : dict of str to tuple
        In the order in which they are initialised.
    parameters : dict of str to array
        Empty until ``initialise``.
    buffer_shapes : dict of str to tuple
        Of what belongs to the layer's state but is not trained, such as running statistics.
    buffers : dict of str to array
        Empty until ``initialise``; changed by ``forward`` in training mode.
    version : int
        Counted up by whoever changes parameters or buffers within the library.
    """

    def __init__(
        self,
        parameter_shapes: Mapping[str, Shape] | None = None,
        init_bound: float = 0.0,
        *,
        buffer_shapes: Mapping[str, Shape] | None = None,
    ) -> None:
        self.parameter_shapes = dict(parameter_shapes or {})
        self.buffer_shapes = dict(buffer_shapes or {})
        self._parameters: dict[str, Array] = {}
        self._buffers: dict[str, Array] = {}
        self._handed_out = False
        self.version = 0
        self._init_bound = init_bound

    @property
    def parameters(self) -> dict[str, Array]:
        """The parameters themselves, by name: the user's to change."""
        self._handed_out = self._handed_out or watched()
        return self._parameters

    @property
    def buffers(self) -> dict[str, Array]:
        """The buffers themselves, by name."""
        self._handed_out = self._handed_out or watched()
        return self._buffers

    def stamp(self) -> object:
        """Return what changes with the parameters: a version, and checksums once they were handed out."""
        if not self._handed_out:
            return self.version
        arrays = (*self._parameters.values(), *self._buffers.values())
        return self.version, *map(_core.checksum, arrays)

    def config(self) -> dict[str, Any]:
        """Return the arguments that make a layer like this one, without its parameters: numbers, strings, tuples."""
        return {name: getattr(self, name) for name in self.arguments()}

    @classmethod
    def arguments(cls) -> tuple[str, ...]:
        """Return the names of the constructor's arguments; none where a subclass has no constructor of its own."""
        return () if cls.__init__ is Layer.__init__ else tuple(inspect.signature(cls).parameters)

    def initialise(self, rng: np.random.Generator, dtype: np.dtype[Any]) -> None:
        """Draw every parameter from U(-bound, bound), the bound being torch's default for the layer."""
        for name, shape in self.parameter_shapes.items():
            self.parameters[name] = rng.uniform(-self._init_bound, self._init_bound, shape).astype(dtype)

    def check_buffers(self, prefix: str, state: Mapping[str, Array], dtype: np.dtype[Any]) -> dict[str, Array]:
        """Return copies of the buffers in a state, their names there after ``prefix``, or say what does not fit."""
        return {
            name: _check.array(f"state[{prefix + name!r}]", state[prefix + name], dtype=dtype, shape=shape).copy()
            for name, shape in self.buffer_shapes.items()
        }

    def infer(self, x: Array) -> Array:
        """Return the layer's output in evaluation mode."""
        raise NotImplementedError(f"{type(self).__name__} has no infer")

    def forward(self, x: Array, rng: np.random.Generator | None) -> tuple[Array, Any]:
        """Return the output and what backward needs. A generator means training mode, None evaluation mode."""
        return self.infer(x), x

    def backward(
        self, saved: Any, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """Turn the gradient for the output into that for the input and those for the parameters, by name.

        What is not needed may be left out: None for the input, an empty dict for the parameters.
        """
        raise NotImplementedError(f"{type(self).__name__} has no backward")

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the output for one sample, or raise ValueError where the input does not fit."""
        return input_shape

    def parameter_count(self) -> int:
        """Return the number of parameters."""
        return sum(math.prod(shape) for shape in self.parameter_shapes.values())

    def flops(self, input_shape: Shape) -> int:
        """Return the floating-point operations of the products in one sample's forward pass (2 a multiply-add)."""
        return 0

    def saved_size(self, input_shape: Shape) -> int:
        """Return about how many numbers a sample's forward pass keeps for the backward pass."""
        return math.prod(self.output_shape(input_shape))


class ProductLayer(Layer):
    """A layer whose product applies an activation while the result is still in registers."""

    def infer(self, x: Array, activation: str | None = None) -> Array:
        """Return the output in evaluation mode, with "relu" or "gelu" applied."""
        raise NotImplementedError(f"{type(self).__name__} has no infer")

    def forward(self, x: Array, rng: np.random.Generator | None, activation: str | None = None) -> tuple[Array, Any]:
        """Return the output, with an activation applied, and the input."""
        return self.infer(x, activation), x


def options_text(layer: Layer, *positional: object, **options: tuple[object, object]) -> str:
    """Write a layer as it would be constructed; an option is (value, default) and shown where the two differ."""
    shown = [str(value) for value in positional]
    shown += [f"{name}={value!r}" for name, (value, default) in options.items() if value != default]
    return f"{type(layer).__name__}({', '.join(shown)})"


def expect_shape(input_shape: Shape, axes: tuple[str, ...], sizes: tuple[int | None, ...]) -> None:
    """Refuse a sample's shape that has not these axes, or not these sizes (None: any)."""
    fits = len(input_shape) == len(axes) and all(s is None or s == v for s, v in zip(sizes, input_shape, strict=True))
    if not fits:
        expected = ", ".join(axis if size is None else f"{axis}={size}" for axis, size in zip(axes, sizes, strict=True))
        raise ValueError(f"expected ({expected}) a sample, got {input_shape}")
