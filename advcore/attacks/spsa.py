"""SPSA: PGD on gradients from probes of random signs (Uesato et al. 2018, arXiv 1802.05666)."""

from __future__ import annotations

from typing import Any, Unpack

from advcore import _random
from advcore._check import Array
from advcore.attacks._arguments import check
from advcore.attacks._estimated import climb, settings
from advcore.attacks._options import Options
from advcore.attacks._protocol import run
from advcore.attacks._registry import attack
from advcore.attacks.result import AttackResult


@attack(norm="linf, l2", access="top1", cost="(2 x pairs + 1) x steps queries")
def spsa(
    model: Any,
    x: Array,
    y: Array,
    *,
    eps: float,
    norm: str = "linf",
    steps: int = 100,
    step_size: float | None = None,
    pairs: int = 64,
    delta: float = 0.01,
    momentum: float = 0.9,
    loss: str = "margin",
    **options: Unpack[Options],
) -> AttackResult:
    """Climb the margin by simultaneous perturbation of all entries (algorithm 1).

    ``g = 1 / (2 n delta) sum_i (L(x' + delta v_i) - L(x' - delta v_i)) v_i`` with n pairs of random signs v_i
    (Rademacher); then as ``nes``: momentum, a step in the steepest direction of the norm, projection.

    Parameters
    ----------
    model : object with logits(x), torch module, or callable that maps (B, ...) to scores or top class and confidence
    x : float32 or float64 array, (N, ...)
    y : int array, (N,)
        True labels.
    eps : float, at least 0
        Budget, in the units of x.
    norm : "linf" or "l2"
    steps : int, 1 to 100,000
    step_size : float, above 0; default ``2.5 eps / steps``
        In the units of x.
    pairs : int, 1 to 40,000
        Of probes for one gradient.
    delta : float, above 0
        Size of the probes in every entry, in the units of x.
    momentum : float, in [0, 1)
    loss : "margin" or "cross_entropy"
        What is climbed (targets: descended). Of a model that gives its top class alone, both see that.
    **options
        As for every attack: see Options.

    Returns
    -------
    AttackResult
        The iterate of the largest margin past the decision boundary. Per sample: one query for the input itself, and
        ``2 pairs + 1`` a step.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If an argument has a wrong value or shape, or x is not finite or outside its bounds.

    Notes
    -----
    Differs from the paper: steps by the sign or the direction of the estimate, with momentum, rather than Adam's; a
    sample stops at its first success.
    """
    own = settings(eps, norm, steps, step_size, pairs, ("delta", delta), momentum, loss)
    given = check("spsa", model, x, y, options)
    return run(climb(_random.sign, own), given, norm=norm, eps=own.eps)
