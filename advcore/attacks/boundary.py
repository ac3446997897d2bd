"""The boundary attack: a random walk along the decision boundary (Brendel, Rauber, Bethge 2018, arXiv 1712.04248)."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from advcore import _check, _random
from advcore._check import Array
from advcore.attacks._arguments import check
from advcore.attacks._decision import check_starts, first_examples, to_boundary
from advcore.attacks._ledger import Index
from advcore.attacks._options import Options
from advcore.attacks._problem import Problem
from advcore.attacks._protocol import run
from advcore.attacks._registry import attack
from advcore.attacks._vectors import TINY, column
from advcore.attacks.result import AttackResult, l2_norms, rows

EVERY = 10  # steps between two looks at the sphere alone
SPHERE_RATE, SOURCE_RATE = 0.5, 0.25  # shares of successes that the two step sizes are led to
SPHERE_GAIN, SOURCE_GAIN = 0.5, 0.1  # how fast: of the logarithm, an answer
LARGEST_STEP = 0.9


@attack(norm="l2 (minimal)", access="label", cost="1.1 queries a step")
def boundary(
    model: Any,
    x: Array,
    y: Array,
    *,
    steps: int = 5000,
    spherical_step: float = 0.1,
    source_step: float = 0.01,
    starting_points: Array | None = None,
    **options: Unpack[Options],
) -> AttackResult:
    """Look for the nearest adversarial example with labels alone, by a random walk that never leaves the wrong class.

    A step from z draws a direction orthogonal to z - x, moves ``spherical_step ||z - x||_2`` along it on the sphere
    around x, then ``source_step ||z - x||_2`` towards x; what meets the criterion is the next z (figure 2).

    Parameters
    ----------
    model : object with logits(x), torch module, or callable; only the predicted class is used
    x : float32 or float64 array, (N, ...)
    y : int array, (N,)
        True labels.
    steps : int, 1 to 1,000,000
    spherical_step, source_step : float, in (0, 1)
        The first step sizes, as shares of the distance; each sample adapts its own.
    starting_points : array, (N, ...), of the type of x, optional
        Inputs that meet the criterion. Without them: random inputs are tried, which targets seldom meet.
    **options
        As for every attack: see Options.

    Returns
    -------
    AttackResult
        The nearest input seen that meets the criterion; "failed" where no starting point did.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If an argument has a wrong value or shape, or x is not finite or outside its bounds.

    Notes
    -----
    Differs from the paper: the walk starts on the boundary, found by bisection; both moves are asked about together,
    and the point on the sphere by itself every 10 steps; the step sizes adapt with every answer, led to 50% successes
    on the sphere and 25% of the whole step, rather than after windows of answers.
    """
    steps = _check.integer("steps", steps, minimum=1, maximum=1_000_000)
    spherical_step = _check.real("spherical_step", spherical_step, above=0.0, below=1.0)
    source_step = _check.real("source_step", source_step, above=0.0, below=1.0)
    given = check("boundary", model, x, y, options)
    starts = check_starts(starting_points, given.x)

    def propose(problem: Problem) -> None:
        active, current = first_examples(problem, starts)
        current = to_boundary(problem, active, current, "l2")
        along, towards = np.full(len(active), spherical_step), np.full(len(active), source_step)
        for step in range(1, steps + 1):
            looks = step % EVERY == 0
            going = np.isin(active, problem.afford(active, 1 + looks))
            if not going.all():
                active, current, along, towards = active[going], current[going], along[going], towards[going]
            if not len(active):
                break
            sphere, nearer = _proposals(problem, active, current, along, towards, step)
            if looks:
                met = problem.met(problem.logits(sphere, active), active)
                along = _adapted(along, met, SPHERE_RATE, SPHERE_GAIN)
            met = problem.offer(nearer, problem.logits(nearer, active), active)
            towards = _adapted(towards, met, SOURCE_RATE, SOURCE_GAIN)
            current[met] = nearer[met]

    return run(propose, given, together=4 * given.batch_size, minimise="l2")  # so that batches stay full


def _proposals(
    problem: Problem, index: Index, current: Array, along: NDArray[np.float64], towards: NDArray[np.float64], step: int
) -> tuple[Array, Array]:
    """Return a point on the sphere around each input, and the one that is nearer on the same ray; both in the box."""
    origin, shape = rows(problem.x[index]), current.shape
    away = rows(current) - origin
    length = np.maximum(l2_norms(away.astype(np.float64)), TINY)
    noise = _random.normal(problem.seed, problem.sample_ids[index], step, away.shape[1], dtype=away.dtype)
    noise -= away * column((noise * away).sum(axis=1) / length**2, away)
    noise *= column(along * length / np.maximum(l2_norms(noise), TINY), noise)
    sphere = origin + (away + noise) / column(np.sqrt(1 + along**2), away)
    sphere = problem.project(sphere.reshape(shape), index)
    ray = rows(sphere) - origin
    # Clipping to the box may have shortened the ray.
    share = np.minimum((1 - towards) * length / np.maximum(l2_norms(ray.astype(np.float64)), TINY), 1.0)
    nearer = problem.project((origin + column(share, ray) * ray).reshape(shape), index)
    return sphere, nearer


def _adapted(size: NDArray[np.float64], met: NDArray[np.bool_], rate: float, gain: float) -> NDArray[np.float64]:
    """Lengthen the steps that succeeded and shorten the others, so that they keep their size at the given rate."""
    adapted: NDArray[np.float64] = np.minimum(size * np.exp(gain * (met - rate)), LARGEST_STEP)
    return adapted
