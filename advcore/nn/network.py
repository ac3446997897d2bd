"""Networks: graphs of layers, with the gradients that attacks and training need."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from advcore import _check
from advcore._check import Array
from advcore.nn import inner, passes
from advcore.nn._watch import by_the_network
from advcore.nn.compiled import Programs
from advcore.nn.graph import Node, fuse, trained
from advcore.nn.imported import Import
from advcore.nn.layer import Layer, Shape
from advcore.nn.layer_graph import LayerGraph
from advcore.nn.losses import Loss, loss_function

if TYPE_CHECKING:
    import torch

    from advcore.nn._coordinates import CoordinateProbe, ProbeValues

# Bytes that one pass may keep; larger batches are cut, which changes no bits. (Twice as much was slower: the allocator
# returns large arrays to the system, which clears them anew.)
MEMORY = 2**27


class Plan(NamedTuple):
    """What a network does with samples of one shape."""

    output_shape: Shape
    piece: int  # samples that one pass of the layers takes
    shapes: dict[str, Shape]  # of a sample at every layer's output, and at the input


class Network(LayerGraph):
    """A classifier: layers applied to a batch (N, ...), in a row or as a graph, giving logits (N, K).

    Every method but ``forward`` and ``backward`` works in evaluation mode, in pieces of the batch whose memory is
    bounded. A sample's result has the same bits alone and inside any batch, and for any number of threads.

    Parameters
    ----------
    layers : dict of str to Layer
        In the order in which they are applied, by name; the last one gives the logits. A layer of another network
        keeps its parameters and shares them with it, and so does one that occurs twice: its parameters go by the
        first name.
    wiring : dict of str to sequence of str, optional
        The inputs of the layers that do not take just the layer before them, by name; "input" is the network's own.
        ``{"sum": ("conv2", "input")}`` makes a residual connection of a layer ``Add()`` called "sum".
    seed : int
        Of the initial parameters of new layers, which are drawn in the order of the layers.
    dtype : float32 or float64
        Of the parameters, and so of every input and result.

    Attributes
    ----------
    imported : Import or None
        Where an imported network came from, and the largest difference of their logits.

    Raises
    ------
    TypeError
        If an argument, or the parameters that a layer has, are of another type.
    ValueError
        If there is no layer, or the wiring does not fit.
    """

    def __init__(
        self,
        layers: Mapping[str, Layer],
        *,
        wiring: Mapping[str, Sequence[str]] | None = None,
        seed: int = 0,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(layers, wiring, seed, dtype)
        self._steps = fuse(self._nodes)
        self._trained = trained(self._steps)
        self._plans: dict[Shape, Plan] = {}
        self._programs = Programs(self._nodes, self.dtype)
        self._probe: CoordinateProbe | None = None
        self.imported: Import | None = None

    # Results

    def logits(self, x: Array) -> Array:
        """Return the output of the last layer.

        Parameters
        ----------
        x : array of the network's type, (N, ...)

        Returns
        -------
        array, (N, K)

        Raises
        ------
        TypeError
            If x is not an array of the network's type.
        ValueError
            If the shape does not fit a layer; the message names it.
        """
        x, plan = self._input(x)
        program = self._programs.of(plan.shapes)
        if program is not None:
            return program.logits(x)
        result = np.empty((len(x), *plan.output_shape), self.dtype)
        for part in _pieces(len(x), plan.piece):
            with by_the_network():
                result[part] = passes.infer(self._steps, x[part])
        return result

    def predict(self, x: Array) -> NDArray[np.int64]:
        """Return the class of the largest logit, the first one among equals, as int64 (N,)."""
        return np.asarray(self.logits(x).argmax(axis=-1), np.int64)

    def activations(self, x: Array, names: Sequence[str]) -> dict[str, Array]:
        """Return the outputs of the named layers.

        Parameters
        ----------
        x : array of the network's type, (N, ...)
        names : sequence of str
            Of layers: keys of ``layers``.

        Returns
        -------
        dict of str to array, (N, ...)
        """
        names = self._names(names)
        x, plan = self._input(x)
        results: dict[str, Array] = {}
        for part in _pieces(len(x), plan.piece):
            with by_the_network():
                for name, y in passes.values(self._until(names), x[part]):
                    if name in names:
                        if name not in results:
                            results[name] = np.empty((len(x), *y.shape[1:]), self.dtype)
                        results[name][part] = y
        return {name: results[name] for name in names}

    # Gradients

    def vjp(self, x: Array, cotangent: Array) -> Array:
        """Return the gradient for x of ``sum(logits(x) * cotangent)``: each sample's own.

        Parameters
        ----------
        x : array of the network's type, (N, ...)
        cotangent : array of the same type, (N, K)

        Returns
        -------
        array, the shape of x
        """
        x, plan = self._input(x)
        cotangent = _check.array("cotangent", cotangent, dtype=self.dtype, shape=(len(x), *plan.output_shape))
        program = self._programs.of(plan.shapes)
        if program is not None:
            return program.vjp(x, cotangent)
        gradient = np.empty_like(x)
        for part in _pieces(len(x), plan.piece):
            _, saved = self.forward(x[part])
            gradient[part] = self.backward(saved, cotangent[part])[0]
        return gradient

    def value_and_vjp(self, x: Array, cotangent: Callable[[Array], Array]) -> tuple[Array, Array]:
        """Return the logits and the gradient for x of ``sum(logits * cotangent(logits))``, in one pass.

        Parameters
        ----------
        x : array of the network's type, (N, ...)
        cotangent : callable
            Takes the logits of the whole batch, (N, K), and returns an array like them, held constant. Called once.

        Returns
        -------
        logits : array, (N, K)
        gradient : array, the shape of x
        """
        x, plan = self._input(x)
        program = self._programs.of(plan.shapes)
        kept = plan.piece if program is None else MEMORY // max(program.tape_size * self.dtype.itemsize, 1)
        if len(x) > kept:  # more than memory holds at once: a second forward pass is the price
            logits = self.logits(x)
            return logits, self.vjp(x, cotangent(logits))

        def checked(logits: Array) -> Array:
            return _check.array("cotangent(logits)", cotangent(logits), dtype=self.dtype, shape=logits.shape)

        if program is not None:
            return program.value_and_vjp(x, checked)
        logits, saved = self.forward(x)
        gradient, _ = self.backward(saved, checked(logits))
        assert gradient is not None  # asked for
        return logits, gradient

    def value_and_vjps(self, x: Array, cotangents: Callable[[Array], Array], count: int) -> tuple[Array, Array]:
        """Return the logits and several gradients, with one forward pass: rows of the Jacobians, or sums of them.

        Parameters
        ----------
        x : array of the network's type, (N, ...)
        cotangents : callable
            Takes the logits of the whole batch, (N, K), and returns J arrays like them, (J, N, K), held constant.
        count : int
            J.

        Returns
        -------
        logits : array, (N, K)
        gradients : array, (J, N, ...)
            For x of ``sum(logits * cotangents[j])``.
        """
        x, plan = self._input(x)
        count = _check.integer("count", count, minimum=1)
        program = self._programs.of(plan.shapes)
        kept = plan.piece if program is None else MEMORY // max(program.lasting_tape_size * self.dtype.itemsize, 1)
        if len(x) > max(kept, 1):  # more than memory holds at once: a second forward pass is the price
            logits = self.logits(x)
            directions = cotangents(logits)
            gradients = np.empty((count, *x.shape), self.dtype)
            for direction, gradient in zip(directions, gradients, strict=True):
                gradient[...] = self.vjp(x, direction)
            return logits, gradients

        def checked(logits: Array) -> Array:
            shape = (count, *logits.shape)
            return _check.array("cotangents(logits)", cotangents(logits), dtype=self.dtype, shape=shape)

        if program is not None:
            return program.value_and_vjps(x, checked, count)
        logits, saved = self.forward(x)
        found = [self.backward(saved, direction)[0] for direction in checked(logits)]
        return logits, np.stack([gradient for gradient in found if gradient is not None])

    def activations_vjp(
        self, x: Array, names: Sequence[str]
    ) -> tuple[dict[str, Array], Callable[[Mapping[str, Array]], Array]]:
        """Return the outputs of the named layers, and a function that pulls gradients for them back to x.

        Parameters
        ----------
        x : array of the network's type, (N, ...)
        names : sequence of str
            Of layers: keys of ``layers``.

        Returns
        -------
        activations : dict of str to array, (N, ...)
        pull : callable
            Takes a dict of cotangents, arrays like some or all of the activations, and returns the gradient for x of
            ``sum over the layers of sum(activation * cotangent)``. It may be called more than once.

        Notes
        -----
        Unlike the methods above it keeps what the backward pass needs for the whole batch, as long as ``pull`` lives.
        """
        names = self._names(names)
        x, _ = self._input(x)
        return inner.activations_vjp(self._until(names), x, names)

    def dropout_passes(self, passes: int, seed: int = 0) -> inner.DropoutPasses:
        """Return the network with its dropout left on, for ``passes`` draws of the masks."""
        return inner.DropoutPasses(self._steps, passes, seed)

    def loss_gradient(self, x: Array, y: object, loss: str | Loss = "cross_entropy") -> Array:
        """Return the gradient for x of each sample's own loss.

        Parameters
        ----------
        x : array of the network's type, (N, ...)
        y : int array, (N,)
            Labels in [0, K); or what else the loss takes as target.
        loss : str or callable
            A name in ``advcore.nn.losses.LOSSES``, or a function (logits, target) -> (loss (N,), gradient (N, K)).

        Returns
        -------
        array, the shape of x
        """
        function = loss_function(loss)
        return self.value_and_vjp(x, lambda logits: function(logits, y)[1])[1]

    def coordinate_values(
        self, x: Array, coordinates: NDArray[np.int64], h: float, bounds: tuple[float, float] | None = None
    ) -> ProbeValues:
        """Return the logits, in float64, of samples and of their copies with one coordinate moved up or down.

        Only what a coordinate reaches is computed, where the layers allow it: see docs/coordinate_gradients.md.

        Parameters
        ----------
        x : array of the network's type, (N, ...)
        coordinates : int64 array, (N, m)
            Flat indices into a sample, each sample's own.
        h : float, above 0
            The step, in the units of x.
        bounds : (low, high), optional
            The box that moved copies stay in.

        Returns
        -------
        ProbeValues
            ``base`` (N, K), ``plus`` and ``minus`` (N, m, K), ``distances`` (N, m), all float64.
        """
        from advcore.nn._coordinates import CoordinateProbe

        x, _ = self._input(x)
        coordinates = _check.integers(
            "coordinates", coordinates, shape=(len(x), None), minimum=0, maximum=math.prod(x.shape[1:]) - 1
        )
        if self._probe is None:
            self._probe = CoordinateProbe(self)
        return self._probe.values(
            x, coordinates, _check.real("h", h, above=0.0), None if bounds is None else _check.bounds("bounds", bounds)
        )

    # Files and shapes

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write parameters, layers and wiring to one safetensors file, which is there whole or not at all.

        Raises
        ------
        OSError
            If the file cannot be written.
        ValueError
            If a layer is of a class that advcore.nn does not have.
        """
        from advcore.nn import serialization

        serialization.save(self, path)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Network:
        """Return the network in a file that ``save`` wrote, with the same bits. Safe for files from anyone.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is not such a file, whole and of a format that this version knows.
        """
        from advcore.nn import serialization

        return serialization.load(path)

    def to_torch(self) -> torch.nn.Module:
        """Return the network as a module in evaluation mode, with copies of its state under the same names.

        A chain becomes a torch.nn.Sequential, a graph a torch.fx.GraphModule; from_torch takes both back.

        Raises
        ------
        ImportError
            If PyTorch is missing.
        ValueError
            If PyTorch lacks a layer.
        """
        from advcore.nn.torch_export import to_torch

        return to_torch(self)

    def to_onnx(self, path: str | os.PathLike[str], input_shape: Sequence[int] | None = None) -> None:
        """Write the network to one ONNX file, in evaluation mode; the batch axis is left open.

        Parameters
        ----------
        path : path
        input_shape : tuple of int, optional
            Of a sample. Unless given, that of the samples on which the network has been run.

        Raises
        ------
        ImportError
            If onnx is missing.
        OSError
            If the file cannot be written.
        ValueError
            If no shape is given and the network has been run on none, or several; or a layer has no operator.
        """
        from advcore.nn.onnx_export import to_onnx

        if input_shape is None:
            if len(self._plans) != 1:
                seen = ", ".join(map(str, self._plans)) or "none"
                raise ValueError(f"input_shape must be given: the network has been run on samples of shape {seen}")
            (input_shape,) = self._plans
        with by_the_network():
            to_onnx(self, path, _check.sizes("input_shape", input_shape, minimum=1))

    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of a sample's logits, for a sample's shape."""
        return self._plan(tuple(input_shape)).output_shape

    # Passes

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> tuple[Array, list[Any]]:
        """Return the logits and what ``backward`` needs; with a generator in training mode.

        Unlike the methods above it takes the batch as it is: unchecked, and in one piece.
        """
        with by_the_network():
            result = passes.forward(self._steps, x, rng)
        if rng is not None:
            self.parameters_changed()  # running statistics, if there are any
        return result

    def backward(
        self, saved: list[Any], grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """Turn the gradient for the logits into that for x and those for the parameters, by name."""
        trained = self._trained if need_parameters else frozenset()
        with by_the_network():
            return passes.backward(self._steps, saved, grad, trained, need_input)

    # Checks and pieces

    def _names(self, names: Sequence[str]) -> Sequence[str]:
        if isinstance(names, str):
            raise TypeError(f"names must be a sequence of layer names, got the string {names!r}")
        return [_check.choice("names", name, tuple(self.layers)) for name in names]

    def _until(self, names: Sequence[str]) -> list[Node]:
        """Return the steps up to the last of the named layers, joined ones where no name lies inside of them."""
        joined = set(names).issubset(step.name for step in self._steps)
        steps = self._steps if joined else self._nodes
        last = max((index for index, step in enumerate(steps) if step.name in names), default=0)
        return steps[: last + 1]

    def _input(self, x: object) -> tuple[Array, Plan]:
        array = _check.array("x", x, dtype=self.dtype, min_ndim=1)
        return array, self._plan(array.shape[1:])

    def _plan(self, input_shape: Shape) -> Plan:
        if input_shape not in self._plans:
            shapes = self._shapes(input_shape)
            kept = math.prod(input_shape) + sum(node.saved_size(shapes) for node in self._nodes)
            piece = max(1, MEMORY // (max(kept, 1) * self.dtype.itemsize))
            self._plans[input_shape] = Plan(shapes[self._nodes[-1].name], piece, shapes)
        return self._plans[input_shape]


class Sequential(Network):
    """A Network of layers named "0", "1", ... in order, as in torch.nn.Sequential.

    Parameters
    ----------
    *layers : Layer
    seed, dtype
        As Network.
    """

    def __init__(self, *layers: Layer, seed: int = 0, dtype: DTypeLike = np.float32) -> None:
        super().__init__({str(index): layer for index, layer in enumerate(layers)}, seed=seed, dtype=dtype)


def _pieces(samples: int, size: int) -> Iterator[slice]:
    """Cut the batch; an empty one is a piece too, so that results have their shapes."""
    return (slice(begin, begin + size) for begin in range(0, max(samples, 1), size))
