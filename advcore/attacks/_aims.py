"""Where samples turn that stand still: to the classes that they have not climbed to yet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advcore._check import Array
from advcore.attacks._ledger import Index
from advcore.attacks._lengths import norms
from advcore.attacks._losses import without
from advcore.attacks._problem import Problem

STILL = 0.05  # of a step: who gets no further has reached the end of the region in the direction of its gradient
ROUND = 8  # steps: the longest way round that is noticed
FAR = 100.0  # times the budget: from there the projection is the farthest point of it in a direction


class Aims:
    """The class that each sample aims at: none, then, whenever it stands still, the likeliest one that is left.

    On a linear model each loss ends at one class, though another one may be within reach; on others a sample that
    stands still, or goes round in a circle, has nothing to gain from further steps of its loss.
    """

    def __init__(self, problem: Problem, norm: str, step_size: float) -> None:
        self._norm, self._still = norm, STILL * step_size
        likeliest = np.argsort(-without(problem.logits_of_x, problem.y), axis=1, kind="stable")[:, :-1]
        order = likeliest if problem.targets is None else problem.targets[:, np.newaxis]
        self._order = np.pad(order, ((0, 0), (0, 1)), constant_values=-1)  # back to its own loss in the end
        self._tried = np.full(len(problem.x), -1)
        self._before = np.full_like(problem.x, np.inf)  # where each sample was some steps ago
        self._steps = 0
        self.turned = np.zeros(len(problem.x), np.bool_)  # samples that have not taken a step to their class yet

    def of_samples(self, index: Index) -> Index:
        """Return the class that each sample aims at, (B,); -1 where it has none of its own."""
        tried = self._tried[index]
        return np.where(tried < 0, -1, self._order[index, np.maximum(tried, 0)])

    def restart(self) -> None:
        """Let every sample begin without an aim again."""
        self._tried[:], self.turned[:], self._steps = -1, False, 0

    def moved(self, index: Index, x: Array, to: Array, going: NDArray[np.bool_]) -> None:
        """Give those of the samples that stand still their next aim; who has tried all of them goes on as it does.

        They have moved from x, and ``going`` says who may turn.
        """
        self.turned[index] = False
        self._steps += 1
        if self._steps % ROUND == 0:
            self._before[index] = x
        further = np.minimum(norms(to - x, self._norm), norms(to - self._before[index], self._norm))
        at_end = index[going & (further <= self._still) & (self._tried[index] < self._order.shape[1] - 1)]
        self._tried[at_end] += 1
        self.turned[at_end] = True
