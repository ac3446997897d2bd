"""Which layer is written as what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from advcore.nn import merge
from advcore.nn.activations import GELU, Clip, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from advcore.nn.affine import Affine, Normalize, Scale
from advcore.nn.conv import Conv2d
from advcore.nn.dropout import Dropout
from advcore.nn.layer import Layer
from advcore.nn.linear import Linear
from advcore.nn.normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm
from advcore.nn.onnx_export.recurrence import recurrent
from advcore.nn.onnx_export.windows import adaptive_avg_pool, avg_pool, conv, max_pool
from advcore.nn.onnx_export.writer import Writer
from advcore.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from advcore.nn.recurrent import GRU, LSTM, RNN
from advcore.nn.reshape import Flatten, Mean, Pad, Permute, Reshape, RowsAsSteps
from advcore.nn.slicing import Slice

Write = Callable[[Writer, Any, Sequence[str]], str]
FARTHEST = 2**63 - 1  # beyond every axis


def _plain(operator: str, **attributes: Any) -> Write:
    return lambda writer, layer, inputs: writer.node(operator, *inputs, **attributes)


def _batch_norm(writer: Writer, layer: BatchNorm, inputs: Sequence[str]) -> str:
    running = [writer.parameter(name, array) for name, array in layer.buffers.items()]
    options: dict[str, Any] = {"epsilon": layer.eps, "momentum": 1 - layer.momentum}
    return writer.node("BatchNormalization", inputs[0], *_scale_and_bias(writer, layer), *running, **options)


def _instance_norm(writer: Writer, layer: InstanceNorm, inputs: Sequence[str]) -> str:
    return writer.node("InstanceNormalization", inputs[0], *_scale_and_bias(writer, layer), epsilon=layer.eps)


def _group_norm(writer: Writer, layer: GroupNorm, inputs: Sequence[str]) -> str:
    options: dict[str, Any] = {"num_groups": layer.num_groups, "epsilon": layer.eps}
    return writer.node("GroupNormalization", inputs[0], *_scale_and_bias(writer, layer), **options)


def _layer_norm(writer: Writer, layer: LayerNorm, inputs: Sequence[str]) -> str:
    options: dict[str, Any] = {"axis": -len(layer.normalized_shape), "epsilon": layer.eps}
    return writer.node("LayerNormalization", inputs[0], *_scale_and_bias(writer, layer), **options)


def _scale_and_bias(writer: Writer, layer: BatchNorm | GroupNorm | InstanceNorm | LayerNorm) -> list[str]:
    """Add what a normalisation has learnt; ONNX wants it even where there is nothing."""
    if layer.parameters:
        return [writer.parameter(name, array) for name, array in layer.parameters.items()]
    shape = layer.normalized_shape if isinstance(layer, LayerNorm) else writer.shapes[0][:1]
    return [writer.constant(np.ones(shape)), writer.constant(np.zeros(shape))]


def _linear(writer: Writer, layer: Linear, inputs: Sequence[str]) -> str:
    weight, bias = layer.parameters["weight"], layer.parameters.get("bias")
    if len(writer.shapes[0]) == 1:
        parameters = [writer.parameter(name, array) for name, array in layer.parameters.items()]
        return writer.node("Gemm", inputs[0], *parameters, transB=1)
    y = writer.node("MatMul", inputs[0], writer.parameter("weight", weight.T))
    return y if bias is None else writer.node("Add", y, writer.parameter("bias", bias))


def _affine(writer: Writer, layer: Affine, inputs: Sequence[str]) -> str:
    y = inputs[0]
    for name, array in layer.parameters.items():
        y = writer.node("Mul" if name == "weight" else "Add", y, writer.parameter(name, array))
    return y if layer.parameters else writer.node("Identity", y)


def _scale(writer: Writer, layer: Scale, inputs: Sequence[str]) -> str:
    y = writer.node("Mul", inputs[0], writer.constant(layer.factor))
    return writer.node("Add", y, writer.constant(layer.offset)) if layer.offset else y


def _normalize(writer: Writer, layer: Normalize, inputs: Sequence[str]) -> str:
    ones = [1] * (len(writer.shapes[0]) - 1)
    mean, std = (np.reshape(values, (-1, *ones)) for values in (layer.mean, layer.std))
    return writer.node("Div", writer.node("Sub", inputs[0], writer.constant(mean)), writer.constant(std))


def _clip(writer: Writer, layer: Clip, inputs: Sequence[str]) -> str:
    limits = ["" if limit is None else writer.constant(limit) for limit in (layer.low, layer.high)]
    return writer.node("Clip", inputs[0], *limits)


def _dropout(writer: Writer, layer: Dropout, inputs: Sequence[str]) -> str:
    return writer.node("Dropout", inputs[0], writer.constant(layer.p))


def _reshape(writer: Writer, layer: Layer, inputs: Sequence[str]) -> str:
    target = [0, *writer.output_shape] if writer.output_shape else [-1]
    return writer.node("Reshape", inputs[0], writer.integers(target))


def _rows_as_steps(writer: Writer, layer: RowsAsSteps, inputs: Sequence[str]) -> str:
    return _reshape(writer, layer, [writer.node("Transpose", inputs[0], perm=[0, 2, 1, 3], aside=True)])


def _permute(writer: Writer, layer: Permute, inputs: Sequence[str]) -> str:
    return writer.node("Transpose", inputs[0], perm=[0, *layer.axes])


def _pad(writer: Writer, layer: Pad, inputs: Sequence[str]) -> str:
    before, after = ([0, *(pair[side] for pair in layer.widths)] for side in (0, 1))
    return writer.node("Pad", inputs[0], writer.integers([*before, *after]), writer.constant(layer.value))


def _mean(writer: Writer, layer: Mean, inputs: Sequence[str]) -> str:
    return writer.node("ReduceMean", inputs[0], writer.integers(layer.axes), keepdims=int(layer.keepdims))


def _slice(writer: Writer, layer: Slice, inputs: Sequence[str]) -> str:
    forward = layer.step > 0
    start = (0 if forward else FARTHEST) if layer.start is None else layer.start
    stop = (FARTHEST if forward else -FARTHEST) if layer.stop is None else layer.stop
    cut = (writer.integers([value]) for value in (start, stop, layer.axis, layer.step))
    return writer.node("Slice", inputs[0], *cut)


def _add(writer: Writer, layer: merge.Add, inputs: Sequence[str]) -> str:
    total = inputs[0]
    for x in inputs[1:]:
        total = writer.node("Add", total, x)
    return total


def _concatenate(writer: Writer, layer: merge.Concatenate, inputs: Sequence[str]) -> str:
    return writer.node("Concat", *inputs, axis=layer.axis)


LAYERS: dict[type[Layer], Write] = {
    merge.Add: _add,
    merge.Concatenate: _concatenate,
    merge.Multiply: _plain("Mul"),
    merge.Subtract: _plain("Sub"),
    AdaptiveAvgPool2d: adaptive_avg_pool,
    Affine: _affine,
    AvgPool2d: avg_pool,
    BatchNorm: _batch_norm,
    Clip: _clip,
    Conv2d: conv,
    Dropout: _dropout,
    Flatten: _reshape,
    GELU: lambda writer, layer, inputs: writer.node("Gelu", *inputs, approximate=layer.approximate),
    GRU: recurrent,
    GroupNorm: _group_norm,
    InstanceNorm: _instance_norm,
    LSTM: recurrent,
    LayerNorm: _layer_norm,
    LeakyReLU: lambda writer, layer, inputs: writer.node("LeakyRelu", *inputs, alpha=layer.negative_slope),
    Linear: _linear,
    LogSoftmax: _plain("LogSoftmax", axis=-1),
    MaxPool2d: max_pool,
    Mean: _mean,
    Normalize: _normalize,
    Pad: _pad,
    Permute: _permute,
    RNN: recurrent,
    ReLU: _plain("Relu"),
    Reshape: _reshape,
    RowsAsSteps: _rows_as_steps,
    Scale: _scale,
    Sigmoid: _plain("Sigmoid"),
    Slice: _slice,
    Softmax: _plain("Softmax", axis=-1),
    Tanh: _plain("Tanh"),
}
