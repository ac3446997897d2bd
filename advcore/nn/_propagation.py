"""Networks whose outputs' differences are propagated when one number of the input moves (csrc/engine/propagation.h).

A layer is here if what it does to a difference is known: products are linear, so that only the weights meet it;
functions of single numbers and maxima need the sample's own values beside it, which are computed once a sample.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from advcore import _core
from advcore._check import Array
from advcore.nn._watch import by_the_network
from advcore.nn.activations import GELU, Clip, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from advcore.nn.affine import Affine, Normalize, Scale
from advcore.nn.compiled import Joint, Program, compiles, join
from advcore.nn.conv import Conv2d
from advcore.nn.dropout import Dropout
from advcore.nn.graph import INPUT, Node
from advcore.nn.layer import Layer, Shape
from advcore.nn.linear import Linear
from advcore.nn.merge import Add, Concatenate, Subtract
from advcore.nn.network import Network
from advcore.nn.normalization import BatchNorm
from advcore.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from advcore.nn.reshape import Flatten, Mean, Reshape
from advcore.ops._conv_geometry import geometry

_SMOOTH: dict[type[Layer], int] = {Sigmoid: 0, Tanh: 1}  # as in csrc/kernels/difference.h; GELU's are 2 and 3
_LARGEST_POOL = 2**16  # elements of a window
_BEFORE = "'s sum"  # of the name of a value before its ReLU; no layer's name is changed by it twice


class UnsupportedError(Exception):
    """A layer, or the place that it is in, through which differences cannot be propagated."""


class LayerCost(NamedTuple):
    """Multiply-adds of a layer with weights: see ``advcore.nn.coordinate_costs``."""

    name: str
    layer: str
    window: tuple[int, int]  # rows and columns of the output that one coordinate reaches, at most
    size: tuple[int, int]  # of the whole output
    full: int  # multiply-adds of a full pass
    reached: float  # those of the weights that one coordinate meets, the mean over all coordinates
    done: float  # those that were done for one coordinate, differences that are zero left out


class Propagation:
    """A network for samples of one shape, as layers that pass differences on.

    Parameters
    ----------
    nodes : sequence of Node
        Of the network, in order.
    shapes : dict of str to tuple
        A sample's shape at each layer's output, and at the input.
    dtype : float32 or float64

    Raises
    ------
    UnsupportedError
        If there is a layer that does not.
    """

    def __init__(self, nodes: Sequence[Node], shapes: Mapping[str, Shape], dtype: np.dtype[Any]) -> None:
        joined = join(nodes)
        compiled = compiles(joined, shapes)
        if not math.prod(shapes[INPUT]):
            raise UnsupportedError("an empty input")
        self.shapes, self.dtype = dict(shapes), dtype
        self._steps = self._separated(joined) if compiled else [Joint(n.name, n.layer, n.inputs) for n in nodes]
        self._uses = Counter(source for step in self._steps for source in step.inputs)
        self.maps: dict[str, tuple[int, int, int]] = {INPUT: self._input_map()}
        self.core = (_core.Propagation32 if dtype == np.float32 else _core.Propagation64)(*self.maps[INPUT])
        self.reflects = True  # whether opposite steps may have opposite differences
        self._values = {INPUT: 0}
        self._bases: list[str] = []
        self._layers: list[tuple[str, Layer]] = []  # of the core's steps
        for step in self._steps:
            add = _STEPS.get(type(step.layer))
            if add is None:
                raise UnsupportedError(f"layer {step.name}, {step.layer!r}")
            self._values[step.name], self.maps[step.name] = add(self, step, step.layer)
        self._last = self._steps[-1].name
        self.core.finish(self._values[self._last])
        self.output_size = math.prod(self.shapes[self._last])
        self._program = Program(self._steps, self.shapes, dtype, keep=True) if compiled else None
        self.base_size: int = sum(math.prod(self.maps[name]) for name in self._bases)

    @classmethod
    def of(cls, network: Network, sample_shape: Shape) -> Propagation:
        """Return the propagation of a network for samples of a shape."""
        with by_the_network():
            return cls(network._nodes, network._plan(sample_shape).shapes, network.dtype)

    def _separated(self, joined: Sequence[Joint]) -> list[Joint]:
        """Take ReLUs out of the steps that they were joined with, and let them follow the max pooling after them.

        The maximum of ReLUs is the ReLU of the maximum: a quarter of the units is left, and ties between units that
        are zero are no kinks.
        """
        uses = Counter(source for step in joined for source in step.inputs)
        pooled = {step.inputs[0] for step in joined if isinstance(step.layer, MaxPool2d) and uses[step.inputs[0]] == 1}
        steps: list[Joint] = []
        late = set()
        for step in joined:
            if step.relu and step.name in pooled:
                late.add(step.name)
                steps.append(replace(step, relu=False))
            elif step.relu or (step.inputs[0] in late):
                before = step.name + _BEFORE
                self.shapes[before] = self.shapes[step.name]
                steps.append(replace(step, name=before, relu=False))
                steps.append(Joint(step.name, ReLU(), (before,)))
            else:
                steps.append(step)
        return steps

    def _input_map(self) -> tuple[int, int, int]:
        """Return (channels, rows, cols) of the input: of the shape that it is first brought to."""
        name = INPUT
        while self._uses[name] == 1:
            (after,) = (step for step in self._steps if name in step.inputs)
            if type(after.layer) not in (Reshape, Dropout):
                break
            name = after.name
        return _as_map(self.shapes[name])

    def base(self, name: str) -> int:
        """Return the number of a base: a value of the samples themselves that a step needs."""
        self._bases.append(name)
        return self.core.base_like(self._values.get(name, 0))

    def source(self, step: Joint) -> int:
        """Return the value that a step takes."""
        return self._values[step.inputs[0]]

    def sources(self, step: Joint) -> list[int]:
        """Return all values that a step takes."""
        return [self._values[name] for name in step.inputs]

    def plane(self, step: Joint) -> tuple[int, int, int]:
        """Return (channels, rows, cols) of the one input of a step for images."""
        shape, plane = self.shapes[step.inputs[0]], self.maps[step.inputs[0]]
        if shape != plane:
            raise UnsupportedError(f"layer {step.name} of samples {shape}")
        return plane

    def vector(self, step: Joint) -> int:
        """Return the extent of the one input of a step for rows of numbers."""
        shape, (channels, rows, cols) = self.shapes[step.inputs[0]], self.maps[step.inputs[0]]
        if shape != (channels,) or (rows, cols) != (1, 1):
            raise UnsupportedError(f"layer {step.name} of samples {shape}")
        return channels

    def like(self, step: Joint, value: int) -> tuple[int, tuple[int, int, int]]:
        """Return the result of a step that changes no extents."""
        self.added(step)
        return value, self.maps[step.inputs[0]]

    def added(self, step: Joint) -> None:
        """Remember which layer the core's newest step is."""
        self._layers.append((step.name, step.layer))

    def uses(self, name: str) -> int:
        """Return how many steps take a value."""
        return self._uses[name]

    def relu_after(self, step: Joint) -> bool:
        """Return whether nothing but a ReLU takes a step's output."""
        takers = [other for other in self._steps if step.name in other.inputs]
        return len(takers) == 1 and type(takers[0].layer) is ReLU

    def prepare(self, x: Array) -> Array:
        """Compute what steps need of some samples, (N, ...); return their logits."""
        names = [*self._bases, self._last]
        program = self._program
        arrays = self._layer_by_layer(x, names) if program is None else program.kept(x, names)
        self.core.prepare(arrays[:-1], len(x))
        return arrays[-1].reshape(len(x), self.output_size)

    def _layer_by_layer(self, x: Array, names: Sequence[str]) -> list[Array]:
        values = {INPUT: x}
        with by_the_network():
            for step in self._steps:
                values[step.name] = Node(step.name, step.name, step.layer, step.inputs).infer(values)
        return [np.ascontiguousarray(values[name]) for name in names]

    def run(
        self, samples: NDArray[np.int64], coordinates: NDArray[np.int64], steps: Array
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Return the logits' differences, (P, K), and where the opposite step may not give the opposite, (P,)."""
        differences = np.empty((len(steps), self.output_size), self.dtype)
        kinked = np.empty(len(steps), np.uint8)
        self.core.run(samples, coordinates, steps, differences, kinked)
        return differences, kinked.astype(bool)

    def costs(self, probes: int) -> list[LayerCost]:
        """Return what the layers with weights cost, after so many coordinates."""
        rows = []
        for (name, layer), (product, full, done, by_row, by_col, window) in zip(
            self._layers, self.core.costs(), strict=True
        ):
            if full:
                reached = product * float(np.mean(by_row)) * float(np.mean(by_col))
                name = name.removesuffix(_BEFORE)
                reached *= self._share_of_channels(name)
                rows.append(
                    LayerCost(name, repr(layer), window, self.maps[name][1:], full, reached, done / max(probes, 1))
                )
        return rows

    def _share_of_channels(self, name: str) -> float:
        """Return the share of a layer's input channels that a coordinate changes: one where it is the network's."""
        (step,) = (s for s in self._steps if s.name.removesuffix(_BEFORE) == name and s.layer.parameter_shapes)
        return 1 / self.maps[INPUT][0] if self._values[step.inputs[0]] == 0 else 1.0


def _as_map(shape: Shape) -> tuple[int, int, int]:
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
    (before,) = (s for s in p._steps if s.name == step.inputs[0]) if step.inputs[0] != INPUT else (None,)
    if before is not None and isinstance(before.layer, MaxPool2d) and p.uses(before.name) == 1:
        return p._values[before.name], p.maps[before.name]  # the pooling has done it
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
    p._bases[source] = step.name  # of the same extents
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
    if len(shape) > 1 and _as_map(shape) != of_map:
        raise UnsupportedError(f"layer {step.name}, {layer!r}")
    return _nothing(p, step, layer)


_STEPS: dict[type[Layer], Callable[..., Result]] = {
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
