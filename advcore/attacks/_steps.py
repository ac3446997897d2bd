"""What gradient attacks share: the steepest step in a norm, and random starts."""

from __future__ import annotations

import numpy as np

from advcore import _random
from advcore._check import Array
from advcore.attacks._ledger import Index
from advcore.attacks._lengths import unit
from advcore.attacks._problem import Problem
from advcore.attacks.result import rows


def direction(ascent: Array, norm: str) -> Array:
    """Return the direction of length 1 along which a linear function with this gradient grows most, in its type.

    Linf: the signs; L2: the gradient itself. Zero where the gradient is.
    """
    return np.sign(ascent) if norm == "linf" else unit(ascent)


def sparse_direction(ascent: Array, x: Array, problem: Problem, index: Index, features: Array) -> Array:
    """Return signs of the gradient at its largest ``features[i]`` entries, at an L1 length of 1.

    Entries that the box does not let move are left out. (Tramer, Boneh 2019, arXiv 1904.13000, section 4.1.)
    """
    lower, upper = problem.region.lower[index], problem.region.upper[index]
    free = ((ascent > 0) & (x < upper)) | ((ascent < 0) & (x > lower))
    flat = rows(np.where(free, ascent, 0))
    size = np.abs(flat)
    count = size.shape[1]
    sorted_size = np.sort(size, axis=1)
    place = count - np.clip(features, 1, max(count, 1)).astype(np.int64)
    least = sorted_size[np.arange(len(size)), place] if count else np.zeros(len(size), size.dtype)
    chosen = (size >= least[:, np.newaxis]) & (size > 0)
    step = np.sign(flat) * chosen
    length = np.maximum(chosen.sum(axis=1), 1).astype(flat.dtype)
    result: Array = step / length[:, np.newaxis]
    return result.reshape(ascent.shape)


def random_start(problem: Problem, index: Index, step: int, *, on_sphere: bool = False) -> Array:
    """Draw a start for each sample, uniform in the ball (or on its surface), then moved into the box.

    ``step`` keys the random numbers. Linf's surface: uniform in the ball, stretched until the largest entry is eps.
    """
    ids, size = problem.sample_ids[index], int(np.prod(problem.x.shape[1:]))
    eps, norm, seed = problem.region.eps, problem.region.norm, problem.seed
    tiny = np.finfo(np.float64).tiny
    if norm == "linf":
        offset = _random.uniform(seed, ids, step, size, low=-eps, high=eps)
        if on_sphere:
            offset *= eps / np.maximum(np.abs(offset).max(axis=1, initial=0.0), tiny)[:, np.newaxis]
    elif norm == "l2":
        offset = direction(_random.normal(seed, ids, step, size), "l2")
        radius = eps * (1.0 if on_sphere else _random.uniform(seed, ids, step, 1, stream=1) ** (1 / max(size, 1)))
        offset = radius * offset
    else:
        # Shares of exponential variables are uniform on the simplex; the last one stays out of the ball's surface.
        shares = -np.log1p(-_random.uniform(seed, ids, step, size + 1))
        total = shares[:, :-1].sum(axis=1) if on_sphere else shares.sum(axis=1)
        offset = eps * shares[:, :-1] / np.maximum(total, tiny)[:, np.newaxis] * _random.sign(seed, ids, step, size)
    return problem.project(problem.x[index] + offset.reshape(problem.x[index].shape), index)
