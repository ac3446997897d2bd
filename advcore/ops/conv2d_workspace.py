"""What memory a convolution takes besides its arguments and results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from advcore import _check, _core
from advcore.ops._conv_algorithm import (
    ALGORITHMS,
    TILE,
    is_depthwise,
    is_depthwise_back,
    tiles,
    turned_size,
    turns_around,
    uses_transposed,
    uses_winograd,
)
from advcore.ops._conv_geometry import IntOrPair, geometry


class Conv2dWorkspace(NamedTuple):
    """Bytes besides arguments and results; only ``weight_grad`` depends on the batch, up to a limit.

    Attributes
    ----------
    per_thread : int
        What every thread keeps between calls of any operation, and all that it uses for tiles.
    forward : int
        What PackedConv2d keeps, the weights in the kernels' order. A call takes at most as much, for its time (from
        memory that the library keeps, 256 MiB at most): none
        where the weights are taken as they are (depthwise layers; many channels on planes of few tiles).
    input_grad : int
        The same for conv2d_input_grad.
    weight_grad : int
        The sums of the parts into which the batch is cut, for the time of a call; 0 where it is one part.
    """

    per_thread: int
    forward: int
    input_grad: int
    weight_grad: int


def conv2d_workspace(
    input_size: Sequence[int],
    weight_size: Sequence[int],
    stride: IntOrPair = 1,
    padding: IntOrPair | str = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    *,
    dtype: DTypeLike = np.float32,
    algorithm: str = "auto",
) -> Conv2dWorkspace:
    """Tell how much memory conv2d and its gradients take besides their arguments and results.

    Parameters
    ----------
    input_size : tuple of int, (N, C, H, W)
    weight_size : tuple of int, (K, C / groups, R, S)
    stride, padding, dilation, groups, algorithm
        As conv2d.
    dtype : float32 or float64

    Returns
    -------
    Conv2dWorkspace

    Raises
    ------
    TypeError, ValueError
        As conv2d.
    """
    samples, *_ = input_size = _check.sizes("input_size", input_size, axes=("N", "C", "H", "W"))
    weight_size = _check.sizes("weight_size", weight_size, axes=("K", "C / groups", "R", "S"))
    element = _check.float_dtype("dtype", dtype).itemsize
    _check.choice("algorithm", algorithm, ALGORITHMS)
    plan = geometry(input_size, weight_size, stride, padding, dilation, groups)
    rows, channels, taps = weight_size[0] // plan.groups, weight_size[1], list(weight_size[2:])
    weights = math.prod(weight_size)
    if uses_winograd(algorithm, weight_size, plan):
        count = tiles(plan.output, TILE[weight_size[2]])
        of_layer = (element == 8, rows, channels, weight_size[2], plan.output, plan.groups)
        turned = (element == 8, channels, rows, weight_size[2], (input_size[2], input_size[3]), plan.groups)
        forward, input_grad = _core.winograd_packed_size(*of_layer), _core.winograd_packed_size(*turned)
        if uses_transposed(weight_size, plan, (input_size[2], input_size[3])):
            input_grad = _core.winograd_input_grad_packed_size(rows, channels, plan.groups)
        segments = _core.winograd_weight_grad_segments(element == 8, samples, count, plan.groups, rows, channels)
    elif is_depthwise(weight_size, plan):
        forward, segments = 0, 1
        input_grad = weights
        if turns_around(weight_size, plan) and not is_depthwise_back(weight_size, plan):
            input_grad += _packed(turned_size(weight_size, plan.groups), plan.groups, element)
    else:
        forward = _packed(weight_size, plan.groups, element)
        input_grad = weights
        if turns_around(weight_size, plan):
            input_grad = _packed(turned_size(weight_size, plan.groups), plan.groups, element)
            input_grad += 0 if taps == [1, 1] else weights  # which are turned around first
        patch_rows = channels * math.prod(taps)
        segments = _core.conv2d_weight_grad_segments(
            element == 8, samples, math.prod(plan.output), plan.groups, rows, patch_rows
        )
    parts = segments * weights if segments > 1 else 0
    return Conv2dWorkspace(_core.scratch_bytes, element * forward, element * input_grad, element * parts)


def _packed(weight_size: Sequence[int], groups: int, element: int) -> int:
    """Return the most elements of packed weights: many output channels may fill whole registers, on any level."""
    rows = weight_size[0] // groups
    register = 64 // element
    return groups * (rows if rows < 32 else -(-rows // register) * register) * math.prod(weight_size[1:])
