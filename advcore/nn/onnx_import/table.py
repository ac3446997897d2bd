"""Which operator is translated by what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from advcore.nn.activations import ReLU, Sigmoid, Tanh
from advcore.nn.onnx_import import activation, arithmetic, normalization, rearrangement, recurrence, windows
from advcore.nn.onnx_import.call import Call
from advcore.nn.onnx_import.constants import FOLDS

Translator = Callable[[Call], Any]  # a value, or a list of one an output

OPERATORS: dict[str, Translator] = {
    "Add": arithmetic.add,
    "AveragePool": windows.average_pool,
    "BatchNormalization": normalization.batch_normalization,
    "Cast": activation.cast,
    "Clip": activation.clip,
    "Concat": arithmetic.concat,
    "Conv": windows.conv,
    "Div": arithmetic.divide,
    "Dropout": activation.dropout,
    "Flatten": rearrangement.flatten,
    "GRU": recurrence.recurrent,
    "Gather": rearrangement.gather,
    "Gelu": activation.gelu,
    "Gemm": arithmetic.gemm,
    "GlobalAveragePool": windows.global_average_pool,
    "GlobalMaxPool": windows.global_max_pool,
    "GroupNormalization": normalization.group_normalization,
    "Identity": activation.identity,
    "InstanceNormalization": normalization.instance_normalization,
    "LSTM": recurrence.recurrent,
    "LayerNormalization": normalization.layer_normalization,
    "LeakyRelu": activation.leaky_relu,
    "LogSoftmax": activation.log_softmax,
    "MatMul": arithmetic.matmul,
    "MaxPool": windows.max_pool,
    "Mul": arithmetic.multiply,
    "Neg": arithmetic.negate,
    "Pad": rearrangement.pad,
    "RNN": recurrence.recurrent,
    "ReduceMean": rearrangement.reduce_mean,
    "ReduceSum": rearrangement.reduce_sum,
    "Relu": activation.elementwise(ReLU),
    "Reshape": rearrangement.reshape,
    "Shape": rearrangement.shape,
    "Sigmoid": activation.elementwise(Sigmoid),
    "Slice": rearrangement.slice_,
    "Softmax": activation.softmax,
    "Split": rearrangement.split,
    "Squeeze": rearrangement.squeeze,
    "Sub": arithmetic.subtract,
    "Tanh": activation.elementwise(Tanh),
    "Transpose": rearrangement.transpose,
    "Unsqueeze": rearrangement.unsqueeze,
}

# These, too, on constants.
SUPPORTED = OPERATORS | FOLDS
