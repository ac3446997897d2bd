"""PyTorch's backward operations by themselves: advcore.reference would differentiate a whole forward pass.

Each function takes what advcore.ops takes, as tensors, and returns the call to be timed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

Run = Callable[[], Any]


def _linear_input_grad(grad_output: Tensor, weight: Tensor) -> Run:
    return lambda: grad_output @ weight


def _linear_weight_grad(grad_output: Tensor, input: Tensor) -> Run:
    rows, columns = grad_output.flatten(0, -2).T, input.flatten(0, -2)
    return lambda: rows @ columns


def _conv2d_input_grad(*, algorithm: str = "auto", **arguments: Any) -> Run:
    from torch.nn.grad import conv2d_input

    return partial(conv2d_input, **arguments)


def _conv2d_weight_grad(*, algorithm: str = "auto", **arguments: Any) -> Run:
    from torch.nn.grad import conv2d_weight

    return partial(conv2d_weight, **arguments)


def _max_pool2d_grad(
    grad_output: Tensor,
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    *,
    indices: Tensor | None = None,
) -> Run:
    import torch

    window = [_pair(v) for v in (kernel_size, kernel_size if stride is None else stride, padding, dilation)]
    if indices is None:
        indices = torch.ops.aten.max_pool2d_with_indices(input, *window, ceil_mode)[1]
    backward = torch.ops.aten.max_pool2d_with_indices_backward
    return lambda: backward(grad_output, input, *window, ceil_mode, indices)


def _avg_pool2d_grad(
    grad_output: Tensor,
    input_size: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Run:
    import torch

    window = [_pair(v) for v in (kernel_size, kernel_size if stride is None else stride, padding)]
    is_channels_last = grad_output.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if is_channels_last else torch.contiguous_format
    input = torch.empty(input_size, dtype=grad_output.dtype, memory_format=layout)
    backward = torch.ops.aten.avg_pool2d_backward
    return lambda: backward(grad_output, input, *window, ceil_mode, count_include_pad, None)


def _pair(value: Any) -> list[int]:
    return list(value) if isinstance(value, (tuple, list)) else [value, value]


def _batch_norm_grad(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    training: bool = False,
    stats: tuple[Tensor | None, Tensor | None] = (None, None),
    eps: float = 1e-5,
) -> Run:
    import torch

    backward = torch.ops.aten.native_batch_norm_backward
    running = (running_mean, running_var)
    return lambda: backward(grad_output, input, weight, *running, *stats, training, eps, [True] * 3)


def _layer_norm_grad(
    grad_output: Tensor, input: Tensor, weight: Tensor, normalized_shape: Any, stats: tuple[Tensor, Tensor]
) -> Run:
    import torch

    backward = torch.ops.aten.native_layer_norm_backward
    bias, moments = torch.zeros_like(weight), [s.reshape(*s.shape, *[1] * weight.ndim) for s in stats]
    return lambda: backward(grad_output, input, list(normalized_shape), *moments, weight, bias, [True] * 3)


def _group_norm_grad(
    grad_output: Tensor, input: Tensor, weight: Tensor, num_groups: int, stats: tuple[Tensor, Tensor]
) -> Run:
    import torch

    backward = torch.ops.aten.native_group_norm_backward
    n, c, *plane = input.shape
    size = (n, c, math.prod(plane), num_groups)
    return lambda: backward(grad_output, input, *stats, weight, *size, [True] * 3)


def _instance_norm_grad(grad_output: Tensor, input: Tensor, weight: Tensor, stats: tuple[Tensor, Tensor]) -> Run:
    """As torch does: batch normalisation of all instances as channels of one sample, the weight repeated for each."""
    import torch

    backward = torch.ops.aten.native_batch_norm_backward
    n, c, *plane = input.shape
    flat, moments = (1, n * c, *plane), [s.flatten() for s in stats]

    def run() -> Any:
        scale, grad, x = weight.repeat(n), grad_output.reshape(flat), input.reshape(flat)
        below, *others = backward(grad, x, scale, None, None, *moments, True, 1e-5, [True] * 3)
        return below.reshape(input.shape), *(own.reshape(n, c).sum(0) for own in others)

    return run


OPERATIONS: dict[str, Callable[..., Run]] = {
    "linear_input_grad": _linear_input_grad,
    "linear_weight_grad": _linear_weight_grad,
    "conv2d_input_grad": _conv2d_input_grad,
    "conv2d_weight_grad": _conv2d_weight_grad,
    "max_pool2d_grad": _max_pool2d_grad,
    "avg_pool2d_grad": _avg_pool2d_grad,
    "batch_norm_grad": _batch_norm_grad,
    "layer_norm_grad": _layer_norm_grad,
    "group_norm_grad": _group_norm_grad,
    "instance_norm_grad": _instance_norm_grad,
}
