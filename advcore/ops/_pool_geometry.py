"""What a pooling's options mean: checked, and where its windows lie."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from advcore import _check
from advcore._check import Array

Pair = tuple[int, int]

LARGEST_EXTENT = 2**31 - 1  # of an extent: products of two stay far from overflow


class Windows(NamedTuple):
    """Where windows lie: pairs (height, width)."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    ceil_mode: bool

    def output_size(self, input_size: Pair) -> Pair:
        """Return the number of windows along each axis, by torch's rule.

        With ceil_mode a last window may reach over the end, but it must begin inside the input or its left padding.
        """
        height, width = (
            (size + 2 * padding - dilation * (kernel - 1) - 1 + (stride - 1 if self.ceil_mode else 0)) // stride + 1
            for size, kernel, stride, padding, dilation in zip(input_size, *self[:4], strict=True)
        )
        if self.ceil_mode:
            height -= (height - 1) * self.stride[0] >= input_size[0] + self.padding[0]
            width -= (width - 1) * self.stride[1] >= input_size[1] + self.padding[1]
        return height, width


def windows_over(
    input_size: tuple[int, ...],
    kernel_size: object,
    stride: object,
    padding: object,
    dilation: object,
    ceil_mode: object,
) -> tuple[Windows, tuple[int, ...]]:
    """Check a pooling's options against the input's sizes; return its windows and the shape of what it gives."""
    options = (kernel_size, stride, padding, dilation, ceil_mode)
    plain = type(kernel_size) is type(padding) is type(dilation) is int and type(ceil_mode) is bool
    return (_remembered if plain and type(stride) in (int, type(None)) else _worked_out)(input_size, *options)


def _worked_out(input_size: tuple[int, ...], *options: Any) -> tuple[Windows, tuple[int, ...]]:
    plane_sizes("input", input_size)
    windows = _windows_of(*options)
    return windows, _output_shape(input_size, windows)


_remembered = lru_cache(maxsize=1024)(_worked_out)  # most of the time of a call on a small input


def _windows_of(kernel_size: object, stride: object, padding: object, dilation: object, ceil_mode: object) -> Windows:
    kernel = _check.integer_pair("kernel_size", kernel_size, minimum=1, maximum=LARGEST_EXTENT)
    windows = Windows(
        kernel,
        kernel if stride is None else _check.integer_pair("stride", stride, minimum=1, maximum=LARGEST_EXTENT),
        _check.integer_pair("padding", padding, minimum=0, maximum=LARGEST_EXTENT),
        _check.integer_pair("dilation", dilation, minimum=1, maximum=LARGEST_EXTENT),
        _check.flag("ceil_mode", ceil_mode),
    )
    if any(p > k // 2 for p, k in zip(windows.padding, kernel, strict=True)):
        raise ValueError(f"padding must be at most half of kernel_size {kernel}, got {windows.padding}")
    return windows


def planes_of(name: str, value: object) -> Array:
    """Return value as an array of planes, batched or not."""
    planes = _check.array(name, value)
    plane_sizes(name, planes.shape)
    return planes


def plane_sizes(name: str, shape: object) -> tuple[int, ...]:
    """Return the shape of an array of planes, if it is one."""
    sizes = _check.sizes(name, shape)
    if len(sizes) not in (3, 4):
        raise ValueError(f"{name} must have shape (N, C, H, W) or (C, H, W), got {sizes}")
    if not all(1 <= extent <= LARGEST_EXTENT for extent in sizes[-2:]):
        raise ValueError(f"{name} must have planes of 1 to {LARGEST_EXTENT} rows and columns, got {sizes}")
    return sizes


def _output_shape(input_shape: tuple[int, ...], windows: Windows) -> tuple[int, ...]:
    height, width = windows.output_size((input_shape[-2], input_shape[-1]))
    if height < 1 or width < 1:
        reach = tuple(d * (k - 1) + 1 for k, d in zip(windows.kernel, windows.dilation, strict=True))
        padded = tuple(size + 2 * p for size, p in zip(input_shape[-2:], windows.padding, strict=True))
        raise ValueError(f"kernel_size must reach over at most the padded input {padded}, got a window of {reach}")
    return (*input_shape[:-2], height, width)


def even_windows(input_shape: tuple[int, ...], output_size: tuple[int, ...]) -> Pair | None:
    """Return the size of adaptive windows if all are alike and do not overlap."""
    sizes = list(zip(input_shape[-2:], output_size, strict=True))
    if any(count == 0 or extent % count for extent, count in sizes):
        return None
    return sizes[0][0] // sizes[0][1], sizes[1][0] // sizes[1][1]
