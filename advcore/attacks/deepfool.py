"""DeepFool (Moosavi-Dezfooli, Fawzi, Frossard 2016, arXiv 1511.04599)."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from advcore import _check
from advcore._check import Array
from advcore.attacks._arguments import check
from advcore.attacks._ledger import Index
from advcore.attacks._losses import Logits, without
from advcore.attacks._options import Options
from advcore.attacks._problem import Problem
from advcore.attacks._protocol import run
from advcore.attacks._registry import attack
from advcore.attacks.result import AttackResult

LESS = 0.1  # of the overshoot, tried once at the end


@attack(norm="l2, linf (minimal)", access="gradient", cost="up to steps x (classes - 1) gradients; targeted: steps")
def deepfool(
    model: Any,
    x: Array,
    y: Array,
    *,
    norm: str = "l2",
    steps: int = 50,
    overshoot: float = 0.02,
    classes: int = 10,
    **options: Unpack[Options],
) -> AttackResult:
    """Step to the nearest linearised decision boundary until the class changes (algorithm 2, equation 9; Linf: 11, 12).

    With ``f_k = z_k - z_y`` and its gradient w_k, the nearest boundary is that of the k with the least
    ``|f_k| / ||w_k||_q``; q is 2, for Linf 1. The step is ``r = |f_k| / ||w_k||_2^2 w_k``, for Linf
    ``|f_k| / ||w_k||_1 sign(w_k)``, and the example ``x + (1 + overshoot) sum r``, clipped to the box.

    Parameters
    ----------
    model : object with logits(x) and vjp(x, cotangent), or torch module
    x : float32 or float64 array, (N, ...)
    y : int array, (N,)
        True labels.
    norm : "l2" or "linf"
        The distance to keep small.
    steps : int, at least 1
    overshoot : float, at least 0
        How far past the linearised boundary, as a share of the perturbation.
    classes : int, at least 2
        The label and the other classes of the largest logits at x, whose boundaries are looked at.
    **options
        As for every attack: see Options.

    Returns
    -------
    AttackResult
        Per sample: one query for the input itself; a step takes ``classes - 1`` gradients, at a query each where the
        model answers both together; one query after every step, and one at the end.

    Raises
    ------
    TypeError
        If the model gives no gradients, or an argument is of the wrong type.
    ValueError
        If an argument has a wrong value or shape, x is not finite or outside its bounds, or a target is the label.

    Notes
    -----
    Differs from the paper: with targets, the boundary is that between the target and the best other class. Entries that
    the box or the mask holds do not move, and what they cannot do the others do. After a success a tenth of the
    overshoot is tried too, for one query.
    """
    norm = _check.choice("norm", norm, ("l2", "linf"))
    steps = _check.integer("steps", steps, minimum=1)
    overshoot = _check.real("overshoot", overshoot, minimum=0.0)
    classes = _check.integer("classes", classes, minimum=2)
    given = check("deepfool", model, x, y, options, batch_size=64)

    def propose(problem: Problem) -> None:
        active = np.arange(len(problem.x))
        others = _others(problem, classes)
        count = others.shape[1]
        total = np.zeros_like(problem.x)
        current = problem.x
        for _ in range(steps):
            affordable = np.isin(active, problem.afford(active, problem.gradient_queries(count) + 1, count))
            active, current, total = active[affordable], current[affordable], total[affordable]
            if not len(active):
                return
            origin = problem.x[active]
            total += _step(problem, current, active, others[active], norm)
            total = problem.project(origin + total, active) - origin
            current = problem.project(origin + (1 + overshoot) * total, active)
            met = problem.offer(current, problem.logits(current, active), active)
            _pull_back(problem, total[met], active[met], overshoot)
            active, current, total = active[~met], current[~met], total[~met]

    return run(propose, given, minimise=norm)


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
