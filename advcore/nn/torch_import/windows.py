"""Pooling and normalisation, function by function, in layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from advcore.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from advcore.nn.torch_import.builder import Builder, RefusedError, Value
from advcore.nn.torch_import.functions import as_row, pair, row


def max_pool2d(
    b: Builder,
    input: Value,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Value:
    """torch.nn.functional.max_pool2d."""
    if return_indices:
        raise RefusedError("return_indices must be False")
    geometry = (_stride(stride), pair(padding), pair(dilation), ceil_mode)
    return b.add(MaxPool2d(pair(kernel_size), *geometry), input.batch_first())


def max_pool1d(
    b: Builder,
    input: Value,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Value:
    """torch.nn.functional.max_pool1d."""
    if return_indices:
        raise RefusedError("return_indices must be False")
    step = row(kernel_size if stride in (None, [], ()) else stride, 1)
    pool = MaxPool2d(row(kernel_size, 1), step, row(padding, 0), row(dilation, 1), ceil_mode)
    return as_row(b, input, lambda x: b.add(pool, x))


def avg_pool2d(
    b: Builder,
    input: Value,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: None = None,
) -> Value:
    """torch.nn.functional.avg_pool2d."""
    if divisor_override is not None:
        raise RefusedError("divisor_override must be None")
    geometry = (_stride(stride), pair(padding), ceil_mode, count_include_pad)
    return b.add(AvgPool2d(pair(kernel_size), *geometry), input.batch_first())


def avg_pool1d(
    b: Builder,
    input: Value,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Value:
    """torch.nn.functional.avg_pool1d."""
    step = row(kernel_size if stride in (None, [], ()) else stride, 1)
    pool = AvgPool2d(row(kernel_size, 1), step, row(padding, 0), ceil_mode, count_include_pad)
    return as_row(b, input, lambda x: b.add(pool, x))


def adaptive_avg_pool2d(b: Builder, input: Value, output_size: Any) -> Value:
    """torch.nn.functional.adaptive_avg_pool2d."""
    return b.add(AdaptiveAvgPool2d(_output_size(input, output_size)), input.batch_first())


def adaptive_avg_pool1d(b: Builder, input: Value, output_size: Any) -> Value:
    """torch.nn.functional.adaptive_avg_pool1d."""
    return as_row(b, input, lambda x: b.add(AdaptiveAvgPool2d(row(output_size, 1)), x))


def adaptive_max_pool2d(b: Builder, input: Value, output_size: Any, return_indices: bool = False) -> Value:
    """torch.nn.functional.adaptive_max_pool2d where its windows are all alike."""
    images, size = input.shape[-2:], _output_size(input, output_size)
    if return_indices or any(n % out for n, out in zip(images, size, strict=True)):
        raise RefusedError(f"output_size must divide the image's {images} and return_indices be False, got {size}")
    kernel = (images[0] // size[0], images[1] // size[1])
    return b.add(MaxPool2d(kernel), input.batch_first())


def _stride(stride: Any) -> Any:
    return None if stride in (None, [], ()) else pair(stride)


def _output_size(x: Value, output_size: Any) -> tuple[int, int]:
    sizes = (output_size,) * 2 if output_size is None or isinstance(output_size, int) else output_size
    height, width = (n if size is None else size for size, n in zip(sizes, x.shape[-2:], strict=True))
    return height, width


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "max_pool1d": max_pool1d,
    "max_pool2d": max_pool2d,
    "avg_pool1d": avg_pool1d,
    "avg_pool2d": avg_pool2d,
    "adaptive_avg_pool1d": adaptive_avg_pool1d,
    "adaptive_avg_pool2d": adaptive_avg_pool2d,
    "adaptive_max_pool2d": adaptive_max_pool2d,
}
