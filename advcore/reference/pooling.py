"""Pooling and its gradients, by PyTorch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from advcore.reference._autograd import vjp

Pair = tuple[int, int]


def max_pool2d(
    input: Tensor,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """torch.nn.functional.max_pool2d."""
    values, indices = F.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices=True)
    return (values, indices) if return_indices else values


def max_pool2d_grad(
    grad_output: Tensor,
    input: Tensor,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    ceil_mode: bool = False,
    *,
    indices: Tensor | None = None,
) -> Tensor:
    """Gradient of max_pool2d for its input; with indices, the sum of grad_output at them."""
    if indices is None:
        return vjp(lambda x: F.max_pool2d(x, kernel_size, stride, padding, dilation, ceil_mode), grad_output, input)[0]
    flat = torch.zeros_like(input).flatten(-2)
    return flat.scatter_add(-1, indices.flatten(-2), grad_output.flatten(-2)).reshape(input.shape)


def avg_pool2d(
    input: Tensor,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """torch.nn.functional.avg_pool2d."""
    return F.avg_pool2d(input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d_grad(
    grad_output: Tensor,
    input_size: tuple[int, ...],
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Gradient of avg_pool2d for its input."""
    input = grad_output.new_zeros(input_size)
    return vjp(
        lambda x: F.avg_pool2d(x, kernel_size, stride, padding, ceil_mode, count_include_pad), grad_output, input
    )[0]


def adaptive_avg_pool2d(input: Tensor, output_size: int | tuple[int | None, int | None]) -> Tensor:
    """torch.nn.functional.adaptive_avg_pool2d."""
    return F.adaptive_avg_pool2d(input, output_size)


def adaptive_avg_pool2d_grad(grad_output: Tensor, input_size: tuple[int, ...]) -> Tensor:
    """Gradient of adaptive_avg_pool2d for its input."""
    size = (grad_output.shape[-2], grad_output.shape[-1])
    return vjp(lambda x: F.adaptive_avg_pool2d(x, size), grad_output, grad_output.new_zeros(input_size))[0]
