"""What flows along a graph's edges: constants are arrays, the rest a ``Tensor``, whose batch axis may be anywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from advcore import _check
from advcore._check import Array
from advcore.nn.layer import Shape


class Batch:
    """The number of samples, which is not known: shapes that contain it are arrays of objects."""

    def __repr__(self) -> str:
        return "N"

    def _unless(self, other: object, neutral: int) -> Batch:
        if type(other) is Batch or other != neutral:
            raise ValueError("a number that is computed from the batch's size is not supported")
        return self

    def __mul__(self, other: object) -> Batch:
        return self._unless(other, 1)

    def __add__(self, other: object) -> Batch:
        return self._unless(other, 0)

    __rmul__ = __floordiv__ = __mul__
    __radd__ = __sub__ = __add__


BATCH = Batch()
Extent = int | Batch


@dataclass(frozen=True)
class Tensor:
    """A value that depends on the input: the output of a layer, in another shape perhaps.

    In the network the batch axis always comes first. Here it is axis ``batch``, and ``sample`` has the other extents:
    moving the batch needs no layer, and a reshape becomes one when somebody reads it.
    """

    source: str
    sample: Shape
    batch: int = 0

    @property
    def dims(self) -> tuple[Extent, ...]:
        """The shape as ONNX sees it."""
        return (*self.sample[: self.batch], BATCH, *self.sample[self.batch :])

    def axis(self, axis: int) -> int:
        """Return where the network has an axis, or raise ValueError where it is the batch's."""
        axis = axis_of(axis, len(self.dims))
        if axis == self.batch:
            raise ValueError("an operation along the batch axis is not supported")
        return axis + 1 if axis < self.batch else axis


Value = Tensor | Array | None


def axis_of(axis: int, ndim: int) -> int:
    """Return an axis counted from the front."""
    if not -ndim <= axis < ndim:
        raise ValueError(f"the axis must be in [{-ndim}, {ndim}), got {axis}")
    return axis % ndim


def axes_of(axes: Sequence[int], ndim: int) -> list[int]:
    """Return axes counted from the front, each of which may occur once."""
    found = [axis_of(axis, ndim) for axis in axes]
    if len(set(found)) != len(found):
        raise ValueError(f"the axes must differ, got {tuple(axes)}")
    return found


def reshaped(x: Tensor, target: Sequence[Extent], fixed_batch: int | None) -> Tensor:
    """Return x in another shape: axes before the batch are joined or split among themselves, and so are those after.

    One extent may be -1. The batch is ``BATCH``, or -1, or the number that the file was made for.
    """
    wanted = list(target)
    if any(extent is not BATCH and (not isinstance(extent, int) or extent < -1) for extent in wanted):
        raise ValueError(f"the shape must have positive extents, got {_check.shape_text(wanted)}")
    if BATCH in wanted:
        places = [axis for axis, extent in enumerate(wanted) if extent is BATCH]
    else:
        places = [axis for axis, extent in enumerate(wanted) if extent == -1 or extent == fixed_batch]
        places.sort(key=lambda axis: (axis != x.batch, wanted[axis] == -1))
    before, after = x.sample[: x.batch], x.sample[x.batch :]
    for place in places[: len(x.sample) + 8]:
        sample = _fill([*wanted[:place], *wanted[place + 1 :]], math.prod(x.sample))
        if sample is not None and math.prod(sample[:place]) == math.prod(before):
            assert math.prod(sample[place:]) == math.prod(after)
            return Tensor(x.source, sample, place)
    shapes = f"{_check.shape_text(x.dims)} to {_check.shape_text(wanted)}"
    raise ValueError(f"a reshape from {shapes} would mix samples, or does not fit")


def _fill(wanted: Sequence[Extent], size: int) -> Shape | None:
    """Replace a -1, or return None where the extents have another product than ``size``."""
    known = [extent for extent in wanted if isinstance(extent, int)]
    product, unknown = math.prod(extent for extent in known if extent != -1), known.count(-1)
    if len(known) != len(wanted) or unknown > 1 or product < 1 or size % product or (not unknown and size != product):
        return None
    return tuple(size // product if extent == -1 else extent for extent in known)


def integers(array: Array) -> Array:
    """Turn an array of objects back into one of int64 if the batch is not in it."""
    if array.dtype != object or any(entry is BATCH for entry in array.flat):
        return array
    if any(not -(2**63) <= int(entry) < 2**63 for entry in array.flat):
        raise ValueError("a constant is beyond the range of 64-bit integers")
    return array.astype(np.int64)


def extents(array: Any) -> list[Extent]:
    """Return a vector of integers, in which the batch may be, as a list."""
    if not isinstance(array, np.ndarray) or array.ndim > 1 or (array.dtype != object and array.dtype.kind not in "iu"):
        raise ValueError("a shape or a list of axes must be a constant vector of integers")
    if array.size > 64:
        raise ValueError(f"a shape or a list of axes must have at most 64 entries, got {array.size}")
    return [entry if entry is BATCH else int(entry) for entry in array.ravel()]
