"""Losses of the distances that a radial-basis network gives, one a class: small means close to the class.

Predict the class of the smallest distance; reject an input whose distances all exceed lambda. ``RBFLoss`` is the form
that trains a network, whose logits are the distances' negatives.

References
----------
Habibzadeh, Hosseini, Sra: Deep RBF networks with rejection. arXiv 1812.03190 (2018).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advcore import _check
from advcore._check import Array
from advcore.nn.losses.classification import labels_of, row_sums


def rbf_metric_loss(distances: Array, labels: object, *, lambda_: float) -> tuple[Array, Array]:
    """Small distance to the own class, at least lambda to the others: ``d_y + sum_{i != y} max(0, lambda - d_i)``.

    Parameters
    ----------
    distances : float32 or float64 array, (N, K)
    labels : int array, (N,)
        In [0, K).
    lambda_ : float
        Positive, in units of distance.

    Returns
    -------
    loss : array, (N,)
    gradient : array, (N, K)
        1 for the label, -1 for the other classes nearer than lambda.

    Raises
    ------
    TypeError
        If distances is not an array of float32 or float64, or labels are not integers.
    ValueError
        If a shape does not fit, a label is out of range, or lambda is not positive.
    """
    distances = _check.array("distances", distances, axes=("N", "K"))
    lambda_ = _check.real("lambda_", lambda_, above=0.0)
    rows, labels = np.arange(len(distances)), labels_of(labels, distances)
    terms = np.maximum(lambda_ - distances, 0)
    terms[rows, labels] = distances[rows, labels]
    gradient = np.where(distances < lambda_, -1, 0).astype(distances.dtype)
    gradient[rows, labels] = 1
    return row_sums(terms), gradient


def soft_ml_loss(distances: Array, labels: object, *, lambda_: float) -> tuple[Array, Array]:
    """SoftML, the smooth form of rbf_metric_loss: ``d_y + sum_{i != y} log(1 + exp(lambda - d_i))``.

    Parameters, errors and results as rbf_metric_loss; the gradient is 1 for the label and, for the others,
    ``-1 / (1 + exp(d_i - lambda))``, which never vanishes.
    """
    distances = _check.array("distances", distances, axes=("N", "K"))
    lambda_ = _check.real("lambda_", lambda_, above=0.0)
    rows, labels = np.arange(len(distances)), labels_of(labels, distances)
    terms, gradient = _softplus(distances, lambda_)
    terms[rows, labels] = distances[rows, labels]
    gradient[rows, labels] = 1
    return row_sums(terms), gradient


def noise_class_loss(distances: Array, *, lambda_: float) -> tuple[Array, Array]:
    """At least lambda to every class, for inputs that must be rejected: ``sum_j max(0, lambda - d_j)``.

    Parameters
    ----------
    distances : float32 or float64 array, (N, K)
    lambda_ : float
        Positive, in units of distance.

    Returns
    -------
    loss : array, (N,)
    gradient : array, (N, K)

    Raises
    ------
    TypeError, ValueError
        As rbf_metric_loss.
    """
    distances = _check.array("distances", distances, axes=("N", "K"))
    lambda_ = _check.real("lambda_", lambda_, above=0.0)
    gradient = np.where(distances < lambda_, -1, 0).astype(distances.dtype)
    return row_sums(np.maximum(lambda_ - distances, 0)), gradient


def _softplus(distances: Array, lambda_: float) -> tuple[Array, Array]:
    """log(1 + exp(lambda - d)) and its gradient for d, stable for any d."""
    gap = distances.dtype.type(lambda_) - distances
    small = np.exp(-np.abs(gap))
    return np.maximum(gap, 0) + np.log1p(small), -np.where(gap >= 0, 1, small) / (1 + small)


@dataclass(frozen=True)
class RBFLoss:
    """The loss of a network whose logits are negative distances, for ``nn.fit(loss=)``.

    Parameters
    ----------
    lambda_ : float
        Positive, in units of distance.
    soft : bool
        SoftML rather than the hinge.

    A target is a label, or a row (K,) of the logits' type: 1 at the label and 0 elsewhere, or all 0 for an input that
    must be rejected, whose loss is ``noise_class_loss``.
    """

    lambda_: float
    soft: bool = False

    def __post_init__(self) -> None:
        """Check the arguments."""
        _check.real("lambda_", self.lambda_, above=0.0)
        _check.flag("soft", self.soft)

    def __call__(self, logits: Array, target: object) -> tuple[Array, Array]:
        """Return each sample's loss and its gradient for the logits."""
        logits = _check.array("logits", logits, axes=("N", "K"))
        labels, noise = _rejected(target, logits)
        values, gradient = (soft_ml_loss if self.soft else rbf_metric_loss)(-logits, labels, lambda_=self.lambda_)
        if noise.any():
            values[noise], gradient[noise] = noise_class_loss(-logits[noise], lambda_=self.lambda_)
        return values, -gradient


def _rejected(target: object, logits: Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the labels, (N,), and whether a sample has none because it must be rejected, (N,)."""
    if not (isinstance(target, np.ndarray) and target.dtype.kind == "f"):
        return labels_of(target, logits), np.zeros(len(logits), np.bool_)
    rows = _check.array("target", target, dtype=logits.dtype, shape=logits.shape)
    if not (((rows == 0) | (rows == 1)).all() and (rows.sum(axis=1) <= 1).all()):
        raise ValueError("target must be rows with a single 1, or none, among zeros")
    return rows.argmax(axis=1), np.asarray(~rows.any(axis=1))
