"""Networks in evaluation mode as programs that C++ runs as a whole: weights packed once, buffers planned once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from advcore import _core
from advcore._check import Array
from advcore._memory import empty
from advcore.nn._watch import by_the_network
from advcore.nn.activations import GELU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from advcore.nn.conv import Conv2d
from advcore.nn.dropout import Dropout
from advcore.nn.graph import INPUT, Node
from advcore.nn.layer import Layer, ProductLayer, Shape
from advcore.nn.linear import Linear
from advcore.nn.merge import Add, Concatenate
from advcore.nn.noise import GaussianNoise
from advcore.nn.normalization import BatchNorm
from advcore.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from advcore.nn.reshape import Flatten, Reshape
from advcore.ops._conv_algorithm import (
    DEPTHWISE,
    DIRECT,
    TRANSPOSED,
    WINOGRAD,
    algorithm_of,
    is_depthwise,
    is_depthwise_back,
    turned,
    turned_size,
    turns_around,
    uses_transposed,
)
from advcore.ops._conv_geometry import Geometry, geometry
from advcore.ops._pool_geometry import even_windows
from advcore.ops.linear import ACTIVATIONS

POINTWISE = {"relu": 0, "sigmoid": 1, "tanh": 2, "gelu": 3, "gelu_tanh": 4}  # as in csrc/kernels/pointwise.h


@dataclass
class Joint:
    """A layer with what is computed together with it: a batch normalisation folded into its weights, then a ReLU."""

    name: str
    layer: Layer
    inputs: tuple[str, ...]
    norm: BatchNorm | None = None
    relu: bool = False

    def weights(self) -> tuple[Array, Array | None]:
        """Return the weight and the bias of a product, with the normalisation in them."""
        weight, factor, bias = self.factored()
        if factor is not None:
            weight = (weight * factor.reshape(-1, *[1] * (weight.ndim - 1))).astype(weight.dtype)
        return weight, bias

    def factored(self) -> tuple[Array, Array | None, Array | None]:
        """Return the same with the weight as it is, and the factors (float64) that its rows are to be multiplied by."""
        weight, bias = self.layer.parameters["weight"], self.layer.parameters.get("bias")
        if self.norm is None:
            return weight, None, bias
        mean, variance = (self.norm.buffers[name].astype(np.float64) for name in ("running_mean", "running_var"))
        factor = self.norm.parameters.get("weight", 1) / np.sqrt(variance + self.norm.eps)
        shift = self.norm.parameters.get("bias", 0) + ((0 if bias is None else bias) - mean) * factor
        return weight, factor, shift.astype(weight.dtype)


def join(nodes: Sequence[Node]) -> list[Joint]:
    """Join products, the batch normalisations and the ReLUs that alone take what is before them."""
    uses = Counter(source for node in nodes for source in node.inputs)
    steps: dict[str, Joint] = {}
    for node in nodes:
        before = steps.get(node.inputs[0]) if uses[node.inputs[0]] == 1 else None
        if before is None or before.relu:
            pass
        elif isinstance(node.layer, BatchNorm) and isinstance(before.layer, ProductLayer) and before.norm is None:
            steps[node.name] = replace(steps.pop(before.name), name=node.name, norm=node.layer)
            continue
        elif isinstance(node.layer, ReLU) and isinstance(before.layer, (ProductLayer, Add)):
            steps[node.name] = replace(steps.pop(before.name), name=node.name, relu=True)
            continue
        steps[node.name] = Joint(node.name, node.layer, node.inputs)
    return list(steps.values())


class Program:
    """The steps of a network for samples of one shape, compiled.

    Parameters
    ----------
    steps : sequence of Joint
        Of the network, in order.
    shapes : dict of str to tuple
        A sample's shape at each step's output, and at the input.
    dtype : float32 or float64
    keep : bool
        Whether the program is for ``kept`` alone: nothing else can be asked of it then.
    """

    def __init__(
        self, steps: Sequence[Joint], shapes: Mapping[str, Shape], dtype: np.dtype[Any], *, keep: bool = False
    ) -> None:
        self._shapes, self.dtype, self.keeps = shapes, dtype, keep
        self.core = (_core.Program32 if dtype == np.float32 else _core.Program64)(math.prod(shapes[INPUT]))
        self._buffers = {INPUT: 0}
        self._readers = {step.name: [other for other in steps if step.name in other.inputs] for step in steps}
        for step in steps:
            self._buffers[step.name] = _STEPS[type(step.layer)](self, step, step.layer)
        self.output_shape = shapes[steps[-1].name]
        self._output = self._buffers[steps[-1].name]
        if keep:
            self.core.finish_keeping(self._output)
            return
        self.core.finish(self._output)
        self.tape_size: int = self.core.tape_size()  # numbers a sample that a forward pass keeps for the backward one

    def inputs(self, step: Joint) -> list[int]:
        """Return the buffers of a step's inputs."""
        return [self._buffers[name] for name in step.inputs]

    def source(self, step: Joint) -> int:
        """Return the buffer of a step's only input."""
        return self._buffers[step.inputs[0]]

    def shape_before(self, step: Joint) -> Shape:
        """Return the shape of a step's first input."""
        return self._shapes[step.inputs[0]]

    def is_for_channels_last(self, step: Joint) -> bool:
        """Return whether all who read a step's output are convolutions that want its channels side by side."""
        readers = self._readers[step.name]
        return not self.keeps and bool(readers) and all(map(self._wants_channels_last, readers))

    def _wants_channels_last(self, step: Joint) -> bool:
        if not isinstance(step.layer, Conv2d):
            return False
        groups, size = step.layer.groups, step.layer.parameters["weight"].shape
        gains = _core.gains_channels_last(groups, size[0] // groups, size[1])
        return gains and algorithm_of(size, _geometry(self, step, step.layer)) == WINOGRAD

    def logits(self, x: Array) -> Array:
        """Return the output for x (N, ...)."""
        out = empty((len(x), *self.output_shape), self.dtype)
        self.core.run(x, out)
        return out

    def kept(self, x: Array, names: Sequence[str]) -> list[Array]:
        """Return the outputs of some steps for x (N, ...), each flat."""
        out = empty((len(x), *self.output_shape), self.dtype)
        tape = empty((len(x) * self.core.kept_size(),), self.dtype)
        self.core.keep(x, out, tape)
        arrays = []
        for name in names:
            buffer = self._buffers[name]
            first, count = self.core.kept_at(buffer) * len(x), self.core.size_of(buffer) * len(x)
            own = {0: x, self._output: out}.get(buffer)
            arrays.append(tape[first : first + count] if own is None else own)
        return arrays

    def vjp(self, x: Array, cotangent: Array) -> Array:
        """Return the gradient for x of sum(logits * cotangent)."""
        gradient = empty(x.shape, self.dtype)
        self.core.vjp(x, cotangent, gradient)
        return gradient

    def value_and_vjp(self, x: Array, cotangent: Callable[[Array], Array]) -> tuple[Array, Array]:
        """Return the logits and the gradient of sum(logits * cotangent(logits)), with the forward pass kept."""
        logits, gradients = self.value_and_vjps(x, lambda logits: cotangent(logits)[np.newaxis], 1)
        return logits, gradients[0]

    def value_and_vjps(self, x: Array, cotangents: Callable[[Array], Array], count: int) -> tuple[Array, Array]:
        """Return the logits and ``count`` gradients (J, N, ...), one for each of cotangents(logits) (J, N, K)."""
        out = empty((len(x), *self.output_shape), self.dtype)
        tape = empty((len(x) * self.tape_size,), self.dtype)
        piece = self.core.forward(x, out, tape)
        gradients = empty((count, *x.shape), self.dtype)
        for weights, gradient in zip(cotangents(out.copy()), gradients, strict=True):
            self.core.backward(x, out, weights, gradient, tape, piece)
        return out, gradients


class Programs:
    """The programs of a network, by the shape of a sample: compiled when first asked for, again when weights change."""

    MOST = 8  # shapes

    def __init__(self, nodes: Sequence[Node], dtype: np.dtype[Any]) -> None:
        self._steps, self._dtype = join(nodes), dtype
        self._layers = [node.layer for node in nodes if node.layer.parameter_shapes or node.layer.buffer_shapes]
        self._compiled: dict[Shape, tuple[object, Program | None]] = {}

    def of(self, shapes: Mapping[str, Shape]) -> Program | None:
        """Return the program for samples of these shapes, or None where a layer has no compiled form."""
        stamp = (_core.level(), *(layer.stamp() for layer in self._layers))
        known = self._compiled.get(shapes[INPUT])
        if known is None or known[0] != stamp:
            with by_the_network():
                program = Program(self._steps, shapes, self._dtype) if compiles(self._steps, shapes) else None
            while len(self._compiled) >= self.MOST:
                del self._compiled[next(iter(self._compiled))]
            known = self._compiled[shapes[INPUT]] = (stamp, program)
        return known[1]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the programs out of copies: they are compiled anew."""
        return {**self.__dict__, "_compiled": {}}


def compiles(steps: Sequence[Joint], shapes: Mapping[str, Shape]) -> bool:
    """Return whether there is a compiled form of every step, and anything to compute."""
    layers = [step.layer for step in steps]
    if not all(type(layer) in _STEPS for layer in layers) or all(type(layer) in _NOTHING for layer in layers):
        return False
    beside_channels = any(isinstance(layer, Concatenate) and layer.axis > 1 for layer in layers)
    return not beside_channels and all(math.prod(shape) for shape in shapes.values())


def _activation(step: Joint) -> int:
    return ACTIVATIONS["relu" if step.relu else None]


def _plane(shape: Shape) -> tuple[int, int]:
    return shape[-2], shape[-1]


def _geometry(program: Program, step: Joint, layer: Conv2d) -> Geometry:
    size = layer.parameters["weight"].shape
    return geometry(program.shape_before(step), size, layer.stride, layer.padding, layer.dilation, layer.groups)


def _conv2d(program: Program, step: Joint, layer: Conv2d) -> int:
    shape = program.shape_before(step)
    size = _plane(shape)
    weight, factors, bias = step.factored()
    plan = _geometry(program, step, layer)
    algorithm = algorithm_of(weight.shape, plan)
    if program.keeps and algorithm == WINOGRAD:
        algorithm = DIRECT  # equal windows give equal sums: what is flat stays flat, and ties are ties
    back, back_algorithm = None, DIRECT
    around = algorithm == WINOGRAD or turns_around(weight.shape, plan)
    if around and not is_depthwise_back(weight.shape, plan):
        back_plan = turned(weight.shape, plan, size)
        size_back = turned_size(weight.shape, layer.groups)
        back = back_plan.kernel_args
        if algorithm == WINOGRAD:  # what computes it: as ops.conv2d_input_grad decides
            back_algorithm = TRANSPOSED if uses_transposed(weight.shape, plan, size) else WINOGRAD
        else:
            back_algorithm = DEPTHWISE if is_depthwise(size_back, back_plan) else DIRECT
    return program.core.conv2d(
        program.source(step),
        *(weight, factors, bias, size, plan.output, plan.kernel_args),
        *(algorithm, _activation(step), back, back_algorithm, program.is_for_channels_last(step)),
    )


def _linear(program: Program, step: Joint, layer: Linear) -> int:
    return program.core.linear(program.source(step), *step.weights(), _activation(step))


def _max_pool(program: Program, step: Joint, layer: MaxPool2d) -> int:
    shape = program.shape_before(step)
    extents = (shape[0], _plane(shape), _plane(layer.output_shape(shape)))
    window = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    return program.core.max_pool(program.source(step), *extents, *window)


def _avg_pool(program: Program, step: Joint, layer: AvgPool2d) -> int:
    shape = program.shape_before(step)
    extents = (shape[0], _plane(shape), _plane(layer.output_shape(shape)))
    window = (layer.kernel_size, layer.stride, layer.padding)
    return program.core.avg_pool(program.source(step), *extents, *window, layer.count_include_pad)


def _adaptive_avg_pool(program: Program, step: Joint, layer: AdaptiveAvgPool2d) -> int:
    shape = program.shape_before(step)
    output = _plane(layer.output_shape(shape))
    extents = (shape[0], _plane(shape), output)
    kernel = even_windows(shape, output)  # as ops.adaptive_avg_pool2d, whose bits these are
    if kernel is None:
        return program.core.adaptive_avg_pool(program.source(step), *extents)
    return program.core.avg_pool(program.source(step), *extents, kernel, kernel, (0, 0), True)


def _pointwise(operation: str) -> Callable[..., int]:
    return lambda program, step, layer: program.core.pointwise(program.source(step), POINTWISE[operation])


def _gelu(program: Program, step: Joint, layer: GELU) -> int:
    operation = "gelu" if layer.approximate == "none" else "gelu_tanh"
    return program.core.pointwise(program.source(step), POINTWISE[operation])


def _softmax(program: Program, step: Joint, layer: Layer) -> int:
    length = program.shape_before(step)[-1]
    return program.core.softmax(program.source(step), length, isinstance(layer, LogSoftmax))


def _add(program: Program, step: Joint, layer: Add) -> int:
    total, *others, last = program.inputs(step)
    for other in others:
        total = program.core.sum(total, other, False)
    return program.core.sum(total, last, step.relu)


def _concatenate(program: Program, step: Joint, layer: Concatenate) -> int:
    return program.core.concatenate(program.inputs(step))


def _nothing(program: Program, step: Joint, layer: Layer) -> int:
    return program.inputs(step)[0]


_NOTHING = (Flatten, Reshape, Dropout, GaussianNoise)
_STEPS: dict[type[Layer], Callable[..., int]] = {
    Conv2d: _conv2d,
    Linear: _linear,
    MaxPool2d: _max_pool,
    AvgPool2d: _avg_pool,
    AdaptiveAvgPool2d: _adaptive_avg_pool,
    ReLU: _pointwise("relu"),
    Sigmoid: _pointwise("sigmoid"),
    Tanh: _pointwise("tanh"),
    GELU: _gelu,
    Softmax: _softmax,
    LogSoftmax: _softmax,
    Add: _add,
    Concatenate: _concatenate,
    **dict.fromkeys(_NOTHING, _nothing),
}
