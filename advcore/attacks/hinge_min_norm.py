"""The minimum-norm attack on binary classifiers, with a hinge as penalty and a constant a sample."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from advcore import _check, _core
from advcore._check import Array
from advcore.attacks._arguments import check
from advcore.attacks._boundary import step_past_boundary
from advcore.attacks._hinge import hinge, weighted_slope
from advcore.attacks._options import Options
from advcore.attacks._problem import Problem
from advcore.attacks._protocol import run
from advcore.attacks._registry import attack
from advcore.attacks.result import AttackResult, distance

BETA1, BETA2, TINY = 0.9, 0.999, 1e-8  # Adam's usual numbers
LARGEST_CONSTANT = 1e10
LOGGED = ("c", "distance", "hinge", "objective", "score", "success")


@attack(norm="l2 (minimal)", access="gradient", cost="search_steps x steps gradients", targeting="untargeted, targeted")
def hinge_min_norm(
    model: Any,
    x: Array,
    y: Array,
    *,
    steps: int = 100,
    learning_rate: float = 0.05,
    initial_c: float = 0.1,
    search_steps: int = 9,
    kappa: float = 0.0,
    **options: Unpack[Options],
) -> AttackResult:
    """Look for the nearest example on the other side: ``min_z ||x - z||_2^2 + c max(0, t f(z) + kappa)``.

    f is the classifier's one output, or the difference ``z_1 - z_0`` of its two; t is 1 for label 1 and -1 for label 0.
    z is a success where ``t f(z) < 0``, strictly. In a batch the objective is the sum over the samples, each with a c
    of its own.

    Parameters
    ----------
    model : object with logits(x) and vjp(x, cotangent), or torch module
        Its output has shape (N, 1), (N,) or (N, 2).
    x : float32 or float64 array, (N, ...)
    y : int array, (N,)
        True labels, 0 or 1.
    steps : int, at least 1
        Of Adam, for each constant.
    learning_rate : float, above 0
        The first step's, in units of the box's width; it falls along a cosine to a thousandth.
    initial_c : float, above 0
        The first constant.
    search_steps : int, at least 1
        Constants that are tried for each sample: after a failure ten times the last one, then bisection between the
        largest that failed and the smallest that succeeded. Each starts anew from x.
    kappa : float, at least 0
        How far past the boundary the penalty still pulls. (A success needs no more than ``t f(z) < 0``.)
    **options
        As for every attack: see Options.

    Returns
    -------
    AttackResult
        The successful iterate of the smallest L2 distance, or x itself. ``log`` has an entry an iteration
        (search_steps x steps of them, NaN where a sample took no part; 24 bytes each): "c", "distance"
        (``||x - z||_2^2``), "hinge", "objective", "score" (t f(z)) and "success" (0 or 1). Per sample: one query for
        the input itself, one query and one gradient a step, and up to three more of both for the start (see Notes).

    Raises
    ------
    TypeError
        If the model gives no gradients, or an argument is of the wrong type.
    ValueError
        If an argument has a wrong value or shape, x is not finite or outside its bounds, a target is the label, or the
        model has more than two outputs.

    Notes
    -----
    z is clipped to the box after every step. Up to three steps to the linearised boundary (see deepfool) come first, so
    that no example is further away than theirs.
    """
    steps = _check.integer("steps", steps, minimum=1)
    learning_rate = _check.real("learning_rate", learning_rate, above=0.0)
    first_c = _check.real("initial_c", initial_c, above=0.0)
    constants = _check.integer("search_steps", search_steps, minimum=1)
    kappa = _check.real("kappa", kappa, minimum=0.0)
    given = check("hinge_min_norm", model, x, y, options, binary=True)
    log = {key: np.full((len(given.x), constants * steps), np.nan, np.float32) for key in LOGGED}

    def descend(problem: Problem, constant: NDArray[np.float64], first: int) -> NDArray[np.bool_]:
        """Minimise the objective from x with one constant a sample; return who succeeded on the way."""
        active = np.arange(len(problem.x))
        met = np.zeros(len(active), np.bool_)
        origin, current = problem.x, problem.x.copy()
        mean, square = np.zeros_like(current), np.zeros_like(current)
        rate = learning_rate * (problem.region.bounds[1] - problem.region.bounds[0])
        for step in range(steps):
            affordable = np.isin(active, problem.afford(active, problem.gradient_queries(), 1))
            if not affordable.all():
                active, origin, current = active[affordable], origin[affordable], current[affordable]
                mean, square = mean[affordable], square[affordable]
            if not len(active):
                break
            found = problem.vjp(current, active, weighted_slope(problem, active, constant, kappa))
            hit = problem.offer(current, found.logits, active)
            met[active[hit]] = True
            far = distance(current, origin, "l2") ** 2
            penalty = hinge(problem, found.logits, active, kappa)
            values = (
                constant[active],
                far,
                penalty,
                far + constant[active] * penalty,
                -problem.margin(found.logits, active),
                hit,
            )
            for key, value in zip(LOGGED, values, strict=True):
                log[key][problem.owners[active], first + step] = value
            gradient = 2 * (current - origin) + found.ascent
            fall = 0.001 + 0.999 * (1 + math.cos(math.pi * step / steps)) / 2
            corrected = rate * fall / (1 - BETA1 ** (step + 1))
            correction = math.sqrt(1 - BETA2 ** (step + 1))
            _core.adam_update(current, gradient, mean, square, corrected, BETA1, BETA2, TINY, correction, 0.0)
            current = problem.project(current, active)
        return met

    def propose(problem: Problem) -> None:
        step_past_boundary(problem, "l2")
        count = len(problem.x)
        constant = np.full(count, first_c)
        failed, succeeded = np.zeros(count), np.full(count, np.inf)
        for attempt in range(constants):
            met = descend(problem, constant, attempt * steps)
            succeeded = np.where(met, constant, succeeded)
            failed = np.where(met, failed, constant)
            larger = np.minimum(10 * constant, LARGEST_CONSTANT)
            constant = np.where(np.isfinite(succeeded), (failed + succeeded) / 2, larger)

    return replace(run(propose, given, minimise="l2"), log=log)
