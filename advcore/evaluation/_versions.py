"""The versions of an image that a detector is judged on: clean, noisy, adversarial; all on one side of the split."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advcore import _random
from advcore._check import Array
from advcore.attacks._projection import Region
from advcore.attacks.result import l2_norms, rows

Box = tuple[float, float]


def noisy(x: Array, examples: Array, ids: NDArray[np.int64], seed: int, box: Box, stream: int) -> Array:
    """Return x with noise of the size of the attack.

    Gaussian, clipped to the box, as far in L2 as the examples are, or as the box lets it go. Where all that the attack
    does is set a minority of the pixels to the maximum (as JSMA does): as many random pixels set to it.
    """
    changed = rows(examples) != rows(x)
    at_top = rows(examples)[changed] == x.dtype.type(box[1])
    if changed.any() and at_top.all() and changed.mean() < 0.5:
        return _brightened(x, changed.sum(axis=1), ids, seed, box, stream)
    return _gaussian(x, examples, ids, seed, box, stream)


def _brightened(x: Array, counts: NDArray[np.int64], ids: NDArray[np.int64], seed: int, box: Box, stream: int) -> Array:
    """Return x with so many of the pixels that are below the maximum set to it."""
    top = x.dtype.type(box[1])
    order = _random.uniform(seed, ids, 0, rows(x).shape[1], stream=stream)
    order[rows(x) == top] = 2  # last
    ranks = order.argsort(axis=1).argsort(axis=1)
    result: Array = np.where(ranks < counts[:, np.newaxis], top, rows(x)).reshape(x.shape)
    return result


def _gaussian(x: Array, examples: Array, ids: NDArray[np.int64], seed: int, box: Box, stream: int) -> Array:
    region, index = Region(x, box), np.arange(len(x))
    size = l2_norms(rows(examples).astype(np.float64) - rows(x))
    noise = _random.normal(seed, ids, 0, rows(x).shape[1], stream=stream).reshape(x.shape)

    def noised(scale: NDArray[np.float64]) -> Array:
        return region.project(x + scale.reshape(-1, *[1] * (x.ndim - 1)) * noise, index)

    # Clipping shortens the noise, so its scale is found by bisection: the distance grows with the scale.
    low, high = np.zeros(len(x)), 1e3 * size
    for _ in range(60):
        middle = (low + high) / 2
        short = l2_norms(rows(noised(middle)).astype(np.float64) - rows(x)) < size
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return noised(low)


def split(groups: NDArray[np.int64], held_out: float, seed: int) -> NDArray[np.bool_]:
    """Say of each image whether it is held out, from its number among the different ones: copies are on one side."""
    numbers, places = np.unique(groups, return_inverse=True)
    count = len(numbers)
    order = _random.choice(seed, np.zeros(1, np.int64), 0, count, count, stream=1)[0]
    out = np.zeros(count, np.bool_)
    out[order[: min(max(round(count * held_out), 1), count - 1)]] = True
    return np.asarray(out[places])


def drawn(places: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Return at most so many of the places, in their order."""
    if len(places) <= count:
        return places
    chosen = _random.choice(seed, np.zeros(1, np.int64), 0, len(places), count, stream=2)[0]
    return np.asarray(places[np.sort(chosen)])
