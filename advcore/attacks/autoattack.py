"""AutoAttack: an ensemble without parameters to tune (Croce, Hein 2020, arXiv 2003.01690)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Unpack

from advcore import _check
from advcore._check import Array
from advcore.attacks._arguments import check
from advcore.attacks._ensemble import Member, in_turn
from advcore.attacks._options import Options
from advcore.attacks._registry import attack
from advcore.attacks.apgd import apgd
from advcore.attacks.expectation import expectation
from advcore.attacks.fab import fab
from advcore.attacks.result import AttackResult
from advcore.attacks.square import square

DRAWS = 20  # of a randomised model, averaged for each gradient


@attack(
    norm="linf, l2, l1",
    access="gradient",
    cost="standard: at most 1900 gradients, 7813 queries with their forward passes; rand: 4000 gradients",
)
def autoattack(
    model: Any,
    x: Array,
    y: Array,
    *,
    eps: float,
    norm: str = "linf",
    version: str = "standard",
    steps: int = 100,
    target_classes: int = 9,
    queries: int = 5000,
    **options: Unpack[Options],
) -> AttackResult:
    """Run four attacks, each on the samples that survived those before it.

    "standard": APGD on cross-entropy; APGD on targeted DLR, and FAB, for 9 classes each; Square. "rand", for randomised
    models: APGD on cross-entropy and on DLR, each gradient the mean of 20.

    Parameters
    ----------
    model : object with logits(x) and vjp(x, cotangent), or torch module
    x : float32 or float64 array, (N, ...)
    y : int array, (N,)
        True labels.
    eps : float, at least 0
        The budget, in the units of x.
    norm : "linf", "l2" or "l1"
        In L1 there is no Square.
    version : "standard" or "rand"
    steps : int, at least 1
        Of each run of APGD and FAB. Fewer than 100 is a quick look, not AutoAttack.
    target_classes : int, at least 1
    queries : int, at least 2
        Of Square.
    **options
        As for every attack: see Options. Budgets, callback and clock are shared by the four.

    Returns
    -------
    AttackResult
        Of the four together; ``broken_by`` names the one that broke a sample: "apgd_ce", "apgd_t", "fab_t", "square",
        "apgd_dlr". Per sample: each of them pays a query for its check of the input.

    Raises
    ------
    TypeError
        If the model gives no gradients, or an argument is of the wrong type.
    ValueError
        If an argument has a wrong value or shape, x is not finite or outside its bounds, or a target is the label.

    Notes
    -----
    Differs from the paper: an example counts only when the model, asked afresh, is wrong about it (a randomised one in
    100 passes), and the next attack gets what is left.
    """
    eps = _check.real("eps", eps, minimum=0.0)
    norm = _check.choice("norm", norm, ("linf", "l2", "l1"))
    version = _check.choice("version", version, ("standard", "rand"))
    steps = _check.integer("steps", steps, minimum=1)
    target_classes = _check.integer("target_classes", target_classes, minimum=1)
    queries = _check.integer("queries", queries, minimum=2)
    given = check("autoattack", model, x, y, options)
    members: list[Member]
    budget: dict[str, Any] = {"norm": norm, "eps": eps}
    if version == "rand":
        averaged = expectation(model, draws=DRAWS)
        given = replace(given, access=averaged)  # in_turn asks it what a gradient costs
        members = [
            Member("apgd_ce", partial(apgd, averaged, steps=steps, **budget)),
            Member("apgd_dlr", partial(apgd, averaged, steps=steps, loss="dlr", **budget)),
        ]
    else:
        classes: dict[str, Any] = {"target_classes": target_classes}
        members = [
            Member("apgd_ce", partial(apgd, model, steps=steps, **budget)),
            Member("apgd_t", partial(apgd, model, steps=steps, loss="dlr", **classes, **budget)),
            Member("fab_t", partial(fab, model, steps=steps, **classes, **budget)),
        ]
        if norm != "l1":
            members.append(Member("square", partial(square, model, steps=queries, **budget), gradients=False))
    return in_turn(members, given, options)
