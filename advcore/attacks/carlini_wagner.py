"""The attacks of Carlini and Wagner (2017, arXiv 1608.04644)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from advcore import _check
from advcore._check import Array
from advcore.attacks._arguments import check
from advcore.attacks._boundary import step_past_boundary
from advcore.attacks._ledger import Index
from advcore.attacks._losses import Logits
from advcore.attacks._options import Options
from advcore.attacks._problem import Problem
from advcore.attacks._protocol import run
from advcore.attacks._registry import attack
from advcore.attacks._tanh import TanhAdam
from advcore.attacks.result import AttackResult, l2_norms, rows

LARGEST_CONSTANT = 1e10
ABORT_RATIO = 0.9999


@attack(norm="l2 (minimal)", access="gradient", cost="search_steps x steps gradients, less where it aborts")
def carlini_wagner(
    model: Any,
    x: Array,
    y: Array,
    *,
    steps: int = 10_000,
    learning_rate: float = 1e-2,
    initial_c: float = 1e-3,
    search_steps: int = 9,
    kappa: float = 0.0,
    abort_early: bool = True,
    **options: Unpack[Options],
) -> AttackResult:
    """Look for the nearest adversarial example by gradients: ``min ||x' - x||_2^2 + c f(x')`` (section VI-A).

    ``f = max(z_y - max_{i != y} z_i, -kappa)``; with targets ``f = max(max_{i != t} z_i - z_t, -kappa)`` (f6 of the
    paper). Adam moves w, where ``x' = middle + half tanh(w)`` is inside the box for every w.

    Parameters
    ----------
    model : object with logits(x) and vjp(x, cotangent), or torch module
    x : float32 or float64 array, (N, ...)
    y : int array, (N,)
        True labels.
    steps : int, at least 1
        Of Adam, for each constant.
    learning_rate : float, above 0
        Of Adam, in the units of w.
    initial_c : float, above 0
        The first constant.
    search_steps : int, at least 1
        Constants that are tried for each sample: after a failure ten times the last one, then bisection between the
        largest that failed and the smallest that succeeded. Each starts anew from x.
    kappa : float, at least 0
        How far past the boundary the logits of an example must be.
    abort_early : bool
        Give a constant up where a tenth of the steps lowered the objective by less than 0.01%.
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
    Differs from the paper: attacks are untargeted too; the search for c, the test for an early end and the nearest
    success are a sample's own, where the paper's code ends the whole batch together; up to three steps to the nearest
    linearised boundary come first (9 gradients each, see deepfool), so that no example is further away than theirs.
    """
    settings = Settings(
        _check.integer("steps", steps, minimum=1),
        _check.real("learning_rate", learning_rate, above=0.0),
        _check.real("kappa", kappa, minimum=0.0),
        _check.flag("abort_early", abort_early),
    )
    first_c = _check.real("initial_c", initial_c, above=0.0)
    constants = _check.integer("search_steps", search_steps, minimum=1)
    given = check("carlini_wagner", model, x, y, options)

    def propose(problem: Problem) -> None:
        step_past_boundary(problem, "l2")
        count = len(problem.x)
        constant = np.full(count, first_c)
        failed, succeeded = np.zeros(count), np.full(count, np.inf)
        for _ in range(constants):
            met = _descend(problem, constant, settings)
            succeeded = np.where(met, constant, succeeded)
            failed = np.where(met, failed, constant)
            larger = np.minimum(10 * constant, LARGEST_CONSTANT)
            constant = np.where(np.isfinite(succeeded), (failed + succeeded) / 2, larger)

    return run(propose, given, minimise="l2")


@dataclass(frozen=True)
class Settings:
    """Of one descent, as in carlini_wagner."""

    steps: int
    learning_rate: float
    kappa: float
    abort_early: bool


def _descend(problem: Problem, constant: NDArray[np.float64], settings: Settings) -> NDArray[np.bool_]:
    """Minimise the objective from x with one constant a sample, (n,); return who succeeded on the way, (n,)."""
    active = np.arange(len(problem.x))
    met = np.zeros(len(active), np.bool_)
    last = np.full(len(active), np.inf)
    variables = TanhAdam(problem.x, problem.region, active)
    for step in range(settings.steps):
        affordable = problem.afford(active, problem.gradient_queries(), 1)
        if len(affordable) < len(active):
            variables.keep(np.isin(active, affordable))
            active = affordable
        if not len(active):
            break
        examples = variables.examples()
        slope = weighted_slope(problem, active, constant, settings.kappa)
        found = problem.vjp(examples, active, slope)
        met[active[problem.offer(examples, found.logits, active, kappa=settings.kappa)]] = True
        gradient = examples - variables.origin
        if settings.abort_early and step % math.ceil(settings.steps / 10) == 0:
            distance = l2_norms(rows(gradient).astype(np.float64))
            objective = distance**2 + constant[active] * hinge(problem, found.logits, active, settings.kappa)
            staying = objective <= ABORT_RATIO * last[active]
            last[active] = objective
            variables.keep(staying)
            active, gradient, ascent = active[staying], gradient[staying], found.ascent[staying]
        else:
            ascent = found.ascent
        gradient *= 2
        gradient += ascent
        variables.step(gradient, settings.learning_rate)
    return met


def weighted_slope(
    problem: Problem, index: Index, constant: NDArray[np.float64], kappa: float
) -> Callable[[Logits, slice], Logits]:
    """Return the gradient of ``c f`` for the logits, (B, K), as a function for Problem.vjp."""

    def slope(logits: Logits, part: slice) -> Logits:
        chosen = index[part]
        weight = np.where(problem.margin(logits, chosen) < kappa, -constant[chosen], 0.0)
        return problem.margin_ascent(logits, chosen) * weight[:, np.newaxis]

    return slope


def hinge(problem: Problem, logits: Logits, index: Index, kappa: float) -> NDArray[np.float64]:
    """Return ``f + kappa``: how far the logits are from what is wanted, zero where they are there."""
    return np.maximum(kappa - problem.margin(logits, index), 0.0)
