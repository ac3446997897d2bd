"""Losses of the distances that a radial-basis network gives, one a class: small means close to the class.

Predict the class of the smallest distance; reject an input whose distances all exceed lambda.

References
----------
Habibzadeh, Hosseini, Sra: Deep RBF networks with rejection. arXiv 1812.03190 (2018).
"""

from __future__ import annotations

import numpy as np

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
