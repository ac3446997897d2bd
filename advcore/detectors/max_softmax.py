"""The largest probability as a detector: the baseline (Hendrycks, Gimpel 2017, arXiv 1610.02136)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore._check import Array
from advcore.detectors._base import Detector, Features, Pull


class MaxSoftmax(Detector):
    """The score is ``-log max_k softmax(logits)_k``, which orders inputs as the largest probability does.

    Parameters
    ----------
    network : object with logits(x); vjp(x, cotangent) for gradients
    fpr : float, in (0, 1)
        The fraction of the clean inputs given to fit that ``predict`` may take for adversarial.
    """

    needs = ("logits",)
    needs_for_gradients = ("vjp",)

    def __init__(self, network: Any, *, fpr: float = 0.05) -> None:
        self.network = network
        self.fpr = fpr

    def _prepare(self) -> None:
        """Nothing is to be done."""

    def _features_vjp(self, X: Array, exclude: NDArray[np.int64] | None) -> tuple[Features, Pull]:
        logits = np.asarray(self.network.logits(X))
        wide = logits.astype(np.float64)
        gaps = wide - wide.max(axis=1, keepdims=True)
        rows, best = np.arange(len(X)), gaps.argmax(axis=1)
        powers = np.exp(gaps)
        powers[rows, best] = 0
        others = powers.sum(axis=1)

        def pull(weights: Features) -> Array:
            slope = powers / (1 + others)[:, np.newaxis]
            slope[rows, best] = -others / (1 + others)
            gradient: Array = self.network.vjp(X, (weights * slope).astype(logits.dtype))
            return gradient

        return np.log1p(others)[:, np.newaxis], pull
