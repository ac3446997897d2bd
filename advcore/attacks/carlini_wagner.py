"""The attacks of Carlini and Wagner (2017, arXiv 1608.04644)."""

from __future__ import annotations

from typing import Any, Unpack

from advcore import _check
from advcore._check import Array
from advcore.attacks import _carlini_wagner as searches
from advcore.attacks._arguments import check
from advcore.attacks._options import Options
from advcore.attacks._penalty import Settings
from advcore.attacks._problem import Problem
from advcore.attacks._protocol import run
from advcore.attacks._registry import attack
from advcore.attacks.result import AttackResult

SEARCHES = {"l2": searches.l2, "l0": searches.l0, "linf": searches.linf}
STEPS = {"l2": 10_000, "l0": 1000, "linf": 1000}
LEARNING_RATES = {"l2": 1e-2, "l0": 1e-2, "linf": 5e-3}


@attack(norm="l2, l0, linf (minimal)", access="gradient", cost="search_steps x steps gradients, less where it aborts")
def carlini_wagner(
    model: Any,
    x: Array,
    y: Array,
    *,
    norm: str = "l2",
    steps: int | None = None,
    learning_rate: float | None = None,
    initial_c: float = 1e-3,
    search_steps: int = 9,
    kappa: float = 0.0,
    abort_early: bool = True,
    **options: Unpack[Options],
) -> AttackResult:
    """Look for the nearest adversarial example by gradients: ``min ||x' - x||_2^2 + c f(x')`` (section VI-A).

    ``f = max(z_y - max_{i != y} z_i, -kappa)``; with targets ``f = max(max_{i != t} z_i - z_t, -kappa)`` (f6 of the
    paper). Adam moves w, where ``x' = middle + half tanh(w)`` is inside the box for every w.

    Linf (section VI-C): the distance is ``sum_i max(|x'_i - x_i| - tau, 0)``; tau falls by a tenth at each success,
    until there is none for all c up to 20. L0 (section VI-B): L2's descents find an example, the entries that matter
    least, by ``|df/dx_i| |x'_i - x_i|``, are fixed, and so on until there is no example for all c up to 2e6.

    Parameters
    ----------
    model : object with logits(x) and vjp(x, cotangent), or torch module
    x : float32 or float64 array, (N, ...)
    y : int array, (N,)
        True labels.
    norm : "l2", "l0" or "linf"
        The distance to keep small.
    steps : int, at least 1; default 10000 for L2, 1000 for L0 and Linf
        Of Adam, for each constant.
    learning_rate : float, above 0; default 0.01, for Linf 0.005
        Of Adam, in the units of w.
    initial_c : float, above 0
        The first constant.
    search_steps : int, at least 1
        Of L2: constants that are tried for each sample; after a failure ten times the last one, then bisection between
        the largest that failed and the smallest that succeeded. Each starts anew from x. (L0 and Linf: ten times the
        last one after a failure; a success ends a descent, and the next one starts there.)
    kappa : float, at least 0
        How far past the boundary the logits of an example must be.
    abort_early : bool
        Give a constant up where a tenth of the steps lowered the objective by less than 0.01%.
    **options
        As for every attack: see Options.

    Returns
    -------
    AttackResult
        The successful iterate of the smallest distance, or x itself. Per sample: one query for the input itself, one
        query and one gradient a step, and what the start takes (see Notes).

    Raises
    ------
    TypeError
        If the model gives no gradients, or an argument is of the wrong type.
    ValueError
        If an argument has a wrong value or shape, x is not finite or outside its bounds, or a target is the label.

    Notes
    -----
    Differs from the paper: attacks are untargeted too; the search for c, the test for an early end and the nearest
    success are a sample's own, where the paper's code ends the whole batch together; up to three steps to the nearest
    linearised boundary come first (9 gradients each, see deepfool; not with a kappa, not for L0), so that no example is
    further away than theirs. Linf: after the first failure tau is found by bisection, to 0.5%; c grows tenfold, not
    twofold. L0: a fifth of the entries is fixed at a time; where that fails, half as many, down to one.
    """
    norm = _check.choice("norm", norm, tuple(SEARCHES))
    settings = Settings(
        STEPS[norm] if steps is None else _check.integer("steps", steps, minimum=1),
        LEARNING_RATES[norm] if learning_rate is None else _check.real("learning_rate", learning_rate, above=0.0),
        _check.real("initial_c", initial_c, above=0.0),
        _check.integer("search_steps", search_steps, minimum=1),
        _check.real("kappa", kappa, minimum=0.0),
        _check.flag("abort_early", abort_early),
    )
    given = check("carlini_wagner", model, x, y, options)

    def propose(problem: Problem) -> None:
        SEARCHES[norm](problem, settings)

    return run(propose, given, minimise=norm)
