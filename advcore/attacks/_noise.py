"""Noise search: many random perturbations of the budget's size, and the best of them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import DTypeLike

from advcore import _check
from advcore._check import Array
from advcore.attacks._arguments import Arguments
from advcore.attacks._problem import Problem
from advcore.attacks._protocol import run
from advcore.attacks._vectors import TINY, column
from advcore.attacks.result import AttackResult, lengths, rows

ROUND = 64  # draws between two looks at who is done: a multiple of usual batches


class Noise(Protocol):
    """A kind of draw in advcore._random."""

    def __call__(self, seed: int, sample_ids: Array, step: int, size: int, *, dtype: DTypeLike) -> Array:
        """Return noise, (N, size)."""


def search(noise: Noise, given: Arguments, eps: float, norm: str, draws: int) -> AttackResult:
    """Try ``x + eps n / ||n||`` for so many draws of noise n a sample, ``ROUND`` at a time, until one succeeds."""
    eps = _check.real("eps", eps, minimum=0.0)
    norm = _check.choice("norm", norm, ("linf", "l2"))
    draws = _check.integer("draws", draws, minimum=1, maximum=2**31)

    def propose(problem: Problem) -> None:
        active = np.arange(len(problem.x))
        for first in range(0, draws, ROUND):
            count = np.minimum(min(ROUND, draws - first), problem.left(active))
            active, count = active[count > 0], count[count > 0]
            if not len(active):
                break
            asked, tried = [], []
            for draw in range(int(count.max())):
                who = active[count > draw]
                offset = noise(
                    problem.seed, problem.sample_ids[who], first + draw, rows(problem.x).shape[1], dtype=problem.x.dtype
                )
                scale = eps / np.maximum(lengths(offset.astype(np.float64), norm), TINY)
                offset *= column(scale, offset)
                tried.append(problem.project(problem.x[who] + offset.reshape(problem.x[who].shape), who))
                asked.append(who)
            index = np.concatenate(asked)
            examples = np.concatenate(tried)
            met = problem.offer(examples, problem.logits(examples, index), index)
            active = active[~np.isin(active, index[met])]

    return run(propose, given, together=max(1, given.batch_size // ROUND), norm=norm, eps=eps)
