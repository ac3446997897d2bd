"""The fast gradient sign method (Goodfellow, Shlens, Szegedy 2015, arXiv 1412.6572)."""

from __future__ import annotations

from typing import Any

import numpy as np

from advcore import _check
from advcore._check import Array
from advcore.attacks._arguments import check
from advcore.attacks._protocol import Problem, Proposal, run
from advcore.attacks.result import AttackResult


def fgsm(
    model: Any,
    x: Array,
    y: Array,
    *,
    eps: float,
    targets: Array | None = None,
    loss: str = "cross_entropy",
    seed: int = 0,
    sample_ids: Array | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    batch_size: int = 256,
) -> AttackResult:
    """Take one step of size eps along the sign of the gradient: ``x' = clip(x + eps sign(grad_x loss))`` (section 4).

    Parameters
    ----------
    model : object with logits(x) and vjp(x, cotangent), or torch module
    x : float32 or float64 array, (N, ...)
    y : int array, (N,)
        True labels.
    eps : float, at least 0
        The step, and the Linf budget, in the units of x.
    targets : int array, (N,), optional
        Classes to reach; without them any wrong class is a success.
    loss : "cross_entropy" or "margin"
        What the step climbs. Cross-entropy's gradient is taken up to a positive factor (see Notes).
    seed, sample_ids
        Taken by every attack; this one draws no random numbers.
    bounds : (low, high)
        The box of valid inputs.
    batch_size : int
        Most samples that the model is given at once.

    Returns
    -------
    AttackResult
        Per sample: one query for the input itself, one query and one gradient for the step.

    Raises
    ------
    TypeError
        If the model gives no gradients, or an argument is of the wrong type.
    ValueError
        If an argument has a wrong value or shape, x is not finite or outside its bounds, or a target is the label.

    Notes
    -----
    Differs from the paper: cross-entropy's gradient is divided by the probability of the other classes, which changes
    no sign and keeps it from vanishing in a saturated softmax. Where an entry of the gradient is zero or not finite, it
    does not move.
    """
    eps = _check.real("eps", eps, minimum=0.0)
    loss = _check.choice("loss", loss, ("cross_entropy", "margin"))
    given = check(
        "fgsm",
        model,
        x,
        y,
        targets=targets,
        seed=seed,
        sample_ids=sample_ids,
        bounds=bounds,
        batch_size=batch_size,
    )

    def propose(problem: Problem) -> Proposal:
        index = np.arange(len(problem.x))
        gradient = problem.gradient(problem.x, index, loss)
        step = problem.x.dtype.type(eps) * np.sign(gradient.ascent).astype(problem.x.dtype)
        return Proposal(problem.project(problem.x + step, index), ~gradient.informative)

    return run(propose, given, together=given.batch_size, norm="linf", eps=eps)
