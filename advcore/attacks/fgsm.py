"""The fast gradient sign method (Goodfellow, Shlens, Szegedy 2015, arXiv 1412.6572)."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from advcore import _check
from advcore._check import Array
from advcore.attacks._arguments import check
from advcore.attacks._losses import LOSSES
from advcore.attacks._options import Options
from advcore.attacks._problem import Problem
from advcore.attacks._protocol import run
from advcore.attacks._registry import attack
from advcore.attacks.result import AttackResult


@attack(norm="linf", access="gradient", cost="1 gradient")
def fgsm(
    model: Any,
    x: Array,
    y: Array,
    *,
    eps: float,
    loss: str = "cross_entropy",
    **options: Unpack[Options],
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
    loss : "cross_entropy", "margin", "dlr", "hinge" or "saturating_cross_entropy"
        What the step climbs. Cross-entropy's gradient is taken up to a positive factor (see Notes); the saturating one
        is what frameworks compute.
    **options
        As for every attack: see Options.

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
    does not move. Where the whole gradient is, the step is repeated with the margin's.
    """
    eps = _check.real("eps", eps, minimum=0.0)
    loss = _check.choice("loss", loss, tuple(LOSSES))
    given = check("fgsm", model, x, y, options)

    def propose(problem: Problem) -> None:
        index = problem.afford(np.arange(len(problem.x)), problem.gradient_queries(), 1)
        gradient = problem.gradient(problem.x[index], index, loss)
        step = problem.x.dtype.type(problem.region.eps) * np.sign(gradient.ascent).astype(problem.x.dtype)
        problem.submit(problem.project(problem.x[index] + step, index), index)

    return run(propose, given, norm="linf", eps=eps)
