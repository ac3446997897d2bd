"""The way to the nearest decision boundary by linearisation: DeepFool's, and the start of other attacks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advcore._check import Array
from advcore.attacks._ledger import Index
from advcore.attacks._lengths import DUAL, norms, scaled
from advcore.attacks._losses import Logits, without
from advcore.attacks._problem import Problem

PULLS = 3  # queries for the way back to the boundary after a success
LEAST_GAP = 0.01  # of the logits' spread: off the plateaus of logits that come in steps; what is too far is pulled back
BEYOND = 0.002  # how far past where it should be they look, as a share of the perturbation


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
        How far past the linearised boundary, as a share of the perturbation. After a success, up to three
        queries look for the boundary on the line between x and the example.
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
        logits = problem.logits(current, active)
        met = problem.offer(current, logits, active)
        ends[active] = current
        _pull_back(problem, total[met], active[met], overshoot, logits[met])
        active, total = active[~met], total[~met]
    return ends


def least_gap(logits: Logits) -> NDArray[np.float64]:
    """Return what a step to a boundary goes for at least, (n,): equal logits are on it, and to stay is no way past."""
    spread = np.ptp(logits, axis=1)
    return LEAST_GAP * np.where(spread > 0, spread, 1.0)


def _others(problem: Problem, classes: int) -> Index:
    """Return the classes whose boundaries are looked at, (n, m), those of large logits first; targeted: (n, 1)."""
    if problem.targeted:
        return np.full((len(problem.x), 1), -1)
    order: Index = np.argsort(-without(problem.logits_of_x, problem.y), axis=1, kind="stable")
    return order[:, : min(classes, problem.classes) - 1]


def _step(problem: Problem, current: Array, active: Index, others: Index, norm: str) -> Array:
    """Return the step to the nearest linearised boundary, the shape of current; others has a row a sample."""
    at = np.arange(len(active))

    def cotangents(logits: Logits, part: slice) -> NDArray[np.float64]:
        chosen = active[part]
        if problem.targeted:
            return problem.margin_ascent(logits, chosen)[:, np.newaxis]
        at, label, ranks = np.arange(len(chosen)), problem.y[chosen], others[part]
        ascent = np.zeros((len(chosen), ranks.shape[1], logits.shape[1]))
        np.put_along_axis(ascent, ranks[:, :, np.newaxis], 1.0, axis=2)
        ascent[at, :, label] = -1.0
        return ascent

    found = problem.jacobian(current, active, cotangents, others.shape[1])
    if problem.targeted:
        gap = np.abs(problem.margin(found.logits, active))[:, np.newaxis]
    else:
        own = found.logits[at, problem.y[active]][:, np.newaxis]
        gap = np.abs(np.take_along_axis(found.logits, others, axis=1) - own)
    gap = np.maximum(gap, least_gap(found.logits)[:, np.newaxis])
    lower, upper = problem.region.lower[active], problem.region.upper[active]
    up, down = (current < upper)[:, np.newaxis], (current > lower)[:, np.newaxis]
    free = np.where(found.ascent > 0, up, down)
    slopes = (found.ascent * free).reshape(len(active), others.shape[1], -1)
    size = norms(slopes.reshape(-1, slopes.shape[2]), DUAL[norm]).reshape(others.shape)
    distance = np.full(gap.shape, np.inf)
    np.divide(gap, size, out=distance, where=size > 0)
    nearest = distance.argmin(axis=1)
    far, slope, length = distance[at, nearest], slopes[at, nearest], size[at, nearest]
    far[~np.isfinite(far)] = 0.0
    length = np.maximum(length, np.finfo(slope.dtype).tiny)
    direction = np.sign(slope) if norm == "linf" else slope / length[:, np.newaxis]
    step: Array = (far[:, np.newaxis] * direction).astype(current.dtype)
    return step.reshape(current.shape)


def _pull_back(problem: Problem, total: Array, index: Index, overshoot: float, logits: Logits) -> None:
    """Look for the boundary on the line to an example, of these logits, by false position: three queries at most."""
    near, far = np.zeros(len(index)), np.full(len(index), 1 + overshoot)  # no success, and one
    # Neither is negative, but where the model answers at random.
    before = np.maximum(-problem.margin(problem.logits_of_x[index], index), 0)
    past = np.maximum(problem.margin(logits, index), 0)
    for _ in range(PULLS):
        affordable = np.isin(index, problem.afford(index))
        index, total = index[affordable], total[affordable]
        near, far, before, past = (a[affordable] for a in (near, far, before, past))
        if not len(index):
            return
        crossing = near + (far - near) * before / np.maximum(before + past, np.finfo(np.float64).tiny)
        place = np.minimum(crossing + BEYOND * far, (near + far) / 2 + (far - near) / 2.2)
        nearer = problem.project(problem.x[index] + scaled(total, place), index)
        logits = problem.logits(nearer, index)
        met, gap = problem.offer(nearer, logits, index), problem.margin(logits, index)
        near, before = np.where(met, near, place), np.where(met, before, np.maximum(-gap, 0))
        far, past = np.where(met, place, far), np.where(met, np.maximum(gap, 0), past)
