"""What a translator is handed: a node, its inputs, and the network to add layers to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from advcore._check import Array
from advcore.nn.onnx_import.builder import Builder
from advcore.nn.onnx_import.constants import axes_input
from advcore.nn.onnx_import.reading import Node
from advcore.nn.onnx_import.values import Tensor, Value


class Call:
    """A node about to be translated. Its methods say where an input is not what is expected."""

    def __init__(self, node: Node, inputs: Sequence[Value], build: Builder, uses: Counter[str]) -> None:
        self.node, self.build, self._uses = node, build, uses
        self.inputs = list(inputs)

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute, its default where it is left out."""
        value = self.node.attributes.get(name)
        return default if value is None else value

    def given(self, index: int) -> bool:
        """Return whether an input is there."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def wants(self, index: int) -> bool:
        """Return whether an output is used."""
        return index < len(self.node.outputs) and self._uses[self.node.outputs[index]] > 0

    def alone(self, index: int) -> bool:
        """Return whether nothing else uses an input."""
        return self._uses[self.node.inputs[index]] == 1

    def tensor(self, index: int = 0) -> Tensor:
        """Return an input that depends on the network's."""
        value = self.inputs[index] if self.given(index) else None
        if not isinstance(value, Tensor):
            what = "a constant" if value is not None else "none"
            raise ValueError(f"its input {index} must depend on the network's input, got {what}")
        return value

    def constant(self, index: int) -> Array:
        """Return an input that does not."""
        value = self.inputs[index] if self.given(index) else None
        if not isinstance(value, np.ndarray):
            what = "a value that depends on the input" if value is not None else "none"
            raise ValueError(f"its input {index} must be constant, got {what}")
        return value

    def floats(self, index: int, ndim: int | None = None) -> Array:
        """Return a constant of the network's type."""
        value = self.constant(index)
        if value.dtype != self.build.dtype:
            raise TypeError(
                f"its input {index} must be of {self.build.dtype} like the network's input, got {value.dtype}"
            )
        if ndim is not None and value.ndim != ndim:
            raise ValueError(f"its input {index} must have {ndim} axes, got shape {value.shape}")
        return value

    def number(self, index: int, default: float) -> float:
        """Return a constant that is one number, or the default where it is left out."""
        if not self.given(index):
            return default
        value = self.constant(index)
        if value.size != 1 or value.dtype.kind not in "fiu":
            raise ValueError(f"its input {index} must be one number, got shape {value.shape} of {value.dtype}")
        return float(value.ravel()[0])

    def axes(self, index: int = 1) -> list[int] | None:
        """Return the axes, an attribute or an input, or None where they are left out."""
        return axes_input(
            self.node,
            [
                value if i != index else self.constant(i) if value is not None else None
                for i, value in enumerate(self.inputs)
            ],
            index,
        )

    def batch_first(self, x: Tensor) -> Tensor:
        """Refuse a value whose batch is not its first axis."""
        if x.batch != 0:
            raise ValueError(f"the batch must be axis 0 of its input, got axis {x.batch}")
        return x

    def of_one_size(self, name: str, values: Sequence[int] | None, count: int, default: int, minimum: int) -> list[int]:
        """Return an attribute of one integer an axis of a window."""
        found = [default] * count if values is None else list(values)
        if len(found) != count or any(not minimum <= value <= 2**31 for value in found):
            raise ValueError(f"{name} must be {count} integers of at least {minimum}, got {tuple(found)}")
        return found

    def only_outputs(self, *allowed: int) -> None:
        """Refuse a node of which another output is used."""
        for index, name in enumerate(self.node.outputs):
            if index not in allowed and self.wants(index):
                raise ValueError(f"its output {index}, {name!r}, is not supported")
