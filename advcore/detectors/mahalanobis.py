"""Mahalanobis distance to the nearest class as a detector (Lee et al. 2018, arXiv 1807.03888)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from advcore import _check
from advcore._check import Array
from advcore.detectors import _layers, _points
from advcore.detectors._base import Detector, Features, Pull

SMALLEST_VARIANCE = 1e-6  # of the largest one: directions with less tell rounding errors


class TiedGaussian(BaseEstimator):
    """A mean for each class and one covariance for all: ``d^2(x) = min_c (x - m_c)' S^-1 (x - m_c)``.

    The inverse leaves out directions in which the points hardly vary (eigenvalues below 1e-6 of the largest).

    Attributes
    ----------
    classes_ : array, (K,)
    means_ : float64 array, (K, D)
    whitening_ : float64 array, (D, rank)
        S^-1 is its product with its transpose.
    """

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> TiedGaussian:
        """Estimate from points X (Q, D) and their classes y (Q,); all are of one class where y is not given."""
        X, self.classes_, class_of = _points.fitted(self, X, y)
        self.means_ = np.stack([X[class_of == one].mean(axis=0) for one in range(len(self.classes_))])
        centred = X - self.means_[class_of]
        with np.errstate(over="ignore"):
            covariance = centred.T @ centred / len(X)
        if not np.isfinite(covariance).all():
            raise ValueError(f"X must have squares that float64 holds, got values of up to {np.abs(X).max():g}")
        variances, directions = np.linalg.eigh(covariance)
        kept = variances > max(variances.max(), 0) * SMALLEST_VARIANCE
        if not kept.any():
            raise ValueError(f"X must vary within its classes, got n_samples = {len(X)} that do not")
        self.whitening_: NDArray[np.float64] = directions[:, kept] / np.sqrt(variances[kept])
        self._white_means = self.means_ @ self.whitening_
        return self

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the squared distance to the nearest class, (Q,): the larger, the more suspicious."""
        check_is_fitted(self, "whitening_")
        return self.nearest(_points.queries(self, X))[0]

    def nearest(self, X: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the squared distance to the nearest class and its gradient for X, that class held fixed."""
        offsets = (X @ self.whitening_)[:, np.newaxis] - self._white_means
        squares = (offsets**2).sum(axis=2)
        best, rows = squares.argmin(axis=1), np.arange(len(X))
        return squares[rows, best], 2 * offsets[rows, best] @ self.whitening_.T


class Mahalanobis(Detector):
    """Logistic regression on the Mahalanobis distances to the nearest class at several layers.

    At layers of maps (C, H, W) each map's mean counts, (C,), as in the paper.

    Parameters
    ----------
    network : Network, or object with activations(x, names) and layers, a dict by name
    reference : float array, (R, ...)
        Clean images, usually of the training set.
    labels : int array, (R,)
        Their classes.
    layers : sequence of str, optional
        Names of layers, and "input". Default: every layer. Of a single layer the distance itself is the score, and fit
        needs no adversarial inputs.
    fpr : float, in (0, 1)
        The fraction of the clean and noisy inputs given to fit that ``predict`` may take for adversarial.

    Notes
    -----
    Differs from the paper: inputs are not moved towards the nearest class before they are scored.
    """

    def __init__(
        self,
        network: Any,
        reference: Array,
        labels: Array,
        *,
        layers: Sequence[str] | None = None,
        fpr: float = 0.05,
    ) -> None:
        self.network = network
        self.reference = reference
        self.labels = labels
        self.layers = layers
        self.fpr = fpr

    @property
    def supervised(self) -> bool:  # type: ignore[override]
        """Whether there are several distances to weigh."""
        return self.layers is None or len(self.layers) > 1

    def _prepare(self) -> None:
        reference = _check.array("reference", self.reference, min_ndim=2)
        _check.finite("reference", reference)
        labels = _check.integers("labels", self.labels, shape=(len(reference),), minimum=0, maximum=2**31 - 1)
        if not len(reference):
            raise ValueError("reference must have at least one image, got none")
        self.layers_ = _layers.chosen(self.network, self.layers, list(self.network.layers))
        values: dict[str, list[NDArray[np.float64]]] = {name: [] for name in self.layers_}
        self._reference = reference
        for part in self._batches(len(reference)):
            for name, value in _layers.activations(self.network, reference[part], self.layers_).items():
                values[name].append(_pooled(value))
        self.gaussians_ = {name: TiedGaussian().fit(np.concatenate(values[name]), labels) for name in self.layers_}

    def _width(self) -> int:
        return len(self.layers_)

    def _like(self) -> Array:
        return self._reference

    def _features(self, X: Array, exclude: NDArray[np.int64] | None) -> Features:
        values = _layers.activations(self.network, X, self.layers_)
        return np.stack([self.gaussians_[name].nearest(_pooled(values[name]))[0] for name in self.layers_], axis=1)

    def _features_vjp(self, X: Array, exclude: NDArray[np.int64] | None) -> tuple[Features, Pull]:
        values, pull_values = _layers.activations_vjp(self.network, X, self.layers_)
        found = {name: self.gaussians_[name].nearest(_pooled(value)) for name, value in values.items()}

        def pull(weights: Features) -> Array:
            cotangents: dict[str, Array] = {}
            for column, name in enumerate(self.layers_):
                slope = weights[:, column, np.newaxis] * found[name][1]
                cotangents[name] = _spread(slope, values[name])
            return pull_values(cotangents)

        return np.stack([found[name][0] for name in self.layers_], axis=1), pull


def _pooled(value: Array) -> NDArray[np.float64]:
    """Return each map's mean, (Q, C), or the activations of a layer without maps."""
    maps = value.astype(np.float64).reshape(*value.shape[:2], int(np.prod(value.shape[2:])))
    return np.asarray(maps.mean(axis=2))


def _spread(slope: NDArray[np.float64], value: Array) -> Array:
    """Return the gradient for the activations of what is one for ``_pooled`` of them."""
    if value.ndim > 2:
        positions = int(np.prod(value.shape[2:]))
        slope = slope.reshape(*slope.shape, *[1] * (value.ndim - 2)) / positions
    return np.broadcast_to(slope, value.shape).astype(value.dtype)
