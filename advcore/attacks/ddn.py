"""Decoupled direction and norm (Rony et al. 2019, arXiv 1811.09600)."""

from __future__ import annotations

import math
from typing import Any, Unpack

import numpy as np

from advcore import _check
from advcore._check import Array
from advcore.attacks._arguments import check
from advcore.attacks._boundary import step_past_boundary
from advcore.attacks._lengths import norms, scaled, unit
from advcore.attacks._options import Options
from advcore.attacks._problem import Problem
from advcore.attacks._protocol import run
from advcore.attacks._registry import attack
from advcore.attacks.result import AttackResult

LAST_STEP_SIZE = 0.01


@attack(norm="l2 (minimal)", access="gradient", cost="steps gradients")
def ddn(
    model: Any,
    x: Array,
    y: Array,
    *,
    steps: int = 100,
    gamma: float = 0.05,
    initial_norm: float = 1.0,
    **options: Unpack[Options],
) -> AttackResult:
    """Climb the loss on a sphere around x that shrinks at a success and grows at a failure (algorithm 1).

    ``d <- d + alpha g / ||g||_2``, ``rho <- (1 - gamma) rho`` if x' succeeds, else ``(1 + gamma) rho``, then
    ``x' = clip(x + rho d / ||d||_2)``; alpha falls from 1 to 0.01 along a cosine.

    Parameters
    ----------
    model : object with logits(x) and vjp(x, cotangent), or torch module
    x : float32 or float64 array, (N, ...)
    y : int array, (N,)
        True labels.
    steps : int, at least 1
    gamma : float, in (0, 1)
        What the radius changes by at a step, as a share.
    initial_norm : float, above 0
        The first radius, in the units of x.
    **options
        As for every attack: see Options.

    Returns
    -------
    AttackResult
        The successful iterate of the smallest L2 distance, or x itself. Per sample: one query for the input itself, one
        query and one gradient a step, and what the start takes (see Notes).

    Raises
    ------
    TypeError
        If the model gives no gradients, or an argument is of the wrong type.
    ValueError
        If an argument has a wrong value or shape, x is not finite or outside its bounds, or a target is the label.

    Notes
    -----
    The loss is cross-entropy; its gradient, of length 1 here, is taken up to a positive factor.

    Differs from the paper: the step size is in units of the box's width; a radius never exceeds the distance to the
    farthest corner of the box; examples are rounded only with ``quantize``; up to three steps to the nearest linearised
    boundary come first (9 gradients each, see deepfool), so that no example is further away than theirs.
    """
    steps = _check.integer("steps", steps, minimum=1)
    gamma = _check.real("gamma", gamma, above=0.0, below=1.0)
    initial_norm = _check.real("initial_norm", initial_norm, above=0.0)
    given = check("ddn", model, x, y, options)

    def propose(problem: Problem) -> None:
        step_past_boundary(problem, "l2")
        active = np.arange(len(problem.x))
        origin, current = problem.x, problem.x.copy()
        lower, upper = problem.region.lower, problem.region.upper
        farthest = norms(np.maximum(upper - origin, origin - lower), "l2")
        radius = np.minimum(initial_norm, farthest)
        width = problem.region.bounds[1] - problem.region.bounds[0]
        for step in range(steps):
            affordable = np.isin(active, problem.afford(active, problem.gradient_queries(), 1))
            if not affordable.all():
                active, origin, current = active[affordable], origin[affordable], current[affordable]
                radius, farthest = radius[affordable], farthest[affordable]
            if not len(active):
                return
            found = problem.gradient(current, active, "cross_entropy")
            met = problem.offer(current, found.logits, active)
            alpha = LAST_STEP_SIZE + (1 - LAST_STEP_SIZE) * (1 + math.cos(math.pi * step / steps)) / 2
            direction = unit(found.ascent)
            direction *= direction.dtype.type(alpha * width)
            direction += current
            direction -= origin
            radius = np.minimum(radius * np.where(met, 1 - gamma, 1 + gamma), farthest)
            direction = scaled(unit(direction), radius)
            current = problem.project(origin + direction, active)

    return run(propose, given, minimise="l2")
