"""Where an example may be: inside the box of valid inputs, and inside a ball around its own input."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advcore._check import Array
from advcore.attacks.result import l2_norms, rows


class Region:
    """The examples that are allowed for each input of a batch.

    Whether an example is inside is decided on the numbers as stored, in float64: rounding never carries an example
    out of its budget, and projecting what is inside changes no bit.

    Parameters
    ----------
    origin : array, (N, ...)
    bounds : (low, high)
        The box, in the units of the input.
    norm : None, "linf" or "l2"
    eps : float
        Radius of the ball, in the units of the input; without a norm there is no ball.
    """

    def __init__(self, origin: Array, bounds: tuple[float, float], norm: str | None = None, eps: float = 0.0) -> None:
        self.origin, self.bounds, self.norm, self.eps = origin, bounds, norm, eps
        low, high = (origin.dtype.type(bound) for bound in bounds)
        if norm == "linf":
            self.lower = np.maximum(-_add_at_most(-origin, eps), low)
            self.upper = np.minimum(_add_at_most(origin, eps), high)
        else:
            self.lower = np.broadcast_to(low, origin.shape)
            self.upper = np.broadcast_to(high, origin.shape)

    def project(self, x: Array, index: NDArray[np.int64]) -> Array:
        """Return x, where x[i] belongs to origin[index[i]], moved into the region, in the origin's type.

        Linf: the nearest point. L2: clipped to the box, then pulled towards the origin until it is in the ball.
        """
        lower, upper = self.lower[index], self.upper[index]
        inside: Array = np.clip(x, lower, upper).astype(self.origin.dtype)
        if self.norm != "l2":
            return inside
        flat = rows(inside)
        centre = rows(self.origin[index]).astype(np.float64)
        step = flat - centre
        norms = l2_norms(step)
        slack = np.finfo(flat.dtype).eps / 2
        (outside,) = np.nonzero(norms > self.eps)
        scale = self.eps / norms[outside]
        while len(outside):  # rounding to the stored type may leave a point outside: pull twice as hard each time
            flat[outside] = centre[outside] + step[outside] * scale[:, np.newaxis]
            still = l2_norms(flat[outside] - centre[outside]) > self.eps
            outside, scale = outside[still], scale[still] * (1 - slack)
            slack = min(2 * slack, 1.0)
        projected: Array = np.clip(inside, lower, upper)  # a product rounded up may be outside by a bit
        return projected


def _add_at_most(origin: Array, eps: float) -> Array:
    """Return the largest stored numbers that are at most eps above the origin."""
    wide = origin.astype(np.float64)
    top = (wide + eps).astype(origin.dtype)
    return np.where(top - wide > eps, np.nextafter(top, origin.dtype.type(-np.inf)), top)
