"""The nodes and tensors of an ONNX graph, as layers are written to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from advcore._check import Array
from advcore.nn.graph import INPUT
from advcore.nn.layer import Shape


class Writer:
    """Collects nodes. A layer's own node and parameters have its name, what else it needs has one that begins with it.

    Attributes
    ----------
    values : dict of str to str
        The ONNX value of every layer's output.
    shapes, output_shape : list of tuple, tuple
        Of a sample of the current layer's inputs and of its output.
    """

    def __init__(self, dtype: np.dtype[Any], reserved: Sequence[str]) -> None:
        self.dtype = dtype
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = []
        self.values = {INPUT: INPUT}
        self.shapes: list[Shape] = []
        self.output_shape: Shape = ()
        self._layer = self._owner = self._own = INPUT  # _own: the name that the layer's first node gets
        self._taken = {INPUT, *reserved}
        self._parameters: dict[tuple[object, ...], str] = {}

    def begin(self, layer: str, owner: str, shapes: list[Shape], output_shape: Shape) -> None:
        """Go on to a layer; its parameters belong to ``owner``, itself unless it shares them."""
        self._layer = self._own = layer
        self._owner, self.shapes, self.output_shape = owner, shapes, output_shape

    def end(self, value: str) -> None:
        """Give the value, an output of the node before, the layer's name."""
        outputs = self.nodes[-1].output
        outputs[list(outputs).index(value)] = self._layer
        self.values[self._layer] = self._layer

    def node(self, operator: str, *inputs: str, pick: int = 0, aside: bool = False, **attributes: Any) -> str:
        """Add a node and return the name of its output ``pick``. The first one not aside has the layer's name."""
        name = self._unique(f"{self._layer}/{operator}")
        names = [name if index == pick else "" for index in range(pick + 1)]
        given = {key: value for key, value in attributes.items() if value is not None}
        own = name
        if not aside:
            own, self._own = self._own or name, ""
        self.nodes.append(helper.make_node(operator, inputs, names, name=own, **given))
        return name

    def parameter(self, name: str, array: Array) -> str:
        """Add a parameter of the current layer, once."""
        key = (self._owner, name, array.shape, array.strides)  # a matrix may be needed transposed, too
        if key not in self._parameters:
            self._parameters[key] = self._tensor(f"{self._owner}.{name}", array)
        return self._parameters[key]

    def constant(self, value: object) -> str:
        """Add a number, or several, of the network's type."""
        return self._tensor(f"{self._layer}/constant", np.asarray(value, self.dtype))

    def integers(self, values: Sequence[int]) -> str:
        """Add a shape, or axes."""
        return self._tensor(f"{self._layer}/integers", np.array(values, np.int64))

    def _tensor(self, name: str, array: Array) -> str:
        name = self._unique(name)
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(np.shape(array)), name))
        return name

    def _unique(self, name: str) -> str:
        unique, count = name, 1
        while unique in self._taken:
            count += 1
            unique = f"{name}_{count}"
        self._taken.add(unique)
        return unique
