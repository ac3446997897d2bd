"""HopSkipJump: along the boundary with labels alone (Chen, Jordan, Wainwright 2020, arXiv 1904.02144)."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from advcore import _check, _random
from advcore._check import Array
from advcore.attacks._arguments import check
from advcore.attacks._decision import check_starts, first_examples, to_boundary
from advcore.attacks._draws import pieces
from advcore.attacks._ledger import Index
from advcore.attacks._options import Options
from advcore.attacks._problem import Problem
from advcore.attacks._protocol import run
from advcore.attacks._registry import attack
from advcore.attacks._vectors import TINY, column, steepest, unit
from advcore.attacks.result import AttackResult, distance, l2_norms, rows

RESERVE = 20  # queries of a step that a gradient must leave for finding its length and the boundary
HALVINGS = 25  # of a step, before a gradient is given up


@attack(norm="l2, linf (minimal)", access="label", cost="evaluations x sqrt(step) + about 15 queries a step")
def hop_skip_jump(
    model: Any,
    x: Array,
    y: Array,
    *,
    norm: str = "l2",
    steps: int = 40,
    evaluations: int = 100,
    largest_evaluations: int = 10_000,
    memory: float = 0.7,
    starting_points: Array | None = None,
    **options: Unpack[Options],
) -> AttackResult:
    """Look for the nearest adversarial example with labels alone (algorithm 2).

    From a point z on the decision boundary, a step t estimates the boundary's normal (equations 9, 16)::

        g = sum_b (phi_b - mean(phi)) u_b,   phi_b = +1 if z + delta u_b meets the criterion, else -1

    moves to ``z + s g / ||g||_2`` (``norm="linf"``: ``z + s sign(g)``) with s = ``||z - x|| / sqrt(t)``, halved until
    the criterion is met, and bisects back to the boundary, towards x.

    Parameters
    ----------
    model : object with logits(x), torch module, or callable; only the predicted class is used
    x : float32 or float64 array, (N, ...)
    y : int array, (N,)
        True labels.
    norm : "l2" or "linf"
        The distance to keep small.
    steps : int, 1 to 10,000
    evaluations : int, at least 1
        Probes of the first gradient; step t takes ``evaluations x sqrt(t)``, at most ``largest_evaluations``.
    largest_evaluations : int, 1 to 100,000
    memory : float, in [0, 1)
        Weight of the earlier estimates of the normal, each by the square root of its probes; 0: none, as in the paper.
    starting_points : array, (N, ...), of the type of x, optional
        Inputs that meet the criterion. Without them: random inputs are tried, which targets seldom meet.
    **options
        As for every attack: see Options. With ``max_queries``, the last gradient takes what is left.

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
    Differs from the paper: earlier estimates are remembered (``memory``), since the boundary turns little between two
    steps; theta is 1/d for d entries (the paper: ``d**-1.5``, and ``d**-2`` for Linf): probes are wider, and
    bisections, to min(1/d, 0.001) of the way, shorter, which costs no accuracy of the normal; in both norms delta is
    the L2 length ``||z - x||_2 / sqrt(d)`` and u_b is uniform on the sphere, then clipped to the box.
    """
    norm = _check.choice("norm", norm, ("l2", "linf"))
    steps = _check.integer("steps", steps, minimum=1, maximum=10_000)
    evaluations = _check.integer("evaluations", evaluations, minimum=1)
    most = _check.integer("largest_evaluations", largest_evaluations, minimum=1, maximum=100_000)
    memory = _check.real("memory", memory, minimum=0.0, below=1.0)
    given = check("hop_skip_jump", model, x, y, options)
    starts = check_starts(starting_points, given.x)

    def propose(problem: Problem) -> None:
        active, current = first_examples(problem, starts)
        current = to_boundary(problem, active, current, norm)
        normal = np.zeros_like(current)
        for step in range(1, steps + 1):
            count = np.minimum(int(min(evaluations * step**0.5, most)), problem.left(active) - RESERVE)
            going = count > 0
            active, current, normal, count = active[going], current[going], normal[going], count[going]
            if not len(active):
                break
            normal = memory * normal + column(np.sqrt(count), normal) * _normal(
                problem, active, current, count, step * most
            )
            current = _step(problem, active, current, normal, step, norm)
            current = to_boundary(problem, active, current, norm)

    return run(propose, given, minimise=norm)


def _normal(problem: Problem, index: Index, current: Array, count: Index, first_draw: int) -> Array:
    """Estimate the unit normal of the boundary at the current points, pointing to where the criterion is met."""
    size = rows(current).shape[1]
    width = distance(current, problem.x[index], "l2") / np.sqrt(max(size, 1))
    low, high = problem.region.lower, problem.region.upper
    agreed, moved, balance = np.zeros_like(current), np.zeros_like(current), np.zeros(len(index))
    for piece in pieces(count, problem.batch_size):
        probes, directions = [], []
        for draw, who in piece:
            noise = _random.normal(
                problem.seed, problem.sample_ids[index[who]], first_draw + draw, size, dtype=current.dtype
            ).reshape(current[who].shape)
            noise *= column(width[who] / np.maximum(l2_norms(rows(noise)), TINY), noise)
            probe = np.clip(current[who] + noise, low[index[who]], high[index[who]])
            probes.append(probe)
            directions.append(probe - current[who])
        asked = np.concatenate([who for _, who in piece])
        met = problem.met(problem.logits(np.concatenate(probes), index[asked]), index[asked])
        first = 0
        for (_, who), direction in zip(piece, directions, strict=True):
            answer = np.where(met[first : first + len(who)], 1.0, -1.0)
            first += len(who)
            agreed[who] += column(answer, direction) * direction
            moved[who] += direction
            balance[who] += answer
    # Where all probes agree there is nothing to compare with: the mean of the directions is the best guess.
    mean = np.where(np.abs(balance) == count, 0.0, balance / count)
    return unit(agreed - column(mean, moved) * moved)


def _step(problem: Problem, index: Index, current: Array, normal: Array, step: int, norm: str) -> Array:
    """Move along the normal, as far as the first of the halved lengths that meets the criterion."""
    direction = steepest(normal, norm)
    length = distance(current, problem.x[index], norm) / np.sqrt(step)
    reached = current.copy()
    short = np.arange(len(index))
    for _ in range(HALVINGS):
        short = short[np.isin(index[short], problem.afford(index[short]))]
        if not len(short):
            break
        tried = problem.project(current[short] + column(length[short], current) * direction[short], index[short])
        met = problem.offer(tried, problem.logits(tried, index[short]), index[short])
        reached[short[met]] = tried[met]
        short = short[~met]
        length[short] /= 2
    return reached
