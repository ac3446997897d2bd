"""Normalisations with what they have learnt."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from advcore._check import Array
from advcore.nn.layer import Layer
from advcore.nn.normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm
from advcore.nn.onnx_import.call import Call
from advcore.nn.onnx_import.values import Tensor, axis_of


def batch_normalization(call: Call) -> Tensor:
    """BatchNormalization in evaluation mode; ONNX's momentum is what is kept, torch's what is new."""
    call.only_outputs(0)
    if call.get("training_mode") or call.get("is_test", 1) == 0:
        raise ValueError("a model in training mode is not supported: export it in evaluation mode")
    if call.get("spatial", 1) != 1:
        raise ValueError("statistics of every pixel of its own (spatial = 0) are not supported")
    if np.any(call.floats(4) < 0):
        raise ValueError("its variance must not be negative")
    momentum = min(max(1 - call.get("momentum", 0.9), 0.0), 1.0)
    layer = BatchNorm(_channels(call), call.get("epsilon", 1e-5), round(momentum, 7))
    return _of_channels(call, layer, running_mean=call.floats(3), running_var=call.floats(4))


def instance_normalization(call: Call) -> Tensor:
    """InstanceNormalization."""
    return _of_channels(call, InstanceNorm(_channels(call), call.get("epsilon", 1e-5), affine=True))


def group_normalization(call: Call) -> Tensor:
    """GroupNormalization, as it is since opset 21."""
    return _of_channels(call, GroupNorm(call.get("num_groups"), _channels(call), call.get("epsilon", 1e-5)))


def layer_normalization(call: Call) -> Tensor:
    """LayerNormalization over the axes from ``axis`` on."""
    call.only_outputs(0)
    x = call.tensor()
    axis = axis_of(call.get("axis", -1), len(x.dims))
    if axis <= x.batch:
        raise ValueError("a normalisation over the batch axis is not supported")
    shape = x.sample[axis - 1 :]
    parameters = {"weight": _stretched(call, call.floats(1), shape)}
    bias = call.floats(2) if call.given(2) else np.zeros(1, call.build.dtype)
    parameters["bias"] = _stretched(call, bias, shape)
    layer = LayerNorm(shape, call.get("epsilon", 1e-5))
    y = call.build.apply(call.build.with_parameters(layer, **parameters), x)
    return Tensor(y.source, y.sample, x.batch)


def _channels(call: Call) -> int:
    return call.batch_first(call.tensor()).sample[0] if call.tensor().sample else 0


def _of_channels(call: Call, layer: Layer, **buffers: Array) -> Tensor:
    parameters: dict[str, Any] = {"weight": call.floats(1), "bias": call.floats(2)}
    return call.build.apply(call.build.with_parameters(layer, **parameters, **buffers), call.tensor())


def _stretched(call: Call, array: Array, shape: tuple[int, ...]) -> Array:
    """Return the array in the shape of what is normalised."""
    if array.ndim > len(shape) or any(n not in (1, m) for n, m in zip(array.shape[::-1], shape[::-1], strict=False)):
        raise ValueError(f"its scale and bias must be of shape {shape}, got {array.shape}")
    call.build.budget.take(math.prod(shape))
    return np.broadcast_to(array, shape)
