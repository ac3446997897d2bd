"""Grows a network, one layer after the other, while the nodes of a torch graph are walked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from advcore._check import Array
from advcore.nn._watch import by_the_network
from advcore.nn.graph import INPUT
from advcore.nn.layer import Layer, Shape
from advcore.nn.merge import Merge
from advcore.nn.network import Network
from advcore.nn.recurrent import GRU, LSTM, RNN
from advcore.nn.reshape import Permute, Reshape
from advcore.nn.slicing import Slice


class RefusedError(ValueError):
    """What a node does has no layer here; the text says why, and the walk adds the node."""


class Batch:
    """The extent of the batch axis, which no arithmetic may touch."""

    def __repr__(self) -> str:
        return "N"


BATCH = Batch()


@dataclass(frozen=True)
class Value:
    """A tensor that depends on the input: the output of the layer ``name``, whose axes are the batch and ``shape``.

    torch may keep the batch at another axis, ``batch``; here it is always the first one.
    """

    name: str
    shape: Shape
    batch: int = 0

    @property
    def ndim(self) -> int:
        """The number of axes with the batch's."""
        return len(self.shape) + 1

    @property
    def size(self) -> tuple[Any, ...]:
        """Torch's shape."""
        return (*self.shape[: self.batch], BATCH, *self.shape[self.batch :])

    def axis(self, dim: object) -> int:
        """Return the axis of a layer, the batch being axis 0, that torch counts as ``dim``."""
        if type(dim) is not int or not -self.ndim <= dim < self.ndim:
            raise RefusedError(f"expected an axis in [{-self.ndim}, {self.ndim - 1}], got {dim!r}")
        dim %= self.ndim
        if dim == self.batch:
            raise RefusedError("it works along the batch axis, which would mix samples")
        return dim + 1 if dim < self.batch else dim

    def batch_first(self) -> Value:
        """Return the value itself if torch too has the batch first."""
        if self.batch:
            raise RefusedError(f"expected the batch to be the first axis, got it as axis {self.batch}")
        return self


class Builder:
    """The layers so far. ``name`` is what the next layer is called, ``paths`` the names of the module's tensors."""

    def __init__(self, shape: Shape, dtype: np.dtype[Any], paths: Mapping[int, str]) -> None:
        self.layers: dict[str, Layer] = {}
        self.wiring: dict[str, tuple[str, ...]] = {}
        self.input = Value(INPUT, shape)
        self.dtype = dtype
        self.name = INPUT
        self._paths = paths
        self._shared: dict[Any, Layer] = {}
        self._held: list[Any] = []  # a tensor's id is its own only as long as it lives

    def add(self, layer: Layer, *inputs: Value, suffix: str = "") -> Value:
        """Append a layer and return its output."""
        first = inputs[0]
        if any(value.batch != first.batch for value in inputs):
            raise RefusedError("its inputs have the batch at different axes")
        shapes = [value.shape for value in inputs]
        shape = layer.output_shape_all(shapes) if isinstance(layer, Merge) else layer.output_shape(first.shape)
        name = self._unique(self.name + suffix)
        self.layers[name] = layer
        self.wiring[name] = tuple(value.name for value in inputs)
        return Value(name, shape, first.batch)

    def add_with(
        self, make: Callable[..., Layer], arguments: Sequence[Any], tensors: Mapping[str, Any], x: Value
    ) -> Value:
        """Append ``make(*arguments)`` with copies of a module's tensors, the same layer where it has the same tensors.

        None among the tensors stands for a parameter that is left out.
        """
        given = {name: tensor for name, tensor in tensors.items() if tensor is not None}
        key = (str(make), repr(arguments), tuple((name, id(tensor)) for name, tensor in given.items()))
        if key not in self._shared:
            layer = make(*arguments)
            for name, tensor in given.items():
                self._fill(layer, name, tensor)
            self._shared[key] = layer
            self._held.append(given)
        before = self.name
        path = self._paths.get(id(next(iter(given.values()), None)), "")
        self.name = path.rpartition(".")[0] or before
        try:
            return self.add(self._shared[key], x)
        finally:
            self.name = before

    def _fill(self, layer: Layer, name: str, tensor: Any) -> None:
        """Copy a tensor to the parameter of a layer; one of a 1-d layer may lack axes of extent 1."""
        if not isinstance(tensor, torch.Tensor):
            raise RefusedError(f"its {name} depends on the input")
        array = self.constant(tensor)
        with by_the_network():
            if name in layer.parameter_shapes:
                layer.parameters[name] = array.reshape(layer.parameter_shapes[name])
            else:
                layer.buffers[name] = array.reshape(layer.buffer_shapes[name])

    def constant(self, tensor: torch.Tensor) -> Array:
        """Return a copy of a tensor in the network's type."""
        return np.array(tensor.detach().numpy(), self.dtype, order="C")

    def permute(self, x: Value, axes: Sequence[int], batch: int) -> Value:
        """Turn the axes of a sample, which are counted from 1; a turn after another one becomes one with it."""
        source, turn = x, tuple(axes)
        layer = self.layers.get(x.name)
        if isinstance(layer, Permute):
            (name,) = self.wiring[x.name]
            turn = tuple(layer.axes[axis - 1] for axis in turn)
            shape = tuple(x.shape[layer.axes.index(axis)] for axis in range(1, x.ndim))
            source = Value(name, shape, x.batch)
        if turn == tuple(range(1, x.ndim)):
            return Value(source.name, source.shape, batch)
        turned = self.add(Permute(turn), source)
        return Value(turned.name, turned.shape, batch)

    def network(self, output: Value) -> Network:
        """Return the network that gives ``output``, without the layers that it does not need."""
        if output.name == INPUT:
            output = self.add(Reshape(output.shape), output)
        needed = {output.name}
        for name in reversed(self.layers):
            if name in needed:
                needed.update(self.wiring[name])
        layers = {name: layer for name, layer in self.layers.items() if name in needed}
        wiring = {name: self.wiring[name] for name in layers}
        _last_states(layers, wiring)
        return Network(layers, wiring=wiring, dtype=self.dtype)

    def _unique(self, name: str) -> str:
        """Return the name, with a number if it is taken."""
        names, count = name, 1
        while names in self.layers or names == INPUT:
            count += 1
            names = f"{name}_{count}"
        return names


def _last_states(layers: dict[str, Layer], wiring: dict[str, tuple[str, ...]]) -> None:
    """Let a recurrent layer give its last state where nothing but that is taken of its output."""
    users: dict[str, list[str]] = {}
    for name, inputs in wiring.items():
        for source in inputs:
            users.setdefault(source, []).append(name)

    def only_user(name: str) -> str | None:
        found = users.get(name, [])
        return found[0] if len(found) == 1 else None

    places = Counter(id(layer) for layer in layers.values())
    for name, layer in list(layers.items()):
        if not isinstance(layer, (RNN, GRU, LSTM)) or layer.bidirectional or places[id(layer)] > 1:
            continue
        cut = only_user(name)
        squeeze = only_user(cut) if cut else None
        if not cut or not squeeze or repr(layers[cut]) != repr(Slice(1, -1)):
            continue
        if not isinstance(layers[squeeze], Reshape):
            continue
        layers[name] = type(layer)(**(layer.config() | {"output": "last"}))
        with by_the_network():
            layers[name].parameters.update(layer.parameters)
        for user in users.get(squeeze, []):
            wiring[user] = tuple(name if source == squeeze else source for source in wiring[user])
        for gone in (cut, squeeze):
            del layers[gone], wiring[gone]
