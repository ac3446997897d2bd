"""Several detectors as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from advcore import _check
from advcore._check import Array
from advcore.detectors._base import Detector, Features, Pull


class Combination(Detector):
    """Logistic regression on the features of several detectors: one score, or one LID or distance a layer.

    Feinman et al. (2017, arXiv 1703.00410) combine kernel density and Bayesian uncertainty this way.

    Parameters
    ----------
    detectors : sequence of Detector, at least one
        Need not be fitted; their own thresholds and regressions play no part. Those with reference images must have
        the same ones in the same order for ``exclude`` to mean the same to all.
    fpr : float, in (0, 1)
        The fraction of the clean and noisy inputs given to fit that ``predict`` may take for adversarial.
    """

    supervised = True
    needs = ()

    def __init__(self, detectors: Sequence[Detector], *, fpr: float = 0.05) -> None:
        self.detectors = detectors
        self.fpr = fpr

    def __sklearn_clone__(self) -> Combination:
        """Return an unfitted combination of unfitted detectors."""
        return Combination([clone(one) for one in self.detectors], fpr=self.fpr)

    @property
    def network(self) -> Any:
        """The network of the first detector."""
        if not self.detectors:
            raise ValueError("detectors must have at least one detector")
        return self.detectors[0].network

    @property
    def excludes(self) -> bool:  # type: ignore[override]  # computed, where the others have a constant
        """Whether any has reference images."""
        return any(one.excludes for one in self.detectors)

    @property
    def needs_for_gradients(self) -> tuple[str, ...]:  # type: ignore[override]  # computed, where the others have a constant
        """What any of them needs."""
        return tuple({name: None for one in self.detectors for name in one.needs_for_gradients})

    def prepare(self) -> Combination:
        """See Detector."""
        for number, one in enumerate(_check.sequence("detectors", self.detectors)):
            _check.instance(f"detectors[{number}]", one, Detector)
        if not self.detectors:
            raise ValueError("detectors must have at least one detector")
        if any(one.network is not self.network for one in self.detectors):
            raise ValueError("detectors must be of one network")
        super().prepare()
        return self

    def _prepare(self) -> None:
        for one in self.detectors:
            one.prepare()

    def _width(self) -> int:
        return sum(one._width() for one in self.detectors)

    def _like(self) -> Array | None:
        return next((like for one in self.detectors if (like := one._like()) is not None), None)

    def _reference_size(self) -> int:
        return min(one._reference_size() for one in self.detectors if one.excludes)

    def _features(self, X: Array, exclude: NDArray[np.int64] | None) -> Features:
        return np.concatenate([one._features(X, exclude if one.excludes else None) for one in self.detectors], axis=1)

    def _features_vjp(self, X: Array, exclude: NDArray[np.int64] | None) -> tuple[Features, Pull]:
        parts = [one._features_vjp(X, exclude if one.excludes else None) for one in self.detectors]
        cuts = np.cumsum([features.shape[1] for features, _ in parts])[:-1]

        def pull(weights: Features) -> Array:
            gradient = np.zeros_like(X)
            for (_, pull_one), own in zip(parts, np.split(weights, cuts, axis=1), strict=True):
                gradient += pull_one(own)
            return gradient

        return np.concatenate([features for features, _ in parts], axis=1), pull
