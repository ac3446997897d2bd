"""What all detectors share: features, a score, a threshold, gradients, files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from advcore import _check
from advcore._check import Array
from advcore.detectors._state import state
from advcore.detectors.feature_classifier import FeatureClassifier

Features = NDArray[np.float64]
Pull = Callable[[Features], Array]
"""Takes a gradient for the features, (Q, L), and returns the one for the inputs."""

Self = TypeVar("Self", bound="Detector")

ARRAYS = ("reference", "labels")  # arguments that are arrays


class Detector(BaseEstimator):
    """Tells adversarial inputs of a network from others.

    A detector turns an input into features. A ``supervised`` one scores them by logistic regression, fitted on clean,
    noisy and adversarial inputs; any other has one feature, which is the score, and fits no more than a threshold.

    A subclass takes ``network`` and ``fpr``, and computes ``_prepare`` (checks of its parameters; what belongs to the
    reference) and ``_features_vjp``.

    Attributes
    ----------
    threshold_ : float
        The score beyond which an input is taken for adversarial.
    ceilings_ : float64 array, (L,), of a supervised detector
        The largest finite value of each feature that fit has seen; it stands in for larger and infinite ones.
    classifier_ : FeatureClassifier, of a supervised detector
    """

    supervised = False
    excludes = False  # whether it has reference images, of which a query's own can be left out
    needs: tuple[str, ...] = ("activations", "layers")  # of the network
    needs_for_gradients: tuple[str, ...] = ("activations_vjp",)
    network: Any
    fpr: float
    batch_size = 256  # inputs whose features are computed at once

    # What a subclass computes

    def _prepare(self) -> None:
        """Check the detector's own parameters and compute what does not depend on queries."""
        raise NotImplementedError  # a subclass has it

    def _features_vjp(self, X: Array, exclude: NDArray[np.int64] | None) -> tuple[Features, Pull]:
        """Return the features of one batch, (Q, L), and what takes a gradient for them back to X."""
        raise NotImplementedError  # a subclass has it

    def _features(self, X: Array, exclude: NDArray[np.int64] | None) -> Features:
        """Return the features of one batch, (Q, L); overridden where no gradient makes it cheaper."""
        return self._features_vjp(X, exclude)[0]

    def _like(self) -> Array | None:
        """Return an array of inputs of which X must have the type and the shape, if there is one."""
        return None

    def _width(self) -> int:
        """Return the number of features, L."""
        return 1

    def _reference_size(self) -> int:
        """Return the number of reference images, of a detector that excludes."""
        raise NotImplementedError  # a subclass has it

    def __sklearn_clone__(self: Self) -> Self:
        """Return an unfitted detector with the same parameters: network and reference are shared, not copied."""
        return type(self)(**self.get_params(deep=False))

    # What users call

    def prepare(self: Self) -> Self:
        """Check the parameters and compute what does not depend on queries, such as activations of the reference.

        ``fit`` does it too. After it, ``features`` can be called.
        """
        _check.methods("network", self.network, self.needs)
        _check.real("fpr", self.fpr, above=0.0, below=1.0)
        _check.integer("batch_size", self.batch_size, minimum=1)
        self._prepare()
        self._prepared = state(self)
        return self

    def fit(self: Self, X: Array, y: Array | None = None, *, exclude: Array | None = None) -> Self:
        """Fit the detector.

        Parameters
        ----------
        X : float array, (Q, ...), inputs of the network
        y : int array, (Q,), optional
            1: adversarial, 0: clean or noisy. Supervised detectors need both; others take the threshold from the
            inputs with 0, which are all where y is not given.
        exclude : int array, (Q,), optional
            The reference image that is not to be a query's neighbour (its own clean image), -1 for none.

        Returns
        -------
        Detector
            Itself.

        Raises
        ------
        TypeError
            If an argument or a parameter is of the wrong type.
        ValueError
            If shapes do not fit, a number is not finite, a parameter is out of range, or y lacks a class.
        """
        self.prepare()
        X = self._images(X)
        labels = self._labels(y, len(X))
        return self.fit_features(self.features(X, exclude=exclude), labels)

    def features(self, X: Array, *, exclude: Array | None = None) -> Features:
        """Return the features of each input, (Q, L); they may be infinite. Needs ``prepare`` or ``fit`` before.

        Raises
        ------
        ValueError
            If a feature is NaN: the network's outputs are not finite there.
        """
        check_is_fitted(self, "_prepared")
        X, own = self._images(X), self._own(exclude, len(X))
        parts = [self._features(X[part], None if own is None else own[part]) for part in self._batches(len(X))]
        features = np.concatenate(parts)
        _check.not_nan("features", features)
        return features

    def fit_features(self: Self, features: Features, y: Array | None = None) -> Self:
        """Fit the detector to what ``features`` returned; y as in fit."""
        features = self._known(features)
        labels = self._labels(y, len(features))
        if self.supervised:
            finite = np.where(np.isfinite(features), features, -np.inf).max(axis=0)
            self.ceilings_ = np.where(np.isfinite(finite), finite, 0.0)
            self.classifier_ = FeatureClassifier().fit(np.minimum(features, self.ceilings_), labels)
        self._fitted = self._prepared
        clean = self.score_features(features)[labels == 0]
        self.threshold_ = float(np.quantile(clean, 1 - self.fpr, method="higher"))
        return self

    def score_features(self, features: Features) -> NDArray[np.float64]:
        """Return the scores of what ``features`` returned, (Q,)."""
        features = self._known(features)
        if not self.supervised:
            return np.asarray(features[:, 0], np.float64)
        check_is_fitted(self, "classifier_")
        return self.classifier_.linear(np.minimum(features, self.ceilings_))

    def score_samples(self, X: Array, *, exclude: Array | None = None) -> NDArray[np.float64]:
        """Return the scores, (Q,): the larger, the more suspicious. Of a supervised detector they are log-odds.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the detector is not fitted.
        """
        check_is_fitted(self, "threshold_")
        return self.score_features(self.features(X, exclude=exclude))

    def decision_function(self, X: Array, *, exclude: Array | None = None) -> NDArray[np.float64]:
        """Return ``score_samples`` less the threshold, (Q,): positive where an input is taken for adversarial."""
        return self.score_samples(X, exclude=exclude) - self.threshold_

    def predict(self, X: Array, *, exclude: Array | None = None) -> NDArray[np.int64]:
        """Return 1 for inputs that are taken for adversarial and 0 for others, (Q,)."""
        return (self.decision_function(X, exclude=exclude) > 0).astype(np.int64)

    def score_gradient(self, X: Array, *, exclude: Array | None = None) -> tuple[NDArray[np.float64], Array]:
        """Return the scores, (Q,), and each one's gradient for its input, an array like X: for adaptive attacks.

        What a step of an attack would change discretely (neighbours, the predicted class) is held fixed.

        Raises
        ------
        TypeError
            If the network gives no gradients.
        sklearn.exceptions.NotFittedError
            If the detector is not fitted.
        """
        check_is_fitted(self, "threshold_")
        _check.methods("network", self.network, self.needs_for_gradients)
        X, own = self._images(X), self._own(exclude, len(X))
        scores, gradient = np.zeros(len(X)), np.zeros_like(X)
        for part in self._batches(len(X)):
            features, pull = self._features_vjp(X[part], None if own is None else own[part])
            _check.not_nan("features", features, part.start)
            scores[part] = self.score_features(features)
            if self.supervised:
                weights = np.where(features < self.ceilings_, self.classifier_.weights_, 0.0)
            else:
                weights = np.ones_like(features)
            gradient[part] = pull(weights)
        return scores, gradient

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted detector to one safetensors file, reference images included, without the network.

        Raises
        ------
        OSError
            If the file cannot be written.
        TypeError
            If the network is not an advcore.nn.Network, whose parameters could be told from another's.
        ValueError
            If the network, an array or an argument is not what fit saw.
        sklearn.exceptions.NotFittedError
            If the detector is not fitted.
        """
        from advcore.detectors import _saving

        _saving.save(self, path)

    @staticmethod
    def load(path: str | os.PathLike[str], network: Any) -> Detector:
        """Return the detector in a file that ``save`` wrote, with the same scores. Safe for files from anyone.

        Parameters
        ----------
        path : path
        network : Network
            The one that the detector was fitted on.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is no such file, or holds a detector for another network.
        """
        from advcore.detectors import _saving

        return _saving.load(path, network)

    # Checks

    def _images(self, X: Array) -> Array:
        like = self._like()
        if like is None:
            X = _check.array("X", X, min_ndim=2)
        else:
            X = _check.array("X", X, dtype=like.dtype, shape=(None, *like.shape[1:]))
        _check.finite("X", X)
        return X

    def _labels(self, y: Array | None, count: int) -> NDArray[np.int64]:
        labels = np.zeros(count, np.int64) if y is None else y
        labels = _check.integers("y", labels, shape=(count,), minimum=0, maximum=1)
        found = np.unique(labels).tolist()
        if self.supervised and len(found) < 2:
            raise ValueError(f"y must have both classes, 0 and 1; got {found}")
        if 0 not in found:
            raise ValueError(f"y must have class 0, clean inputs, for the threshold; got {found}")
        return labels

    def _known(self, features: Features) -> Features:
        """Return what is given as features, which must be as many as there are."""
        check_is_fitted(self, "_prepared")
        features = _check.array("features", features, dtype=np.dtype(np.float64), shape=(None, self._width()))
        _check.not_nan("features", features)
        return features

    def _own(self, exclude: Array | None, count: int) -> NDArray[np.int64] | None:
        if exclude is None:
            return None
        if not self.excludes:
            raise ValueError(f"exclude must be None: {type(self).__name__} does not look for neighbours")
        return _check.integers("exclude", exclude, shape=(count,), minimum=-1, maximum=self._reference_size() - 1)

    def _batches(self, count: int) -> Iterator[slice]:
        return (slice(first, first + self.batch_size) for first in range(0, max(count, 1), self.batch_size))
