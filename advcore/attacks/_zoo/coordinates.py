"""Which variables are moved next: uniformly at random, or where the perturbation is (Chen et al. 2017, section 3.4)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from advcore import _random
from advcore.attacks._ledger import Index
from advcore.attacks._problem import Problem

_SCORES = 7  # stream of the draws
_SMALLEST = 1e-3  # share of the largest weight that every variable keeps


def uniform(problem: Problem, index: Index, step: int, size: int, count: int) -> Index:
    """Choose variables of each sample without replacement, all alike, but none that must not change: (n, count)."""
    mask = problem.region.mask
    if mask is not None and mask[0].size == size:
        return _heaviest(problem, index, step, mask[index].reshape(len(index), size).astype(np.float64), count)
    return _random.choice(problem.seed, problem.sample_ids[index], step, size, count)


def by_importance(
    problem: Problem, index: Index, step: int, change: NDArray[np.float64], shape: tuple[int, ...], count: int
) -> Index:
    """Choose variables by the max-pooled size of what they have changed, (n, d), without replacement.

    The window is an eighth of the image, in each channel by itself. None is chosen that must not change.
    """
    weight = pooled(np.abs(change), shape)
    top = weight.max(axis=1, keepdims=True)
    weight = np.where(top > 0, np.maximum(weight, _SMALLEST * top), 1.0)
    mask = problem.region.mask
    if mask is not None and mask[0].size == weight.shape[1]:
        weight = weight * mask[index].reshape(weight.shape)
    return _heaviest(problem, index, step, weight, count)


def _heaviest(problem: Problem, index: Index, step: int, weight: NDArray[np.float64], count: int) -> Index:
    """Draw with probabilities proportional to the weights, without replacement: the largest of log w + Gumbel noise."""
    size = weight.shape[1]
    u = _random.uniform(problem.seed, problem.sample_ids[index], step, size, stream=_SCORES)
    keys = np.log(np.maximum(weight, 1e-300)) - np.log(-np.log(np.clip(u, 1e-300, 1 - 1e-16)))
    return np.ascontiguousarray(np.argpartition(-keys, count - 1, axis=1)[:, :count])


def pooled(values: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Replace each entry of images (n, C H W) by the maximum of the window around it."""
    if len(shape) != 3:
        return values
    window = max(1, math.ceil(max(shape[1:]) / 8))
    image = values.reshape(len(values), *shape)
    for axis in (2, 3):
        widths = [(0, 0)] * 4
        widths[axis] = ((window - 1) // 2, window // 2)
        wide = np.pad(image, widths, mode="edge")
        image = np.lib.stride_tricks.sliding_window_view(wide, window, axis=axis).max(axis=-1)
    return image.reshape(values.shape)
