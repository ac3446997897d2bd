"""The searches around the descents: for the constant (L2), the bound of the entries (Linf), the entries (L0)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advcore._check import Array
from advcore.attacks._boundary import step_past_boundary
from advcore.attacks._ledger import Index
from advcore.attacks._penalty import Enough, Penalty, Settings, Values, descend
from advcore.attacks._problem import Problem
from advcore.attacks.result import distance, rows

GROWTH = 10.0  # of a constant that fails
LARGEST_L2, LARGEST_LINF, LARGEST_L0 = 1e10, 20.0, 2e6
SHRINK = 0.9  # of the bound tau, after a success
CLOSE = 0.005  # share of tau at which the search for it ends
EXCESS = 1e-4  # of the constant: how much of the entries beyond tau may be left in a success
DROPPED = 0.2  # of the entries that may change, after a success


def l2(problem: Problem, settings: Settings) -> None:
    """Look for each sample's constant: grow it until there is a success, then bisect."""
    if settings.kappa == 0:
        step_past_boundary(problem, "l2")
    everyone = np.arange(len(problem.x))
    constant = np.full(len(everyone), settings.initial_c)
    failed, succeeded = np.zeros(len(everyone)), np.full(len(everyone), np.inf)
    for _ in range(settings.search_steps):
        met, _ = descend(problem, everyone, constant, settings)
        succeeded = np.where(met, constant, succeeded)
        failed = np.where(met, failed, constant)
        larger = np.minimum(GROWTH * constant, LARGEST_L2)
        constant = np.where(np.isfinite(succeeded), (failed + succeeded) / 2, larger)


def linf(problem: Problem, settings: Settings) -> None:
    """Lower each sample's bound tau by a tenth after each success; once it fails for every constant, bisect it."""
    if settings.kappa == 0:
        step_past_boundary(problem, "linf")
    low, high = problem.region.bounds
    start, count = problem.best.examples.copy(), len(problem.x)
    failed, succeeded = np.zeros(count), np.where(problem.best.met, problem.best.distance, high - low)
    tau = np.where(problem.best.met, SHRINK, 1.0) * succeeded
    constant = np.full(count, settings.initial_c)
    active = np.arange(count)
    while len(active):
        penalty, enough = _beyond(tau, constant)
        met, ends = descend(problem, active, constant, settings, penalty, start=start, enough=enough)
        won, lost = active[met[active]], active[~met[active]]
        start[won] = ends[won]
        reached = distance(ends[won], problem.x[won], "linf")
        succeeded[won] = np.minimum(tau[won], reached)
        given_up = lost[constant[lost] >= LARGEST_LINF]
        failed[given_up] = tau[given_up]
        constant[lost] = np.minimum(GROWTH * constant[lost], LARGEST_LINF)
        constant[given_up] = settings.initial_c
        changed = np.concatenate([won, given_up])
        tau[changed] = np.maximum(SHRINK * succeeded[changed], (failed[changed] + succeeded[changed]) / 2)
        done = (succeeded - failed <= CLOSE * succeeded) | (tau < (high - low) / 256)
        active = active[~done[active]]
        active = problem.afford(active, problem.gradient_queries(), 1)


def _beyond(tau: Values, constant: Values) -> tuple[Penalty, Enough]:
    """Return the penalty on what is beyond tau, and what says that little enough of it is left."""

    def column(index: Index, step: Array) -> Array:
        return tau[index].astype(step.dtype).reshape(-1, *[1] * (step.ndim - 1))

    def value(step: Array, index: Index) -> Values:
        excess = rows(np.maximum(np.abs(step) - column(index, step), 0)).sum(axis=1)
        return np.asarray(excess, np.float64)

    def gradient(step: Array, index: Index) -> Array:
        return np.sign(step) * (np.abs(step) > column(index, step))

    def enough(step: Array, index: Index) -> NDArray[np.bool_]:
        return value(step, index) <= EXCESS * constant[index]

    return Penalty(value, gradient), enough


def l0(problem: Problem, settings: Settings) -> None:
    """Drop the entries that matter least, a fifth at a time; where that fails, half as many as were tried."""
    count = len(problem.x)
    allowed = np.ones(problem.x.shape, np.bool_) if problem.region.mask is None else problem.region.mask.copy()
    fewer, start = allowed.copy(), problem.x.copy()
    worth = np.full(rows(problem.x).shape, np.inf)  # of the entries at the last success
    share = np.full(count, DROPPED)
    constant = np.full(count, settings.initial_c)
    base = constant.copy()
    active = np.arange(count)
    while len(active):
        met, ends = descend(
            problem,
            active,
            constant,
            settings,
            start=start,
            allowed=fewer,
            enough=_any_success,
        )
        won, lost = active[met[active]], active[~met[active]]
        base[won] = constant[won]
        start[won] = ends[won]
        allowed[won] = fewer[won] & (ends[won] != problem.x[won])
        won = problem.afford(won, problem.gradient_queries(), 1)
        worth[won] = _worth(problem, ends[won], won)
        tried = rows(allowed).sum(axis=1) - rows(fewer).sum(axis=1)
        given_up = lost[constant[lost] >= LARGEST_L0]
        constant[lost] = np.minimum(GROWTH * constant[lost], LARGEST_L0)
        constant[given_up] = base[given_up]
        share[given_up] /= 2
        hopeless = given_up[tried[given_up] <= 1]  # not even one entry less, or never a success
        changed = np.setdiff1d(np.concatenate([won, given_up]), hopeless)
        fewer[changed] = _without_least(allowed[changed], worth[changed], share[changed])
        going = np.setdiff1d(np.concatenate([changed, np.setdiff1d(lost, given_up)]), hopeless)
        going = going[rows(fewer[going]).any(axis=1)]
        active = problem.afford(going, problem.gradient_queries(), 1)


def _any_success(step: Array, index: Index) -> NDArray[np.bool_]:
    return np.ones(len(step), np.bool_)


def _worth(problem: Problem, examples: Array, index: Index) -> Values:
    """Return ``|g_i| |x'_i - x_i|``, (B, d), what each entry does for the margin; its gradient is g."""
    if not len(index):
        return np.zeros((0, rows(problem.x).shape[1]))
    found = problem.vjp(examples, index, lambda logits, part: problem.margin_ascent(logits, index[part]))
    worth = np.abs(rows(found.ascent) * rows(examples - problem.x[index]))
    return np.asarray(worth, np.float64)


def _without_least(allowed: NDArray[np.bool_], worth: Values, share: Values) -> NDArray[np.bool_]:
    """Return the allowed entries, (B, ...), without the least worthy share of each sample, at least one."""
    flat = rows(allowed)
    drop = np.maximum(1, (share * flat.sum(axis=1)).astype(np.int64))
    order = np.argsort(np.where(flat, worth, np.inf), axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(flat.shape[1])[np.newaxis], axis=1)
    return np.asarray((flat & (ranks >= drop[:, np.newaxis])).reshape(allowed.shape), np.bool_)
