"""What the attacks on labels alone share: a first example, and the way from there to the decision boundary."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advcore import _check, _random
from advcore._check import Array
from advcore.attacks._ledger import Index
from advcore.attacks._problem import Problem
from advcore.attacks._vectors import column
from advcore.attacks.result import lengths, rows

STARTS = 300  # inputs that are tried for a first example
COARSE = 7  # blocks along each of the last two axes of coarse noise
NARROW = 1e-3  # share of the way at which a bisection may stop


def check_starts(starts: object, x: Array) -> Array | None:
    """Check starting points against the checked inputs."""
    if starts is None:
        return None
    points = _check.array("starting_points", starts, shape=x.shape, dtype=x.dtype)
    _check.finite("starting_points", points)
    return points


def first_examples(problem: Problem, starts: Array | None = None) -> tuple[Index, Array]:
    """Look for an input that meets the criterion, however far away; return the samples that got one, and the inputs.

    Tried are the sample's own starting point or, without one, random inputs. One query a try.
    """
    index = np.arange(len(problem.x))
    examples = problem.x.copy()
    found = np.zeros(len(index), np.bool_)
    for draw in range(STARTS if starts is None else 1):
        index = problem.afford(np.flatnonzero(~found))
        if not len(index):
            break
        tried = _try(problem, index, draw) if starts is None else starts[problem.owners[index]]
        tried = problem.project(tried, index)
        met = problem.offer(tried, problem.logits(tried, index), index)
        examples[index[met]] = tried[met]
        found[index[met]] = True
    return np.flatnonzero(found), examples[found]


def to_boundary(problem: Problem, index: Index, examples: Array, norm: str) -> Array:
    """Bisect between the inputs and their examples, which meet the criterion, until the boundary is met closely enough.

    "l2" searches the straight line, "linf" the Linf balls around the input. One query a halving.
    """
    origin = problem.x[index]
    step = examples - origin
    radius = lengths(rows(step).astype(np.float64), "linf")
    low, high = np.zeros(len(index)), np.ones(len(index))
    nearest = examples.copy()
    tolerance = min(NARROW, 1.0 / max(1, rows(step).shape[1]))
    open_ = np.arange(len(index))
    while True:
        paying = np.isin(index[open_], problem.afford(index[open_]))
        open_ = open_[paying & (high[open_] - low[open_] > tolerance)]
        if not len(open_):
            return nearest
        middle = (low[open_] + high[open_]) / 2
        tried = problem.project(origin[open_] + part_of_step(step[open_], middle, radius[open_], norm), index[open_])
        met = problem.offer(tried, problem.logits(tried, index[open_]), index[open_])
        high[open_[met]], low[open_[~met]] = middle[met], middle[~met]
        nearest[open_[met]] = tried[met]


def part_of_step(step: Array, share: NDArray[np.float64], radius: NDArray[np.float64], norm: str) -> Array:
    """Return each step scaled by its share, or ("linf") cut off at that share of its largest entry, the radius."""
    if norm == "l2":
        return step * column(share, step)
    most = column(share * radius, step)
    return np.clip(step, -most, most)


def _try(problem: Problem, index: Index, draw: int) -> Array:
    """Return uniform noise and coarse noise (flat blocks) in turn, and once the negative of the input."""
    x, (low, high) = problem.x[index], problem.region.bounds
    if draw == 2:
        return np.asarray(low + (high - x), x.dtype)
    ids, shape = problem.sample_ids[index], x.shape
    if draw % 2 == 0 or x.ndim < 3:
        size = rows(x).shape[1]
        return _random.uniform(problem.seed, ids, draw, size, low=low, high=high, dtype=x.dtype).reshape(shape)
    blocks = [min(COARSE, extent) for extent in shape[-2:]]
    coarse = (*shape[1:-2], *blocks)
    noise = _random.uniform(problem.seed, ids, draw, int(np.prod(coarse)), low=low, high=high, dtype=x.dtype)
    down, across = (np.arange(extent) * few // max(extent, 1) for extent, few in zip(shape[-2:], blocks, strict=True))
    return noise.reshape(len(x), *coarse)[..., down[:, np.newaxis], across]
