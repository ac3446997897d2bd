"""What a convolution's options mean: checked, and worked out into numbers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from advcore import _check

LARGEST_EXTENT = 2**30  # of the padded input: positions are 32-bit integers in the kernels

IntOrPair = int | Sequence[int]


class Geometry(NamedTuple):
    """A convolution between known shapes: the numbers that the kernels take, and the output's (height, width)."""

    kernel_args: tuple[int, int, int, int, int, int, int]
    output: tuple[int, int]

    @property
    def padding(self) -> tuple[int, int]:
        """Return the zeros before the first row and column."""
        return self.kernel_args[2:4]

    @property
    def groups(self) -> int:
        """Return the number of groups."""
        return self.kernel_args[6]


def geometry(
    input_size: Sequence[int],
    weight_size: Sequence[int],
    stride: IntOrPair,
    padding: IntOrPair | str,
    dilation: IntOrPair,
    groups: int,
) -> Geometry:
    """Check a convolution's options against input_size (..., C, H, W) and weight_size (K, C / groups, R, S)."""
    sizes = (tuple(input_size[-3:]), tuple(weight_size))
    if type(stride) is type(padding) is type(dilation) is type(groups) is int:
        return _remembered(*sizes, stride, padding, dilation, groups)
    return _worked_out(*sizes, stride, padding, dilation, groups)


def _worked_out(
    input_size: tuple[int, ...],
    weight_size: tuple[int, ...],
    stride: IntOrPair,
    padding: IntOrPair | str,
    dilation: IntOrPair,
    groups: int,
) -> Geometry:
    stride = _check.integer_pair("stride", stride, minimum=1)
    dilation = _check.integer_pair("dilation", dilation, minimum=1)
    groups = _check.integer("groups", groups, minimum=1)
    channels = input_size[-3]
    outputs, group_channels = weight_size[:2]
    if min(weight_size) < 1:
        raise ValueError(f"weight must have no axis of extent 0, got shape {tuple(weight_size)}")
    if outputs % groups:
        raise ValueError(f"groups must divide the {outputs} output channels of weight, got {groups}")
    if channels != group_channels * groups:
        raise ValueError(
            f"input must have {group_channels * groups} channels for weight of shape {tuple(weight_size)} and "
            f"groups {groups}, got {channels}"
        )
    axes = [
        _axis(*axis)
        for axis in zip(input_size[-2:], weight_size[-2:], stride, _padding(padding, stride), dilation, strict=True)
    ]
    (stride_y, padding_y, height), (stride_x, padding_x, width) = axes
    return Geometry((stride_y, stride_x, padding_y, padding_x, *dilation, groups), (height, width))


_remembered = lru_cache(maxsize=1024)(_worked_out)  # half the time of a call on a small layer


def _padding(padding: IntOrPair | str, stride: tuple[int, int]) -> tuple[int | None, int | None]:
    """Return the padding of both axes; None is what keeps the extent."""
    if not isinstance(padding, str):
        return _check.integer_pair("padding", padding, minimum=0)
    if padding == "valid":
        return 0, 0
    if padding != "same":
        raise ValueError(f"padding must be integers, 'same' or 'valid', got {padding!r}")
    if stride != (1, 1):
        raise ValueError(f"padding must be integers or 'valid' where stride is not 1, got 'same' and stride {stride}")
    return None, None


def _axis(extent: int, taps: int, stride: int, padding: int | None, dilation: int) -> tuple[int, int, int]:
    """Return the stride, the padding before the first element and the output's extent of one axis."""
    if extent < 1:
        raise ValueError(f"input must have planes of at least 1 x 1, got an extent of {extent}")
    reach = dilation * (taps - 1) + 1
    before = (reach - 1) // 2 if padding is None else padding
    padded = extent + (reach - 1 if padding is None else 2 * padding)
    if reach > padded:
        raise ValueError(f"weight must not reach over the padded input: it spans {reach} of {padded} elements")
    if padded > LARGEST_EXTENT:
        raise ValueError(f"padding must leave the padded input at most {LARGEST_EXTENT} long, got {padded}")
    output = (padded - reach) // stride + 1
    return (stride if output > 1 else 1), before, output
