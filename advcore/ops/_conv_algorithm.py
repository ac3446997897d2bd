"""Which algorithm a convolution uses: decided by the layer's shape alone, so that a sample's bits never change."""

from __future__ import annotations

from collections.abc import Sequence

from advcore.ops._conv_geometry import Geometry

ALGORITHMS = ("auto", "direct")
TILE = 4  # outputs of one Winograd tile along each axis
FEWEST_CHANNELS = 12  # of a group, on both sides: below, the transforms take longer than what they save
LEAST_USED = 0.45  # share of the tiles' outputs that exist


def uses_winograd(algorithm: str, weight_size: Sequence[int], plan: Geometry) -> bool:
    """Return whether the layer is computed by Winograd's F(4 x 4, 3 x 3): 3 x 3 taps, stride 1, enough channels."""
    stride_y, stride_x, _, _, dilation_y, dilation_x, groups = plan.kernel_args
    outputs, channels, *taps = weight_size
    if algorithm == "direct" or taps != [3, 3] or (stride_y, stride_x, dilation_y, dilation_x) != (1, 1, 1, 1):
        return False
    if min(outputs // groups, channels) < FEWEST_CHANNELS:
        return False
    height, width = plan.output
    return height * width >= LEAST_USED * TILE**2 * -(-height // TILE) * -(-width // TILE)
