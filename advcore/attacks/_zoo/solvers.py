"""Coordinate descent for some coordinates of every sample: Adam and Newton (Chen et al. 2017, algorithms 2 and 3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advcore.attacks._ledger import Index

Values = NDArray[np.float64]
BETA1, BETA2, TINY = 0.9, 0.999, 1e-8


class Adam:
    """Adam's moments, and the powers of the betas that undo their bias, for every coordinate by itself; all (n, d)."""

    second_order = False

    def __init__(self, count: int, size: int) -> None:
        self.mean, self.square = np.zeros((count, size)), np.zeros((count, size))
        self.bias1, self.bias2 = np.ones((count, size)), np.ones((count, size))

    def step(self, index: Index, chosen: Index, gradient: Values, curvature: Values) -> Values:
        """Take in the derivatives of the chosen coordinates, (n, m), and return the step for a learning rate of 1."""
        at = (index[:, np.newaxis], chosen)
        self.mean[at] = mean = BETA1 * self.mean[at] + (1 - BETA1) * gradient
        self.square[at] = square = BETA2 * self.square[at] + (1 - BETA2) * gradient * gradient
        self.bias1[at] *= BETA1
        self.bias2[at] *= BETA2
        step: Values = -(mean / (1 - self.bias1[at])) / (np.sqrt(square / (1 - self.bias2[at])) + TINY)
        return step

    def arrays(self) -> dict[str, Values]:
        """Return the state, by name; the arrays may be written to."""
        return {"mean": self.mean, "square": self.square, "bias1": self.bias1, "bias2": self.bias2}


class Newton:
    """Newton's step ``-g / h``, h the second derivative, 1 where it is negative, and at least 0.1."""

    second_order = True

    def __init__(self, count: int, size: int) -> None:
        """No state is kept."""

    def step(self, index: Index, chosen: Index, gradient: Values, curvature: Values) -> Values:
        """Return the step for a learning rate of 1."""
        curvature = np.where(curvature < 0, 1.0, np.maximum(curvature, 0.1))
        step: Values = -gradient / curvature
        return step

    def arrays(self) -> dict[str, Values]:
        """Return the state: none."""
        return {}


SOLVERS: dict[str, type[Adam] | type[Newton]] = {"adam": Adam, "newton": Newton}
