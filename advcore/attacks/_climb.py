"""Projected gradient steps, the loop behind pgd and bim."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from advcore._check import Array
from advcore.attacks._aims import FAR, Aims
from advcore.attacks._ledger import Index
from advcore.attacks._lengths import scaled
from advcore.attacks._problem import Gradient, Problem
from advcore.attacks._steps import direction, random_start, sparse_direction
from advcore.attacks.result import rows


@dataclass(frozen=True)
class Climb:
    """An algorithm for ``run``: ``x <- project(x + step_size d)``, where d is the steepest step for the loss.

    Attributes
    ----------
    norm : "linf", "l2" or "l1"
    steps : int
    step_size : float
    loss : str
    restarts : int
    random_start : bool
    momentum : float
        See pgd.
    quantile : float
        See pgd.
    early_stop : bool
        A sample is done at its first success.
    keep_last : bool
        The result is the last iterate that succeeded (of all failures the last), not the one of the largest margin.
    turns : bool
        A sample that stands still without a success turns to the other classes, one after the other.
    """

    norm: str
    steps: int
    step_size: float
    loss: str
    restarts: int = 1
    random_start: bool = False
    momentum: float = 0.0
    quantile: float = 0.99
    early_stop: bool = True
    keep_last: bool = False
    turns: bool = False

    def __call__(self, problem: Problem) -> None:
        """Attack all samples of the problem."""
        active = np.arange(len(problem.x))
        aims = Aims(problem, self.norm, self.step_size) if self.turns else None
        moved = np.maximum(np.rint((1 - self.quantile) * _free(problem)), 1.0) if self.norm == "l1" else None
        for restart in range(self.restarts):
            current = random_start(problem, active, restart) if self.random_start else problem.x[active]
            momentum = np.zeros_like(current) if self.momentum else None
            if aims is not None:
                aims.restart()
            for _ in range(self.steps):
                affordable = np.isin(active, problem.afford(active, problem.gradient_queries(), 1))
                if not affordable.all():
                    self._look(problem, current[~affordable], active[~affordable])
                    active, current = active[affordable], current[affordable]
                if not len(active):
                    return
                gradient = self._gradient(problem, current, active, aims)
                going = ~(self._offer(problem, current, gradient.logits, active) & self.early_stop)
                ascent = gradient.ascent
                if not going.all():
                    active, current, ascent = active[going], current[going], ascent[going]
                if not len(active):
                    return
                if momentum is not None:
                    momentum = momentum[affordable][going]
                    if aims is not None:
                        momentum[aims.turned[active]] = 0.0
                    momentum = self.momentum * momentum + _unit_l1(ascent)
                    ascent = momentum
                current = self._step(problem, current, ascent, active, moved, aims)
            active, met = self._look(problem, current, active)
            active = active[~(met & self.early_stop)]
            if not len(active):
                return

    def _gradient(self, problem: Problem, x: Array, index: Index, aims: Aims | None) -> Gradient:
        """Return the gradient of the loss; for samples that aim at a class of their own, of its margin."""
        classes = np.full(len(x), -1) if aims is None else aims.of_samples(index)
        aimed = classes >= 0
        if not aimed.any():
            return problem.gradient(x, index, self.loss)
        found = problem.gradient(x[aimed], index[aimed], "margin", classes[aimed])
        if aimed.all():
            return found
        own = problem.gradient(x[~aimed], index[~aimed], self.loss)
        logits, ascent = np.empty((len(x), problem.classes)), np.empty_like(x)
        informative = np.empty(len(x), np.bool_)
        for part, of in ((aimed, found), (~aimed, own)):
            logits[part], ascent[part], informative[part] = of.logits, of.ascent, of.informative
        return Gradient(logits, ascent, informative)

    def _step(
        self, problem: Problem, x: Array, ascent: Array, index: Index, features: Array | None, aims: Aims | None
    ) -> Array:
        """Return the next iterates: a step on; for who has just turned, the end of the region in the new direction."""
        turned = np.zeros(len(x), np.bool_) if aims is None else aims.turned[index]
        sizes = np.where(turned, FAR * problem.region.eps, self.step_size)
        if self.norm == "linf":
            to = problem.region.signed_step(x, ascent, sizes.astype(x.dtype), index)
        else:
            if features is None:
                step = direction(ascent, self.norm)
            else:
                step = sparse_direction(ascent, x, problem, index, features[index])
                step[turned] = direction(ascent[turned], "l2")
            to = problem.project(x + scaled(step, sizes), index)
        if aims is not None:
            aims.moved(index, x, to, ~problem.best.met[index])
        return to

    def _look(self, problem: Problem, x: Array, index: Index) -> tuple[Index, Array]:
        """Ask about the last iterates of those who can pay for it; return these samples, and who succeeded."""
        paying = np.isin(index, problem.afford(index))
        x, index = x[paying], index[paying]
        return index, self._offer(problem, x, problem.logits(x, index), index) if len(index) else index > 0

    def _offer(self, problem: Problem, x: Array, logits: Array, index: Array) -> Array:
        met = problem.offer(x, logits, index)
        if self.keep_last:
            latest = met | ~problem.best.met[index]
            problem.submit(x[latest], index[latest])
        return met


def _unit_l1(ascent: Array) -> Array:
    """Return each sample's gradient at an L1 length of 1, zero where it is zero."""
    flat = rows(ascent)
    tiny = np.finfo(flat.dtype).tiny
    scaled = flat / np.maximum(np.abs(flat).max(axis=1, initial=0.0), tiny)[:, np.newaxis]
    unit: Array = scaled / np.maximum(np.abs(scaled).sum(axis=1), tiny)[:, np.newaxis]
    return unit.reshape(ascent.shape)


def _free(problem: Problem) -> Array:
    """Return the number of features of each sample that may change."""
    if problem.region.mask is None:
        return np.full(len(problem.x), float(np.prod(problem.x.shape[1:])))
    free: Array = rows(problem.region.mask).sum(axis=1).astype(np.float64)
    return free
