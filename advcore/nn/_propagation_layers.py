"""What each kind of layer does to differences: functions that append a layer to a propagation.

Each returns the number of the layer's output and how it is laid on its map.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from advcore.nn._propagation_layout import Layout, UnsupportedError, as_it_is, moved, of_axes, with_channels
from advcore.nn._propagation_recurrent import recurrent
from advcore.nn.activations import GELU, Clip, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from advcore.nn.affine import Affine, Normalize, Scale
from advcore.nn.compiled import Joint
from advcore.nn.conv import Conv2d
from advcore.nn.dropout import Dropout
from advcore.nn.layer import Layer, Shape
from advcore.nn.linear import Linear
from advcore.nn.merge import Add, Concatenate, Multiply, Subtract
from advcore.nn.noise import GaussianNoise
from advcore.nn.normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm
from advcore.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from advcore.nn.recurrent import GRU, LSTM, RNN
from advcore.nn.reshape import Flatten, Mean, Pad, Permute, Reshape, RowsAsSteps
from advcore.nn.slicing import Slice
from advcore.ops._conv_geometry import geometry

if TYPE_CHECKING:
    from advcore.nn._propagation import Propagation

_SMOOTH: dict[type[Layer], int] = {Sigmoid: 0, Tanh: 1}  # as in csrc/kernels/difference.h; GELU's are 2 and 3
_LARGEST_POOL = 2**16  # elements of a window

Result = tuple[int, Layout]


def _shape(p: Propagation, step: Joint) -> Shape:
    return p.shapes[step.inputs[0]]


def _channels_first(p: Propagation, step: Joint) -> tuple[int, Layout]:
    """Return the one input of a step on a map whose channels are the sample's first axis: images as they are."""
    layout = with_channels(_shape(p, step), 0)
    return p.arranged(step.inputs[0], layout), layout


def _share(p: Propagation, source: int, layout: Layout) -> float:
    """Return the share of a layer's input channels that a coordinate changes: one where it is the network's."""
    return 1 / layout.map[0] if source == 0 else 1.0


def _conv2d(p: Propagation, step: Joint, layer: Conv2d) -> Result:
    source, layout = _channels_first(p, step)
    weight, _ = step.weights()
    plan = geometry(layout.map, weight.shape, layer.stride, layer.padding, layer.dilation, layer.groups)
    value = p.core.conv2d(source, weight, layout.map[1:], plan.output, plan.kernel_args)
    rows, cols = plan.output
    return p.weighs(step, value, plan.output, _share(p, source, layout)), Layout((len(weight), rows, cols))


def _linear(p: Propagation, step: Joint, layer: Linear) -> Result:
    shape = _shape(p, step)
    weight, _ = step.weights()
    if len(shape) == 1:
        layout = p.layouts[step.inputs[0]]
        value = p.core.linear(p.source(step), np.ascontiguousarray(layout.laid(weight)))
        return p.weighs(step, value, (1, 1), _share(p, p.source(step), layout)), Layout((len(weight), 1, 1))
    layout = with_channels(shape, -1)
    source, (channels, rows, cols) = p.arranged(step.inputs[0], layout), layout.map
    plan = geometry((channels, rows, cols), (len(weight), channels, 1, 1), (1, 1), (0, 0), (1, 1), 1)
    value = p.core.conv2d(source, weight.reshape(*weight.shape, 1, 1), (rows, cols), plan.output, plan.kernel_args)
    value = p.weighs(step, value, plan.output, _share(p, source, layout))
    return value, Layout((len(weight), rows, cols), layout.order)


def _scale(p: Propagation, step: Joint, factors: Any) -> Result:
    source, layout = _channels_first(p, step)
    return p.core.scale(source, np.broadcast_to(factors, layout.map[0]).tolist()), layout


def _scalar(p: Propagation, step: Joint, layer: Scale) -> Result:
    layout = p.layouts[step.inputs[0]]
    return p.core.scale(p.source(step), [layer.factor] * layout.map[0]), layout


def _batch_norm(p: Propagation, step: Joint, layer: BatchNorm) -> Result:
    variance = layer.buffers["running_var"].astype(np.float64)
    return _scale(p, step, layer.parameters.get("weight", 1) / np.sqrt(variance + layer.eps))


def _affine(p: Propagation, step: Joint, layer: Affine) -> Result:
    if math.prod(layer.shape[1:]) != 1:
        raise UnsupportedError(f"layer {step.name}, {layer!r}")
    return _scale(p, step, layer.parameters["weight"].ravel() if layer.scale else 1.0)


def _normalize(p: Propagation, step: Joint, layer: Normalize) -> Result:
    return _scale(p, step, 1 / np.array(layer.std))


def _moments(
    p: Propagation, step: Joint, layout: Layout, groups: int, weight: Any, by_position: bool = False
) -> Result:
    """Append a normalisation over groups of channels; ``weight`` stretches to (channels, rows, cols)."""
    source, layer = p.arranged(step.inputs[0], layout), step.layer
    assert isinstance(layer, (LayerNorm, GroupNorm, InstanceNorm))
    p.reflects = False
    base = p.base(step.inputs[0], source, layout)
    whole = np.ascontiguousarray(np.broadcast_to(weight, layout.map), p.dtype)
    return p.core.normalize(source, base, groups, by_position, whole, layer.eps), layout


def _layer_norm(p: Propagation, step: Joint, layer: LayerNorm) -> Result:
    shape, own = _shape(p, step), layer.normalized_shape
    weight = layer.parameters.get("weight", np.ones(own, p.dtype))
    if len(own) == 1 and len(shape) > 1:  # of each position
        return _moments(p, step, with_channels(shape, -1), 1, weight.reshape(-1, 1, 1), by_position=True)
    if len(own) == len(shape):
        layout = p.layouts[step.inputs[0]]
        return _moments(p, step, layout, 1, layout.laid(weight.ravel()).reshape(layout.map))
    groups = math.prod(shape[: -len(own)])
    return _moments(p, step, Layout((groups, math.prod(own), 1)), groups, weight.reshape(1, -1, 1))


def _group_norm(p: Propagation, step: Joint, layer: GroupNorm | InstanceNorm) -> Result:
    layout = with_channels(_shape(p, step), 0)
    weight = layer.parameters.get("weight", np.ones(1, p.dtype)).reshape(-1, 1, 1)
    return _moments(p, step, layout, layer.num_groups if isinstance(layer, GroupNorm) else layout.map[0], weight)


def _clip(p: Propagation, step: Joint, low: float, high: float, slope: float = 0.0) -> Result:
    source, layout = p.source(step), p.layouts[step.inputs[0]]
    return p.core.clip(source, p.base(step.inputs[0], source, layout), low, high, slope), layout


def _relu(p: Propagation, step: Joint, layer: ReLU) -> Result:
    before = next((s for s in p.steps if s.name == step.inputs[0]), None)
    if before is not None and isinstance(before.layer, MaxPool2d) and p.uses(before.name) == 1:
        return p.values[before.name], p.layouts[before.name]  # the pooling has done it
    return _clip(p, step, 0.0, math.inf)


def _limits(layer: Clip) -> tuple[float, float]:
    return -math.inf if layer.low is None else layer.low, math.inf if layer.high is None else layer.high


def _smooth(p: Propagation, step: Joint, layer: Layer) -> Result:
    p.reflects = False
    function = _SMOOTH.get(type(layer), 3 if getattr(layer, "approximate", "none") == "tanh" else 2)
    source, layout = p.source(step), p.layouts[step.inputs[0]]
    return p.core.smooth(source, p.base(step.inputs[0], source, layout), function), layout


def _softmax(p: Propagation, step: Joint, layer: Layer) -> Result:
    p.reflects = False
    layout = with_channels(_shape(p, step), -1)
    source = p.arranged(step.inputs[0], layout)
    return p.core.softmax(source, p.base(step.name, source, layout), isinstance(layer, LogSoftmax)), layout


def _max_pool(p: Propagation, step: Joint, layer: MaxPool2d) -> Result:
    source, layout = _channels_first(p, step)
    channels, rows, cols = layer.output_shape(layout.map)
    if math.prod(layer.kernel_size) > _LARGEST_POOL:
        raise UnsupportedError(f"layer {step.name}, {layer!r}")
    result = Layout((channels, rows, cols))
    bases = p.base(step.inputs[0], source, layout), p.base(step.name, source, result)
    window = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    return p.core.max_pool(source, *bases, layout.map[1:], (rows, cols), *window, p.relu_after(step)), result


class _Windows(NamedTuple):
    """Where the windows of an average lie along an axis, and what it is divided by."""

    intervals: list[tuple[int, int]]
    divisors: list[float]


def _means(p: Propagation, source: int, layout: Layout, rows: _Windows, cols: _Windows) -> Result:
    value = p.core.mean(source, rows.intervals, cols.intervals, rows.divisors, cols.divisors)
    return value, Layout((layout.map[0], len(rows.intervals), len(cols.intervals)), layout.order)


def _avg_pool(p: Propagation, step: Joint, layer: AvgPool2d) -> Result:
    source, layout = _channels_first(p, step)
    outputs = layer.output_shape(layout.map)[1:]
    axes = zip(layout.map[1:], outputs, layer.kernel_size, layer.stride, layer.padding, strict=True)

    def windows(extent: int, outputs: int, kernel: int, stride: int, padding: int) -> _Windows:
        starts = [i * stride - padding for i in range(outputs)]
        intervals = [(max(start, 0), min(start + kernel, extent)) for start in starts]
        padded = [min(start + kernel, extent + padding) - start for start in starts]
        own = [end - first for first, end in intervals]
        return _Windows(intervals, [float(n) for n in (padded if layer.count_include_pad else own)])

    return _means(p, source, layout, *(windows(*axis) for axis in axes))


def _adaptive_avg_pool(p: Propagation, step: Joint, layer: AdaptiveAvgPool2d) -> Result:
    source, layout = _channels_first(p, step)

    def windows(extent: int, outputs: int) -> _Windows:
        intervals = [(i * extent // outputs, -(-(i + 1) * extent // outputs)) for i in range(outputs)]
        return _Windows(intervals, [float(end - first) for first, end in intervals])

    return _means(p, source, layout, *map(windows, layout.map[1:], layer.output_shape(layout.map)[1:]))


def _mean(p: Propagation, step: Joint, layer: Mean) -> Result:
    shape = _shape(p, step)
    kept = [axis for axis in range(len(shape)) if axis + 1 not in layer.axes]
    if len(shape) > 3 or not kept:
        raise UnsupportedError(f"layer {step.name}, {layer!r}, of samples {shape}")
    layout = p.layouts[step.inputs[0]]
    axes = layout.axes(shape)
    if axes is None or 0 in (axes[axis - 1] for axis in layer.axes):
        layout = with_channels(shape, kept[0])
        axes = layout.axes(shape)
    assert axes is not None
    over = {axes[axis - 1] for axis in layer.axes}

    def windows(axis: int) -> _Windows:
        extent = layout.map[axis]
        if axis in over:
            return _Windows([(0, extent)], [float(extent)])
        return _Windows([(i, i + 1) for i in range(extent)], [1.0] * extent)

    return _means(p, p.arranged(step.inputs[0], layout), layout, windows(1), windows(2))


def _add(p: Propagation, step: Joint, layer: Add) -> Result:
    layout = p.layouts[step.inputs[0]]
    return p.core.sum([p.arranged(name, layout) for name in step.inputs]), layout


def _subtract(p: Propagation, step: Joint, layer: Subtract) -> Result:
    layout = p.layouts[step.inputs[0]]
    first, second = (p.arranged(name, layout) for name in step.inputs)
    return p.core.sum([first, p.core.scale(second, [-1.0] * layout.map[0])]), layout


def _multiply(p: Propagation, step: Joint, layer: Multiply) -> Result:
    p.reflects = False
    shapes = [p.shapes[name] for name in step.inputs]
    layout = p.layouts[step.inputs[0]]
    if shapes[0] == shapes[1]:
        layouts = [layout, layout]
    elif len(shapes[0]) <= 3:
        axes = layout.axes(shapes[0]) or with_channels(shapes[0], 0).axes(shapes[0])
        assert axes is not None
        layouts = [of_axes(shape, axes) for shape in shapes]
        layout = of_axes(p.shapes[step.name], axes)
    else:
        raise UnsupportedError(f"layer {step.name} of samples {shapes[0]} and {shapes[1]}")
    sources = [p.arranged(name, own) for name, own in zip(step.inputs, layouts, strict=True)]
    bases = [p.base(*given) for given in zip(step.inputs, sources, layouts, strict=True)]
    return p.core.product(*sources, *bases), layout


def _concatenate(p: Propagation, step: Joint, layer: Concatenate) -> Result:
    shape = p.shapes[step.name]
    if len(shape) > 3 and layer.axis not in (1, len(shape)):
        raise UnsupportedError(f"layer {step.name}, {layer!r}, of samples {shape}")
    sources = [p.arranged(name, with_channels(p.shapes[name], layer.axis - 1)) for name in step.inputs]
    return p.core.concatenate(sources), with_channels(shape, layer.axis - 1)


def _nothing(p: Propagation, step: Joint, layer: Layer) -> Result:
    return p.source(step), p.layouts[step.inputs[0]]


def _permute(p: Propagation, step: Joint, layer: Permute) -> Result:
    """Read the same map in another order, where its axes are the sample's."""
    axes = p.layouts[step.inputs[0]].axes(_shape(p, step))
    if axes is None:
        return _rearranged(p, step, layer)
    return p.source(step), of_axes(p.shapes[step.name], [axes[axis - 1] for axis in layer.axes])


def _rearranged(p: Propagation, step: Joint, layer: Layer) -> Result:
    own, shape, after = p.layouts[step.inputs[0]], _shape(p, step), p.shapes[step.name]
    axes = own.axes(shape)
    if isinstance(layer, RowsAsSteps):
        layout = with_channels(after, -1)
    else:
        layout = as_it_is(after) if axes is None or isinstance(layer, Permute) else of_axes(after, axes)
    sources = layout.laid(moved(layer, own.places(), shape))
    return p.gather(p.source(step), sources, own, layout), layout


ELEMENTWISE = (Scale, ReLU, LeakyReLU, Clip, Sigmoid, Tanh, GELU)
REARRANGING = (Flatten, Reshape, Dropout, GaussianNoise, Pad, Permute, RowsAsSteps, Slice)
WANT_CHANNELS = (Conv2d, BatchNorm, GroupNorm, InstanceNorm, Affine, Normalize)  # on the sample's first axis
WANT_FEATURES = (Linear, LayerNorm, Softmax, LogSoftmax, RNN, GRU, LSTM)  # on its last

LAYERS: dict[type[Layer], Callable[..., Result]] = {
    Conv2d: _conv2d,
    Linear: _linear,
    RNN: recurrent,
    GRU: recurrent,
    LSTM: recurrent,
    BatchNorm: _batch_norm,
    Affine: _affine,
    Normalize: _normalize,
    Scale: _scalar,
    LayerNorm: _layer_norm,
    GroupNorm: _group_norm,
    InstanceNorm: _group_norm,
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
    Multiply: _multiply,
    Concatenate: _concatenate,
    Flatten: _nothing,
    Reshape: _nothing,
    Dropout: _nothing,
    GaussianNoise: _nothing,
    Permute: _permute,
    Pad: _rearranged,
    Slice: _rearranged,
    RowsAsSteps: _rearranged,
}
