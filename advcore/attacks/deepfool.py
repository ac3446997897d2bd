"""DeepFool (Moosavi-Dezfooli, Fawzi, Frossard 2016, arXiv 1511.04599)."""

from __future__ import annotations

from typing import Any, Unpack

from advcore import _check
from advcore._check import Array
from advcore.attacks._arguments import check
from advcore.attacks._boundary import step_past_boundary
from advcore.attacks._options import Options
from advcore.attacks._problem import Problem
from advcore.attacks._protocol import run
from advcore.attacks._registry import attack
from advcore.attacks.result import AttackResult


@attack(
    norm="l2, linf (minimal)",
    access="gradient",
    cost="up to steps x (classes - 1) gradients; targeted: steps",
    batch_size=64,  # of each sample a step holds a gradient a class
)
def deepfool(
    model: Any,
    x: Array,
    y: Array,
    *,
    norm: str = "l2",
    steps: int = 50,
    overshoot: float = 0.02,
    classes: int = 10,
    **options: Unpack[Options],
) -> AttackResult:
    """Step to the nearest linearised decision boundary until the class changes (algorithm 2, equation 9; Linf: 11, 12).

    With ``f_k = z_k - z_y`` and its gradient w_k, the nearest boundary is that of the k with the least
    ``|f_k| / ||w_k||_q``; q is 2, for Linf 1. The step is ``r = |f_k| / ||w_k||_2^2 w_k``, for Linf
    ``|f_k| / ||w_k||_1 sign(w_k)``, and the example ``x + (1 + overshoot) sum r``, clipped to the box.

    Parameters
    ----------
    model : object with logits(x) and vjp(x, cotangent), or torch module
    x : float32 or float64 array, (N, ...)
    y : int array, (N,)
        True labels.
    norm : "l2" or "linf"
        The distance to keep small.
    steps : int, at least 1
    overshoot : float, at least 0
        How far past the linearised boundary, as a share of the perturbation.
    classes : int, at least 2
        The label and the other classes of the largest logits at x, whose boundaries are looked at.
    **options
        As for every attack: see Options.

    Returns
    -------
    AttackResult
        Per sample: one query for the input itself; a step takes ``classes - 1`` gradients, at one query for all where
        the model gives several from one pass (networks, torch modules), else one each; one query after every step, and
        up to three at the end.

    Raises
    ------
    TypeError
        If the model gives no gradients, or an argument is of the wrong type.
    ValueError
        If an argument has a wrong value or shape, x is not finite or outside its bounds, or a target is the label.

    Notes
    -----
    Differs from the paper: with targets, the boundary is that between the target and the best other class. Entries that
    the box or the mask holds do not move, and what they cannot do the others do. After a success
    up to three queries look for the boundary on the line between x and the example. A step goes for a hundredth of the
    logits' spread at least: equal logits lie on the boundary, and would hold a sample there.
    """
    norm = _check.choice("norm", norm, ("l2", "linf"))
    steps = _check.integer("steps", steps, minimum=1)
    overshoot = _check.real("overshoot", overshoot, minimum=0.0)
    classes = _check.integer("classes", classes, minimum=2)
    given = check("deepfool", model, x, y, options)

    def propose(problem: Problem) -> None:
        step_past_boundary(problem, norm, steps, overshoot, classes)

    return run(propose, given, minimise=norm)
