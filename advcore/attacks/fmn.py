"""Fast minimum-norm attacks (Pintor et al. 2021, arXiv 2102.12827)."""

from __future__ import annotations

import math
from typing import Any, Unpack

import numpy as np

from advcore import _check
from advcore._check import Array
from advcore.attacks._arguments import check
from advcore.attacks._boundary import least_gap, step_past_boundary
from advcore.attacks._lengths import DUAL, into_ball, norms, scaled, unit
from advcore.attacks._options import Options
from advcore.attacks._problem import Problem
from advcore.attacks._protocol import run
from advcore.attacks._registry import attack
from advcore.attacks.result import AttackResult

LAST_GAMMA, LAST_STEP_SIZE = 0.001, 0.01


@attack(norm="l2, linf, l1, l0 (minimal)", access="gradient", cost="steps gradients")
def fmn(
    model: Any,
    x: Array,
    y: Array,
    *,
    norm: str = "l2",
    steps: int = 100,
    gamma: float = 0.05,
    step_size: float = 1.0,
    **options: Unpack[Options],
) -> AttackResult:
    """Climb the margin in a ball around x whose radius follows the decision boundary (algorithm 1).

    ``x' <- clip(x + project(d + alpha g / ||g||_2, eps))``, where d = x' - x. eps shrinks by the share gamma at a
    success and grows by it at a failure; before the first success it is ``||d||_p + |margin| / ||g||_q``, the
    distance to the linearised boundary. alpha and gamma fall along a cosine, to 0.01 ``step_size`` and 0.001.

    Parameters
    ----------
    model : object with logits(x) and vjp(x, cotangent), or torch module
    x : float32 or float64 array, (N, ...)
    y : int array, (N,)
        True labels.
    norm : "l2", "linf", "l1" or "l0"
        The distance p to keep small; q is its dual. L0 starts at eps = 1, and moves by one entry at least.
    steps : int, at least 1
    gamma : float, in (0, 1)
        What the radius changes by at first, as a share.
    step_size : float, above 0
        The first alpha, in units of the box's width.
    **options
        As for every attack: see Options.

    Returns
    -------
    AttackResult
        The successful iterate of the smallest distance, or x itself. Per sample: one query for the input itself, one
        query and one gradient a step, and what the start takes (see Notes).

    Raises
    ------
    TypeError
        If the model gives no gradients, or an argument is of the wrong type.
    ValueError
        If an argument has a wrong value or shape, x is not finite or outside its bounds, or a target is the label.

    Notes
    -----
    Differs from the paper: the step size is in units of the box's width; it starts where up to three steps to the
    nearest linearised boundary lead (9 gradients each, see deepfool; not for L0), not at x or at a given example; until
    the first success, the radius is gamma beyond that boundary, which it would approach for ever from within; the
    boundary is a hundredth of the logits' spread away at least (equal logits lie on it).
    """
    norm = _check.choice("norm", norm, ("l2", "linf", "l1", "l0"))
    steps = _check.integer("steps", steps, minimum=1)
    gamma = _check.real("gamma", gamma, above=0.0, below=1.0)
    step_size = _check.real("step_size", step_size, above=0.0)
    given = check("fmn", model, x, y, options)

    def propose(problem: Problem) -> None:
        active = np.arange(len(problem.x))
        origin = problem.x
        current = origin.copy() if norm == "l0" else step_past_boundary(problem, "linf" if norm == "linf" else "l2")
        lower, upper = problem.region.lower, problem.region.upper
        farthest = norms(np.maximum(upper - origin, origin - lower), norm)
        radius = np.ones(len(active)) if norm == "l0" else np.full(len(active), np.inf)
        width = problem.region.bounds[1] - problem.region.bounds[0]
        for step in range(steps):
            affordable = np.isin(active, problem.afford(active, problem.gradient_queries(), 1))
            if not affordable.all():
                active, origin, current = active[affordable], origin[affordable], current[affordable]
                radius, farthest = radius[affordable], farthest[affordable]
            if not len(active):
                return
            found = problem.gradient(current, active, "margin")
            met = problem.offer(current, found.logits, active)
            delta = current - origin
            fall = (1 + math.cos(math.pi * step / steps)) / 2
            share = LAST_GAMMA + (gamma - LAST_GAMMA) * fall
            smaller, larger = (1 - share) * radius, (1 + share) * radius
            if norm == "l0":
                smaller, larger = np.minimum(np.floor(smaller), radius - 1), np.maximum(np.floor(larger), radius + 1)
            else:
                slope = np.maximum(norms(found.ascent, DUAL[norm]), np.finfo(delta.dtype).tiny)
                gap = np.maximum(np.abs(problem.margin(found.logits, active)), least_gap(found.logits))
                with np.errstate(over="ignore"):  # without a gradient the boundary is nowhere
                    ahead = gap / slope
                boundary = (1 + share) * (norms(delta, norm) + ahead)
                larger = np.where(problem.best.met[active], larger, boundary)
            radius = np.where(met, np.minimum(smaller, problem.best.distance[active]), larger)
            radius = np.clip(radius, 1.0 if norm == "l0" else 0.0, farthest)
            alpha = width * step_size * (LAST_STEP_SIZE + (1 - LAST_STEP_SIZE) * fall)
            direction = scaled(unit(found.ascent), np.full(len(active), alpha))
            direction += delta
            current = problem.project(origin + into_ball(direction, radius, norm), active)

    return run(propose, given, minimise=norm)
