"""Noise search: many random perturbations of the budget's size, and the best of them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import DTypeLike

from advcore import _check
from advcore._check import Array
from advcore.attacks._arguments import Arguments
from advcore.attacks._ledger import Index
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
    """Try ``x + eps n / ||n||`` for so many draws of noise n a sample, ``ROUND`` at a time, until one succeeds.

    As many samples take their draws at once as fill a batch; the next one comes when one is done.
    """
    eps = _check.real("eps", eps, minimum=0.0)
    norm = _check.choice("norm", norm, ("linf", "l2"))
    draws = _check.integer("draws", draws, minimum=1, maximum=2**31)

    def propose(problem: Problem) -> None:
        together = max(1, problem.batch_size // ROUND)
        waiting, drawn = np.arange(len(problem.x)), np.zeros(len(problem.x), np.int64)
        while True:
            count = np.minimum(np.minimum(ROUND, draws - drawn[waiting]), problem.left(waiting))
            waiting = waiting[count > 0]
            if not len(waiting):
                return
            now, count = waiting[:together], count[count > 0][:together]
            asked, tried = [], []
            for draw in range(int(count.max())):
                at_this = now[count > draw]
                for step in np.unique(drawn[at_this]):
                    who = at_this[drawn[at_this] == step]
                    tried.append(_moved(problem, who, int(step) + draw))
                    asked.append(who)
            drawn[now] += count
            index, examples = np.concatenate(asked), np.concatenate(tried)
            met = problem.offer(examples, problem.logits(examples, index), index)
            waiting = waiting[~np.isin(waiting, index[met])]

    def _moved(problem: Problem, who: Index, step: int) -> Array:
        x = problem.x[who]
        offset = noise(problem.seed, problem.sample_ids[who], step, rows(x).shape[1], dtype=x.dtype)
        scale = problem.region.eps / np.maximum(lengths(offset.astype(np.float64), norm), TINY)
        offset *= column(scale, offset)
        return problem.project(x + offset.reshape(x.shape), who)

    return run(propose, given, norm=norm, eps=eps)
