"""Where an example may be: inside the box of valid inputs, and inside a ball around its own input."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import _core
from advcore._check import Array
from advcore._memory import empty
from advcore.attacks.result import lengths, rows


def grid_rounding(dtype: Any, bounds: tuple[float, float], changed: Any, norm: str) -> Any:
    """Return how much more than so many steps of a grid the change of ``changed`` entries may measure, by rounding."""
    entries = {"linf": 1.0, "l2": np.sqrt(changed), "l1": changed}[norm]
    return np.finfo(dtype).eps * max(bounds[1] - bounds[0], *map(abs, bounds)) * entries


class Region:
    """The examples that are allowed for each input of a batch.

    Whether an example is inside is decided on the numbers as stored, in float64: rounding never carries an example
    out of its budget, and projecting what is inside changes no bit.

    Parameters
    ----------
    origin : array, (N, ...)
    bounds : (low, high)
        The box, in the units of the input.
    norm : None, "linf", "l2" or "l1"
    eps : float
        Radius of the ball, in the units of the input; without a norm there is no ball.
    mask : bool array, the shape of origin, optional
        Entries that may change.
    quantize : int, optional
        Steps of the grid from low to high on which final examples lie.
    """

    def __init__(
        self,
        origin: Array,
        bounds: tuple[float, float],
        norm: str | None = None,
        eps: float = 0.0,
        mask: NDArray[np.bool_] | None = None,
        quantize: int | None = None,
    ) -> None:
        self.origin, self.bounds, self.norm, self.eps = origin, bounds, norm, eps
        self.mask, self.steps = mask, quantize
        low, high = (origin.dtype.type(bound) for bound in bounds)
        if norm == "linf":
            self.lower = np.maximum(-_add_at_most(-origin, eps), low)
            self.upper = np.minimum(_add_at_most(origin, eps), high)
        else:
            self.lower = np.broadcast_to(low, origin.shape)
            self.upper = np.broadcast_to(high, origin.shape)
        if mask is not None:
            self.lower, self.upper = np.where(mask, self.lower, origin), np.where(mask, self.upper, origin)

    def project(self, x: Array, index: NDArray[np.int64]) -> Array:
        """Return x, where x[i] belongs to origin[index[i]], moved into the region, in the origin's type.

        It is the nearest point of the region, but for rounding.
        """
        if self.norm == "l2":
            return self._nearest_in_ball(x, index)
        lower, upper = self._limits(index)
        inside: Array = np.clip(x, lower, upper).astype(self.origin.dtype, order="C", copy=False)  # rows() is a view
        if self.norm != "l1":
            return inside
        flat = rows(inside)
        centre = rows(self.origin[index]).astype(np.float64)
        step = flat - centre
        slack = np.finfo(flat.dtype).eps / 2
        (outside,) = np.nonzero(lengths(step, "l1") > self.eps)
        wanted = rows(x)[outside] - centre[outside]
        above, below = (rows(np.broadcast_to(limit, x.shape))[outside] for limit in (upper, lower))
        room = np.where(wanted > 0, above - centre[outside], centre[outside] - below)
        step[outside] = nearest_in_l1_ball(wanted, self.eps, room)
        norms = lengths(step[outside], "l1")
        scale = np.minimum(self.eps / np.maximum(norms, np.finfo(np.float64).tiny), 1.0)
        scale *= 1 - slack / 8  # so that rounding to the stored type leaves few of many numbers outside
        while len(outside):  # which are pulled twice as hard each time
            part = slice(None) if len(outside) == len(flat) else outside  # of all there is no need of copies
            pulled = (centre[part] + step[part] * scale[:, np.newaxis]).astype(flat.dtype)
            flat[part] = pulled
            still = lengths(pulled - centre[part], "l1") > self.eps
            outside, scale = outside[still], scale[still] * (1 - slack)
            slack = min(2 * slack, 1.0)
        projected: Array = np.clip(inside, lower, upper)  # a product rounded up may be outside by a bit
        return projected

    def _nearest_in_ball(self, x: Array, index: NDArray[np.int64]) -> Array:
        dtype = self.origin.dtype
        out = empty(x.shape, dtype)
        low, high = (float(dtype.type(bound)) for bound in self.bounds)
        origin = rows(np.ascontiguousarray(self.origin))
        lower, upper = (None, None) if self.mask is None else (rows(self.lower), rows(self.upper))
        if x.dtype != dtype:
            x = np.clip(x, np.finfo(dtype).min, np.finfo(dtype).max)
        given = rows(np.ascontiguousarray(x, dtype))
        _core.nearest_in_ball(rows(out), given, origin, lower, upper, index, low, high, self.eps)
        return out

    def signed_step(
        self,
        x: Array,
        ascent: Array,
        sizes: Array | float,
        index: NDArray[np.int64],
        previous: Array | None = None,
        momentum: float = 1.0,
    ) -> Array:
        """Return z = project(x + sizes sign(ascent)), for a Linf budget and samples index[i].

        With the iterate before x: ``project(x + momentum (z - x) + (1 - momentum) (x - previous))``.
        """
        out = empty(x.shape, x.dtype)
        each = np.full(len(x), sizes, x.dtype)
        before = None if previous is None else rows(np.ascontiguousarray(previous))
        x, ascent, lower, upper = (rows(np.ascontiguousarray(part)) for part in (x, ascent, self.lower, self.upper))
        _core.signed_step(rows(out), x, before, ascent, each, lower, upper, index, momentum)
        return out

    def _limits(self, index: NDArray[np.int64]) -> tuple[Array, Array]:
        """Return the least and the largest numbers that are allowed, or one of each where they are all the same."""
        if self.norm == "linf" or self.mask is not None:
            return self.lower[index], self.upper[index]
        low, high = (np.asarray(bound, self.origin.dtype) for bound in self.bounds)
        return low, high

    def quantized(self, x: Array, index: NDArray[np.int64]) -> Array:
        """Return x on the grid and in the region: the nearest grid points, or, out of the budget, those towards origin.

        The origin is on the grid, so that rounding towards it never lengthens a perturbation; an entry that ends where
        it was keeps the origin's bits.
        """
        if self.steps is None:
            return x
        origin = self.origin[index].astype(x.dtype, copy=False)
        start, place = np.rint(self._index(origin)), self._index(x)
        rounded = self._value(np.rint(place), start, origin)
        if self.norm is not None:
            step = rows(rounded.astype(np.float64) - origin)
            slack = grid_rounding(x.dtype, self.bounds, np.count_nonzero(step, axis=1), self.norm)
            over = lengths(step, self.norm) > self.eps + slack
            # 1e-6: a grid point that x should be, but for rounding, is not a step further away.
            steps = np.trunc((place - start) * (1 + 1e-6))
            rounded[over] = self._value(start + steps, start, origin)[over]
        return rounded

    def _index(self, x: Array) -> NDArray[np.float64]:
        low, high = self.bounds
        place: NDArray[np.float64] = (x.astype(np.float64) - low) / (high - low) * (self.steps or 1)
        return place

    def _value(self, grid: NDArray[np.float64], start: NDArray[np.float64], origin: Array) -> Array:
        low, high = self.bounds
        values = np.clip(low + grid / (self.steps or 1) * (high - low), low, high).astype(origin.dtype)
        return np.where(grid == start, origin, values)


def off_grid(x: Array, bounds: tuple[float, float], steps: int) -> NDArray[np.bool_]:
    """Say which samples have an entry off the grid of so many steps, by more than rounding explains."""
    low, high = bounds
    place = (x.astype(np.float64) - low) / (high - low) * steps
    return np.asarray((np.abs(rows(place - np.rint(place))) > 1e-3).any(axis=1))


def nearest_in_l1_ball(
    step: NDArray[np.float64], eps: float | NDArray[np.float64], room: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return each row's nearest point of L1 length at most eps, with entries no larger than the room that they have.

    eps is one number, or each row's own, (n,).

    All entries shrink by one amount a, found among the places where ``sum min(max(|step| - a, 0), room)`` bends.
    (Duchi et al. 2008; with the room: Croce, Hein 2021, arXiv 2103.01208.)
    """
    most = np.broadcast_to(np.asarray(eps, np.float64), len(step))
    size = np.abs(step)
    bends, slope = size, np.ones_like(size)
    if room is not None:
        bends, slope = np.concatenate([size, size - room], axis=1), np.concatenate([slope, -slope], axis=1)
    order = np.argsort(-bends, axis=1, kind="stable")
    bends, slope = np.take_along_axis(bends, order, axis=1), np.take_along_axis(slope, order, axis=1)
    # From a bend down to the next the length grows by `count` a unit: it is `offset - count a`.
    count, offset = np.cumsum(slope, axis=1), np.cumsum(slope * bends, axis=1)
    index = np.arange(len(step))
    last = np.maximum(((offset - count * bends < most[:, np.newaxis]) & (bends > 0)).sum(axis=1) - 1, 0)
    amount = np.maximum((offset[index, last] - most) / np.maximum(count[index, last], 1.0), 0.0)[:, np.newaxis]
    shrunk = np.maximum(size - amount, 0.0)
    nearest: NDArray[np.float64] = np.copysign(shrunk if room is None else np.minimum(shrunk, room), step)
    return nearest


def _add_at_most(origin: Array, eps: float) -> Array:
    """Return the largest stored numbers that are at most eps above the origin."""
    wide = origin.astype(np.float64)
    top = (wide + eps).astype(origin.dtype)
    return np.where(top - wide > eps, np.nextafter(top, origin.dtype.type(-np.inf)), top)
