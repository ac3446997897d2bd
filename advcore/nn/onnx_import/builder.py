"""The network that an import makes, layer by layer."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from advcore._check import Array
from advcore.nn.graph import INPUT
from advcore.nn.layer import Layer, Shape
from advcore.nn.merge import Merge
from advcore.nn.network import Network
from advcore.nn.onnx_import.budget import Budget, check_value
from advcore.nn.onnx_import.values import Tensor
from advcore.nn.reshape import Permute, Reshape


class Builder:
    """Adds layers under names that users know from their model, and knows every sample's shape.

    Attributes
    ----------
    name : str
        What the next layer is called, if no other one is.
    """

    def __init__(self, sample: Shape, dtype: Any, batch: int | None, opset: int, budget: Budget) -> None:
        check_value(sample)
        self.dtype, self.batch, self.opset, self.budget = np.dtype(dtype), batch, opset, budget
        self.layers: dict[str, Layer] = {}
        self.wiring: dict[str, tuple[str, ...]] = {}
        self.shapes: dict[str, Shape] = {INPUT: sample}
        self.name = INPUT
        self._names: Counter[str] = Counter([INPUT])
        self._reshapes: dict[tuple[str, Shape], str] = {}
        self._reshape_names: dict[tuple[str, Shape], str] = {}
        self._shared: dict[tuple[Any, ...], tuple[Layer, list[Array]]] = {}
        self._times: Counter[int] = Counter()  # that a layer, by its id, occurs

    def apply(self, layer: Layer, *inputs: Tensor, part: str = "") -> Tensor:
        """Add a layer, or with ``part`` a helper of the node's own; its output has the batch in front."""
        sources = [self._read(x) for x in inputs]
        return self._add(f"{self.name}/{part}" if part else self.name, layer, *sources)

    def elementwise(self, layer: Layer, x: Tensor) -> Tensor:
        """Add a layer to which shapes mean nothing: a reshape that waits goes on waiting."""
        return Tensor(self._add(self.name, layer, x.source).source, x.sample, x.batch)

    def with_parameters(self, layer: Layer, **arrays: Array) -> Layer:
        """Give a layer copies of these parameters and buffers, or return one that has the same already."""
        places = tuple((array.__array_interface__["data"][0], array.strides) for array in arrays.values())
        key = (type(layer), repr(layer), places)
        if key in self._shared:
            return self._shared[key][0]
        self._shared[key] = layer, list(arrays.values())  # held, so that no other array comes to lie there
        kept = ((layer.parameters, layer.parameter_shapes), (layer.buffers, layer.buffer_shapes))
        for held, name, shape in ((held, *item) for held, shapes in kept for item in shapes.items()):
            array = arrays[name]
            if array.dtype != self.dtype:
                raise TypeError(f"its {name} must be of {self.dtype} like the input, got {array.dtype}")
            if array.shape != shape:
                raise ValueError(f"its {name} must have shape {shape}, got {array.shape}")
            self.budget.take(array.size, array.itemsize)
            held[name] = np.array(array, self.dtype, order="C")
        return layer

    def permute(self, x: Tensor, order: list[int], part: str = "") -> Tensor:
        """Turn the axes of a sample: axis i becomes what ``order[i]`` was. Two turns in a row are one."""
        if order == list(range(len(order))):
            return x
        layer = self.layers.get(x.source)
        if isinstance(layer, Permute) and self.shapes[x.source] == x.sample:
            before = self.wiring[x.source][0]
            joint = [layer.axes[axis] - 1 for axis in order]
            return self.permute(Tensor(before, self.shapes[before]), joint, part)
        return self.apply(Permute([axis + 1 for axis in order]), x, part=part)

    def replace(self, x: Tensor, layer: Layer) -> bool:
        """Put another layer of the same shapes in the place of the one that gives x, unless that one is shared."""
        if self._times[id(self.layers[x.source])] > 1:
            return False
        self.layers[x.source] = layer
        return True

    def name_reshape(self, x: Tensor, name: str) -> None:
        """Note what the layer is to be called that x needs, if it needs one."""
        self._reshape_names.setdefault((x.source, x.sample), name)

    def network(self, output: Tensor) -> Network:
        """Return the network of the layers that the output depends on."""
        if output.batch != 0:
            raise ValueError(f"the batch must be the output's first axis, got axis {output.batch}")
        last = self._read(output)
        if last == INPUT:  # nothing happens to the input
            last = self._add("identity", Reshape(output.sample), INPUT).source
        needed = {last}
        for name in reversed(self.layers):
            if name in needed:
                needed.update(self.wiring[name])
        layers = {name: layer for name, layer in self.layers.items() if name in needed}
        layers[last] = layers.pop(last)  # the logits are the last layer's
        return Network(layers, wiring={name: self.wiring[name] for name in layers}, dtype=self.dtype)

    def _read(self, x: Tensor) -> str:
        """Return the layer that gives x in its own shape."""
        if self.shapes[x.source] == x.sample:
            return x.source
        key = (x.source, x.sample)
        if key not in self._reshapes:
            name = self._reshape_names.get(key, f"{self.name}/reshape")
            self._reshapes[key] = self._add(name, Reshape(x.sample), x.source).source
        return self._reshapes[key]

    def _add(self, name: str, layer: Layer, *sources: str) -> Tensor:
        shapes = [self.shapes[source] for source in sources]
        shape = layer.output_shape_all(shapes) if isinstance(layer, Merge) else layer.output_shape(shapes[0])
        check_value(shape)
        name = self._unique(name)
        self._times[id(layer)] += 1
        self.layers[name], self.wiring[name], self.shapes[name] = layer, sources, shape
        return Tensor(name, shape)

    def _unique(self, name: str) -> str:
        unique = name
        while unique in self.shapes:
            self._names[name] += 1
            unique = f"{name}_{self._names[name]}"
        return unique
