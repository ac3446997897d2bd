"""The basic iterative method (Kurakin, Goodfellow, Bengio 2017, arXiv 1607.02533)."""

from __future__ import annotations

import math
from typing import Any, Unpack

from advcore import _check
from advcore._check import Array
from advcore.attacks._arguments import check, within_box
from advcore.attacks._climb import Climb
from advcore.attacks._losses import LOSSES
from advcore.attacks._options import Options
from advcore.attacks._protocol import run
from advcore.attacks._registry import attack
from advcore.attacks.result import AttackResult

VARIANTS = ("first_success", "last_step")


@attack(norm="linf", access="gradient", cost="steps gradients, less where first_success ends early")
def bim(
    model: Any,
    x: Array,
    y: Array,
    *,
    eps: float,
    steps: int | None = None,
    step_size: float | None = None,
    variant: str = "first_success",
    loss: str = "cross_entropy",
    **options: Unpack[Options],
) -> AttackResult:
    """Take FGSM's step several times, from x itself: ``x <- clip(x + step_size sign(grad_x loss))`` (equation 2).

    Parameters
    ----------
    model : object with logits(x) and vjp(x, cotangent), or torch module
    x : float32 or float64 array, (N, ...)
    y : int array, (N,)
        True labels.
    eps : float, at least 0
        The Linf budget, in the units of x.
    steps : int, at least 1; default ``ceil(min(e + 4, 1.25 e))``
        e is eps in grey levels, 255 to the box (section 2.2).
    step_size : float, above 0; default 1/255 of the box
        In the units of x.
    variant : "first_success" or "last_step"
        BIM-a: a sample is done at the first iterate that succeeds. BIM-b: all steps are taken, and the last iterate
        that succeeds is the result, which lies deeper in the wrong class (Ma et al. 2018, arXiv 1801.02613).
    loss : "cross_entropy", "margin", "dlr", "hinge" or "saturating_cross_entropy"
        As pgd's.
    **options
        As for every attack: see Options.

    Returns
    -------
    AttackResult
        Per sample: one query for the input itself, one query and one gradient a step, and one query at the end.

    Raises
    ------
    TypeError
        If the model gives no gradients, or an argument is of the wrong type.
    ValueError
        If an argument has a wrong value or shape, x is not finite or outside its bounds, or a target is the label.

    Notes
    -----
    Differs from the papers: BIM-b returns the last iterate that succeeds, should the very last one fail; the gradient
    of cross-entropy is divided by the probability of the other classes, which changes no sign and keeps it from
    vanishing in a saturated softmax.
    """
    eps = _check.real("eps", eps, minimum=0.0)
    variant = _check.choice("variant", variant, VARIANTS)
    loss = _check.choice("loss", loss, tuple(LOSSES))
    given = check("bim", model, x, y, options)
    level = (given.bounds[1] - given.bounds[0]) / 255
    levels = within_box(eps, "linf", given) / level
    count = max(math.ceil(min(levels + 4, 1.25 * levels)), 1) if steps is None else steps
    count = _check.integer("steps", count, minimum=1)
    size = level if step_size is None else within_box(_check.real("step_size", step_size, above=0.0), "linf", given)
    last = variant == "last_step"
    return run(Climb("linf", count, size, loss, early_stop=not last, keep_last=last), given, norm="linf", eps=eps)
