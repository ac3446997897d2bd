"""Batches of samples with one coordinate moved up or down, built in C++: what differences along coordinates ask for."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from advcore import _check, _core
from advcore._check import Array


class Perturbed:
    """The moved copies of some samples, as rows that are built when they are asked for.

    A sample's rows follow one another: the sample itself (if ``keep``), then a row with each coordinate at
    ``min(x + h, high)``, then a row with each at ``max(x - h, low)``. Arguments are checked by the caller.

    Parameters
    ----------
    x : float32 or float64 array, (N, ...)
        C-contiguous.
    coordinates : int64 array, (N, m)
        Flat indices into a sample.
    h : float
        The step, greater than 0.
    bounds : (low, high), optional
        The box that the copies stay in.
    keep : bool
        Whether the samples themselves are among the rows.

    Attributes
    ----------
    rows : int
        N * (2 m) or N * (2 m + 1).
    upper, lower : array, (N, m)
        The values that the coordinates take.
    distances : float64 array, (N, m)
        Between the two values that a coordinate takes: of the numbers that x's type really holds, not 2 h.
    """

    def __init__(
        self,
        x: Array,
        coordinates: NDArray[np.int64],
        h: float,
        bounds: tuple[float, float] | None = None,
        *,
        keep: bool = False,
    ) -> None:
        self._sample_shape = x.shape[1:]
        self._x = x.reshape(len(x), math.prod(x.shape[1:]))
        self._coordinates, self._keep = coordinates, keep
        middle = np.take_along_axis(self._x, coordinates, axis=1)
        self.upper, self.lower = (_moved(middle, step, bounds) for step in (h, -h))
        self.rows = len(x) * (2 * coordinates.shape[1] + keep)
        self.distances: NDArray[np.float64] = self.upper.astype(np.float64) - self.lower

    def batch(self, first: int = 0, last: int | None = None) -> Array:
        """Build the rows first .. last - 1 (all of them unless given), an array (rows, ...)."""
        count = (self.rows if last is None else min(last, self.rows)) - first
        out = _check.output(None, (count, self._x.shape[1]), self._x.dtype, ())
        _core.perturb(out, self._x, self._coordinates, self.upper, self.lower, self._keep, first)
        batch: Array = out.reshape(count, *self._sample_shape)
        return batch


def perturbed(
    x: Array,
    coordinates: NDArray[np.int64],
    h: float,
    bounds: tuple[float, float] | None = None,
    *,
    keep: bool = False,
) -> tuple[Array, NDArray[np.float64]]:
    """Return all rows of Perturbed, (N * (2 m + keep), ...), and its distances, (N, m)."""
    moved = Perturbed(x, coordinates, h, bounds, keep=keep)
    return moved.batch(), moved.distances


def _moved(middle: Array, step: float, bounds: tuple[float, float] | None) -> Array:
    """Add the step in float64 and round once; a bound is rounded to x's type, which may hold it on either side."""
    with np.errstate(over="ignore"):
        moved: Array = (middle.astype(np.float64) + step).astype(middle.dtype)
    if not np.isfinite(moved).all():
        raise ValueError(f"h must keep x within {middle.dtype}, got {abs(step):g}")
    if bounds is not None:
        low, high = (middle.dtype.type(bound) for bound in bounds)
        np.clip(moved, low, high, out=moved)
    return moved
