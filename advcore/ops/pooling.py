"""Pooling over windows of planes, and its gradients."""

from __future__ import annotations

import math
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from advcore import _check, _core
from advcore._check import Array
from advcore._memory import empty
from advcore.ops._pool_geometry import (
    LARGEST_EXTENT,
    Pair,
    even_windows,
    plane_sizes,
    planes_of,
    windows_over,
)


@overload
def max_pool2d(
    input: Array,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    ceil_mode: bool = False,
    return_indices: Literal[False] = False,
    *,
    out: Array | None = None,
) -> Array: ...


@overload
def max_pool2d(
    input: Array,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    ceil_mode: bool = False,
    return_indices: Literal[True] = ...,
    *,
    out: Array | None = None,
) -> tuple[Array, NDArray[np.int64]]: ...


def max_pool2d(
    input: Array,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    *,
    out: Array | None = None,
) -> Array | tuple[Array, NDArray[np.int64]]:
    """Take the maximum of each window: ``out[n, c, i, j] = max_kl input[n, c, i s - p + k d, j s - p + l d]``.

    NaN wins. Of equal elements the first counts (of several NaN the last), as in torch.

    Parameters
    ----------
    input : float32 or float64 array, (N, C, H, W) or (C, H, W)
    kernel_size : int or pair (height, width)
    stride : int or pair, optional
        The kernel_size unless given.
    padding : int or pair
        Elements of minus infinity on each side, at most half the kernel.
    dilation : int or pair
        The distance between a window's elements.
    ceil_mode : bool
        Let a last window reach over the end.
    return_indices : bool
        Return where the maxima are, too.
    out : array, optional
        Receives the maxima.

    Returns
    -------
    array, (N, C, H_out, W_out) or (C, H_out, W_out)
        The maxima; with return_indices a pair of them and of an int64 array of the same shape: the maximum's
        ``row * W + column`` in its plane, -1 for a window without elements (all of it padding).

    Raises
    ------
    TypeError
        If input is not an array of float32 or float64, or another argument is of the wrong type.
    ValueError
        If input has the wrong rank or no elements in a plane, a size is out of range, padding is more than half the
        kernel, or the kernel is larger than the padded input.
    """
    input = _check.array("input", input)
    windows, shape = windows_over(input.shape, kernel_size, stride, padding, dilation, ceil_mode)
    return_indices = _check.flag("return_indices", return_indices)
    result = _check.output(out, shape, input.dtype, (input,))
    indices = empty(shape, np.dtype(np.int64)) if return_indices else None
    _core.max_pool2d(_fold(result), None if indices is None else _fold(indices), _fold(input), *windows[:4])
    result = _check.deliver(result, out)
    return result if indices is None else (result, indices)


def max_pool2d_grad(
    grad_output: Array,
    input: Array,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    ceil_mode: bool = False,
    *,
    indices: NDArray[np.int64] | None = None,
    out: Array | None = None,
) -> Array:
    """Return the gradient of max_pool2d for its input: each element of grad_output goes to its window's maximum.

    Parameters
    ----------
    grad_output : float32 or float64 array, (N, C, H_out, W_out) or (C, H_out, W_out)
    input : array, (N, C, H, W) or (C, H, W)
        The input of the forward pass.
    kernel_size, stride, padding, dilation, ceil_mode
        As in the forward pass.
    indices : int64 array, the shape of grad_output, optional
        What the forward pass returned; the maxima are searched again where it is not given.
    out : array, optional
        Receives the result.

    Returns
    -------
    array, the input's shape

    Raises
    ------
    TypeError
        If an array is of the wrong type, or types differ.
    ValueError
        As max_pool2d, and if grad_output or indices do not have the shape of the output or an index is outside.
    """
    input = _check.array("input", input)
    windows, shape = windows_over(input.shape, kernel_size, stride, padding, dilation, ceil_mode)
    grad_output = _check.array("grad_output", grad_output, dtype=input.dtype, shape=shape)
    places = None if indices is None else _check.index_array("indices", indices, shape)
    result = _check.output(out, input.shape, input.dtype, (grad_output, input, places))
    inside = _core.max_pool2d_grad(
        _fold(result),
        _fold(grad_output),
        _fold(input) if places is None else None,
        None if places is None else _fold(places),
        *windows[:4],
    )
    if not inside:
        raise ValueError(f"indices must be in [-1, {math.prod(input.shape[-2:]) - 1}], got one outside")
    return _check.deliver(result, out)


def avg_pool2d(
    input: Array,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    out: Array | None = None,
) -> Array:
    """Take the mean of each window: ``out[n, c, i, j] = mean_kl input[n, c, i s - p + k, j s - p + l]``.

    A window's columns are added first, each from the top, then their sums from the left.

    Parameters
    ----------
    input : float32 or float64 array, (N, C, H, W) or (C, H, W)
    kernel_size : int or pair (height, width)
    stride : int or pair, optional
        The kernel_size unless given.
    padding : int or pair
        Zeros on each side, at most half the kernel.
    ceil_mode : bool
        Let a last window reach over the end; what is beyond the padding never counts as an element.
    count_include_pad : bool
        Count the padding as elements.
    out : array, optional
        Receives the result.

    Returns
    -------
    array, (N, C, H_out, W_out) or (C, H_out, W_out)

    Raises
    ------
    TypeError, ValueError
        As max_pool2d.
    """
    input = _check.array("input", input)
    windows, shape = windows_over(input.shape, kernel_size, stride, padding, 1, ceil_mode)
    count_include_pad = _check.flag("count_include_pad", count_include_pad)
    result = _check.output(out, shape, input.dtype, (input,))
    _core.avg_pool2d(_fold(result), _fold(input), *windows[:3], count_include_pad)
    return _check.deliver(result, out)


def avg_pool2d_grad(
    grad_output: Array,
    input_size: tuple[int, ...],
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    *,
    out: Array | None = None,
) -> Array:
    """Return the gradient of avg_pool2d for its input: each window shares its gradient out evenly.

    Parameters
    ----------
    grad_output : float32 or float64 array, (N, C, H_out, W_out) or (C, H_out, W_out)
    input_size : tuple of int, (N, C, H, W) or (C, H, W)
        The shape of the input of the forward pass.
    kernel_size, stride, padding, ceil_mode, count_include_pad
        As in the forward pass.
    out : array, optional
        Receives the result.

    Returns
    -------
    array of shape input_size

    Raises
    ------
    TypeError, ValueError
        As avg_pool2d, and if grad_output does not have the shape of the output.
    """
    size = plane_sizes("input_size", input_size)
    windows, shape = windows_over(size, kernel_size, stride, padding, 1, ceil_mode)
    count_include_pad = _check.flag("count_include_pad", count_include_pad)
    grad_output = _check.array("grad_output", grad_output, shape=shape)
    result = _check.output(out, size, grad_output.dtype, (grad_output,))
    _core.avg_pool2d_grad(_fold(result), _fold(grad_output), *windows[:3], count_include_pad)
    return _check.deliver(result, out)


def adaptive_avg_pool2d(
    input: Array, output_size: int | tuple[int | None, int | None], *, out: Array | None = None
) -> Array:
    """Take means of H_out x W_out windows that cover the plane; window i of n begins at ``floor(i H / n)`` and ends
    before ``ceil((i + 1) H / n)``.

    Parameters
    ----------
    input : float32 or float64 array, (N, C, H, W) or (C, H, W)
    output_size : int or pair (height, width)
        H_out and W_out; None keeps the input's.
    out : array, optional
        Receives the result.

    Returns
    -------
    array, (N, C, H_out, W_out) or (C, H_out, W_out)

    Raises
    ------
    TypeError
        If input is not an array of float32 or float64, or output_size not integers.
    ValueError
        If input has the wrong rank or no elements in a plane, or a size is negative.
    """
    input = planes_of("input", input)
    pair = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    given = tuple(extent if size is None else size for size, extent in zip(pair, input.shape[-2:], strict=False))
    size = _check.integer_pair("output_size", given if len(pair) == 2 else pair, minimum=0, maximum=LARGEST_EXTENT)
    result = _check.output(out, (*input.shape[:-2], *size), input.dtype, (input,))
    kernel = even_windows(input.shape, size)
    if kernel is None:
        _core.adaptive_avg_pool2d(_fold(result), _fold(input))
    else:
        _core.avg_pool2d(_fold(result), _fold(input), kernel, kernel, (0, 0), True)
    return _check.deliver(result, out)


def adaptive_avg_pool2d_grad(grad_output: Array, input_size: tuple[int, ...], *, out: Array | None = None) -> Array:
    """Return the gradient of adaptive_avg_pool2d for its input: each window shares its gradient out evenly.

    Parameters
    ----------
    grad_output : float32 or float64 array, (N, C, H_out, W_out) or (C, H_out, W_out)
    input_size : tuple of int, (N, C, H, W) or (C, H, W)
        The shape of the input of the forward pass.
    out : array, optional
        Receives the result.

    Returns
    -------
    array of shape input_size

    Raises
    ------
    TypeError
        If grad_output is not an array of float32 or float64, or input_size not integers.
    ValueError
        If shapes do not fit.
    """
    size = plane_sizes("input_size", input_size)
    grad_output = _check.array("grad_output", grad_output, shape=(*size[:-2], None, None))
    result = _check.output(out, size, grad_output.dtype, (grad_output,))
    kernel = even_windows(size, grad_output.shape[-2:])
    if kernel is None:
        _core.adaptive_avg_pool2d_grad(_fold(result), _fold(grad_output))
    else:
        _core.avg_pool2d_grad(_fold(result), _fold(grad_output), kernel, kernel, (0, 0), True)
    return _check.deliver(result, out)


def pool_coverage(
    input_size: int | Pair,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    ceil_mode: bool = False,
) -> tuple[Pair, int]:
    """Tell how many windows a pooling has and how many elements of a plane are in any of them.

    A stride larger than the kernel leaves elements that no output depends on: an attack cannot use them and a detector
    cannot see them.

    Parameters
    ----------
    input_size : int or pair (height, width)
    kernel_size, stride, padding, dilation, ceil_mode
        As in max_pool2d.

    Returns
    -------
    output_size : pair of int, (H_out, W_out)
    inputs_used : int, of ``height * width``

    Raises
    ------
    TypeError, ValueError
        As max_pool2d.
    """
    size = _check.integer_pair("input_size", input_size, minimum=1, maximum=LARGEST_EXTENT)
    windows, (_, height, width) = windows_over((1, *size), kernel_size, stride, padding, dilation, ceil_mode)
    used = 1
    for extent, count, kernel, step, pad, gap in zip(size, (height, width), *windows[:4], strict=True):
        starts = np.arange(count)[:, np.newaxis] * step - pad
        taps = starts + np.arange(min(kernel, extent + 2 * pad)) * gap
        used *= len(np.unique(taps[(taps >= 0) & (taps < extent)]))
    return (height, width), used


def _fold(x: Array) -> Array:
    """View x as (planes, rows, columns)."""
    return x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:])
