"""Steps to a plane, inside a box: what FAB makes its moves of."""

from __future__ import annotations

import numpy as np

from advcore import _core
from advcore._check import Array
from advcore._memory import empty

NORMS = {"linf": 0, "l2": 1, "l1": 2}  # as in csrc/kernels/fab_move.h


def biased_move(
    x: Array,
    origin: Array,
    normal: Array,
    gap: Array,
    bounds: tuple[float, float],
    norm: str,
    *,
    eta: float = 1.0,
    most_share: float = 0.0,
) -> Array:
    """Return ``(1 - a) (x + eta d) + a (origin + eta d0)``, kept in the box.

    d and d0 are the shortest steps from x and from origin to the plane ``gap + <normal, z - x> = 0`` inside the box
    (where it does not reach the plane, those that come closest), and a = |d| / (|d| + |d0|), at most most_share.

    Parameters
    ----------
    x, origin, normal : arrays, (B, D)
    gap : array, (B,)
    bounds : (low, high)
        x and origin lie between them.
    norm : "linf", "l2" or "l1"
    eta : float, at least 1
    most_share : float, in [0, 1]

    Returns
    -------
    array, (B, D)
    """
    moved = empty(x.shape, x.dtype)
    x, origin, normal, gap = (np.ascontiguousarray(array, x.dtype) for array in (x, origin, normal, gap))
    _core.fab_move(moved, x, origin, normal, gap, *bounds, eta, most_share, NORMS[norm])
    return moved
