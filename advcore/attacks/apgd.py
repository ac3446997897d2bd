"""Auto-PGD (Croce, Hein 2020, arXiv 2003.01690; in L1: Croce, Hein 2021, arXiv 2103.01208)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Unpack

import numpy as np

from advcore import _check
from advcore._check import Array
from advcore.attacks._arguments import check
from advcore.attacks._ledger import Index
from advcore.attacks._losses import LOSSES, Values
from advcore.attacks._options import Options
from advcore.attacks._problem import Problem
from advcore.attacks._protocol import run
from advcore.attacks._registry import attack
from advcore.attacks._steps import direction, random_start, sparse_direction
from advcore.attacks.result import AttackResult, rows

MOMENTUM = 0.75
RISES = 0.75  # the share of the steps that must raise the loss
FIRST, SHRINK, LEAST = 0.22, 0.03, 0.06  # of the steps: distances between checkpoints
L1_SHARE = 0.2  # of the features: the first steps in L1
L1_SLOWDOWN, L1_LEAST, L1_STABLE = 1.5, 0.1, 0.95


@attack(norm="linf, l2, l1", access="gradient", cost="steps x restarts x target_classes gradients, less at a success")
def apgd(
    model: Any,
    x: Array,
    y: Array,
    *,
    eps: float,
    norm: str = "linf",
    steps: int = 100,
    restarts: int = 1,
    loss: str = "cross_entropy",
    target_classes: int = 0,
    early_stop: bool = True,
    **options: Unpack[Options],
) -> AttackResult:
    """Climb the loss by steps with momentum, of a size that adapts to the progress of each sample (algorithm 1).

    ``z = project(x_k + s d); x_{k+1} = project(x_k + .75 (z - x_k) + .25 (x_k - x_{k-1}))``, d as pgd's. s starts at
    2 eps. At checkpoints it is halved, and the search resumes at the best point so far, where fewer than .75 of the
    steps since the last checkpoint raised the loss, or where neither s nor the best loss has changed since.

    Parameters
    ----------
    model : object with logits(x) and vjp(x, cotangent), or torch module
    x : float32 or float64 array, (N, ...)
    y : int array, (N,)
        True labels.
    eps : float, at least 0
        The budget, in the units of x.
    norm : "linf", "l2" or "l1"
        Of the budget and of the step. In L1 a step moves some of the features, fewer as the best perturbation becomes
        sparser, without momentum, from a size of eps.
    steps : int, at least 1
        Gradients a run.
    restarts : int, at least 1
        Runs from different random starts on the budget's surface.
    loss : "cross_entropy", "dlr", "margin", "hinge" or "saturating_cross_entropy"
        What is climbed; "dlr" is ``-(z_y - max_{i != y} z_i) / (z_p1 - z_p3)``, p sorting the logits in descending
        order, which rescaling the logits does not change. See Notes for the loss where its gradient is of no use.
    target_classes : int, at least 0
        Aim at so many classes one after the other, the likeliest first, until the label is left (0: at none). "dlr" is
        then ``-(z_y - z_t) / (z_p1 - (z_p3 + z_p4) / 2)``: with 9, the attack APGD-T. Models of three classes get the
        untargeted dlr, of two the margin. With ``targets`` the only class aimed at is theirs.
    early_stop : bool
        A sample is done at its first success. Otherwise all runs end, and the largest margin is the result.
    **options
        As for every attack: see Options.

    Returns
    -------
    AttackResult
        Per sample: one query for the input itself; per run one query and one gradient a step, and one query at its end.
        ``losses`` says what has been climbed.

    Raises
    ------
    TypeError
        If the model gives no gradients, or an argument is of the wrong type.
    ValueError
        If an argument has a wrong value or shape, x is not finite or outside its bounds, or a target is the label.

    Notes
    -----
    Differs from the paper: "steps" counts gradients, the one at the start among them; a sample stops at its first
    success; cross-entropy is the log odds against the label, of the same direction and rank, which do not saturate;
    where no gradient was usable, the margin is climbed. In L1 the budget is not widened at first.
    """
    eps = _check.real("eps", eps, minimum=0.0)
    norm = _check.choice("norm", norm, ("linf", "l2", "l1"))
    steps = _check.integer("steps", steps, minimum=1)
    restarts = _check.integer("restarts", restarts, minimum=1)
    loss = _check.choice("loss", loss, tuple(LOSSES))
    count = _check.integer("target_classes", target_classes, minimum=0)
    early_stop = _check.flag("early_stop", early_stop)
    given = check("apgd", model, x, y, options)

    def propose(problem: Problem) -> None:
        active = np.arange(len(problem.x))
        plain = loss == "dlr" and problem.classes < 4
        aims = [None] if problem.targeted or not count or plain else list(likeliest(problem, count))
        for restart in range(restarts):  # the outer loop: more of them begin with all that fewer do
            for number, aim in enumerate(aims):
                start = random_start(problem, active, restart * len(aims) + number, on_sphere=True)
                towards = None if aim is None else aim[active]
                active = _climb(problem, active, start, steps, loss, towards, early_stop)
                if not len(active):
                    return

    return run(propose, given, norm=norm, eps=eps)


def likeliest(problem: Problem, count: int) -> Iterator[Index]:
    """Return wrong classes of every sample, by descending logit: first of all samples the likeliest, and so on."""
    logits = problem.logits_of_x.copy()
    logits[np.arange(len(logits)), problem.y] = -np.inf
    order = np.argsort(-logits, axis=1, kind="stable")
    return (order[:, rank] for rank in range(min(count, problem.classes - 1)))


def checkpoints(steps: int) -> frozenset[int]:
    """Return the numbers of the steps after which the step size is reconsidered."""
    places, last, place = [], 0.0, FIRST
    while place <= 1 + 1e-9:
        places.append(math.ceil(place * steps - 1e-9))
        last, place = place, place + max(place - last - SHRINK, LEAST)
    return frozenset(places)


class _Runs:
    """The state of one run of each sample that is still in it, a row each."""

    def __init__(self, problem: Problem, index: Index, x: Array, towards: Index | None) -> None:
        count, eps = len(index), problem.region.eps
        self.index, self.towards = index, towards
        self.x = self.previous = x
        self.ascent = np.zeros_like(x)
        self.best, self.best_ascent = x.copy(), np.zeros_like(x)
        self.value, self.best_value = np.full(count, np.inf), np.full(count, -np.inf)
        self.rises = np.zeros(count)  # since the last checkpoint
        self.size = np.full(count, eps if problem.region.norm == "l1" else 2 * eps)
        self.halved = np.zeros(count, np.bool_)  # at the last checkpoint
        self.checked_value = np.full(count, np.inf)
        features = float(np.prod(x.shape[1:]))
        self.features, self.moved = L1_SHARE * features * np.ones(count), np.full(count, features)

    def keep(self, going: Array) -> None:
        """Drop the samples that are not going on."""
        if not going.all():
            for name, values in vars(self).items():
                if values is not None:
                    setattr(self, name, values[going])

    def note(self, ascent: Array, values: Values) -> None:
        """Take in the gradient and the loss of the iterate."""
        first = np.isneginf(self.best_value)
        self.checked_value[first] = values[first]  # the first checkpoint looks back to where the run began
        self.ascent = ascent
        self.rises += values > self.value
        self.value = values
        better = values > self.best_value
        self.best[better], self.best_ascent[better] = self.x[better], ascent[better]
        self.best_value[better] = values[better]

    def check(self, taken: int) -> None:
        """Halve the steps that stopped making progress in the last ``taken`` ones, and go back to the best point."""
        stuck = ~self.halved & (self.checked_value >= self.best_value)
        self.halved = (self.rises < RISES * taken) | stuck
        self.size[self.halved] /= 2
        self._resume(self.halved)

    def check_sparse(self, problem: Problem) -> None:
        """Adapt the number of features that a step moves to the best perturbation; start anew where it became sparser.

        Elsewhere the step shrinks (arXiv 2103.01208, section 3.3).
        """
        eps = problem.region.eps
        moved = np.count_nonzero(rows(self.best != problem.x[self.index]), axis=1).astype(np.float64)
        sparser = moved < L1_STABLE * self.moved
        self.features, self.moved = moved / L1_SLOWDOWN, moved
        self.size = np.where(sparser, eps, np.maximum(self.size / L1_SLOWDOWN, L1_LEAST * eps))
        self._resume(sparser)

    def _resume(self, which: Array) -> None:
        self.x = np.where(_each(which, self.x), self.best, self.x)
        self.ascent = np.where(_each(which, self.x), self.best_ascent, self.ascent)
        self.rises = np.zeros(len(which))
        self.checked_value = self.best_value.copy()

    def step(self, problem: Problem, first: bool) -> None:
        """Move to the next iterate."""
        norm, index = str(problem.region.norm), self.index
        if norm == "linf":
            past = None if first else self.previous
            ahead = problem.region.signed_step(self.x, self.ascent, self.size, index, past, MOMENTUM)
            self.previous, self.x = self.x, ahead
            return
        size = _each(self.size.astype(self.x.dtype), self.x)
        if norm == "l1":
            moved = sparse_direction(self.ascent, self.x, problem, index, self.features)
            self.x = problem.project(self.x + size * moved, index)
            return
        ahead = problem.project(self.x + size * direction(self.ascent, norm), index)
        if not first:
            past = self.x - self.previous
            ahead -= self.x
            ahead *= MOMENTUM
            past *= 1 - MOMENTUM
            ahead += past
            ahead = problem.project(ahead + self.x, index)
        self.previous, self.x = self.x, ahead


def _climb(
    problem: Problem, index: Index, start: Array, steps: int, loss: str, towards: Index | None, early_stop: bool
) -> Index:
    """Run the attack once; return the samples to go on with."""
    runs = _Runs(problem, index, start, towards)
    checks, last = checkpoints(steps), 0
    going = np.ones(len(index), np.bool_)  # of all samples, whether to go on
    for taken in range(steps + 1):
        queries, gradients = (problem.gradient_queries(), 1) if taken < steps else (1, 0)
        affordable = np.isin(runs.index, problem.afford(runs.index, queries, gradients))
        going[np.isin(index, runs.index[~affordable])] = False
        runs.keep(affordable)
        if not len(runs.index):
            break
        if taken == steps:
            met = problem.offer(runs.x, problem.logits(runs.x, runs.index), runs.index)
            going[np.isin(index, runs.index[met & early_stop])] = False
            break
        gradient = problem.gradient(runs.x, runs.index, loss, runs.towards)
        done = problem.offer(runs.x, gradient.logits, runs.index) & early_stop
        assert gradient.values is not None  # the loss has a name
        runs.note(gradient.ascent, gradient.values)
        going[np.isin(index, runs.index[done])] = False
        runs.keep(~done)
        if not len(runs.index):
            break
        if taken in checks:
            if problem.region.norm == "l1":
                runs.check_sparse(problem)
            else:
                runs.check(taken - last)
            last = taken
        runs.step(problem, taken == 0)
    return index[going]


def _each(values: Array, x: Array) -> Array:
    """Give values, (B,), the axes of x."""
    return values.reshape(-1, *[1] * (x.ndim - 1))
