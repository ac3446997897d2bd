"""The way to the nearest decision boundary by linearisation: DeepFool's, and the start of other attacks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advcore._check import Array
from advcore.attacks._ledger import Index
from advcore.attacks._losses import Logits, without
from advcore.attacks._problem import Problem

LESS = 0.1  # of the overshoot, tried once at the end


def step_past_boundary(
    problem: Problem, norm: str, steps: int = 3, overshoot: float = 0.02, classes: int = 10
) -> Array:
    """Step to the nearest linearised boundary until the class changes, and offer what is found.

    Parameters
    ----------
    problem : Problem
    norm : "l2" or "linf"
    steps : int
        At most; each takes ``classes - 1`` gradients (targeted: one) and a query after it.
    overshoot : float
        How far past the linearised boundary, as a share of the perturbation. A tenth of it is tried after a success.
    classes : int
        The label and the other classes of the largest logits at x.

    Returns
    -------
    array, (n, ...)
        Where each sample ended, past the boundary or not.
    """
    active = np.arange(len(problem.x))
    others = _others(problem, classes)
    count = others.shape[1]
    total, ends = np.zeros_like(problem.x), problem.x.copy()
    for _ in range(steps):
        affordable = np.isin(active, problem.afford(active, problem.gradient_queries(count) + 1, count))
        active, total = active[affordable], total[affordable]
        if not len(active):
            break
        origin = problem.x[active]
        total += _step(problem, ends[active], active, others[active], norm)
        total = problem.project(origin + total, active) - origin
        current = problem.project(origin + (1 + overshoot) * total, active)
        met = problem.offer(current, problem.logits(current, active), active)
        ends[active] = current
        _pull_back(problem, total[met], active[met], overshoot)
        active, total = active[~met], total[~met]
    return ends


def _others(problem: Problem, classes: int) -> Index:
    """Return the classes whose boundaries are looked at, (n, m), those of large logits first; targeted: (n, 1)."""
    if problem.targeted:
        return np.full((len(problem.x), 1), -1)
    order: Index = np.argsort(-without(problem.logits_of_x, problem.y), axis=1, kind="stable")
    return order[:, : min(classes, problem.classes) - 1]


def _step(problem: Problem, current: Array, active: Index, others: Index, norm: str) -> Array:
    """Return the step to the nearest linearised boundary, the shape of current; others has a row a sample."""
    gaps: list[NDArray[np.float64]] = []

    def cotangents(logits: Logits, part: slice) -> NDArray[np.float64]:
        chosen = active[part]
        at = np.arange(len(chosen))
        if problem.targeted:
            gaps.append(problem.margin(logits, chosen)[:, np.newaxis])
            return problem.margin_ascent(logits, chosen)[:, np.newaxis]
        label, ranks = problem.y[chosen], others[part]
        gaps.append(np.take_along_axis(logits, ranks, axis=1) - logits[at, label][:, np.newaxis])
        ascent = np.zeros((len(chosen), ranks.shape[1], logits.shape[1]))
        np.put_along_axis(ascent, ranks[:, :, np.newaxis], 1.0, axis=2)
        ascent[at, :, label] = -1.0
        return ascent

    found = problem.jacobian(current, active, cotangents, others.shape[1])
    lower, upper = problem.region.lower[active], problem.region.upper[active]
    up, down = (current < upper)[:, np.newaxis], (current > lower)[:, np.newaxis]
    free = np.where(found.ascent > 0, up, down)
    slopes = (found.ascent * free).reshape(len(active), others.shape[1], -1)
    size = np.abs(slopes).sum(axis=2) if norm == "linf" else np.sqrt(np.einsum("njd,njd->nj", slopes, slopes))
    gap = np.abs(np.concatenate(gaps))
    distance = np.full(gap.shape, np.inf)
    np.divide(gap, size, out=distance, where=size > 0)
    nearest = distance.argmin(axis=1)
    at = np.arange(len(active))
    far, slope, length = distance[at, nearest], slopes[at, nearest], size[at, nearest]
    far[~np.isfinite(far)] = 0.0
    length = np.maximum(length, np.finfo(slope.dtype).tiny)
    direction = np.sign(slope) if norm == "linf" else slope / length[:, np.newaxis]
    step: Array = (far[:, np.newaxis] * direction).astype(current.dtype)
    return step.reshape(current.shape)


def _pull_back(problem: Problem, total: Array, index: Index, overshoot: float) -> None:
    """Try less overshoot: the linearised boundary is mostly close to the true one by now."""
    affordable = np.isin(index, problem.afford(index))
    index, total = index[affordable], total[affordable]
    if len(index) and overshoot > 0:
        nearer = problem.project(problem.x[index] + (1 + LESS * overshoot) * total, index)
        problem.offer(nearer, problem.logits(nearer, index), index)
