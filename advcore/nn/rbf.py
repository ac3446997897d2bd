"""The radial-basis network with Laplacian units."""

from __future__ import annotations

import numpy as np

from advcore import _check, ops
from advcore._check import Array


def laplacian_rbf_network(x: Array, centres: Array, weights: Array) -> tuple[Array, Array]:
    """Sum of Laplacian bumps: ``y = sum_j w_j exp(-||x - c_j||_1)``, with its gradient for x.

    The gradient is bounded: ``||dy/dx||_1 <= d ||w||_1`` and ``||dy/dx||_inf <= ||w||_1``.

    Parameters
    ----------
    x : float32 or float64 array, (N, d)
    centres : array, (J, d)
    weights : array, (J,)

    Returns
    -------
    y : array, (N,)
    gradient : array, (N, d)
        ``-sum_j w_j a_j sign(x - c_j)``; the sign of 0 is 0.

    Raises
    ------
    TypeError
        If an array is not float32 or float64, or types differ.
    ValueError
        If a shape does not fit.
    """
    x = _check.array("x", x, axes=("N", "d"))
    centres = _check.array("centres", centres, dtype=x.dtype, shape=(None, x.shape[1]))
    weights = _check.array("weights", weights, dtype=x.dtype, shape=(len(centres),))
    y, gradient = np.zeros(len(x), x.dtype), np.zeros_like(x)
    ones = np.ones(x.shape[1], x.dtype)
    for centre, weight in zip(centres, weights, strict=True):
        difference = x - centre
        bump = weight * np.exp(-ops.matmul(np.abs(difference), ones))
        y += bump
        gradient -= bump[:, np.newaxis] * np.sign(difference)
    return y, gradient
