"""Arithmetic with one number a sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advcore._check import Array
from advcore.attacks.result import l2_norms, rows

TINY = 1e-30


def column(values: NDArray[np.float64], like: Array) -> Array:
    """Return one value a sample, (n,), in the type and with as many axes as ``like``."""
    return values.astype(like.dtype).reshape(-1, *[1] * (like.ndim - 1))


def unit(x: Array) -> Array:
    """Return x with each sample scaled to the L2 length 1; zeros stay."""
    largest = np.abs(rows(x)).max(axis=1, initial=0.0).astype(np.float64)
    scaled: Array = x * column(1.0 / np.maximum(largest, TINY), x)  # so that no square is too small
    return scaled * column(1.0 / np.maximum(l2_norms(rows(scaled)), TINY), x)


def steepest(gradient: Array, norm: str) -> Array:
    """Return the direction of length 1 in the norm, "linf" or "l2", along which a function grows fastest."""
    return np.sign(gradient) if norm == "linf" else unit(gradient)
