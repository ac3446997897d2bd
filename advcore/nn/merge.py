"""Layers that take several inputs: sums, products, concatenations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from advcore import _check
from advcore._check import Array
from advcore.nn.layer import Layer, Shape, options_text


class Merge(Layer):
    """A layer of several inputs, each a batch (N, ...) of its own shape."""

    fewest_inputs = 2
    most_inputs = 2**62

    def infer_all(self, inputs: Sequence[Array]) -> Array:
        """Return the layer's output."""
        raise NotImplementedError(f"{type(self).__name__} has no infer_all")

    def forward_all(self, inputs: Sequence[Array]) -> tuple[Array, Any]:
        """Return the output and what backward_all needs."""
        return self.infer_all(inputs), tuple(inputs)

    def backward_all(self, saved: Any, grad: Array) -> Sequence[Array]:
        """Turn the gradient for the output into those for the inputs."""
        raise NotImplementedError(f"{type(self).__name__} has no backward_all")

    def output_shape_all(self, input_shapes: Sequence[Shape]) -> Shape:
        """Return the shape of the output for one sample, or raise ValueError where the inputs do not fit."""
        first, *others = input_shapes
        if any(shape != first for shape in others):
            raise ValueError(f"expected inputs of one shape, got {', '.join(map(str, input_shapes))}")
        return first

    def saved_size(self, input_shape: Shape) -> int:
        """See Layer.saved_size: the inputs are kept where they come from."""
        return 0


class Add(Merge):
    """The sum of all inputs, in their order."""

    def __repr__(self) -> str:
        return options_text(self)

    def infer_all(self, inputs: Sequence[Array]) -> Array:
        """See Merge.infer_all."""
        total: Array = inputs[0] + inputs[1]
        for x in inputs[2:]:
            total += x
        return total

    def forward_all(self, inputs: Sequence[Array]) -> tuple[Array, int]:
        """Keep the number of inputs."""
        return self.infer_all(inputs), len(inputs)

    def backward_all(self, saved: int, grad: Array) -> Sequence[Array]:
        """See Merge.backward_all."""
        return [grad] * saved


class Subtract(Merge):
    """The first input less the second."""

    most_inputs = 2

    def __repr__(self) -> str:
        return options_text(self)

    def infer_all(self, inputs: Sequence[Array]) -> Array:
        """See Merge.infer_all."""
        difference: Array = inputs[0] - inputs[1]
        return difference

    def forward_all(self, inputs: Sequence[Array]) -> tuple[Array, None]:
        """Keep nothing."""
        return self.infer_all(inputs), None

    def backward_all(self, saved: None, grad: Array) -> Sequence[Array]:
        """See Merge.backward_all."""
        return [grad, -grad]


class Multiply(Merge):
    """The product of two inputs, number by number; axes of extent 1 are stretched, as gates of channels are."""

    most_inputs = 2

    def __repr__(self) -> str:
        return options_text(self)

    def infer_all(self, inputs: Sequence[Array]) -> Array:
        """See Merge.infer_all."""
        product: Array = inputs[0] * inputs[1]
        return product

    def backward_all(self, saved: Sequence[Array], grad: Array) -> Sequence[Array]:
        """See Merge.backward_all."""
        a, b = saved
        return [_shrink(grad * b, a.shape), _shrink(grad * a, b.shape)]

    def output_shape_all(self, input_shapes: Sequence[Shape]) -> Shape:
        """See Merge.output_shape_all."""
        a, b = input_shapes
        if len(a) != len(b) or any(p != q and 1 not in (p, q) for p, q in zip(a, b, strict=True)):
            raise ValueError(f"expected inputs of one shape, but for axes of extent 1, got {a}, {b}")
        return tuple(max(p, q) if 0 not in (p, q) else 0 for p, q in zip(a, b, strict=True))


def _shrink(grad: Array, shape: Shape) -> Array:
    """Add up along the axes that were stretched."""
    axes = tuple(axis for axis, (own, to) in enumerate(zip(grad.shape, shape, strict=True)) if own != to)
    return grad.sum(axis=axes, keepdims=True) if axes else grad


class Concatenate(Merge):
    """All inputs side by side along an axis.

    Parameters
    ----------
    axis : int
        Of a sample with its batch axis: at least 1, 1 being the channels of an image.
    """

    fewest_inputs = 1

    def __init__(self, axis: int = 1) -> None:
        super().__init__()
        self.axis = _check.integer("axis", axis, minimum=1)

    def __repr__(self) -> str:
        return options_text(self, axis=(self.axis, 1))

    def infer_all(self, inputs: Sequence[Array]) -> Array:
        """See Merge.infer_all."""
        return np.concatenate(inputs, axis=self.axis)

    def forward_all(self, inputs: Sequence[Array]) -> tuple[Array, list[int]]:
        """Keep where each input ends."""
        return self.infer_all(inputs), np.cumsum([x.shape[self.axis] for x in inputs]).tolist()

    def backward_all(self, saved: list[int], grad: Array) -> Sequence[Array]:
        """See Merge.backward_all."""
        return [np.ascontiguousarray(part) for part in np.split(grad, saved[:-1], axis=self.axis)]

    def output_shape_all(self, input_shapes: Sequence[Shape]) -> Shape:
        """See Merge.output_shape_all."""
        axis, first = self.axis - 1, input_shapes[0]
        if axis >= len(first):
            raise ValueError(f"expected samples of at least {self.axis} axes, got {first}")
        rest = [shape[:axis] + shape[axis + 1 :] for shape in input_shapes]
        if any(len(shape) != len(first) for shape in input_shapes) or any(other != rest[0] for other in rest):
            given = ", ".join(map(str, input_shapes))
            raise ValueError(f"expected shapes that differ in axis {axis} alone, got {given}")
        return (*first[:axis], sum(shape[axis] for shape in input_shapes), *first[axis + 1 :])
