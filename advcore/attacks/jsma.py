"""The Jacobian-based saliency map attack (Papernot et al. 2016, arXiv 1511.07528)."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from advcore import _check
from advcore._check import Array
from advcore.attacks._arguments import check
from advcore.attacks._ledger import Index
from advcore.attacks._losses import Logits
from advcore.attacks._options import Options
from advcore.attacks._problem import Problem
from advcore.attacks._protocol import run
from advcore.attacks._registry import attack
from advcore.attacks.result import AttackResult, rows

LARGEST_TABLE = 2**20  # pairs that are compared at once


@attack(norm="l0 (minimal)", access="gradient", cost="up to gamma x features gradients")
def jsma(
    model: Any,
    x: Array,
    y: Array,
    *,
    theta: float = 1.0,
    gamma: float = 0.1,
    **options: Unpack[Options],
) -> AttackResult:
    """Change the pair of features with the largest saliency, again and again (algorithm 2, equations 8 to 10).

    With a = dz_t/dx and ``b = sum_{j != t} dz_j/dx``, the pair (p, q) has ``a_p + a_q > 0``, ``b_p + b_q < 0`` and the
    largest ``-(a_p + a_q) (b_p + b_q)``; both move by theta. Decreasing (theta < 0) turns the signs of a and b around.
    Features that have reached the box are left out.

    Parameters
    ----------
    model : object with logits(x) and vjp(x, cotangent), or torch module
    x : float32 or float64 array, (N, ...)
    y : int array, (N,)
        True labels.
    theta : float, not 0
        What a feature changes by, in the units of x (for images in [0, 255] take 255); below 0, features decrease.
    gamma : float, in (0, 1]
        The largest share of the features that may change.
    **options
        As for every attack: see Options.

    Returns
    -------
    AttackResult
        Per sample: one query for the input itself; a step takes two gradients, at one query for both where the model
        gives several from one pass (networks, torch modules), else one each, and one query after it. There are at most
        ``gamma d / 2`` steps, d the number of features, and at least one.

    Raises
    ------
    TypeError
        If the model gives no gradients, or an argument is of the wrong type.
    ValueError
        If an argument has a wrong value or shape, x is not finite or outside its bounds, or a target is the label.

    Notes
    -----
    Differs from the paper: without targets, the label's logit falls and the others rise (Wiyatno, Xu 2018,
    arXiv 1808.07945); z are logits, not probabilities; the pair is looked for among the features that at most one other
    feature exceeds in both a and -b, which is the same pair as among all. A sample ends when no pair is salient.
    """
    theta = _check.real("theta", theta)
    if theta == 0:
        raise ValueError("theta must not be 0, got 0")
    gamma = _check.real("gamma", gamma, above=0.0, maximum=1.0)
    given = check("jsma", model, x, y, options)

    def propose(problem: Problem) -> None:
        active = np.arange(len(problem.x))
        current = problem.x
        size = rows(problem.x).shape[1]
        end = rows(problem.region.upper if theta > 0 else problem.region.lower)
        for _ in range(max(int(gamma * size / 2 + 1e-9), 1)):
            affordable = np.isin(active, problem.afford(active, problem.gradient_queries(2) + 1, 2))
            active, current = active[affordable], current[affordable]
            if not len(active):
                return
            found = problem.jacobian(current, active, _label_and_others(problem, active), 2)
            gain, loss = np.moveaxis(found.ascent.reshape(len(active), 2, -1), 1, 0)
            free = rows(current) != end[active]
            sign = np.sign(theta) * (1 if problem.targeted else -1)
            pairs, salient = salient_pairs(sign * gain, -sign * loss, free)
            active, current, pairs = active[salient], current[salient], pairs[salient]
            if not len(active):
                return
            moved = rows(current)
            moved[np.arange(len(active))[:, np.newaxis], pairs] += problem.x.dtype.type(theta)
            current = problem.project(current, active)
            going = ~problem.offer(current, problem.logits(current, active), active)
            active, current = active[going], current[going]

    return run(propose, given, minimise="l0")


def _label_and_others(problem: Problem, active: Index) -> Any:
    """Return the cotangents, (B, 2, K), of the label's (or target's) logit, and of the sum of all others."""

    def cotangents(logits: Logits, part: slice) -> NDArray[np.float64]:
        own = np.zeros(logits.shape)
        own[np.arange(len(logits)), problem.labels[active[part]]] = 1.0
        return np.stack([own, 1.0 - own], axis=1)

    return cotangents


def salient_pairs(a: Array, b: Array, free: NDArray[np.bool_]) -> tuple[Index, NDArray[np.bool_]]:
    """Return each row's pair of free features with the largest ``(a_p + a_q) (b_p + b_q)``, both factors above 0.

    A feature that two others exceed in both a and b is in no best pair: one of the two would do better in its place.
    The others are few.

    Parameters
    ----------
    a, b : float32 or float64 array, (n, d)
    free : bool array, (n, d)

    Returns
    -------
    pairs : int64 array, (n, 2)
        Of equal pairs the one with the largest a_p.
    found : bool array, (n,)
        Whether there is such a pair.
    """
    count = len(a)
    if a.shape[1] < 2:
        return np.zeros((count, 2), np.int64), np.zeros(count, np.bool_)
    a, b = np.where(free, a, -np.inf), np.where(free, b, -np.inf)
    order = np.argsort(-a, axis=1, kind="stable")
    sorted_b = np.take_along_axis(b, order, axis=1)
    largest = np.maximum.accumulate(sorted_b, axis=1)
    runner_up = np.full_like(sorted_b, -np.inf)  # the second largest b up to here
    runner_up[:, 1:] = np.maximum.accumulate(np.minimum(sorted_b[:, 1:], largest[:, :-1]), axis=1)
    candidate = sorted_b > -np.inf
    candidate[:, 2:] &= sorted_b[:, 2:] > runner_up[:, 1:-1]

    width = max(2, int(candidate.sum(axis=1).max(initial=0)))
    first = np.argsort(~candidate, axis=1, kind="stable")[:, :width]
    features = np.take_along_axis(order, first, axis=1)
    taken = np.take_along_axis(candidate, first, axis=1)
    a, b = (np.where(taken, np.take_along_axis(array, features, axis=1), -np.inf) for array in (a, b))
    left, right = np.triu_indices(width, 1)
    best, found = np.zeros(count, np.int64), np.zeros(count, np.bool_)
    most = max(1, LARGEST_TABLE // len(left))
    for part in (slice(start, start + most) for start in range(0, count, most)):
        sum_a, sum_b = (array[part, left] + array[part, right] for array in (a, b))
        both = (sum_a > 0) & (sum_b > 0)
        saliency = np.where(both, sum_a, 0) * np.where(both, sum_b, 0)
        best[part], found[part] = np.where(both, saliency, -1.0).argmax(axis=1), both.any(axis=1)
    at = np.arange(count)
    return np.stack([features[at, left[best]], features[at, right[best]]], axis=1), found
