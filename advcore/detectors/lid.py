"""Local intrinsic dimensionality as a detector (Ma et al. 2018, arXiv 1801.02613)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from advcore import _check, ops
from advcore._check import Array
from advcore.detectors import _layers
from advcore.detectors._base import Detector, Features, Pull
from advcore.detectors._layers import INPUT, flat

MINIBATCH = 100  # of the published procedure


class LID(Detector):
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
    published : bool
        For reproduction only: a query's neighbours are sought among the 100 reference images of the minibatch that
        holds its own clean image (``exclude``, which is needed then, says which one that is), and the nearest one is
        dropped unseen. The scores depend on the batch, and on knowing the clean image.

    Attributes
    ----------
    layers_ : list of str
    ceilings_, classifier_, threshold_
        As Detector; the features are the LIDs, (Q, L).

    Notes
    -----
    A query's own clean image must not be among its neighbours: keep the reference disjoint from the queries, or pass
    ``exclude`` for its clean, noisy and adversarial versions alike.

    Differs from the paper: one fixed reference set instead of each query's minibatch, and no nearest neighbour is
    dropped unseen; standard scaling, fitted on the training side only, instead of min-max scaling before the split; no
    search for the regression's penalty. Athalye et al. (2018, arXiv 1802.00420) break the detector with attacks that
    know it.
    """

    supervised = True
    excludes = True

    def __init__(
        self,
        network: Any,
        reference: Array,
        *,
        layers: Sequence[str] | None = None,
        k: int = 20,
        fpr: float = 0.05,
        batch_size: int = 256,
        published: bool = False,
    ) -> None:
        self.network = network
        self.reference = reference
        self.layers = layers
        self.k = k
        self.fpr = fpr
        self.batch_size = batch_size
        self.published = published

    def _prepare(self) -> None:
        reference = _check.array("reference", self.reference, min_ndim=2)
        _check.finite("reference", reference)
        _check.integer("k", self.k, minimum=2)
        if self.k > len(reference):
            raise ValueError(f"k must be at most the number of reference images, {len(reference)}; got {self.k}")
        published = _check.flag("published", self.published)
        last = (len(reference) - 1) % MINIBATCH + 1
        if published and last <= self.k:
            raise ValueError(f"the last minibatch of the reference must have more than k images, {self.k}; got {last}")
        self.layers_ = _layers.chosen(self.network, self.layers, [INPUT, *self.network.layers])
        self._reference = reference
        values = self._run(reference)
        self._indices = {name: ops.KnnIndex(flat(values.pop(name))) for name in dict.fromkeys(self.layers_)}

    def _width(self) -> int:
        return len(self.layers_)

    def _like(self) -> Array:
        return self._reference

    def _reference_size(self) -> int:
        return len(self._reference)

    def _features(self, X: Array, exclude: NDArray[np.int64] | None) -> Features:
        values = self._run(X)
        result = np.empty((len(X), len(self.layers_)))
        for column, name in enumerate(self.layers_):
            if self.published:
                distances, _ = self._neighbours(name, flat(values[name]), exclude)
                result[:, column] = _lid(distances)
            else:
                result[:, column] = self._indices[name].lid(flat(values[name]), self.k, exclude=exclude)
        return result

    def _features_vjp(self, X: Array, exclude: NDArray[np.int64] | None) -> tuple[Features, Pull]:
        values, pull_values = _layers.activations_vjp(self.network, X, self.layers_)
        near = {name: self._neighbours(name, flat(value), exclude) for name, value in values.items()}
        features = np.stack([_lid(near[name][0]) for name in self.layers_], axis=1)

        def pull(weights: Features) -> Array:
            cotangents: dict[str, Array] = {}
            for column, name in enumerate(self.layers_):
                distances, indices = near[name]
                weight = weights[:, column, np.newaxis] * _slopes(distances)
                gradient = _weighted_differences(flat(values[name]), self._indices[name].reference, weight, indices)
                shaped = gradient.reshape(values[name].shape)
                cotangents[name] = cotangents[name] + shaped if name in cotangents else shaped
            return pull_values(cotangents)

        return features, pull

    def _neighbours(
        self, name: str, queries: Array, exclude: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the distances to the k neighbours, float64 (Q, k), and their places in the reference."""
        if not self.published:
            distances, indices = self._indices[name].search(queries, self.k, exclude=exclude)
            return distances.astype(np.float64), indices
        if exclude is None or (exclude < 0).any():
            raise ValueError("exclude must name the own clean image of every query where published is True")
        distances = np.empty((len(queries), self.k))
        indices = np.empty((len(queries), self.k), np.int64)
        for batch in np.unique(exclude // MINIBATCH):
            rows, first = exclude // MINIBATCH == batch, batch * MINIBATCH
            minibatch = self._indices[name].reference[first : first + MINIBATCH]
            found, where = ops.knn(queries[rows], minibatch, self.k + 1)
            distances[rows], indices[rows] = found[:, 1:], where[:, 1:] + first
        return distances, indices

    def _run(self, X: Array) -> dict[str, Array]:
        return _layers.activations(self.network, X, self.layers_)


def _lid(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the estimate from ascending distances (Q, k): 0 where one is 0, infinity where all are equal."""
    with np.errstate(divide="ignore", invalid="ignore"):
        mean: NDArray[np.float64] = np.log(distances / distances[:, -1:]).mean(axis=1)
        estimate = -1 / mean
    return np.where((distances == 0).any(axis=1), 0.0, np.where(mean == 0, np.inf, estimate))


def _slopes(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``dLID/dr_i / r_i``, (Q, k); 0 where the estimate is 0 or infinite.

    With m = 1/k sum_i log(r_i / r_k), dLID/dm = LID^2, dm/dr_i = 1 / (k r_i), and 1 / (k r_k) - 1 / r_k for the last.
    """
    k = distances.shape[1]
    estimate = _lid(distances)
    usable = (estimate > 0) & np.isfinite(estimate)
    safe = np.where(usable[:, np.newaxis], distances, 1.0)
    slopes = 1 / (k * safe**2)
    slopes[:, -1] -= 1 / safe[:, -1] ** 2
    return np.asarray(slopes * np.where(usable, estimate, 0.0)[:, np.newaxis] ** 2)


def _weighted_differences(
    queries: Array, reference: Array, weights: NDArray[np.float64], indices: NDArray[np.int64]
) -> Array:
    """Return ``sum_i weights[q, i] (queries[q] - reference[indices[q, i]])``, (Q, D)."""
    count, k = weights.shape
    starts = np.arange(0, count * k + 1, k)
    of_reference = csr_matrix(
        (weights.astype(queries.dtype).ravel(), indices.ravel(), starts), shape=(count, len(reference))
    )
    total = weights.sum(axis=1, keepdims=True).astype(queries.dtype)
    result: Array = queries * total - of_reference @ reference
    return result
