"""The term ``c f`` of penalty attacks: ``f = max(-margin, -kappa)``, zero slope once a success's margin is kappa."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from advcore.attacks._ledger import Index
from advcore.attacks._losses import Logits
from advcore.attacks._problem import Problem


def weighted_slope(
    problem: Problem, index: Index, constant: NDArray[np.float64], kappa: float
) -> Callable[[Logits, slice], Logits]:
    """Return the gradient of ``c f`` for the logits, (B, K), as a function for Problem.vjp."""

    def slope(logits: Logits, part: slice) -> Logits:
        chosen = index[part]
        # A margin of zero is no success where the label is the first of equal logits.
        pulled = (problem.margin(logits, chosen) < kappa) | ~problem.met(logits, chosen)
        weight = np.where(pulled, -constant[chosen], 0.0)
        return problem.margin_ascent(logits, chosen) * weight[:, np.newaxis]

    return slope


def hinge(problem: Problem, logits: Logits, index: Index, kappa: float) -> NDArray[np.float64]:
    """Return ``f + kappa``: how far the logits are from what is wanted, zero where they are there."""
    return np.maximum(kappa - problem.margin(logits, index), 0.0)
