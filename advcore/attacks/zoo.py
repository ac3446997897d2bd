"""ZOO: the Carlini-Wagner attack by symmetric differences (Chen et al. 2017, arXiv 1708.03999)."""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import numpy as np
from numpy.typing import NDArray

from advcore import _check, _random
from advcore._check import Array
from advcore._perturb import Perturbed
from advcore.attacks._arguments import check
from advcore.attacks._ledger import Index
from advcore.attacks._losses import Logits
from advcore.attacks._options import Options
from advcore.attacks._problem import Problem
from advcore.attacks._protocol import run
from advcore.attacks._registry import attack
from advcore.attacks.result import AttackResult, l2_norms, rows

LARGEST_CONSTANT = 1e10
BETA1, BETA2, TINY = 0.9, 0.999, 1e-8  # Adam, as in the paper
ABORT_EVERY, ABORT_RATIO = 100, 0.9999


@attack(norm="l2 (minimal)", access="scores", cost="(2 x coordinates + 1) x steps queries a constant")
def zoo(
    model: Any,
    x: Array,
    y: Array,
    *,
    steps: int = 1000,
    coordinates: int = 128,
    learning_rate: float = 1e-2,
    h: float = 1e-4,
    c: float | None = None,
    initial_c: float = 0.01,
    search_steps: int = 9,
    kappa: float = 0.0,
    stop_at_first_success: bool = False,
    abort_early: bool = True,
    **options: Unpack[Options],
) -> AttackResult:
    """Look for the nearest adversarial example with scores alone: ``min ||x' - x||_2^2 + c f(x')`` (equations 1 to 6).

    ``f = max(log F_y - max_{i != y} log F_i, -kappa)``, where F is the softmax; with targets
    ``f = max(max_{i != t} log F_i - log F_t, -kappa)``. Each step draws coordinates at random, estimates df/dx_i by
    ``(f(x' + h e_i) - f(x' - h e_i)) / 2h`` and moves them by Adam, which counts steps a coordinate.

    Parameters
    ----------
    model : object with logits(x), torch module, or callable that maps (B, ...) to scores (B, K)
    x : float32 or float64 array, (N, ...)
    y : int array, (N,)
        True labels.
    steps : int, at least 1
        For each constant.
    coordinates : int, at least 1
        That are estimated and moved in a step; of smaller inputs, all.
    learning_rate : float, above 0
        Of Adam, in the units of x.
    h : float, above 0
        Half the difference's width, in the units of x.
    c : float, above 0, optional
        The one constant to use. Without it: a binary search a sample, from ``initial_c``.
    initial_c : float, above 0
    search_steps : int, at least 1
        Constants that are tried: after a failure ten times the last one, then bisection between the largest that failed
        and the smallest that succeeded. Each starts anew from x.
    kappa : float, at least 0
        How far past the boundary f still pulls. (A success needs no more than the criterion.)
    stop_at_first_success : bool
        Take the first example that succeeds rather than the nearest.
    abort_early : bool
        Give a constant up where 100 steps lowered the objective by less than 0.01%.
    **options
        As for every attack (see Options); batch_size is 1024 unless given, and so many samples are attacked together
        as fill it.

    Returns
    -------
    AttackResult
        The successful iterate of the smallest L2 distance, or x itself. Per sample: one query for the input itself,
        and ``1 + 2 coordinates`` a step.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If an argument has a wrong value or shape, x is not finite or outside its bounds, a target is the label, or the
        model returns what is not finite or of the wrong shape.

    Notes
    -----
    log F_i - log F_j is the difference of the logits, and computed so, in float64: a softmax would round it away.

    Differs from the paper: the variables are the inputs themselves, clipped to the box (the paper's choice on MNIST:
    a tanh's gradient vanishes at black pixels); a probe stops at the bounds and the difference is divided by the
    distance really probed; the gradient of ``||x' - x||^2`` is exact; every sample has its own coordinates,
    constant and end. Newton's variant, attack-space dimension reduction and importance sampling are not part of it.
    """
    steps = _check.integer("steps", steps, minimum=1)
    coordinates = _check.integer("coordinates", coordinates, minimum=1)
    learning_rate = _check.real("learning_rate", learning_rate, above=0.0)
    h = _check.real("h", h, above=0.0)
    first_c = _check.real("initial_c", initial_c, above=0.0) if c is None else _check.real("c", c, above=0.0)
    constants = _check.integer("search_steps", search_steps, minimum=1) if c is None else 1
    kappa = _check.real("kappa", kappa, minimum=0.0)
    stop = _check.flag("stop_at_first_success", stop_at_first_success)
    abort = _check.flag("abort_early", abort_early)
    given = check("zoo", model, x, y, options, batch_size=1024)

    settings = _Settings(steps, coordinates, learning_rate, h, kappa, stop, abort)

    def propose(problem: Problem) -> None:
        active = np.arange(len(problem.x))
        constant = np.full(len(active), first_c)
        failed, succeeded = np.zeros(len(active)), np.full(len(active), LARGEST_CONSTANT)
        for attempt in range(constants):
            met = _descend(problem, active, constant, attempt * steps, settings)
            if stop:
                active = active[~met[active]]
            if not len(active):
                break
            succeeded = np.where(met, np.minimum(succeeded, constant), succeeded)
            failed = np.where(met, failed, np.maximum(failed, constant))
            larger = np.minimum(10 * constant, LARGEST_CONSTANT)
            constant = np.where(succeeded < LARGEST_CONSTANT, (failed + succeeded) / 2, larger)

    return run(propose, given, together=max(1, given.batch_size // (2 * coordinates)), minimise="l2")


class _Settings(NamedTuple):
    steps: int
    coordinates: int
    learning_rate: float
    h: float
    kappa: float
    stop_at_first_success: bool
    abort_early: bool


class _Adam:
    """Adam's moments, and the powers of the betas that undo their bias, for every coordinate by itself; all (n, d)."""

    def __init__(self, count: int, size: int) -> None:
        self.mean, self.square = np.zeros((count, size)), np.zeros((count, size))
        self.bias1, self.bias2 = np.ones((count, size)), np.ones((count, size))

    def step(self, index: Index, chosen: Index, gradient: NDArray[np.float64]) -> NDArray[np.float64]:
        """Take in the gradients of the chosen coordinates, (n, m), and return the step for a learning rate of 1."""
        at = (index[:, np.newaxis], chosen)
        self.mean[at] = mean = BETA1 * self.mean[at] + (1 - BETA1) * gradient
        self.square[at] = square = BETA2 * self.square[at] + (1 - BETA2) * gradient * gradient
        self.bias1[at] *= BETA1
        self.bias2[at] *= BETA2
        step: NDArray[np.float64] = -(mean / (1 - self.bias1[at])) / (np.sqrt(square / (1 - self.bias2[at])) + TINY)
        return step


def _descend(
    problem: Problem, active: Index, constant: NDArray[np.float64], first_step: int, settings: _Settings
) -> NDArray[np.bool_]:
    """Minimise the objective from x with one constant a sample, (n,); return who succeeded on the way, (n,)."""
    current = problem.x.copy()
    origin, flat = rows(problem.x), rows(current)
    size = origin.shape[1]
    adam = _Adam(*origin.shape)
    met = np.zeros(len(origin), np.bool_)
    last = np.full(len(origin), np.inf)
    for step in range(settings.steps):
        count = min(settings.coordinates, size)
        active = problem.afford(active, 2 * count + 1)
        if not len(active):
            break
        chosen = _random.choice(problem.seed, problem.sample_ids[active], first_step + step, size, count)
        at = (active[:, np.newaxis], chosen)
        slope = _slopes(problem, current[active], active, chosen, settings)
        gradient = 2 * (flat[at].astype(np.float64) - origin[at]) + constant[active, np.newaxis] * slope
        flat[at] += settings.learning_rate * adam.step(active, chosen, gradient)
        current[active] = examples = problem.project(current[active], active)

        logits = problem.logits(examples, active)
        distance = l2_norms(rows(examples).astype(np.float64) - origin[active])
        hit = problem.offer(examples, logits, active)
        met[active[hit]] = True
        leave = hit & settings.stop_at_first_success
        if settings.abort_early and (step + 1) % ABORT_EVERY == 0:
            objective = distance**2 + constant[active] * _hinge(problem, logits, active, settings.kappa)
            leave |= objective > ABORT_RATIO * last[active]
            last[active] = objective
        active = active[~leave]
        if not len(active):
            break
    return met


def _slopes(problem: Problem, current: Array, active: Index, chosen: Index, settings: _Settings) -> NDArray[np.float64]:
    """Estimate df/dx for the chosen coordinates, (n, m), by symmetric differences inside the bounds."""
    probes = Perturbed(current, chosen, settings.h, problem.region.bounds)
    asked = np.repeat(active, 2 * chosen.shape[1])
    values = np.empty(probes.rows)
    for first in range(0, probes.rows, problem.batch_size):
        part = slice(first, min(first + problem.batch_size, probes.rows))
        logits = problem.logits(probes.batch(part.start, part.stop), asked[part])
        values[part] = _hinge(problem, logits, asked[part], settings.kappa)
    plus, minus = values.reshape(len(active), 2, -1).swapaxes(0, 1)
    gaps = probes.distances
    slopes: NDArray[np.float64] = np.divide(plus - minus, gaps, out=np.zeros(gaps.shape), where=gaps > 0)
    return slopes


def _hinge(problem: Problem, logits: Logits, index: Index, kappa: float) -> NDArray[np.float64]:
    """Return f: how far the logits are from success, but no less than -kappa."""
    return np.maximum(-problem.margin(logits, index), -kappa)
