"""Normalisations and their gradients, by PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from advcore.reference._autograd import vjp

Grads = tuple[Tensor, Tensor, Tensor]


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """torch.nn.functional.batch_norm; the running statistics are updated in training."""
    return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def batch_norm_grad(
    grad_output: Tensor,
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    training: bool = False,
    eps: float = 1e-5,
    *,
    stats: tuple[Tensor, Tensor] | None = None,
) -> Grads:
    """Gradients of batch_norm for its input, weight and bias."""
    mean, var = (None, None) if training else (running_mean, running_var)
    return _grads(
        lambda x, w, b: F.batch_norm(x, mean, var, w, b, training, 0.0, eps), grad_output, input, weight, input.shape[1]
    )


def layer_norm(
    input: Tensor,
    normalized_shape: int | tuple[int, ...],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """torch.nn.functional.layer_norm."""
    return F.layer_norm(input, _shape(normalized_shape), weight, bias, eps)


def layer_norm_grad(
    grad_output: Tensor,
    input: Tensor,
    normalized_shape: int | tuple[int, ...],
    weight: Tensor | None = None,
    eps: float = 1e-5,
    *,
    stats: tuple[Tensor, Tensor] | None = None,
) -> Grads:
    """Gradients of layer_norm for its input, weight and bias."""
    shape = _shape(normalized_shape)
    return _grads(lambda x, w, b: F.layer_norm(x, shape, w, b, eps), grad_output, input, weight, *shape)


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """torch.nn.functional.group_norm."""
    return F.group_norm(input, num_groups, weight, bias, eps)


def group_norm_grad(
    grad_output: Tensor,
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    eps: float = 1e-5,
    *,
    stats: tuple[Tensor, Tensor] | None = None,
) -> Grads:
    """Gradients of group_norm for its input, weight and bias."""
    return _grads(lambda x, w, b: F.group_norm(x, num_groups, w, b, eps), grad_output, input, weight, input.shape[1])


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """torch.nn.functional.instance_norm; the running statistics are updated with use_input_stats."""
    return F.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


def instance_norm_grad(
    grad_output: Tensor,
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    use_input_stats: bool = True,
    eps: float = 1e-5,
    *,
    stats: tuple[Tensor, Tensor] | None = None,
) -> Grads:
    """Gradients of instance_norm for its input, weight and bias."""
    mean, var = (None, None) if use_input_stats else (running_mean, running_var)
    return _grads(
        lambda x, w, b: F.instance_norm(x, mean, var, w, b, use_input_stats, 0.0, eps),
        grad_output,
        input,
        weight,
        input.shape[1],
    )


def _grads(
    function: Callable[..., Tensor], grad_output: Tensor, input: Tensor, weight: Tensor | None, *shape: int
) -> Grads:
    scale = input.new_ones(shape) if weight is None else weight
    of_input, of_weight, of_bias = vjp(function, grad_output, input, scale, input.new_zeros(shape))
    return of_input, of_weight, of_bias


def _shape(normalized_shape: int | tuple[int, ...]) -> list[int]:
    return [normalized_shape] if isinstance(normalized_shape, int) else list(normalized_shape)
