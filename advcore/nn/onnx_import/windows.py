"""Convolution and pooling. What torch's layers cannot say (uneven padding, say) becomes a Pad layer before them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from advcore.nn.affine import Affine
from advcore.nn.conv import Conv2d
from advcore.nn.onnx_import.budget import check_value
from advcore.nn.onnx_import.call import Call
from advcore.nn.onnx_import.values import Tensor
from advcore.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from advcore.nn.reshape import Mean, Pad

Pair = tuple[int, int]


class Window(NamedTuple):
    """What slides over an image: height and width of each; ``before`` and ``after`` is the padding."""

    kernel: Pair
    stride: Pair
    dilation: Pair
    before: Pair
    after: Pair  # as many pixels as the last window reaches, in ceil mode too
    declared: Pair  # padding after that the file speaks of
    ceil: bool

    @property
    def even(self) -> bool:
        """Whether both sides get the same padding, which a pooling layer takes."""
        fits = all(2 * p <= k for p, k in zip(self.before, self.kernel, strict=True))
        return self.before == self.declared and fits


def image(call: Call) -> tuple[Tensor, bool]:
    """Return the first input as images, and whether they are sequences that have become images of height 1."""
    x = call.batch_first(call.tensor())
    if len(x.sample) == 2:
        channels, width = x.sample
        return Tensor(x.source, (channels, 1, width)), True
    if len(x.sample) != 3:
        raise ValueError(f"its input must have 3 or 4 axes, (N, C, W) or (N, C, H, W), got {len(x.sample) + 1}")
    return x, False


def back(y: Tensor, flat: bool) -> Tensor:
    """Undo what ``image`` did."""
    return Tensor(y.source, (y.sample[0], y.sample[2])) if flat else y


def window(call: Call, x: Tensor, flat: bool, kernel: list[int]) -> Window:
    """Read the attributes of a convolution or a pooling."""
    axes = 1 if flat else 2
    kernel = call.of_one_size("kernel_shape", kernel, axes, 1, 1)
    strides = call.of_one_size("strides", call.get("strides"), axes, 1, 1)
    dilations = call.of_one_size("dilations", call.get("dilations"), axes, 1, 1)
    pads = call.of_one_size("pads", call.get("pads"), 2 * axes, 0, 0)
    mode, ceil = call.get("auto_pad", "NOTSET"), bool(call.get("ceil_mode", 0))
    if mode not in ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"):
        raise ValueError(f"auto_pad must be NOTSET, SAME_UPPER, SAME_LOWER or VALID, got {mode}")
    before, after, declared = [], [], []
    for axis, size in enumerate(x.sample[-axes:]):
        cover, step = dilations[axis] * (kernel[axis] - 1) + 1, strides[axis]
        first, last = (pads[axis], pads[axis + axes]) if mode == "NOTSET" else (0, 0)
        if mode.startswith("SAME"):
            total = max(0, (math.ceil(size / step) - 1) * step + cover - size)
            first = total // 2 if mode == "SAME_UPPER" else total - total // 2
            last = total - first
        room = size + first + last - cover
        if room < 0:
            raise ValueError(f"the kernel covers {cover} pixels, the padded input has {size + first + last}")
        count = room // step + 1
        # A window that is cut off at the end counts in ceil mode, if it does not start in the padding after.
        if ceil and mode == "NOTSET" and room % step and count * step < size + first:
            count += 1
        reach = (count - 1) * step + cover - size - first
        before.append(first)
        declared.append(last)
        after.append(max(reach, last))
    sizes = [_pair(values, 1) for values in (kernel, strides, dilations)]
    paddings = [_pair(values, 0) for values in (before, after, declared)]
    return Window(sizes[0], sizes[1], sizes[2], paddings[0], paddings[1], paddings[2], ceil and mode == "NOTSET")


def _pair(values: list[int], of_height: int) -> Pair:
    """Return height and width; a sequence is an image of height 1."""
    return (of_height, values[0]) if len(values) == 1 else (values[0], values[1])


def padded(call: Call, x: Tensor, w: Window, value: float = 0.0) -> Tensor:
    """Put the padding around an image."""
    if not any(w.before + w.after):
        return x
    sides = list(zip(w.before, w.after, strict=True))
    check_value((x.sample[0], *(n + sum(side) for n, side in zip(x.sample[1:], sides, strict=True))))
    return call.build.apply(Pad([(0, 0), *sides], value), x, part="pad")


def conv(call: Call) -> Tensor:
    """Conv: the weight is (M, C / group, ...)."""
    x, flat = image(call)
    weight = call.floats(1, 3 if flat else 4)
    kernel = list(weight.shape[2:])
    if call.get("kernel_shape", kernel) != kernel:
        raise ValueError(f"kernel_shape must be the weight's, {kernel}, got {call.get('kernel_shape')}")
    w = window(call, x, flat, kernel)
    padding = w.before
    if w.before != w.declared:
        x, padding = padded(call, x, w), (0, 0)
    groups = call.get("group")
    if not 1 <= groups <= x.sample[0] or x.sample[0] != weight.shape[1] * groups:
        raise ValueError(f"its weight {weight.shape} does not fit {x.sample[0]} channels in {groups} groups")
    bias = {"bias": call.floats(2, 1)} if call.given(2) else {}
    layer = Conv2d(x.sample[0], len(weight), w.kernel, w.stride, padding, w.dilation, groups, bool(bias))
    shape = layer.parameter_shapes["weight"]
    return back(call.build.apply(call.build.with_parameters(layer, weight=weight.reshape(shape), **bias), x), flat)


def max_pool(call: Call) -> Tensor:
    """MaxPool: padding is never the largest."""
    call.only_outputs(0)
    x, flat = image(call)
    w = window(call, x, flat, call.get("kernel_shape"))
    padding, ceil = w.before, w.ceil
    if not w.even:
        x, padding, ceil = padded(call, x, w, float(np.finfo(call.build.dtype).min)), (0, 0), False
    return back(call.build.apply(MaxPool2d(w.kernel, w.stride, padding, w.dilation, ceil), x), flat)


def average_pool(call: Call) -> Tensor:
    """AveragePool: where windows reach out of the image unevenly, a factor a position corrects what they count."""
    x, flat = image(call)
    w = window(call, x, flat, call.get("kernel_shape"))
    if w.dilation != (1, 1):
        raise ValueError("dilations other than 1 are not supported")
    whole = bool(call.get("count_include_pad", 0))
    if w.even:
        return back(call.build.apply(AvgPool2d(w.kernel, w.stride, w.before, w.ceil, whole), x), flat)
    y = call.build.apply(AvgPool2d(w.kernel, w.stride), padded(call, x, w))
    counts = []
    for axis in range(2):
        inside = np.zeros(w.before[axis] + x.sample[1 + axis] + w.after[axis])
        begin = 0 if whole else w.before[axis]
        inside[begin : w.before[axis] + x.sample[1 + axis] + (w.declared[axis] if whole else 0)] = 1
        starts = np.arange(y.sample[1 + axis]) * w.stride[axis]
        sums = np.concatenate([[0], np.cumsum(inside)])
        counts.append(sums[starts + w.kernel[axis]] - sums[starts])
    factors = math.prod(w.kernel) / np.maximum(np.outer(*counts), 1)
    if np.all(factors == 1):
        return back(y, flat)
    call.build.budget.take(factors.size)
    layer = Affine((1, *factors.shape), shift=False)
    factors = factors[np.newaxis].astype(call.build.dtype)
    return back(call.build.apply(call.build.with_parameters(layer, weight=factors), y, part="factor"), flat)


def global_average_pool(call: Call) -> Tensor:
    """GlobalAveragePool: every axis after the channels becomes 1."""
    x = call.batch_first(call.tensor())
    if len(x.sample) == 3:
        return call.build.apply(AdaptiveAvgPool2d(1), x)
    if len(x.sample) < 2:
        raise ValueError(f"its input must have at least 3 axes, got {len(x.sample) + 1}")
    return call.build.apply(Mean(range(2, len(x.sample) + 1), keepdims=True), x)


def global_max_pool(call: Call) -> Tensor:
    """GlobalMaxPool: every axis after the channels becomes 1."""
    x = call.batch_first(call.tensor())
    if len(x.sample) < 2:
        raise ValueError(f"its input must have at least 3 axes, got {len(x.sample) + 1}")
    channels, height, width = x.sample[0], x.sample[1], math.prod(x.sample[2:])
    y = call.build.apply(MaxPool2d((height, width)), Tensor(x.source, (channels, height, width)))
    return Tensor(y.source, (channels, *[1] * (len(x.sample) - 1)))
