"""Lengths of steps and balls around them, a sample a row, in the samples' type: float32 stays float32."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advcore._check import Array
from advcore.attacks._projection import nearest_in_l1_ball
from advcore.attacks.result import rows

DUAL = {"l1": "linf", "l2": "l2", "linf": "l1"}


def norms(step: Array, norm: str) -> NDArray[np.float64]:
    """Return the length of each sample's step, (n,), also where the squares of its entries overflow or vanish."""
    flat = rows(step)
    if norm == "l2":
        return _euclidean(flat)
    if norm == "l0":
        return np.asarray(np.count_nonzero(flat, axis=1), np.float64)
    size = np.abs(flat)
    length = size.sum(axis=1) if norm == "l1" else size.max(axis=1, initial=0.0)
    return np.asarray(length, np.float64)


def _euclidean(flat: Array) -> NDArray[np.float64]:
    kind = np.finfo(flat.dtype)
    with np.errstate(over="ignore", under="ignore"):
        length = np.sqrt(np.einsum("nd,nd->n", flat, flat), dtype=np.float64)
    (odd,) = np.nonzero(~((length > np.sqrt(kind.tiny / kind.eps)) & (length < np.sqrt(kind.max))))
    if len(odd):
        largest = np.abs(flat[odd]).max(axis=1, initial=0.0)
        odd, largest = odd[largest < np.inf], largest[largest < np.inf]
        level = flat[odd] / np.maximum(largest, kind.tiny)[:, np.newaxis]
        length[odd] = largest * np.sqrt(np.einsum("nd,nd->n", level, level, dtype=np.float64))
    return np.asarray(length, np.float64)


def scaled(step: Array, factors: NDArray[np.float64]) -> Array:
    """Return each sample's step times its factor."""
    longer: Array = step * factors.astype(step.dtype).reshape(-1, *[1] * (step.ndim - 1))
    return longer


def unit(gradient: Array) -> Array:
    """Return each gradient at an L2 length of 1, however small or large it is; zeros stay."""
    tiny = np.finfo(gradient.dtype).tiny
    scale = np.maximum(norms(gradient, "linf"), tiny)  # squares of what is below 1 neither overflow nor all vanish
    level = scaled(gradient, 1 / scale)
    return scaled(level, 1 / np.maximum(norms(level, "l2"), tiny))


def into_ball(step: Array, radius: NDArray[np.float64], norm: str) -> Array:
    """Return the nearest steps of at most the samples' radii, (n,); for L0 those that keep the largest entries."""
    if norm == "linf":
        most = radius.astype(step.dtype).reshape(-1, *[1] * (step.ndim - 1))
        return np.clip(step, -most, most)
    length = norms(step, norm)
    if norm == "l2":
        return scaled(step, np.minimum(1.0, radius / np.maximum(length, np.finfo(step.dtype).tiny)))
    (outside,) = np.nonzero(length > radius)
    inside = rows(step).copy()
    if norm == "l1":
        inside[outside] = nearest_in_l1_ball(inside[outside].astype(np.float64), radius[outside])
    elif len(outside):
        size = np.abs(inside[outside])
        order = np.argsort(-size, axis=1, kind="stable")
        ranks = np.empty_like(order)
        np.put_along_axis(ranks, order, np.arange(size.shape[1])[np.newaxis], axis=1)
        inside[outside] *= ranks < radius[outside, np.newaxis]
    return inside.reshape(step.shape)
