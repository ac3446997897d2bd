"""PGD on gradients that are estimated from scores: what NES and SPSA share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from advcore import _check
from advcore._check import Array
from advcore.attacks._draws import pieces
from advcore.attacks._ledger import Index
from advcore.attacks._losses import LOSSES
from advcore.attacks._noise import Noise
from advcore.attacks._problem import Problem
from advcore.attacks._protocol import Propose
from advcore.attacks._vectors import column, steepest
from advcore.attacks.result import rows


class Settings(NamedTuple):
    """The checked arguments of such an attack."""

    eps: float
    norm: str
    steps: int
    step_size: float | None  # None: 2.5 eps / steps
    pairs: int
    width: float
    momentum: float
    loss: str


def settings(
    eps: float,
    norm: str,
    steps: int,
    step_size: float | None,
    pairs: int,
    width: tuple[str, float],
    momentum: float,
    loss: str,
) -> Settings:
    """Check the arguments; ``width`` comes with the name it has in the attack."""
    eps = _check.real("eps", eps, minimum=0.0)
    norm = _check.choice("norm", norm, ("linf", "l2"))
    steps = _check.integer("steps", steps, minimum=1, maximum=100_000)
    return Settings(
        eps,
        norm,
        steps,
        None if step_size is None else _check.real("step_size", step_size, above=0.0),
        _check.integer("pairs", pairs, minimum=1, maximum=40_000),
        _check.real(*width, above=0.0),
        _check.real("momentum", momentum, minimum=0.0, below=1.0),
        _check.choice("loss", loss, ("margin", "cross_entropy")),
    )


def climb(draw: Noise, given: Settings) -> Propose:
    """Return the algorithm: ask about the iterate, estimate the gradient there, step, project."""

    def propose(problem: Problem) -> None:
        active, current = np.arange(len(problem.x)), problem.x
        size = 2.5 * problem.region.eps / given.steps if given.step_size is None else given.step_size
        velocity = np.zeros_like(current)
        for step in range(given.steps):
            going = np.isin(active, problem.afford(active, 2 * given.pairs + 1))
            active, current, velocity = active[going], current[going], velocity[going]
            if not len(active):
                break
            gradient = _gradient(problem, active, current, draw, step, given)
            velocity = given.momentum * velocity + (1 - given.momentum) * gradient
            current = problem.project(current + size * steepest(velocity, given.norm), active)
            going = ~problem.offer(current, problem.logits(current, active), active)
            active, current, velocity = active[going], current[going], velocity[going]

    return propose


def _gradient(problem: Problem, index: Index, current: Array, draw: Noise, step: int, given: Settings) -> Array:
    """Return the mean of ``(L(z + width u) - L(z - width u)) / (2 width) u`` over the pairs of probes.

    Probes are clipped to the box: (half) the difference between the two is what stands for ``width u``.
    """
    box = tuple(current.dtype.type(bound) for bound in problem.region.bounds)
    total = np.zeros_like(current)
    for piece in pieces(np.full(len(index), given.pairs), max(1, problem.batch_size // 2)):
        directions = [_direction(problem, draw, step * given.pairs + pair, index[who]) for pair, who in piece]
        asked = np.concatenate([who for _, who in piece])
        offset = given.width * np.concatenate(directions)
        plus, minus = np.clip(current[asked] + offset, *box), np.clip(current[asked] - offset, *box)
        twice = np.tile(index[asked], 2)
        targets = None if problem.targets is None else problem.targets[twice]
        logits = problem.logits(np.concatenate([plus, minus]), twice)
        values = LOSSES[given.loss].value(logits, problem.y[twice], targets)
        rise = column((values[: len(asked)] - values[len(asked) :]) / (4 * given.width**2 * given.pairs), plus)
        change = rise * (plus - minus)
        first = 0
        for _, who in piece:
            total[who] += change[first : first + len(who)]
            first += len(who)
    return total


def _direction(problem: Problem, draw: Noise, step: int, index: Index) -> Array:
    """Draw u for some of the samples; zero where the mask forbids changes."""
    x, mask = problem.x, problem.region.mask
    noise = draw(problem.seed, problem.sample_ids[index], step, rows(x).shape[1], dtype=x.dtype)
    noise = noise.reshape(len(index), *x.shape[1:])
    return noise if mask is None else np.where(mask[index], noise, 0).astype(x.dtype)
