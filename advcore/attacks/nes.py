"""NES: PGD on gradients from Gaussian probes (Ilyas, Engstrom, Athalye, Lin 2018, arXiv 1804.08598)."""

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
def nes(
    model: Any,
    x: Array,
    y: Array,
    *,
    eps: float,
    norm: str = "linf",
    steps: int = 100,
    step_size: float | None = None,
    pairs: int = 50,
    sigma: float = 1e-3,
    momentum: float = 0.9,
    loss: str = "cross_entropy",
    **options: Unpack[Options],
) -> AttackResult:
    """Climb the loss by its gradient under a search distribution, a Gaussian around the iterate (algorithm 1).

    ``g = 1 / (2 n sigma) sum_i (L(x' + sigma u_i) - L(x' - sigma u_i)) u_i`` with n pairs of Gaussian u_i;
    ``v = momentum v + (1 - momentum) g``; ``x' <- project(x' + step_size d)`` with ``d = sign(v)`` ("linf") or
    ``d = v / ||v||_2`` ("l2").

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
    sigma : float, above 0
        Standard deviation of the probes, in the units of x.
    momentum : float, in [0, 1)
    loss : "cross_entropy" or "margin"
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
    Differs from the paper: the loss is computed in float64 as log odds, which a saturated softmax does not flatten; the
    step size is fixed rather than halved on plateaus; a sample stops at its first success. The settings with partial
    information (a shrinking budget around another class's image) are not part of it: with top class and confidence
    alone, a targeted attack sees its target only once it is the top class.
    """
    own = settings(eps, norm, steps, step_size, pairs, ("sigma", sigma), momentum, loss)
    given = check("nes", model, x, y, options)
    return run(climb(_random.normal, own), given, norm=norm, eps=own.eps)
