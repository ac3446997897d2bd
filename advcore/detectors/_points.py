"""Points and their classes, as scikit-learn's estimators take them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data


def fitted(
    estimator: BaseEstimator, X: ArrayLike, y: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[np.int64]]:
    """Return the points given to fit, (Q, D), the classes, and each point's index in them; one class without y."""
    if y is None:
        points: Any = validate_data(estimator, X, dtype=np.float64)
        return points, np.zeros(1, np.int64), np.zeros(len(points), np.int64)
    points, labels = validate_data(estimator, X, y, dtype=np.float64)
    classes, class_of = np.unique(labels, return_inverse=True)
    return points, classes, class_of


def known_classes(classes: NDArray[Any], y: ArrayLike, count: int) -> NDArray[np.int64]:
    """Return the index in fit's classes of each of y, (count,)."""
    labels = np.asarray(y)
    if labels.shape != (count,):
        raise ValueError(f"y must have one class a row, ({count},), got {labels.shape}")
    (unknown,) = np.nonzero(~np.isin(labels, classes))
    if len(unknown):
        raise ValueError(f"y must have classes that fit has seen, got {labels[unknown[0]]} in row {unknown[0]}")
    return np.searchsorted(classes, labels)


def queries(estimator: BaseEstimator, X: ArrayLike) -> NDArray[np.float64]:
    """Return the points to be scored, (Q, D)."""
    points: NDArray[np.float64] = validate_data(estimator, X, dtype=np.float64, reset=False)
    return points
