"""Convolution and pooling as ONNX operators. Windows that the end cuts off get padding, which nobody misreads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from advcore.nn.conv import Conv2d
from advcore.nn.onnx_export.writer import Writer
from advcore.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d

Pair = tuple[int, int]


def conv(writer: Writer, layer: Conv2d, inputs: Sequence[str]) -> str:
    """Write Conv."""
    pads = [0, 0, 0, 0]
    if layer.padding == "same":
        totals = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        pads = [*(total // 2 for total in totals), *(total - total // 2 for total in totals)]
    elif isinstance(layer.padding, tuple):
        pads = [*layer.padding, *layer.padding]
    parameters = [writer.parameter(name, array) for name, array in layer.parameters.items()]
    return writer.node(
        "Conv",
        *(inputs[0], *parameters),
        kernel_shape=layer.kernel_size,
        strides=layer.stride,
        pads=pads,
        dilations=layer.dilation,
        group=layer.groups,
    )


def max_pool(writer: Writer, layer: MaxPool2d, inputs: Sequence[str]) -> str:
    """Write MaxPool."""
    after = _after(writer, layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    window: dict[str, Any] = {"kernel_shape": layer.kernel_size, "strides": layer.stride, "dilations": layer.dilation}
    return writer.node("MaxPool", inputs[0], pads=[*layer.padding, *after], **window)


def avg_pool(writer: Writer, layer: AvgPool2d, inputs: Sequence[str]) -> str:
    """Write AveragePool; zeros that count are padded before it, so that the rest of the last windows does not."""
    x, padding = inputs[0], layer.padding
    after = _after(writer, layer.kernel_size, layer.stride, padding, (1, 1))
    if layer.count_include_pad and any(padding):
        x = writer.node("Pad", x, writer.integers([0, 0, *padding, 0, 0, *padding]), writer.constant(0.0), aside=True)
        after = [total - own for total, own in zip(after, padding, strict=True)]
        padding = (0, 0)
    window: dict[str, Any] = {"kernel_shape": layer.kernel_size, "strides": layer.stride}
    return writer.node("AveragePool", x, pads=[*padding, *(max(n, 0) for n in after)], **window)


def adaptive_avg_pool(writer: Writer, layer: AdaptiveAvgPool2d, inputs: Sequence[str]) -> str:
    """Write GlobalAveragePool, AveragePool for windows of one size, or products with what each pixel counts."""
    sizes, counts = writer.shapes[0][1:], layer.output_size
    if counts == (1, 1):
        return writer.node("GlobalAveragePool", inputs[0])
    if all(size % count == 0 for size, count in zip(sizes, counts, strict=True)):
        window = [size // count for size, count in zip(sizes, counts, strict=True)]
        return writer.node("AveragePool", inputs[0], kernel_shape=window, strides=window)
    rows, columns = (_shares(size, count) for size, count in zip(sizes, counts, strict=True))
    x = writer.node("MatMul", inputs[0], writer.constant(columns.T), aside=True)
    return writer.node("MatMul", writer.constant(rows), x)


def _after(writer: Writer, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> list[int]:
    """Return the padding after an image with which every window of the output fits, and at least ``padding``."""
    after = []
    for axis in range(2):
        size, count = writer.shapes[0][1 + axis], writer.output_shape[1 + axis]
        reach = (count - 1) * stride[axis] + dilation[axis] * (kernel[axis] - 1) + 1
        room = size + 2 * padding[axis] - reach
        after.append(padding[axis] if room >= 0 else padding[axis] - room)
    return after


def _shares(size: int, count: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return (count, size): 1 / n for the n pixels of a window."""
    shares = np.zeros((count, size))
    for index in range(count):
        begin, end = index * size // count, math.ceil((index + 1) * size / count)
        shares[index, begin:end] = 1 / (end - begin)
    return shares
