"""Normalisations with what they have learnt."""

from __future__ import annotations

import numpy as np

from advcore.nn.affine import Affine
from advcore.nn.onnx_import.call import Call
from advcore.nn.onnx_import.values import Tensor


def batch_normalization(call: Call) -> Tensor:
    """BatchNormalization in evaluation mode: a factor and a shift a channel."""
    call.only_outputs(0)
    if call.get("training_mode") or call.get("is_test", 1) == 0:
        raise ValueError("a model in training mode is not supported: export it in evaluation mode")
    if call.get("spatial", 1) != 1:
        raise ValueError("statistics of every pixel of its own (spatial = 0) are not supported")
    x = call.batch_first(call.tensor())
    scale, bias, mean, variance = (call.floats(index, 1) for index in range(1, 5))
    channels = x.sample[:1]
    if any(array.shape != channels for array in (scale, bias, mean, variance)):
        raise ValueError(f"its scale, bias, mean and variance must have shape {channels}, got {scale.shape}")
    if np.any(variance < 0):
        raise ValueError("its variance must not be negative")
    factor = scale / np.sqrt(variance + variance.dtype.type(call.get("epsilon", 1e-5)))
    shape = (*channels, *[1] * (len(x.sample) - 1))
    parameters = {"weight": factor.reshape(shape), "bias": (bias - mean * factor).reshape(shape)}
    return call.build.apply(call.build.with_parameters(Affine(shape), **parameters), x)
