"""Descents of ``penalty(x' - x) + c f(x')`` in tanh variables, which the attacks of Carlini and Wagner repeat."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advcore._check import Array
from advcore.attacks._hinge import hinge, weighted_slope
from advcore.attacks._ledger import Index
from advcore.attacks._lengths import norms
from advcore.attacks._problem import Problem
from advcore.attacks._tanh import TanhAdam

ABORT_RATIO = 0.9999

Values = NDArray[np.float64]
Enough = Callable[[Array, Index], NDArray[np.bool_]]


@dataclass(frozen=True)
class Settings:
    """Of every descent, as in carlini_wagner."""

    steps: int
    learning_rate: float
    initial_c: float
    search_steps: int
    kappa: float
    abort_early: bool


class Penalty(NamedTuple):
    """What grows with the distance: its values (B,) and gradients, for steps x' - x of the samples index."""

    value: Callable[[Array, Index], Values]
    gradient: Callable[[Array, Index], Array]


SQUARED_L2 = Penalty(lambda step, index: norms(step, "l2") ** 2, lambda step, index: 2 * step)


def descend(
    problem: Problem,
    index: Index,
    constant: Values,
    settings: Settings,
    penalty: Penalty = SQUARED_L2,
    *,
    start: Array | None = None,
    allowed: NDArray[np.bool_] | None = None,
    enough: Enough | None = None,
) -> tuple[NDArray[np.bool_], Array]:
    """Minimise the objective with one constant a sample.

    Parameters
    ----------
    problem : Problem
    index : int64 array, (m,)
        The samples.
    constant : float64 array, (n,)
        Of all samples of the problem.
    settings : Settings
    penalty : Penalty
    start : array, (n, ...), optional
        Where to begin, for all samples of the problem; x unless given.
    allowed : bool array, (n, ...), optional
        Entries that may change, instead of the region's mask.
    enough : callable, optional
        Says for steps x' - x, of some samples, whether a success ends the descent; unless given, none does.

    Returns
    -------
    met : bool array, (n,)
        Who succeeded; with ``enough``, who succeeded well enough.
    ends : array, (n, ...)
        With ``enough``, the examples that did; else x.
    """
    met, ends = np.zeros(len(problem.x), np.bool_), problem.x.copy()
    last = np.full(len(problem.x), np.inf)
    active = index
    begin = problem.x if start is None else start
    variables = TanhAdam(begin[active], problem.region, active, None if allowed is None else allowed[active])
    for step in range(settings.steps):
        affordable = problem.afford(active, problem.gradient_queries(), 1)
        if len(affordable) < len(active):
            variables.keep(np.isin(active, affordable))
            active = affordable
        if not len(active):
            break
        examples = variables.examples()
        found = problem.vjp(examples, active, weighted_slope(problem, active, constant, settings.kappa))
        hit = problem.offer(examples, found.logits, active, kappa=settings.kappa)
        change, staying = examples - variables.origin, np.ones(len(active), np.bool_)
        if enough is not None:
            hit &= enough(change, active)
            ends[active[hit]] = examples[hit]
            staying = ~hit
        met[active[hit]] = True
        if settings.abort_early and step % math.ceil(settings.steps / 10) == 0:
            objective = penalty.value(change, active)
            objective += constant[active] * hinge(problem, found.logits, active, settings.kappa)
            staying &= objective <= ABORT_RATIO * last[active]
            last[active] = objective
        ascent = found.ascent
        if not staying.all():
            variables.keep(staying)
            active, change, ascent = active[staying], change[staying], ascent[staying]
        gradient = penalty.gradient(change, active)
        gradient += ascent
        variables.step(gradient, settings.learning_rate)
    return met, ends
