"""Local intrinsic dimensionality as a detector (Ma et al. 2018, arXiv 1801.02613)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from advcore import _check, ops
from advcore._check import Array

INPUT = "input"


class LID(BaseEstimator):
    """Logistic regression on the LID of an input among clean images, seen at several layers of a network.

    At each layer ``LID = -(1/k sum_{i=1..k} log(r_i / r_k))^-1``, r_i the Euclidean distance of the flattened
    activation to its i-th nearest neighbour among the activations of the reference images.

    Parameters
    ----------
    network : Network, or object with activations(x, names) and layers, a dict by name
    reference : float array, (R, ...)
        Clean images, usually of the training set. Their activations are kept: R times the widths of all layers.
    layers : sequence of str, optional
        Names of layers, and "input" for the image itself. Default: "input" and every layer.
    k : int, at least 2, at most R
        Neighbours. (One neighbour has no dimension.)
    fpr : float, in (0, 1)
        The fraction of the clean and noisy inputs given to fit that ``predict`` may take for adversarial.
    batch_size : int, at least 1
        Inputs whose activations are held at once.

    Attributes
    ----------
    layers_ : list of str
    ceilings_ : float64 array, (L,)
        The largest finite LID seen by fit at each layer; it stands in for larger and infinite ones.
    model_ : scikit-learn pipeline
        Standard scaling and logistic regression.
    threshold_ : float
        The score beyond which an input is taken for adversarial.

    Notes
    -----
    A query's own clean image must not be among its neighbours: keep the reference disjoint from the queries, or pass
    ``exclude``.

    Differs from the paper: one fixed reference set instead of each query's minibatch, and no nearest neighbour is
    dropped unseen; standard scaling, fitted on the training side only, instead of min-max scaling before the split; no
    search for the regression's penalty. Athalye et al. (2018, arXiv 1802.00420) break the detector with attacks that
    know it.
    """

    def __init__(
        self,
        network: Any,
        reference: Array,
        *,
        layers: Sequence[str] | None = None,
        k: int = 20,
        fpr: float = 0.05,
        batch_size: int = 256,
    ) -> None:
        self.network = network
        self.reference = reference
        self.layers = layers
        self.k = k
        self.fpr = fpr
        self.batch_size = batch_size

    def fit(self, X: Array, y: Array, *, exclude: Array | None = None) -> LID:
        """Fit the regression.

        Parameters
        ----------
        X : float array, (Q, ...), of the reference's type and image shape
        y : int array, (Q,)
            1: adversarial, 0: clean or noisy.
        exclude : int array, (Q,), optional
            The reference image that is not to be a query's neighbour (its own clean image), -1 for none.

        Returns
        -------
        LID
            The detector itself.

        Raises
        ------
        TypeError
            If an argument is of the wrong type.
        ValueError
            If shapes do not fit, a number is not finite, k is larger than the reference set, a layer is unknown or y
            has one class alone.
        """
        _check.methods("network", self.network, ("activations", "layers"))
        reference = _check.array("reference", self.reference, min_ndim=2)
        _check.finite("reference", reference)
        _check.integer("k", self.k, minimum=2)
        if self.k > len(reference):
            raise ValueError(f"k must be at most the number of reference images, {len(reference)}; got {self.k}")
        fpr = _check.real("fpr", self.fpr, above=0.0, maximum=1.0)
        _check.integer("batch_size", self.batch_size, minimum=1)
        X = self._images(X, reference)
        y = _check.integers("y", y, shape=(len(X),), minimum=0, maximum=1)
        if len(np.unique(y)) < 2:
            raise ValueError(f"y must have both classes, 0 and 1; got {np.unique(y).tolist()}")

        known = [INPUT, *self.network.layers]
        chosen = known if self.layers is None else _check.sequence("layers", self.layers)
        self.layers_ = [_check.choice("layers", name, known) for name in chosen]
        if not self.layers_:
            raise ValueError("layers must name at least one layer")
        self._reference = reference
        self._activations = self._flat_activations(reference)
        lid = self._lid(X, exclude)
        finite = np.isfinite(lid)
        self.ceilings_ = np.where(finite, lid, 0.0).max(axis=0)
        self.model_ = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        features = np.minimum(lid, self.ceilings_)
        self.model_.fit(features, y)
        negatives = np.asarray(self.model_.decision_function(features))[y == 0]
        self.threshold_ = float(np.quantile(negatives, 1 - fpr, method="higher"))
        return self

    def features(self, X: Array, *, exclude: Array | None = None) -> NDArray[np.float64]:
        """Return the LID of each input at each layer, (Q, L), cut at ``ceilings_``; arguments as in fit."""
        check_is_fitted(self, "model_")
        lid: NDArray[np.float64] = np.minimum(self._lid(self._images(X, self._reference), exclude), self.ceilings_)
        return lid

    def score_samples(self, X: Array, *, exclude: Array | None = None) -> NDArray[np.float64]:
        """Return the log-odds that an input is adversarial, (Q,); arguments as in fit.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the detector is not fitted.
        """
        features = self.features(X, exclude=exclude)
        if not len(features):
            return np.zeros(0)
        return np.asarray(self.model_.decision_function(features), np.float64)

    def decision_function(self, X: Array, *, exclude: Array | None = None) -> NDArray[np.float64]:
        """Return ``score_samples`` less the threshold, (Q,): positive where an input is taken for adversarial."""
        return self.score_samples(X, exclude=exclude) - self.threshold_

    def predict(self, X: Array, *, exclude: Array | None = None) -> NDArray[np.int64]:
        """Return 1 for inputs that are taken for adversarial and 0 for others, (Q,)."""
        return (self.decision_function(X, exclude=exclude) > 0).astype(np.int64)

    def _images(self, X: Array, reference: Array) -> Array:
        X = _check.array("X", X, dtype=reference.dtype, shape=(None, *reference.shape[1:]))
        _check.finite("X", X)
        return X

    def _lid(self, X: Array, exclude: Array | None) -> NDArray[np.float64]:
        """Return the LID of each input at each layer, (Q, L)."""
        if exclude is not None:
            exclude = _check.integers("exclude", exclude, shape=(len(X),), minimum=-1, maximum=len(self._reference) - 1)
        result = np.empty((len(X), len(self.layers_)))
        for first in range(0, len(X), self.batch_size):
            part = slice(first, first + self.batch_size)
            own = None if exclude is None else exclude[part]
            for layer, (name, activations) in enumerate(self._flat_activations(X[part]).items()):
                result[part, layer] = ops.lid(activations, self._activations[name], self.k, exclude=own)
        return result

    def _flat_activations(self, images: Array) -> dict[str, Array]:
        """Return each layer's activations as (Q, width)."""
        hidden = self.network.activations(images, [name for name in self.layers_ if name != INPUT])
        return {name: (images if name == INPUT else hidden[name]).reshape(len(images), -1) for name in self.layers_}
