"""Where the numbers of a sample lie on a map of channels, rows and columns, on which differences are propagated.

A map's positions (rows and columns) are what a coordinate reaches a window of; all channels of a position go together.
An image lies on its map as it is, a sequence has its steps as rows and its features as channels. The same memory may be
read in other ways: a layer says what it wants, and numbers are moved only where that differs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from advcore.nn.layer import Layer, Shape
from advcore.nn.reshape import Pad

Indices = NDArray[np.int64]


class UnsupportedError(Exception):
    """A layer, or the place that it is in, through which differences cannot be propagated."""


class Layout(NamedTuple):
    """A sample on a map: ``order`` says which of (channels, rows, cols) the axes of its memory are, slowest first."""

    map: tuple[int, int, int]
    order: tuple[int, int, int] = (0, 1, 2)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.map)

    @property
    def extents(self) -> tuple[int, ...]:
        """Those of the memory's axes."""
        return tuple(self.map[axis] for axis in self.order)

    @property
    def straight(self) -> bool:
        """Whether memory is in the map's own order."""
        axes = [axis for axis in self.order if self.map[axis] > 1]
        return axes == sorted(axes)

    def same(self, other: Layout) -> bool:
        """Return whether every element lies at the same place of the same map."""
        if self.map != other.map:
            return False
        own, others = ([axis for axis in layout.order if self.map[axis] > 1] for layout in (self, other))
        return own == others

    def places(self) -> Indices:
        """Return where on the map, in its own order, each element of the memory lies."""
        return np.arange(self.size).reshape(self.map).transpose(self.order).ravel()

    def laid(self, elements: NDArray[Any]) -> NDArray[Any]:
        """Return arrays (..., elements), in the order of memory, as arrays in the order of the map."""
        lead = elements.shape[:-1]
        axes = [len(lead) + self.order.index(axis) for axis in range(3)]
        whole = elements.reshape(*lead, *self.extents).transpose(*range(len(lead)), *axes)
        return np.ascontiguousarray(whole).reshape(elements.shape)

    def axes(self, shape: Shape) -> tuple[int, ...] | None:
        """Return which axis of the map each axis of a sample is, or None where they are not the same."""
        if len(shape) == 3 and self.extents == shape:
            return self.order
        if len(shape) == 2:
            for left_out in self.order:
                rest = tuple(axis for axis in self.order if axis != left_out)
                if self.map[left_out] == 1 and tuple(self.map[axis] for axis in rest) == shape:
                    return rest
        if len(shape) == 1 and self.map == (*shape, 1, 1):
            return (0,)
        return None


def as_it_is(shape: Shape) -> Layout:
    """Return the layout of an image (channels, rows, cols), or (rows, cols) of one channel, or of anything, flat."""
    if len(shape) == 3:
        return Layout((shape[0], shape[1], shape[2]))
    return Layout((1, shape[0], shape[1])) if len(shape) == 2 else Layout((math.prod(shape), 1, 1))


def with_channels(shape: Shape, axis: int) -> Layout:
    """Return the layout that has an axis of the sample as its channels; of four axes and more the first or the last."""
    axis %= len(shape)
    if len(shape) == 1:
        return Layout((shape[0], 1, 1))
    if len(shape) == 2:
        return Layout((shape[1], shape[0], 1), (1, 2, 0)) if axis else Layout((shape[0], shape[1], 1))
    if axis == 0:
        return Layout((shape[0], math.prod(shape[1:-1]), shape[-1]))
    if axis == len(shape) - 1:
        return Layout((shape[-1], math.prod(shape[:-2]), shape[-2]), (1, 2, 0))
    return Layout((shape[1], shape[0], math.prod(shape[2:])), (1, 0, 2))


def of_axes(shape: Shape, axes: Sequence[int]) -> Layout:
    """Return the layout of a sample whose axes are those of the map."""
    extents = [1, 1, 1]
    for extent, axis in zip(shape, axes, strict=True):
        extents[axis] = extent
    first, second, third = (*axes, *(axis for axis in range(3) if axis not in axes))
    return Layout((extents[0], extents[1], extents[2]), (first, second, third))


def moved(layer: Layer, indices: Indices, shape: Shape) -> Indices:
    """Return which of a sample's elements each element of a layer's output is, -1 for none: flat, as memory lies.

    ``indices``: the elements that the layer takes, the same way. The layer must only rearrange.
    """
    sample = indices.reshape(1, *shape)
    if isinstance(layer, Pad):
        return np.pad(sample, ((0, 0), *layer.widths), constant_values=-1).ravel()
    return np.asarray(layer.infer(sample)).ravel()


def intervals(sources: Indices, extent: int) -> list[tuple[int, int]]:
    """Return the interval [first, end) that holds each row of sources, those below 0 left out."""
    first = np.where(sources < 0, extent, sources).min(axis=1)
    end = sources.max(axis=1) + 1
    return [(int(f), int(e)) if e > f else (0, 0) for f, e in zip(first, end, strict=True)]
