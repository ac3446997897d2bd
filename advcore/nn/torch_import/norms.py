"""Normalisation, function by function, in layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from advcore.nn.normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm
from advcore.nn.torch_import.builder import Builder, RefusedError, Value


def batch_norm(
    b: Builder,
    input: Value,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
) -> Value:
    """torch.nn.functional.batch_norm by running statistics."""
    if training or running_mean is None or running_var is None:
        raise RefusedError("it normalises by the batch's own statistics, which would mix samples")
    if momentum is None:
        raise RefusedError("momentum must be a number, got None")
    tensors = {"weight": weight, "bias": bias, "running_mean": running_mean, "running_var": running_var}
    arguments = (input.shape[0], eps, momentum, _both(weight, bias))
    return b.add_with(BatchNorm, arguments, tensors, input.batch_first())


def layer_norm(
    b: Builder, input: Value, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Value:
    """torch.nn.functional.layer_norm."""
    if input.batch > len(input.shape) - len(normalized_shape):
        raise RefusedError("it works along the batch axis, which would mix samples")
    arguments = (tuple(normalized_shape), eps, _both(weight, bias))
    return b.add_with(LayerNorm, arguments, {"weight": weight, "bias": bias}, input)


def group_norm(
    b: Builder, input: Value, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Value:
    """torch.nn.functional.group_norm."""
    arguments = (num_groups, input.shape[0], eps, _both(weight, bias))
    return b.add_with(GroupNorm, arguments, {"weight": weight, "bias": bias}, input.batch_first())


def instance_norm(
    b: Builder,
    input: Value,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Value:
    """torch.nn.functional.instance_norm by each instance's statistics; by running ones it is batch normalisation."""
    if not use_input_stats:
        return batch_norm(b, input, running_mean, running_var, weight, bias, False, momentum, eps)
    arguments = (input.shape[0], eps, _both(weight, bias))
    return b.add_with(InstanceNorm, arguments, {"weight": weight, "bias": bias}, input.batch_first())


def _both(weight: Any, bias: Any) -> bool:
    if (weight is None) != (bias is None):
        raise RefusedError("it must have both a weight and a bias, or neither")
    return weight is not None


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "batch_norm": batch_norm,
    "layer_norm": layer_norm,
    "group_norm": group_norm,
    "instance_norm": instance_norm,
}

# torch.export's functions take the tensors in another order, and say at the end whether to use cuDNN.
ATEN: dict[str, Callable[..., Any]] = {
    "batch_norm": lambda b, x, weight, bias, mean, var, training, momentum, eps, cudnn: batch_norm(
        b, x, mean, var, weight, bias, training, momentum, eps
    ),
    "layer_norm": lambda b, x, shape, weight=None, bias=None, eps=1e-5, cudnn=True: layer_norm(
        b, x, shape, weight, bias, eps
    ),
    "group_norm": lambda b, x, groups, weight=None, bias=None, eps=1e-5, cudnn=True: group_norm(
        b, x, groups, weight, bias, eps
    ),
    "instance_norm": lambda b, x, weight, bias, mean, var, own, momentum, eps, cudnn: instance_norm(
        b, x, mean, var, weight, bias, own, momentum, eps
    ),
}
