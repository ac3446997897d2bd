"""Activations and their gradients, by PyTorch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from advcore.reference._autograd import vjp


def relu(input: Tensor) -> Tensor:
    """torch.relu."""
    return torch.relu(input)


def sigmoid(input: Tensor) -> Tensor:
    """torch.sigmoid."""
    return torch.sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    """torch.tanh."""
    return torch.tanh(input)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """torch.nn.functional.gelu."""
    return F.gelu(input, approximate=approximate)


def relu_grad(grad_output: Tensor, input: Tensor) -> Tensor:
    """Gradient of relu for its input."""
    return vjp(torch.relu, grad_output, input)[0]


def sigmoid_grad(grad_output: Tensor, output: Tensor) -> Tensor:
    """Gradient of sigmoid for its input, from its output."""
    gradient: Tensor = torch.ops.aten.sigmoid_backward(grad_output, output)
    return gradient


def tanh_grad(grad_output: Tensor, output: Tensor) -> Tensor:
    """Gradient of tanh for its input, from its output."""
    gradient: Tensor = torch.ops.aten.tanh_backward(grad_output, output)
    return gradient


def gelu_grad(grad_output: Tensor, input: Tensor, approximate: str = "none") -> Tensor:
    """Gradient of gelu for its input."""
    return vjp(lambda x: F.gelu(x, approximate=approximate), grad_output, input)[0]


def softmax(input: Tensor, axis: int = -1) -> Tensor:
    """torch.softmax."""
    return torch.softmax(input, axis)


def log_softmax(input: Tensor, axis: int = -1) -> Tensor:
    """torch.log_softmax."""
    return torch.log_softmax(input, axis)


def softmax_grad(grad_output: Tensor, output: Tensor, axis: int = -1) -> Tensor:
    """Gradient of softmax for its input, from its output."""
    gradient: Tensor = torch.ops.aten._softmax_backward_data(grad_output, output, axis, output.dtype)
    return gradient


def log_softmax_grad(grad_output: Tensor, output: Tensor, axis: int = -1) -> Tensor:
    """Gradient of log_softmax for its input, from its output."""
    gradient: Tensor = torch.ops.aten._log_softmax_backward_data(grad_output, output, axis, output.dtype)
    return gradient
