"""Matrix product and linear layer, by PyTorch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from advcore.reference._autograd import vjp


def activate(x: Tensor, activation: str | None) -> Tensor:
    """Apply the activation that an operation fuses."""
    if activation is None:
        return x
    return F.relu(x) if activation == "relu" else F.gelu(x)


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """torch.matmul."""
    return torch.matmul(a, b)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None, *, activation: str | None = None) -> Tensor:
    """torch.nn.functional.linear, then the activation."""
    return activate(F.linear(input, weight, bias), activation)


def linear_input_grad(grad_output: Tensor, weight: Tensor) -> Tensor:
    """Gradient of linear for its input."""
    input = weight.new_zeros((*grad_output.shape[:-1], weight.shape[1]))
    return vjp(lambda x: F.linear(x, weight), grad_output, input)[0]


def linear_weight_grad(grad_output: Tensor, input: Tensor) -> Tensor:
    """Gradient of linear for its weight."""
    weight = input.new_zeros((grad_output.shape[-1], input.shape[-1]))
    return vjp(lambda w: F.linear(input, w), grad_output, weight)[0]
