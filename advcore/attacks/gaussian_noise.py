"""Gaussian noise of the budget's size, drawn again and again: what no other attack may fall behind."""

from __future__ import annotations

from typing import Any, Unpack

from advcore import _random
from advcore._check import Array
from advcore.attacks._arguments import check
from advcore.attacks._noise import search
from advcore.attacks._options import Options
from advcore.attacks._registry import attack
from advcore.attacks.result import AttackResult


@attack(norm="l2, linf", access="label", cost="draws queries")
def gaussian_noise(
    model: Any,
    x: Array,
    y: Array,
    *,
    eps: float,
    norm: str = "l2",
    draws: int = 10_000,
    **options: Unpack[Options],
) -> AttackResult:
    """Try ``x + eps n / ||n||`` for many draws of gaussian noise n, clipped to the box, until one succeeds.

    Parameters
    ----------
    model : object with logits(x), torch module, or callable; the predicted class is enough
    x : float32 or float64 array, (N, ...)
    y : int array, (N,)
        True labels.
    eps : float, at least 0
        Budget, in the units of x.
    norm : "l2" or "linf"
    draws : int, 1 to 2**31
        A sample.
    **options
        As for every attack: see Options.

    Returns
    -------
    AttackResult
        The draw of the largest margin past the decision boundary (of labels alone: any that succeeds). Per sample: one
        query for the input itself and one a draw, 64 draws at a time.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If an argument has a wrong value or shape, or x is not finite or outside its bounds.
    """
    return search(_random.normal, check("gaussian_noise", model, x, y, options), eps, norm, draws)
