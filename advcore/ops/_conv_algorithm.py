"""Which algorithm a convolution uses: decided by the layer's shape alone, so that a sample's bits never change."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from advcore._check import Array
from advcore.ops._conv_geometry import Geometry

ALGORITHMS = ("auto", "direct")
DIRECT, WINOGRAD, DEPTHWISE, TRANSPOSED = 0, 1, 2, 3  # as in csrc/engine/conv2d.h
TILE = {3: 4, 5: 2}  # outputs of one Winograd tile along each axis, by the number of taps
FEWEST_CHANNELS = 12  # of a group, on both sides: below, the transforms take longer than what they save
MOST_DEPTHWISE_OUTPUTS = 2  # of a group
MOST_DEPTHWISE_TAPS = 64
MOST_DEPTHWISE_SLAB = 256 * 1024  # elements that one row of outputs may see, as in csrc/kernels/depthwise.h
MOST_TRANSPOSED_TILES = 64  # of a plane; an item of csrc/kernels/winograd_input_grad.h holds 80
MOST_TRANSPOSED_FILTERS = 1 << 15  # of a group: transformed ones take 36 numbers each, which small planes do not repay
LEAST_SAVED = 1.2  # tiles of the input for each of the output's
LEAST_USED = 0.45  # share of the tiles' outputs that exist


def uses_winograd(algorithm: str, weight_size: Sequence[int], plan: Geometry) -> bool:
    """Return whether Winograd's algorithm computes the layer: 3 x 3 or 5 x 5 taps, stride 1, enough channels."""
    stride_y, stride_x, _, _, dilation_y, dilation_x, groups = plan.kernel_args
    outputs, channels, *taps = weight_size
    if algorithm == "direct" or taps not in ([3, 3], [5, 5]):
        return False
    if (stride_y, stride_x, dilation_y, dilation_x) != (1, 1, 1, 1):
        return False
    if min(outputs // groups, channels) < FEWEST_CHANNELS:
        return False
    height, width = plan.output
    tile = TILE[taps[0]]
    return height * width >= LEAST_USED * tile**2 * tiles(plan.output, tile)


def uses_transposed(weight_size: Sequence[int], plan: Geometry, input_size: tuple[int, int]) -> bool:
    """Return whether a Winograd layer's input gradient is made of its own tiles, by the transposed transforms.

    Else it is the convolution with the taps turned around, which has the tiles of the input.
    """
    outputs, channels, *taps = weight_size
    count = tiles(plan.output, TILE[3])
    if taps != [3, 3] or count > MOST_TRANSPOSED_TILES or outputs // plan.groups * channels > MOST_TRANSPOSED_FILTERS:
        return False
    return LEAST_SAVED * count <= tiles(input_size, TILE[3])


def tiles(size: tuple[int, int], tile: int) -> int:
    """Return how many tiles cover a plane."""
    return -(-size[0] // tile) * -(-size[1] // tile)


def is_depthwise(weight_size: Sequence[int], plan: Geometry) -> bool:
    """Return whether planes are convolved one by one: groups of one channel, whose products would be of single rows."""
    outputs, channels, *taps = weight_size
    if plan.groups == 1 or channels != 1 or outputs > MOST_DEPTHWISE_OUTPUTS * plan.groups:
        return False
    stride_y, stride_x, _, _, dilation_y, dilation_x, _ = plan.kernel_args
    rows_seen = 2 * stride_y + dilation_y * taps[0]  # by one row of the output
    columns_seen = stride_x * (plan.output[1] + 2) + dilation_x * taps[1]
    return math.prod(taps) <= MOST_DEPTHWISE_TAPS and rows_seen * columns_seen <= MOST_DEPTHWISE_SLAB


def is_depthwise_back(weight_size: Sequence[int], plan: Geometry) -> bool:
    """Return whether its input gradient is made so: each plane of the result sees one of grad_output."""
    return is_depthwise(weight_size, plan) and weight_size[0] == plan.groups


def algorithm_of(weight_size: Sequence[int], plan: Geometry) -> int:
    """Return how "auto" computes the layer."""
    if uses_winograd("auto", weight_size, plan):
        return WINOGRAD
    return DEPTHWISE if is_depthwise(weight_size, plan) else DIRECT


def turns_around(weight_size: Sequence[int], plan: Geometry) -> bool:
    """Return whether the input gradient is the convolution of grad_output with the taps turned around: stride 1."""
    stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x, _ = plan.kernel_args
    if (stride_y, stride_x) != (1, 1):
        return False
    return padding_y <= dilation_y * (weight_size[2] - 1) and padding_x <= dilation_x * (weight_size[3] - 1)


def turned_size(weight_size: Sequence[int], groups: int) -> tuple[int, ...]:
    """Return the size of the weight of the convolution that is the input gradient of weight_size's."""
    outputs, channels, *taps = weight_size
    return (groups * channels, outputs // groups, *taps)


def turned_around(weight: Array, groups: int) -> Array:
    """Return the weight of turned_size of that convolution."""
    outputs, channels, *taps = weight.shape
    grouped = weight.reshape(groups, outputs // groups, channels, *taps)[..., ::-1, ::-1].swapaxes(1, 2)
    return np.ascontiguousarray(grouped.reshape(turned_size(weight.shape, groups)))


def turned(weight_size: Sequence[int], plan: Geometry, input_size: tuple[int, int]) -> Geometry:
    """Return the geometry of the convolution with the taps turned around, to planes of input_size."""
    *_, padding_y, padding_x, dilation_y, dilation_x, groups = plan.kernel_args
    padding_y = dilation_y * (weight_size[2] - 1) - padding_y
    padding_x = dilation_x * (weight_size[3] - 1) - padding_x
    return Geometry((1, 1, padding_y, padding_x, dilation_y, dilation_x, groups), input_size)
