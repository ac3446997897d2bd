"""Projected gradient descent (Madry et al. 2018, arXiv 1706.06083; Kurakin et al. 2017 without the random start)."""

from __future__ import annotations

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

PATH = {"linf": 5.0, "l2": 10.0, "l1": 2.5}  # length of all steps together, in budgets


@attack(norm="linf, l2, l1", access="gradient", cost="steps x restarts gradients, less where it succeeds early")
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
    momentum: float = 0.0,
    quantile: float = 0.99,
    early_stop: bool = True,
    **options: Unpack[Options],
) -> AttackResult:
    """Climb the loss by projected gradient steps: ``x <- project(x + step_size d)``.

    The step d is the sign of the gradient g (Linf), ``g / ||g||_2`` (L2), or the signs of g's largest entries, divided
    by their number (L1; Tramer, Boneh 2019, arXiv 1904.13000).

    Parameters
    ----------
    model : object with logits(x) and vjp(x, cotangent), or torch module
    x : float32 or float64 array, (N, ...)
    y : int array, (N,)
        True labels.
    eps : float, at least 0
        The budget, in the units of x.
    norm : "linf", "l2" or "l1"
        Of the budget and of the step.
    steps : int, at least 1
    step_size : float, above 0; default ``5 eps / steps``, in L2 ``10 eps / steps``, in L1 ``2.5 eps / steps``
        In the units of x (on a sphere, s steps leave ``(1 + step_size / eps)**-s`` of the angle to the gradient).
        Madry et al. use 0.01 for eps 0.3 and 40 steps on MNIST (the default here: 0.0375, which breaks more digits).
        With a size of one's own a longer run contains the shorter one; by default more steps are another, finer walk.
    restarts : int, at least 1
        Runs from different random starts; a sample needs one that succeeds.
    random_start : bool
        Start uniformly in the ball rather than at x. More than one restart needs it.
    loss : "cross_entropy", "margin", "dlr", "hinge" or "saturating_cross_entropy"
        What is climbed: cross-entropy (its gradient up to a positive factor, see Notes), ``max_{i != y} z_i - z_y``,
        ...; for targets, their negatives. Where its gradient is of no use at any iterate, the margin is climbed.
    momentum : float, in [0, 1]
        Where above 0, d is the step of ``m <- momentum m + g / ||g||_1`` (Dong et al. 2018, arXiv 1710.06081, equation
        6; they take 1).
    quantile : float, in [0, 1)
        The share of the features that a step in L1 leaves alone: those of the smallest gradient. Those that the bounds
        hold are left alone in any case.
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
    from vanishing in a saturated softmax. A sample that stands still without a success, at a corner of the budget where
    further steps would repeat themselves, climbs the margins of the other classes, the likeliest first.
    """
    eps = _check.real("eps", eps, minimum=0.0)
    norm = _check.choice("norm", norm, ("linf", "l2", "l1"))
    steps = _check.integer("steps", steps, minimum=1)
    own_size = None if step_size is None else _check.real("step_size", step_size, above=0.0)
    restarts = _check.integer("restarts", restarts, minimum=1)
    if not _check.flag("random_start", random_start) and restarts > 1:
        raise ValueError(f"restarts must be 1 without a random start, which would repeat itself; got {restarts}")
    loss = _check.choice("loss", loss, tuple(LOSSES))
    momentum = _check.real("momentum", momentum, minimum=0.0, maximum=1.0)
    quantile = _check.real("quantile", quantile, minimum=0.0, below=1.0)
    early_stop = _check.flag("early_stop", early_stop)
    given = check("pgd", model, x, y, options)
    budget = within_box(eps, norm, given)
    size = PATH[norm] * budget / steps if own_size is None else within_box(own_size, norm, given)

    climb = Climb(norm, steps, size, loss, restarts, random_start, momentum, quantile, early_stop, turns=True)
    return run(climb, given, norm=norm, eps=eps)
