"""Pooling layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import _check, ops
from advcore._check import Array
from advcore.nn._window import positions, used_share
from advcore.nn.layer import Layer, Shape, expect_shape, options_text

Pair = int | tuple[int, int]
Indices = NDArray[np.int64]


class MaxPool2d(Layer):
    """Largest number of each window of images (N, C, H, W), the first one among equals, as torch.nn.MaxPool2d.

    Parameters
    ----------
    kernel_size, dilation : int or pair (height, width)
        At least 1.
    stride : int or pair, optional
        The kernel's size unless given.
    padding : int or pair
        Of each side, at most half the kernel.
    ceil_mode : bool
        Count a window that the end cuts off.
    """

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        dilation: Pair = 1,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = _window(kernel_size, stride, padding)
        self.dilation = _check.integer_pair("dilation", dilation, minimum=1)
        self.ceil_mode = _check.flag("ceil_mode", ceil_mode)

    def __repr__(self) -> str:
        return options_text(
            self,
            self.kernel_size,
            stride=(self.stride, self.kernel_size),
            padding=(self.padding, (0, 0)),
            dilation=(self.dilation, (1, 1)),
            ceil_mode=(self.ceil_mode, False),
        )

    @property
    def _geometry(self) -> tuple[Any, ...]:
        return self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        pooled: Array = ops.max_pool2d(x, *self._geometry)
        return pooled

    def forward(self, x: Array, rng: np.random.Generator | None) -> tuple[Array, tuple[Array, Indices]]:
        """Keep where the maxima are, too: the way back does not search them again."""
        kernel_size, stride, padding, dilation, ceil_mode = self._geometry
        pooled, indices = ops.max_pool2d(x, kernel_size, stride, padding, dilation, ceil_mode, return_indices=True)
        return pooled, (x, indices)

    def backward(
        self, saved: tuple[Array, Indices], grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        x, indices = saved
        return ops.max_pool2d_grad(grad, x, *self._geometry, indices=indices), {}

    def saved_size(self, input_shape: Shape) -> int:
        """See Layer.saved_size: an index is as large as two float32."""
        return 3 * super().saved_size(input_shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        """See Layer.output_shape."""
        axes = zip(_image(input_shape)[1:], self.kernel_size, self.stride, self.padding, self.dilation, strict=True)
        return (input_shape[0], *(positions(*axis, self.ceil_mode) for axis in axes))

    def used_share(self, input_shape: Shape) -> float:
        """Return the share of the input, between 0 and 1, that lies in any window."""
        windows = self.output_shape(input_shape)[1:]
        return _used_share(input_shape, self.kernel_size, self.stride, self.padding, self.dilation, windows)


class AvgPool2d(Layer):
    """Mean of each window of images (N, C, H, W), as torch.nn.AvgPool2d.

    Parameters
    ----------
    kernel_size : int or pair (height, width)
        At least 1.
    stride : int or pair, optional
        The kernel's size unless given.
    padding : int or pair
        Of each side, at most half the kernel.
    ceil_mode : bool
        Count a window that the end cuts off.
    count_include_pad : bool
        Whether zeros of the padding count in the mean.
    """

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = _window(kernel_size, stride, padding)
        self.ceil_mode = _check.flag("ceil_mode", ceil_mode)
        self.count_include_pad = _check.flag("count_include_pad", count_include_pad)

    def __repr__(self) -> str:
        return options_text(
            self,
            self.kernel_size,
            stride=(self.stride, self.kernel_size),
            padding=(self.padding, (0, 0)),
            ceil_mode=(self.ceil_mode, False),
            count_include_pad=(self.count_include_pad, True),
        )

    @property
    def _geometry(self) -> tuple[Any, ...]:
        return self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        return ops.avg_pool2d(x, *self._geometry)

    def forward(self, x: Array, rng: np.random.Generator | None) -> tuple[Array, Shape]:
        """Keep the shape."""
        return self.infer(x), x.shape

    def backward(
        self, saved: Shape, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        return ops.avg_pool2d_grad(grad, saved, *self._geometry), {}

    def output_shape(self, input_shape: Shape) -> Shape:
        """See Layer.output_shape."""
        axes = zip(_image(input_shape)[1:], self.kernel_size, self.stride, self.padding, strict=True)
        return (input_shape[0], *(positions(*axis, ceil_mode=self.ceil_mode) for axis in axes))

    def used_share(self, input_shape: Shape) -> float:
        """Return the share of the input, between 0 and 1, that lies in any window."""
        windows = self.output_shape(input_shape)[1:]
        return _used_share(input_shape, self.kernel_size, self.stride, self.padding, (1, 1), windows)


class AdaptiveAvgPool2d(Layer):
    """Mean of images (N, C, H, W) over an even grid of windows, as torch.nn.AdaptiveAvgPool2d.

    Parameters
    ----------
    output_size : int or pair (height, width)
        Of the result, at least 1.
    """

    def __init__(self, output_size: Pair) -> None:
        super().__init__()
        self.output_size = _check.integer_pair("output_size", output_size, minimum=1)

    def __repr__(self) -> str:
        return options_text(self, self.output_size)

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        return ops.adaptive_avg_pool2d(x, self.output_size)

    def forward(self, x: Array, rng: np.random.Generator | None) -> tuple[Array, Shape]:
        """Keep the shape."""
        return self.infer(x), x.shape

    def backward(
        self, saved: Shape, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        return ops.adaptive_avg_pool2d_grad(grad, saved), {}

    def output_shape(self, input_shape: Shape) -> Shape:
        """See Layer.output_shape."""
        return (_image(input_shape)[0], *self.output_size)

    def used_share(self, input_shape: Shape) -> float:
        """Return 1: its windows leave nothing out."""
        _image(input_shape)
        return 1.0


def _window(
    kernel_size: Pair, stride: Pair | None, padding: Pair
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    kernel = _check.integer_pair("kernel_size", kernel_size, minimum=1)
    step = kernel if stride is None else _check.integer_pair("stride", stride, minimum=1)
    border = _check.integer_pair("padding", padding, minimum=0)
    if any(2 * p > k for p, k in zip(border, kernel, strict=True)):
        raise ValueError(f"padding must be at most half of kernel_size {kernel}, got {border}")
    return kernel, step, border


def _used_share(input_shape: Shape, *axes: Sequence[int]) -> float:
    """Multiply the shares of both axes; ``axes`` are pairs in the order of used_share."""
    return math.prod(used_share(*axis) for axis in zip(input_shape[1:], *axes, strict=True))


def _image(input_shape: Shape) -> Shape:
    expect_shape(input_shape, ("C", "H", "W"), (None, None, None))
    return input_shape
