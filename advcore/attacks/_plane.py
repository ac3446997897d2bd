"""The shortest step from a point to a plane, inside a box."""

from __future__ import annotations

import numpy as np

from advcore._check import Array

_MOST = 64  # iterations; each one fixes at least one more entry at the box, and a few are enough


def step_to_plane(x: Array, normal: Array, gain: Array, bounds: tuple[float, float], norm: str) -> Array:
    """Return for each row the step d of the least norm with ``<normal, d> = gain`` and x + d in the box.

    Where the box does not reach the plane: the step that comes closest to it.

    Parameters
    ----------
    x, normal : arrays, (B, D)
    gain : array, (B,)
    bounds : (low, high)
    norm : "linf", "l2" or "l1"

    Returns
    -------
    array, (B, D)

    Notes
    -----
    With slopes a = |normal| and what room the box leaves, the entries of d have size min(t, room) in Linf and
    min(t a, room) in L2, where t is the zero of a concave, piecewise linear function, found by Newton's method from the
    left. In L1 the entries of the largest slopes use up their room.
    """
    low, high = bounds
    ahead = normal * np.where(gain < 0, -1, 1).astype(x.dtype)[:, np.newaxis]
    gain = np.abs(gain).astype(x.dtype)
    slope = np.abs(normal)
    room = np.where(ahead > 0, high - x, x - low) * (slope > 0)
    if norm == "l1":
        size = _greedy(slope, room, gain)
    elif norm == "linf":
        size = np.minimum(_level(slope, room, slope * room, gain)[:, np.newaxis], room)
    else:
        # 1e-18: the squares of slopes this small are nothing beside those of the largest, which is 1.
        slope /= np.maximum(slope.max(axis=1, initial=0.0), np.finfo(x.dtype).tiny)[:, np.newaxis]
        scale = np.abs(normal).max(axis=1, initial=0.0)
        reached = room / np.maximum(slope, 1e-18)
        with np.errstate(over="ignore"):  # a plane that no step reaches
            gain = gain / np.maximum(scale, np.finfo(x.dtype).tiny)
        level = _level(np.square(slope), reached, slope * room, gain)
        size = np.minimum(level[:, np.newaxis] * slope, room)
    step: Array = np.copysign(size, ahead)
    return step


def _level(rate: Array, bend: Array, most: Array, gain: Array) -> Array:
    """Return t with ``sum_i rate_i min(t, bend_i) = gain`` a row, or the last bend; most is rate times bend."""
    level = np.zeros_like(gain)
    open_rows = np.arange(len(gain))
    for _ in range(_MOST):
        full = bend <= level[open_rows, np.newaxis]
        left = gain[open_rows] - (most * full).sum(axis=1)
        free = (rate * ~full).sum(axis=1)
        with np.errstate(over="ignore"):
            new = left / np.maximum(free, np.finfo(level.dtype).tiny)
        new = np.minimum(new, bend.max(axis=1, initial=0.0)).astype(level.dtype)
        moved = new > level[open_rows]
        level[open_rows[moved]] = new[moved]
        if not moved.all():
            open_rows, rate, bend, most = open_rows[moved], rate[moved], bend[moved], most[moved]
        if not len(open_rows):
            break
    return level


def _greedy(slope: Array, room: Array, gain: Array) -> Array:
    """Return sizes that reach the gain with the least sum: whole rooms, by descending slope, and a part of the last."""
    order = np.argsort(-slope, axis=1, kind="stable")
    slope, room = np.take_along_axis(slope, order, axis=1), np.take_along_axis(room, order, axis=1)
    before = np.cumsum(slope * room, axis=1) - slope * room
    missing = np.maximum(gain[:, np.newaxis] - before, 0)
    size = np.empty_like(room)
    with np.errstate(over="ignore"):
        parts = np.minimum(room, missing / np.maximum(slope, np.finfo(slope.dtype).tiny))
    np.put_along_axis(size, order, parts, axis=1)
    return size
