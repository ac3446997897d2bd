"""What each kind of layer does to differences: functions that append a layer to a propagation.

Each returns the number of the layer's output and its (channels, rows, cols).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from advcore.nn.activations import GELU, Clip, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from advcore.nn.affine import Affine, Normalize, Scale
from advcore.nn.compiled import Joint
from advcore.nn.conv import Conv2d
from advcore.nn.dropout import Dropout
from advcore.nn.graph import INPUT
from advcore.nn.layer import Layer, Shape
from advcore.nn.linear import Linear
from advcore.nn.merge import Add, Concatenate, Subtract
from advcore.nn.normalization import BatchNorm
from advcore.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from advcore.nn.reshape import Flatten, Mean, Reshape
from advcore.ops._conv_geometry import geometry

if TYPE_CHECKING:
    from advcore.nn._propagation import Propagation

_SMOOTH: dict[type[Layer], int] = {Sigmoid: 0, Tanh: 1}  # as in csrc/kernels/difference.h; GELU's are 2 and 3
_LARGEST_POOL = 2**16  # elements of a window


class UnsupportedError(Exception):
    """A layer, or the place that it is in, through which differences cannot be propagated."""


def as_map(shape: Shape) -> tuple[int, int, int]:
    """Return (channels, rows, cols) of a sample's shape."""
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    return (1, shape[0], shape[1]) if len(shape) == 2 else (math.prod(shape), 1, 1)


Result = tuple[int, tuple[int, int, int]]


def _conv2d(p: Propagation, step: Joint, layer: Conv2d) -> Result:
    shape = p.plane(step)
    weight, _ = step.weights()
    plan = geometry(shape, weight.shape, layer.stride, layer.padding, layer.dilation, layer.groups)
    p.added(step)
    value = p.core.conv2d(p.source(step), weight, shape[1:], plan.output, plan.kernel_args)
    return value, (len(weight), *plan.output)


def _linear(p: Propagation, step: Joint, layer: Linear) -> Result:
    if len(p.shapes[step.inputs[0]]) != 1:
        raise UnsupportedError(f"layer {step.name} of samples {p.shapes[step.inputs[0]]}")
    weight, _ = step.weights()
    p.added(step)
    return p.core.linear(p.source(step), weight), (len(weight), 1, 1)


def _scale(p: Propagation, step: Joint, factors: Any) -> Result:
    channels = p.maps[step.inputs[0]][0]
    if channels != p.shapes[step.inputs[0]][0]:
        raise UnsupportedError(f"layer {step.name} of samples {p.shapes[step.inputs[0]]}")
    return p.like(step, p.core.scale(p.source(step), np.broadcast_to(factors, channels).tolist()))


def _batch_norm(p: Propagation, step: Joint, layer: BatchNorm) -> Result:
    variance = layer.buffers["running_var"].astype(np.float64)
    return _scale(p, step, layer.parameters.get("weight", 1) / np.sqrt(variance + layer.eps))


def _affine(p: Propagation, step: Joint, layer: Affine) -> Result:
    if math.prod(layer.shape[1:]) != 1:
        raise UnsupportedError(f"layer {step.name}, {layer!r}")
    return _scale(p, step, layer.parameters["weight"].ravel() if layer.scale else 1.0)


def _normalize(p: Propagation, step: Joint, layer: Normalize) -> Result:
    return _scale(p, step, 1 / np.array(layer.std))


def _clip(p: Propagation, step: Joint, low: float, high: float, slope: float = 0.0) -> Result:
    return p.like(step, p.core.clip(p.source(step), p.base(step.inputs[0]), low, high, slope))


def _relu(p: Propagation, step: Joint, layer: ReLU) -> Result:
    (before,) = (s for s in p.steps if s.name == step.inputs[0]) if step.inputs[0] != INPUT else (None,)
    if before is not None and isinstance(before.layer, MaxPool2d) and p.uses(before.name) == 1:
        return p.values[before.name], p.maps[before.name]  # the pooling has done it
    return _clip(p, step, 0.0, math.inf)


def _limits(layer: Clip) -> tuple[float, float]:
    return -math.inf if layer.low is None else layer.low, math.inf if layer.high is None else layer.high


def _smooth(p: Propagation, step: Joint, layer: Layer) -> Result:
    p.reflects = False
    function = _SMOOTH.get(type(layer), 3 if getattr(layer, "approximate", "none") == "tanh" else 2)
    return p.like(step, p.core.smooth(p.source(step), p.base(step.inputs[0]), function))


def _softmax(p: Propagation, step: Joint, layer: Layer) -> Result:
    p.vector(step)
    p.reflects = False
    value, source = p.source(step), p.base(step.inputs[0])
    p.bases[source] = step.name  # of the same extents
    return p.like(step, p.core.softmax(value, source, isinstance(layer, LogSoftmax)))


def _max_pool(p: Propagation, step: Joint, layer: MaxPool2d) -> Result:
    shape = p.plane(step)
    _, rows, cols = layer.output_shape(shape)
    if math.prod(layer.kernel_size) > _LARGEST_POOL:
        raise UnsupportedError(f"layer {step.name}, {layer!r}")
    before, after = p.base(step.inputs[0]), p.base(step.name)
    window = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    p.added(step)
    value = p.core.max_pool(p.source(step), before, after, shape[1:], (rows, cols), *window, p.relu_after(step))
    return value, (shape[0], rows, cols)


def _means(p: Propagation, step: Joint, rows: _Windows, cols: _Windows) -> Result:
    p.added(step)
    value = p.core.mean(p.source(step), rows.intervals, cols.intervals, rows.divisors, cols.divisors)
    return value, (p.maps[step.inputs[0]][0], len(rows.intervals), len(cols.intervals))


class _Windows(NamedTuple):
    """Where the windows of an average lie along an axis, and what it is divided by."""

    intervals: list[tuple[int, int]]
    divisors: list[float]


def _avg_pool(p: Propagation, step: Joint, layer: AvgPool2d) -> Result:
    shape = p.plane(step)
    axes = zip(shape[1:], layer.output_shape(shape)[1:], layer.kernel_size, layer.stride, layer.padding, strict=True)

    def windows(extent: int, outputs: int, kernel: int, stride: int, padding: int) -> _Windows:
        starts = [i * stride - padding for i in range(outputs)]
        intervals = [(max(start, 0), min(start + kernel, extent)) for start in starts]
        padded = [min(start + kernel, extent + padding) - start for start in starts]
        own = [end - first for first, end in intervals]
        return _Windows(intervals, [float(n) for n in (padded if layer.count_include_pad else own)])

    return _means(p, step, *(windows(*axis) for axis in axes))


def _adaptive_avg_pool(p: Propagation, step: Joint, layer: AdaptiveAvgPool2d) -> Result:
    shape = p.plane(step)

    def windows(extent: int, outputs: int) -> _Windows:
        intervals = [(i * extent // outputs, -(-(i + 1) * extent // outputs)) for i in range(outputs)]
        return _Windows(intervals, [float(end - first) for first, end in intervals])

    return _means(p, step, *map(windows, shape[1:], layer.output_shape(shape)[1:]))


def _mean(p: Propagation, step: Joint, layer: Mean) -> Result:
    _, rows, cols = p.plane(step)
    if layer.axes != (2, 3):
        raise UnsupportedError(f"layer {step.name}, {layer!r}")
    return _means(p, step, *(_Windows([(0, extent)], [float(extent)]) for extent in (rows, cols)))


def _add(p: Propagation, step: Joint, layer: Add) -> Result:
    return p.like(step, p.core.sum(_alike(p, step)))


def _subtract(p: Propagation, step: Joint, layer: Subtract) -> Result:
    first, second = _alike(p, step)
    p.added(step)
    channels = p.maps[step.inputs[1]][0]
    return p.like(step, p.core.sum([first, p.core.scale(second, [-1.0] * channels)]))


def _concatenate(p: Propagation, step: Joint, layer: Concatenate) -> Result:
    maps = [p.maps[name] for name in step.inputs]
    shapes = [p.shapes[name] for name in step.inputs]
    whole = all(shape in (of_map, of_map[:1]) for shape, of_map in zip(shapes, maps, strict=True))
    if layer.axis != 1 or not whole or len({of_map[1:] for of_map in maps}) > 1:
        raise UnsupportedError(f"layer {step.name}, {layer!r}")
    p.added(step)
    return p.core.concatenate(p.sources(step)), (sum(of_map[0] for of_map in maps), *maps[0][1:])


def _alike(p: Propagation, step: Joint) -> list[int]:
    if len({p.maps[name] for name in step.inputs}) > 1:
        raise UnsupportedError(f"layer {step.name} of inputs that lie differently")
    return p.sources(step)


def _nothing(p: Propagation, step: Joint, layer: Layer) -> Result:
    return p.source(step), p.maps[step.inputs[0]]


def _reshape(p: Propagation, step: Joint, layer: Reshape) -> Result:
    of_map, shape = p.maps[step.inputs[0]], p.shapes[step.name]
    if len(shape) > 1 and as_map(shape) != of_map:
        raise UnsupportedError(f"layer {step.name}, {layer!r}")
    return _nothing(p, step, layer)


LAYERS: dict[type[Layer], Callable[..., Result]] = {
    Conv2d: _conv2d,
    Linear: _linear,
    BatchNorm: _batch_norm,
    Affine: _affine,
    Normalize: _normalize,
    Scale: lambda p, step, layer: _scale(p, step, layer.factor),
    ReLU: _relu,
    LeakyReLU: lambda p, step, layer: _clip(p, step, 0.0, math.inf, layer.negative_slope),
    Clip: lambda p, step, layer: _clip(p, step, *_limits(layer)),
    Sigmoid: _smooth,
    Tanh: _smooth,
    GELU: _smooth,
    Softmax: _softmax,
    LogSoftmax: _softmax,
    MaxPool2d: _max_pool,
    AvgPool2d: _avg_pool,
    AdaptiveAvgPool2d: _adaptive_avg_pool,
    Mean: _mean,
    Add: _add,
    Subtract: _subtract,
    Concatenate: _concatenate,
    Flatten: _nothing,
    Reshape: _reshape,
    Dropout: _nothing,
}
