"""Adam on variables that cannot leave the box: ``x' = middle + half tanh(w)`` (Carlini, Wagner 2017, section V-B)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from advcore import _core
from advcore._check import Array
from advcore.attacks._ledger import Index
from advcore.attacks._projection import Region

SHRINK = 0.999999  # of the box, where tanh starts: at its ends w would be infinite
BETA1, BETA2, TINY = 0.9, 0.999, 1e-8  # Adam, as in the paper's code


class TanhAdam:
    """Variables w of some samples, a row each, and Adam's moments. All arrays have the samples' type and shape.

    Parameters
    ----------
    start : array, (n, ...)
        The examples to begin with, inside the box.
    region : Region
        The box; entries outside its mask stay as they are.
    index : int64 array, (n,)
        The samples of the region that the rows belong to.
    allowed : bool array, (n, ...), optional
        Entries that may change, instead of the region's.
    """

    def __init__(self, start: Array, region: Region, index: Index, allowed: NDArray[np.bool_] | None = None) -> None:
        low, high = region.bounds
        self.half, self.middle = (start.dtype.type(value) for value in ((high - low) / 2, (high + low) / 2))
        if allowed is None and region.mask is not None:
            allowed = region.mask[index]
        self.bounds = (start.dtype.type(low), start.dtype.type(high))
        self.fixed = None if allowed is None else ~allowed
        self.origin = region.origin[index]
        self.w = np.arctanh((start - self.middle) / self.half * start.dtype.type(SHRINK))
        self.mean, self.square = np.zeros_like(self.w), np.zeros_like(self.w)
        self.tanh = np.empty_like(self.w)
        self.steps = 0

    def examples(self) -> Array:
        """Return x' of the present variables."""
        np.tanh(self.w, out=self.tanh)
        x: Array = self.tanh * self.half
        x += self.middle
        np.clip(x, *self.bounds, out=x)  # a bound may be no sum of middle and half
        if self.fixed is not None:
            np.copyto(x, self.origin, where=self.fixed)
        return x

    def step(self, gradient: Array, rate: float) -> None:
        """Take one step down the gradient for the x' that ``examples`` returned last; the array is used up."""
        slope = np.square(self.tanh, out=self.tanh)
        np.subtract(1, slope, out=slope)
        slope *= self.half
        gradient *= slope
        self.steps += 1
        rate /= 1 - BETA1**self.steps
        correction = math.sqrt(1 - BETA2**self.steps)
        _core.adam_update(self.w, gradient, self.mean, self.square, rate, BETA1, BETA2, TINY, correction, 0.0)

    def keep(self, staying: NDArray[np.bool_]) -> None:
        """Forget the other rows."""
        self.w, self.mean, self.square, self.tanh, self.origin = (
            array[staying] for array in (self.w, self.mean, self.square, self.tanh, self.origin)
        )
        self.fixed = None if self.fixed is None else self.fixed[staying]
