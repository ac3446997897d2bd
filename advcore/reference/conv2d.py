"""Convolution and its gradients, by PyTorch."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from advcore.reference._autograd import vjp
from advcore.reference.linear import activate

IntOrPair = int | tuple[int, int]


def _convolve(input: Tensor, weight: Tensor, bias: Tensor | None, *options: Any) -> Tensor:
    """torch.nn.functional.conv2d, without its warning that it copies the input for an even kernel and "same"."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using padding='same'", UserWarning)
        return F.conv2d(input, weight, bias, *options)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrPair = 1,
    padding: IntOrPair | str = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    *,
    activation: str | None = None,
    algorithm: str = "auto",
) -> Tensor:
    """torch.nn.functional.conv2d, then the activation; PyTorch chooses its own algorithm."""
    return activate(_convolve(input, weight, bias, stride, padding, dilation, groups), activation)


def conv2d_input_grad(
    input_size: Sequence[int],
    weight: Tensor,
    grad_output: Tensor,
    stride: IntOrPair = 1,
    padding: IntOrPair | str = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    *,
    algorithm: str = "auto",
) -> Tensor:
    """Gradient of conv2d for its input."""
    input = weight.new_zeros(tuple(input_size))
    return vjp(lambda x: _convolve(x, weight, None, stride, padding, dilation, groups), grad_output, input)[0]


def conv2d_weight_grad(
    input: Tensor,
    weight_size: Sequence[int],
    grad_output: Tensor,
    stride: IntOrPair = 1,
    padding: IntOrPair | str = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    *,
    algorithm: str = "auto",
) -> Tensor:
    """Gradient of conv2d for its weight."""
    weight = input.new_zeros(tuple(weight_size))
    return vjp(lambda w: _convolve(input, w, None, stride, padding, dilation, groups), grad_output, weight)[0]


class PackedConv2d:
    """A conv2d with fixed weights."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: IntOrPair = 1,
        padding: IntOrPair | str = 0,
        dilation: IntOrPair = 1,
        groups: int = 1,
        *,
        input_size: Sequence[int],
        activation: str | None = None,
    ) -> None:
        self._arguments = (weight, bias, stride, padding, dilation, groups)
        self._activation = activation

    def __call__(self, input: Tensor) -> Tensor:
        """Convolve input."""
        return conv2d(input, *self._arguments, activation=self._activation)
