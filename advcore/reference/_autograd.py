"""Gradients of the reference, by torch.autograd."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def vjp(function: Callable[..., Tensor], grad_output: Tensor, *primals: Tensor) -> tuple[Tensor, ...]:
    """Return the gradients of ``sum(function(*primals) * grad_output)`` for each primal."""
    leaves = [p.detach().clone().requires_grad_() for p in primals]
    with torch.enable_grad():
        return torch.autograd.grad(function(*leaves), leaves, grad_output)
