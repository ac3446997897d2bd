"""Kernel density in the last hidden layer as a detector (Feinman et al. 2017, arXiv 1703.00410)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from advcore import _check
from advcore._check import Array
from advcore.detectors import _layers, _points
from advcore.detectors._base import Detector, Features, Pull
from advcore.detectors._layers import flat


class ClassKernelDensity(BaseEstimator):
    """The logarithm of a Gaussian kernel density estimate among the points of one class.

    ``log p(x) = log(1/n sum_i exp(-||x - x_i||^2 / (2 h^2))) - D/2 log(2 pi h^2)``

    Parameters
    ----------
    bandwidth : float, 1e-100 to 1e100
        h, in the units of the features.

    Attributes
    ----------
    classes_ : array, (K,)
    points_ : list of float64 arrays, (n, D), by class
    """

    def __init__(self, bandwidth: float = 1.0) -> None:
        self.bandwidth = bandwidth

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> ClassKernelDensity:
        """Keep the points X (Q, D) of each class in y (Q,); all are of one class where y is not given."""
        _check.real("bandwidth", self.bandwidth, minimum=1e-100, maximum=1e100)
        X, self.classes_, self._class_of = _points.fitted(self, X, y)
        self._places = [np.flatnonzero(self._class_of == one) for one in range(len(self.classes_))]
        self.points_ = [np.ascontiguousarray(X[places]) for places in self._places]
        return self

    def score_samples(self, X: ArrayLike, y: ArrayLike | None = None) -> NDArray[np.float64]:
        """Return the log density of X (Q, D) in each row's class in y (Q,), by default in the densest class, (Q,).

        Unlike a detector's scores these are the larger, the less suspicious, as in scikit-learn's KernelDensity.
        """
        check_is_fitted(self, "points_")
        X = _points.queries(self, X)
        if y is not None:
            return self.within(X, _points.known_classes(self.classes_, y, len(X)))[0]
        every = [self.within(X, np.full(len(X), one))[0] for one in range(len(self.classes_))]
        densest: NDArray[np.float64] = np.max(every, axis=0)
        return densest

    def within(
        self, X: NDArray[np.float64], classes: NDArray[np.int64], exclude: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return each row's log density in its class, by index in ``classes_``, and its gradient for X.

        ``exclude`` names a point of fit for each row that is left out, -1 for none. Where it was the only one of its
        class, the log density is minus infinity.
        """
        density, gradient = np.empty(len(X)), np.empty_like(X)
        constant = 0.5 * X.shape[1] * np.log(2 * np.pi * self.bandwidth**2)
        for one in np.unique(classes):
            rows, points = np.flatnonzero(classes == one), self.points_[one]
            centre = points.mean(axis=0)  # inner products lose less near the origin
            near, centred = X[rows] - centre, points - centre
            squares = (near**2).sum(axis=1)[:, np.newaxis] - 2 * near @ centred.T + (centred**2).sum(axis=1)
            exponents = -np.maximum(squares, 0) / (2 * self.bandwidth**2)
            left = np.full(len(rows), len(points))
            if exclude is not None:
                for row, own in enumerate(exclude[rows]):
                    if own >= 0 and self._class_of[own] == one:
                        exponents[row, np.searchsorted(self._places[one], own)] = -np.inf
                        left[row] -= 1
            alone = left[:, np.newaxis] == 0  # `exclude` has left no point of the class: the density is zero
            top = np.where(alone, 0.0, exponents.max(axis=1, keepdims=True))
            weights = np.exp(exponents - top)
            total = np.where(alone, 1.0, weights.sum(axis=1, keepdims=True))
            found = top + np.log(total / np.maximum(left, 1)[:, np.newaxis]) - constant
            density[rows] = np.where(alone, -np.inf, found)[:, 0]
            gradient[rows] = np.where(alone, 0.0, -(near - (weights / total) @ centred) / self.bandwidth**2)
        return density, gradient


class KernelDensity(Detector):
    """The score is minus the log density of the last hidden layer among reference images of the predicted class.

    Parameters
    ----------
    network : Network, or object with activations(x, names), logits(x) and layers, a dict by name
    reference : float array, (R, ...)
        Clean images, usually of the training set.
    labels : int array, (R,)
        Their classes. Every class that the network predicts must be among them.
    bandwidth : float, 1e-100 to 1e100
        Of the Gaussian kernel exp(-d^2 / (2 h^2)), in the units of the activations.
    layer : str, optional
        By default the last hidden layer.
    fpr : float, in (0, 1)
        The fraction of the clean inputs given to fit that ``predict`` may take for adversarial.

    Notes
    -----
    Differs from the paper: no logistic regression on the score alone, which would change no order. With a Combination
    it is one of several scores.
    """

    excludes = True
    needs = ("activations", "layers", "logits")

    def __init__(
        self,
        network: Any,
        reference: Array,
        labels: Array,
        *,
        bandwidth: float = 1.0,
        layer: str | None = None,
        fpr: float = 0.05,
    ) -> None:
        self.network = network
        self.reference = reference
        self.labels = labels
        self.bandwidth = bandwidth
        self.layer = layer
        self.fpr = fpr

    def _prepare(self) -> None:
        reference = _check.array("reference", self.reference, min_ndim=2)
        _check.finite("reference", reference)
        labels = _check.integers("labels", self.labels, shape=(len(reference),), minimum=0, maximum=2**31 - 1)
        if not len(reference):
            raise ValueError("reference must have at least one image, got none")
        default = [_layers.last_hidden(self.network)] if self.layer is None else []
        (self.layer_,) = _layers.chosen(self.network, None if default else [self.layer], default)
        self._reference = reference
        hidden = flat(_layers.activations(self.network, reference, [self.layer_])[self.layer_])
        self.density_ = ClassKernelDensity(self.bandwidth).fit(hidden, labels)

    def fit_features(self, features: Features, y: Array | None = None) -> KernelDensity:
        """See Detector; scores of which no threshold can be made are refused, as nothing would exceed it.

        Raises
        ------
        ValueError
            If a score is NaN, or those of too many clean inputs are infinite.
        """
        super().fit_features(features, y)
        if not np.isfinite(self.threshold_):
            threshold = self.threshold_
            del self.threshold_  # not fitted
            raise ValueError(
                f"the threshold must be finite, got {threshold}: for more than fpr={self.fpr} of the clean inputs, "
                "exclude leaves no reference image of the predicted class"
            )
        return self

    def _like(self) -> Array:
        return self._reference

    def _reference_size(self) -> int:
        return len(self._reference)

    def _features(self, X: Array, exclude: NDArray[np.int64] | None) -> Features:
        hidden = _layers.activations(self.network, X, [self.layer_])[self.layer_]
        density, _ = self.density_.within(flat(hidden).astype(np.float64), self._predicted(X), exclude)
        return -density[:, np.newaxis]

    def _features_vjp(self, X: Array, exclude: NDArray[np.int64] | None) -> tuple[Features, Pull]:
        values, pull_values = _layers.activations_vjp(self.network, X, [self.layer_])
        hidden = values[self.layer_]
        density, slope = self.density_.within(flat(hidden).astype(np.float64), self._predicted(X), exclude)

        def pull(weights: Features) -> Array:
            cotangent = (-weights * slope).astype(hidden.dtype).reshape(hidden.shape)
            return pull_values({self.layer_: cotangent})

        return -density[:, np.newaxis], pull

    def _predicted(self, X: Array) -> NDArray[np.int64]:
        """Return the index in the density's classes of the class that the network predicts."""
        predicted = np.asarray(self.network.logits(X)).argmax(axis=1)
        known = self.density_.classes_
        place: NDArray[np.int64] = np.searchsorted(known, predicted)
        missing = known[np.minimum(place, len(known) - 1)] != predicted
        if missing.any():
            raise ValueError(
                f"labels must have every class that the network predicts, got none of {predicted[missing][0]}"
            )
        return place
