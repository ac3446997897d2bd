"""Layers that only rearrange a sample's numbers, or add zeros around them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from advcore import _check, ops
from advcore._check import Array
from advcore.nn.layer import Layer, Shape, expect_shape, options_text


class Reshape(Layer):
    """(N, ...) to (N, *shape), in row-major order.

    Parameters
    ----------
    shape : tuple of int
        Of a sample; one extent may be -1: what is left.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(_check.integer(f"shape[{i}]", n, minimum=-1) for i, n in enumerate(shape))
        if self.shape.count(-1) > 1:
            raise ValueError(f"shape must have at most one -1, got {self.shape}")

    def __repr__(self) -> str:
        return options_text(self, self.shape)

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        return x.reshape(len(x), *self.output_shape(x.shape[1:]))

    def forward(self, x: Array, rng: np.random.Generator | None) -> tuple[Array, Shape]:
        """Keep the shape."""
        return self.infer(x), x.shape

    def backward(
        self, saved: Shape, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        return grad.reshape(saved), {}

    def output_shape(self, input_shape: Shape) -> Shape:
        """See Layer.output_shape."""
        size, known = math.prod(input_shape), math.prod(n for n in self.shape if n != -1)
        fits = (known > 0 and size % known == 0) if -1 in self.shape else size == known
        if not fits:
            raise ValueError(f"expected a sample of {_check.shape_text(self.shape)}'s size, got {input_shape}")
        return tuple(size // known if n == -1 else n for n in self.shape)

    def saved_size(self, input_shape: Shape) -> int:
        """See Layer.saved_size."""
        return 0


class Flatten(Reshape):
    """(N, ...) to (N, features), in row-major order."""

    def __init__(self) -> None:
        super().__init__((-1,))

    def __repr__(self) -> str:
        return options_text(self)


class RowsAsSteps(Layer):
    """Images (N, C, H, W) to sequences (N, H, C * W): a step is a row of pixels, all channels of it."""

    def __repr__(self) -> str:
        return options_text(self)

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        n, c, h, w = x.shape
        rows_first = np.ascontiguousarray(x.transpose(0, 2, 1, 3))
        return rows_first.reshape(n, h, c * w)

    def forward(self, x: Array, rng: np.random.Generator | None) -> tuple[Array, Shape]:
        """Keep the shape."""
        return self.infer(x), x.shape

    def backward(
        self, saved: Shape, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        n, c, h, w = saved
        return np.ascontiguousarray(grad.reshape(n, h, c, w).transpose(0, 2, 1, 3)), {}

    def output_shape(self, input_shape: Shape) -> Shape:
        """See Layer.output_shape."""
        expect_shape(input_shape, ("C", "H", "W"), (None, None, None))
        c, h, w = input_shape
        return h, c * w


class Permute(Layer):
    """Turns the axes of a sample: axis i of the output is axis ``axes[i - 1]`` of the input, axis 0 being the batch.

    Parameters
    ----------
    axes : tuple of int
        A permutation of 1, 2, ...
    """

    def __init__(self, axes: Sequence[int]) -> None:
        super().__init__()
        self.axes = tuple(_check.integer(f"axes[{i}]", axis, minimum=1) for i, axis in enumerate(axes))
        if sorted(self.axes) != list(range(1, len(self.axes) + 1)):
            raise ValueError(f"axes must be a permutation of 1 to {len(self.axes)}, got {self.axes}")

    def __repr__(self) -> str:
        return options_text(self, self.axes)

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        return np.ascontiguousarray(x.transpose(0, *self.axes))

    def forward(self, x: Array, rng: np.random.Generator | None) -> tuple[Array, None]:
        """Keep nothing."""
        return self.infer(x), None

    def backward(
        self, saved: None, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        return np.ascontiguousarray(grad.transpose(np.argsort((0, *self.axes)))), {}

    def output_shape(self, input_shape: Shape) -> Shape:
        """See Layer.output_shape."""
        if len(input_shape) != len(self.axes):
            raise ValueError(f"expected {len(self.axes)} axes a sample, got {input_shape}")
        return tuple(input_shape[axis - 1] for axis in self.axes)

    def saved_size(self, input_shape: Shape) -> int:
        """See Layer.saved_size."""
        return 0


class Pad(Layer):
    """Puts a constant around a sample.

    Parameters
    ----------
    widths : tuple of pairs of int
        What is put before and after each axis of a sample, at least 0.
    value : float
        What is put there.
    """

    def __init__(self, widths: Sequence[Sequence[int]], value: float = 0.0) -> None:
        super().__init__()
        self.widths = tuple(_check.integer_pair(f"widths[{i}]", pair, minimum=0) for i, pair in enumerate(widths))
        self.value = _check.real("value", value)

    def __repr__(self) -> str:
        return options_text(self, self.widths, value=(self.value, 0.0))

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        return np.pad(x, ((0, 0), *self.widths), constant_values=self.value)

    def forward(self, x: Array, rng: np.random.Generator | None) -> tuple[Array, None]:
        """Keep nothing."""
        return self.infer(x), None

    def backward(
        self, saved: None, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        axes = zip(grad.shape[1:], self.widths, strict=True)
        inner = (slice(None), *(slice(before, n - after) for n, (before, after) in axes))
        return np.ascontiguousarray(grad[inner]), {}

    def output_shape(self, input_shape: Shape) -> Shape:
        """See Layer.output_shape."""
        if len(input_shape) != len(self.widths):
            raise ValueError(f"expected {len(self.widths)} axes a sample, got {input_shape}")
        return tuple(n + before + after for n, (before, after) in zip(input_shape, self.widths, strict=True))


class Mean(Layer):
    """Mean over some axes of a sample.

    Parameters
    ----------
    axes : tuple of int
        At least 1, axis 0 being the batch.
    keepdims : bool
        Leave the axes, with extent 1.
    """

    def __init__(self, axes: Sequence[int], keepdims: bool = False) -> None:
        super().__init__()
        self.axes = tuple(sorted({_check.integer(f"axes[{i}]", axis, minimum=1) for i, axis in enumerate(axes)}))
        self.keepdims = _check.flag("keepdims", keepdims)

    def __repr__(self) -> str:
        return options_text(self, self.axes, keepdims=(self.keepdims, False))

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        count = math.prod(x.shape[axis] for axis in self.axes)
        rows = np.moveaxis(x, self.axes, range(x.ndim - len(self.axes), x.ndim)).reshape(-1, count)
        totals = ops.matmul(rows, np.ones(count, x.dtype))  # a sample's sums are its own, whatever the batch
        means: Array = (totals / x.dtype.type(count)).reshape(len(x), *self.output_shape(x.shape[1:]))
        return means

    def forward(self, x: Array, rng: np.random.Generator | None) -> tuple[Array, Shape]:
        """Keep the shape."""
        return self.infer(x), x.shape

    def backward(
        self, saved: Shape, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        count = math.prod(saved[axis] for axis in self.axes)
        kept = tuple(1 if axis in self.axes else n for axis, n in enumerate(saved))
        return np.ascontiguousarray(np.broadcast_to(grad.reshape(kept) / grad.dtype.type(count), saved)), {}

    def output_shape(self, input_shape: Shape) -> Shape:
        """See Layer.output_shape."""
        if any(axis > len(input_shape) for axis in self.axes):
            raise ValueError(f"expected at least {max(self.axes)} axes a sample, got {input_shape}")
        return tuple(
            1 if axis in self.axes else n
            for axis, n in enumerate(input_shape, 1)
            if self.keepdims or axis not in self.axes
        )

    def saved_size(self, input_shape: Shape) -> int:
        """See Layer.saved_size."""
        return 0
