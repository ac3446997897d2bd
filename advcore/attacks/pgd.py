"""Projected gradient descent (Madry et al. 2018, arXiv 1706.06083; Kurakin et al. 2017 without the random start)."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from advcore import _check, _random
from advcore._check import Array
from advcore.attacks._arguments import check
from advcore.attacks._ledger import Index
from advcore.attacks._losses import LOSSES
from advcore.attacks._options import Options
from advcore.attacks._problem import Problem
from advcore.attacks._protocol import run
from advcore.attacks._registry import attack
from advcore.attacks.result import AttackResult, l2_norms, rows


@attack(norm="linf, l2", access="gradient", cost="steps x restarts gradients, less where it succeeds early")
def pgd(
    model: Any,
    x: Array,
    y: Array,
    *,
    eps: float,
    norm: str = "linf",
    steps: int = 40,
    step_size: float | None = None,
    restarts: int = 1,
    random_start: bool = True,
    loss: str = "cross_entropy",
    early_stop: bool = True,
    **options: Unpack[Options],
) -> AttackResult:
    """Climb the loss by projected gradient steps: ``x <- project(x + step_size d)``, d = sign(g) or g / ||g||_2.

    Parameters
    ----------
    model : object with logits(x) and vjp(x, cotangent), or torch module
    x : float32 or float64 array, (N, ...)
    y : int array, (N,)
        True labels.
    eps : float, at least 0
        The budget, in the units of x.
    norm : "linf" or "l2"
        Of the budget and of the step: d is the sign of the gradient, or the gradient at length 1.
    steps : int, at least 1
    step_size : float, above 0; default ``2.5 eps / steps``
        In the units of x. Madry et al. use 0.01 for eps 0.3 and 40 steps on MNIST (the default here: 0.01875).
    restarts : int, at least 1
        Runs from different random starts; a sample needs one that succeeds.
    random_start : bool
        Start uniformly in the ball rather than at x. More than one restart needs it.
    loss : "cross_entropy", "margin", "dlr", "hinge" or "saturating_cross_entropy"
        What is climbed: cross-entropy (its gradient up to a positive factor, see Notes), ``max_{i != y} z_i - z_y``,
        ...; for targets, their negatives. Where its gradient is of no use at any iterate, the margin is climbed.
    early_stop : bool
        A sample is done at its first success. Otherwise all steps are taken, which costs more and gives examples that
        are further past the boundary.
    **options
        As for every attack: see Options.

    Returns
    -------
    AttackResult
        The iterate of the largest margin past the decision boundary. Per sample: one query for the input itself, one
        query and one gradient a step, and one query at the end of every restart.

    Raises
    ------
    TypeError
        If the model gives no gradients, or an argument is of the wrong type.
    ValueError
        If an argument has a wrong value or shape, x is not finite or outside its bounds, or a target is the label.

    Notes
    -----
    Differs from the paper: a sample stops at its first success, and its best iterate counts rather than its last; the
    gradient of cross-entropy is divided by the probability of the other classes, which changes neither d and keeps it
    from vanishing in a saturated softmax.
    """
    eps = _check.real("eps", eps, minimum=0.0)
    norm = _check.choice("norm", norm, ("linf", "l2"))
    steps = _check.integer("steps", steps, minimum=1)
    size = 2.5 * eps / steps if step_size is None else _check.real("step_size", step_size, above=0.0)
    restarts = _check.integer("restarts", restarts, minimum=1)
    if not _check.flag("random_start", random_start) and restarts > 1:
        raise ValueError(f"restarts must be 1 without a random start, which would repeat itself; got {restarts}")
    loss = _check.choice("loss", loss, tuple(LOSSES))
    early_stop = _check.flag("early_stop", early_stop)
    given = check("pgd", model, x, y, options)

    def propose(problem: Problem) -> None:
        active = np.arange(len(problem.x))
        for restart in range(restarts):
            current = _start(problem, active, restart) if random_start else problem.x[active]
            for _ in range(steps):
                affordable = np.isin(active, problem.afford(active, problem.gradient_queries(), 1))
                active, current = active[affordable], current[affordable]
                if not len(active):
                    return
                gradient = problem.gradient(current, active, loss)
                going = ~(problem.offer(current, gradient.logits, active) & early_stop)
                active, current, ascent = active[going], current[going], gradient.ascent[going]
                if not len(active):
                    return
                current = problem.project(current + size * _direction(ascent, norm), active)
            affordable = np.isin(active, problem.afford(active))
            active, current = active[affordable], current[affordable]
            active = active[~(problem.offer(current, problem.logits(current, active), active) & early_stop)]
            if not len(active):
                break

    return run(propose, given, norm=norm, eps=eps)


def _direction(ascent: Array, norm: str) -> NDArray[np.float64]:
    """Return the steepest direction of length 1 in the norm; zero where the gradient is."""
    if norm == "linf":
        sign: NDArray[np.float64] = np.sign(ascent).astype(np.float64)
        return sign
    flat = rows(ascent).astype(np.float64)
    scaled = flat / np.maximum(np.abs(flat).max(axis=1, initial=0.0), np.finfo(np.float64).tiny)[:, np.newaxis]
    unit: NDArray[np.float64] = scaled / np.maximum(l2_norms(scaled), np.finfo(np.float64).tiny)[:, np.newaxis]
    return unit.reshape(ascent.shape)


def _start(problem: Problem, index: Index, restart: int) -> Array:
    """Draw a start for each sample, uniform in the ball, then clipped to the box."""
    ids, size = problem.sample_ids[index], int(np.prod(problem.x.shape[1:]))
    eps = problem.region.eps
    if problem.region.norm == "linf":
        offset = _random.uniform(problem.seed, ids, restart, size, low=-eps, high=eps)
    else:
        direction = _direction(_random.normal(problem.seed, ids, restart, size), "l2")
        radius = eps * _random.uniform(problem.seed, ids, restart, 1, stream=1) ** (1 / max(size, 1))
        offset = radius * direction
    return problem.project(problem.x[index] + offset.reshape(problem.x[index].shape), index)
