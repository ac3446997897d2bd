"""The fast adaptive boundary attack (Croce, Hein 2020, arXiv 1907.02044)."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from advcore import _check, _random
from advcore._check import Array
from advcore.attacks._arguments import check
from advcore.attacks._boundary import least_gap
from advcore.attacks._ledger import Index
from advcore.attacks._lengths import norms
from advcore.attacks._losses import Logits
from advcore.attacks._options import Options
from advcore.attacks._plane import biased_move
from advcore.attacks._problem import Problem
from advcore.attacks._protocol import run
from advcore.attacks._registry import attack
from advcore.attacks.apgd import likeliest
from advcore.attacks.result import AttackResult, distance, rows

DUAL = {"linf": "l1", "l2": "l2", "l1": "linf"}
RADII = {"linf": 0.3, "l2": 1.0, "l1": 5.0}  # of restarts, in widths of the box, where nothing better is known


@attack(
    norm="linf, l2, l1 (minimal)",
    access="gradient",
    cost="steps x restarts x (classes - 1 or target_classes) gradients",
)
def fab(
    model: Any,
    x: Array,
    y: Array,
    *,
    norm: str = "linf",
    eps: float | None = None,
    steps: int = 100,
    restarts: int = 1,
    target_classes: int = 0,
    alpha_max: float = 0.1,
    eta: float = 1.05,
    beta: float = 0.9,
    early_stop: bool = True,
    **options: Unpack[Options],
) -> AttackResult:
    """Look for the nearest adversarial example by projections onto linearised decision boundaries (algorithm 1).

    The boundary of class s, the nearest one in the linearisation at x_i, is a plane. With the shortest steps d, d0 to
    it in the box, from x_i and from the input x_0: ``x_{i+1} = clip((1 - a)(x_i + eta d) + a (x_0 + eta d0))``,
    ``a = min(||d|| / (||d|| + ||d0||), alpha_max)``. After a success the search goes back to
    ``x_0 + beta (x_{i+1} - x_0)``.

    Parameters
    ----------
    model : object with logits(x) and vjp(x, cotangent), or torch module
    x : float32 or float64 array, (N, ...)
    y : int array, (N,)
        True labels.
    norm : "linf", "l2" or "l1"
        What is kept small.
    eps : float, at least 0, optional
        A budget, in the units of x: only examples within it are a success. Restarts begin at half of it.
    steps : int, at least 1
        Of a run.
    restarts : int, at least 1
        Runs; the first starts at x, the others at random, half as far away as the best example yet (or as eps).
    target_classes : int, at least 0
        Consider the boundaries of so many classes one after the other, the likeliest first (FAB-T); 0: of all classes
        together, at a gradient for each. With ``targets``, the boundary of theirs.
    alpha_max : float, in [0, 1]
        The largest pull towards the input.
    eta : float, at least 1
        Overshoot.
    beta : float, in (0, 1)
        The step back after a success.
    early_stop : bool
        With eps: a sample is done at its first success.
    **options
        As for every attack: see Options.

    Returns
    -------
    AttackResult
        The nearest example found, or x itself. Per sample: one query for the input itself; a step costs two queries
        and ``classes - 1`` gradients, or with target_classes or targets one.

    Raises
    ------
    TypeError
        If the model gives no gradients, or an argument is of the wrong type.
    ValueError
        If an argument has a wrong value or shape, x is not finite or outside its bounds, or a target is the label.

    Notes
    -----
    Differs from the paper: there is no final search between the example and the input; equal logits, which lie on the
    boundary, count as a hundredth of their spread before it.
    """
    norm = _check.choice("norm", norm, ("linf", "l2", "l1"))
    budget = np.inf if eps is None else _check.real("eps", eps, minimum=0.0)
    steps = _check.integer("steps", steps, minimum=1)
    restarts = _check.integer("restarts", restarts, minimum=1)
    count = _check.integer("target_classes", target_classes, minimum=0)
    alpha_max = _check.real("alpha_max", alpha_max, minimum=0.0, maximum=1.0)
    eta = _check.real("eta", eta, minimum=1.0)
    beta = _check.real("beta", beta, above=0.0, below=1.0)
    early_stop = _check.flag("early_stop", early_stop) and eps is not None
    given = check("fab", model, x, y, options)

    def propose(problem: Problem) -> None:
        search = _Search(problem, norm, budget, (alpha_max, eta, beta))
        active = np.arange(len(problem.x))
        aims = [None] if problem.targeted or not count else list(likeliest(problem, count))
        for restart in range(restarts):
            for number, aim in enumerate(aims):
                start = search.start(active, restart * len(aims) + number) if restart else problem.x[active]
                active = search.climb(active, start, steps, aim, early_stop)
                if not len(active):
                    return

    if eps is None:
        return run(propose, given, minimise=norm)
    return run(propose, given, norm=norm, eps=budget, minimise=norm)


class _Search:
    """What all runs on a problem share: the distance of each sample's best example, within the budget or not."""

    def __init__(self, problem: Problem, norm: str, budget: float, factors: tuple[float, float, float]) -> None:
        self.problem, self.norm, self.budget = problem, norm, budget
        self.alpha_max, self.eta, self.beta = factors
        self.found = np.full(len(problem.x), np.inf)

    def start(self, index: Index, step: int) -> Array:
        """Draw a start at half the distance of the best example, or of the budget."""
        problem, size = self.problem, int(np.prod(self.problem.x.shape[1:]))
        low, high = problem.region.bounds
        default = RADII[self.norm] * (high - low) if np.isinf(self.budget) else self.budget
        radius = np.minimum(self.found[index], default) / 2
        ids = problem.sample_ids[index]
        if self.norm == "linf":
            offset = _random.uniform(problem.seed, ids, step, size, low=-1, high=1)
        else:
            offset = _random.normal(problem.seed, ids, step, size)
        length = norms(offset, self.norm)
        offset *= (radius / np.maximum(length, np.finfo(np.float64).tiny))[:, np.newaxis]
        offset = offset.reshape(problem.x[index].shape)
        if problem.region.mask is not None:
            offset *= problem.region.mask[index]
        started: Array = np.clip(problem.x[index] + offset, low, high).astype(problem.x.dtype)
        return started

    def climb(self, index: Index, x: Array, steps: int, aim: Index | None, early_stop: bool) -> Index:
        """Run the attack once; return the samples to go on with."""
        problem, bounds = self.problem, self.problem.region.bounds
        count = 1 if problem.targeted or aim is not None else problem.classes - 1
        for _ in range(steps):
            affordable = np.isin(index, problem.afford(index, problem.gradient_queries(count) + 1, count))
            index, x = index[affordable], x[affordable]
            if not len(index):
                break
            gap, normal = self._boundary(x, index, aim, count)
            start = rows(problem.x[index])
            factors = {"eta": self.eta, "most_share": self.alpha_max}
            x = biased_move(rows(x), start, normal, gap, bounds, self.norm, **factors).reshape(x.shape)
            back, within = self._offer(x, index)
            x[back] = problem.x[index[back]] + self.beta * (x[back] - problem.x[index[back]])
            if early_stop:
                index, x = index[~within], x[~within]
        return index

    def _boundary(self, x: Array, index: Index, aim: Index | None, count: int) -> tuple[Array, Array]:
        """Return the height (B,) over the nearest boundary, negative on the label's side, and its gradient (B, D)."""
        problem, y = self.problem, self.problem.y[index]

        if problem.targeted:
            gradient = problem.vjp(x, index, lambda logits, part: problem.margin_ascent(logits, index[part]))
            return self._height(problem.margin(gradient.logits, index), gradient.logits, x), rows(gradient.ascent)
        classes = np.arange(problem.classes - 1) + (np.arange(problem.classes - 1) >= y[:, np.newaxis])  # all but y
        others = classes if aim is None else aim[index][:, np.newaxis]

        def differences(logits: Logits, part: slice) -> Logits:
            cotangents = np.zeros((len(logits), count, problem.classes))
            np.put_along_axis(cotangents, others[part][:, :, np.newaxis], 1.0, axis=2)
            cotangents[np.arange(len(logits)), :, y[part]] = -1.0
            return cotangents

        gradient = problem.jacobian(x, index, differences, count)
        each = np.arange(len(index))
        gaps = np.take_along_axis(gradient.logits, others, axis=1) - gradient.logits[each, y][:, np.newaxis]
        if count == 1:
            return self._height(gaps[:, 0], gradient.logits, x), rows(gradient.ascent[:, 0])
        slopes = np.stack([norms(gradient.ascent[:, j], DUAL[self.norm]) for j in range(count)], axis=1)
        # A class without a gradient is out of reach in the linearisation.
        distances = np.divide(np.abs(gaps), slopes, out=np.full(gaps.shape, np.inf), where=slopes > 0)
        nearest = distances.argmin(axis=1)
        return self._height(gaps[each, nearest], gradient.logits, x), rows(gradient.ascent[each, nearest])

    def _height(self, gap: Array, logits: Logits, x: Array) -> Array:
        """Return the height in the type of x; on the boundary itself, where the first class wins, just below it."""
        height: Array = np.where(gap == 0, -least_gap(logits), gap).astype(x.dtype)
        return height

    def _offer(self, x: Array, index: Index) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Ask for the logits; say which rows meet the criterion at all, and which ones within the budget."""
        problem = self.problem
        logits = problem.logits(x, index)
        met, far = problem.met(logits, index), distance(x, problem.x[index], self.norm)
        self.found[index] = np.minimum(self.found[index], np.where(met, far, np.inf))
        within = far <= self.budget
        problem.trace(problem.margin(logits[~within], index[~within]), index[~within])
        if within.any():
            within[within] = problem.offer(x[within], logits[within], index[within])
        return met, within
