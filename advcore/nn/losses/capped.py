"""A loss that stops paying below a limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from advcore import _check
from advcore._check import Array


@dataclass(frozen=True)
class Capped:
    """``max(g, floor - eps)`` of a loss g, with gradient 0 where g is below: a term that has no lower bound swallows
    the others of an objective unless it is capped.

    Parameters
    ----------
    loss : callable
        A function (prediction, target) -> (loss (N,), gradient (N, ...)), such as ``margin``.
    eps : float
        At least 0.
    floor : float
    """

    loss: Callable[[Array, Any], tuple[Array, Array]]
    eps: float = 0.0
    floor: float = -5.0

    def __post_init__(self) -> None:
        """Check the arguments."""
        if not callable(self.loss):
            raise TypeError(f"loss must be a function, got {type(self.loss).__name__}")
        _check.real("eps", self.eps, minimum=0.0)
        _check.real("floor", self.floor)

    def __call__(self, prediction: Array, target: object) -> tuple[Array, Array]:
        """Return each sample's capped loss and its gradient for the prediction."""
        values, gradient = self.loss(prediction, target)
        limit = values.dtype.type(self.floor - self.eps)
        below = (values < limit).reshape(values.shape + (1,) * (gradient.ndim - values.ndim))
        return np.maximum(values, limit), np.where(below, 0, gradient).astype(gradient.dtype, copy=False)
