"""Rejection by distance of deep radial-basis networks (Habibzadeh, Hosseini, Sra 2018, arXiv 1812.03190)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import _check
from advcore._check import Array
from advcore.detectors._base import Detector, Features, Pull


class RBFRejection(Detector):
    """The score is ``min_k d_k``, the distance to the nearest class: an input is rejected iff it exceeds lambda.

    Parameters
    ----------
    network : object with distances d, one a class
        Either ``output="distances"``: logits(x) gives the distances, as a network trained by ``rbf_metric_loss`` does;
        or ``output="logits"``: it gives their negatives, as a network does whose prediction is the largest logit.
    lambda_ : float, above 0, optional
        The threshold, in units of distance. Unless given it is taken from the clean inputs of fit, by ``fpr``.
    output : "logits" or "distances"
    fpr : float, in (0, 1)
        The fraction of the clean inputs given to fit that ``predict`` may reject, where ``lambda_`` is not given.
    """

    needs = ("logits",)
    needs_for_gradients = ("vjp",)

    def __init__(
        self, network: Any, *, lambda_: float | None = None, output: str = "logits", fpr: float = 0.05
    ) -> None:
        self.network = network
        self.lambda_ = lambda_
        self.output = output
        self.fpr = fpr

    def _prepare(self) -> None:
        _check.choice("output", self.output, ("logits", "distances"))
        if self.lambda_ is not None:
            _check.real("lambda_", self.lambda_, above=0.0)

    def fit_features(self, features: Features, y: Array | None = None) -> RBFRejection:
        """Take the threshold from lambda_, or from clean inputs; see Detector."""
        super().fit_features(features, y)
        if self.lambda_ is not None:
            self.threshold_ = float(self.lambda_)
        return self

    def _features_vjp(self, X: Array, exclude: NDArray[np.int64] | None) -> tuple[Features, Pull]:
        logits = np.asarray(self.network.logits(X))
        sign = 1 if self.output == "distances" else -1
        distances = sign * logits.astype(np.float64)
        rows, nearest = np.arange(len(X)), distances.argmin(axis=1)

        def pull(weights: Features) -> Array:
            cotangent = np.zeros_like(logits)
            cotangent[rows, nearest] = sign * weights[:, 0]
            gradient: Array = self.network.vjp(X, cotangent)
            return gradient

        return distances[rows, nearest][:, np.newaxis], pull
