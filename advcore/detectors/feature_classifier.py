"""Logistic regression on the features of a detector."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data


class FeatureClassifier(ClassifierMixin, BaseEstimator):
    """Two classes by ``weights_ . features + offset_``: standard scaling and logistic regression in one.

    Parameters
    ----------
    C : float, above 0
        The inverse of the strength of the L2 penalty, on scaled features.
    max_iter : int, at least 1

    Attributes
    ----------
    weights_ : float64 array, (L,), of the features as they come
    offset_ : float
    classes_ : array, (2,)
        The log-odds are those of the second.
    """

    def __init__(self, C: float = 1.0, max_iter: int = 1000) -> None:
        self.C = C
        self.max_iter = max_iter

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that there are two classes."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike) -> FeatureClassifier:
        """Fit scaling and regression to features (Q, L) and their classes (Q,)."""
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        kind = type_of_target(y, input_name="y", raise_unknown=True)
        if kind != "binary":
            raise ValueError(f"Only binary classification is supported. The type of the target is {kind}.")
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise ValueError(f"y must have two classes, got 1 class: {self.classes_.tolist()}")
        scaler = StandardScaler().fit(X)
        regression = LogisticRegression(C=self.C, max_iter=self.max_iter).fit(scaler.transform(X), y)
        self.weights_: NDArray[np.float64] = regression.coef_[0] / scaler.scale_
        self.offset_ = float(regression.intercept_[0] - scaler.mean_ @ self.weights_)
        self.n_iter_ = int(regression.n_iter_[0])
        return self

    def linear(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log-odds of checked features; a row's do not depend on the other rows."""
        return np.asarray((X * self.weights_).sum(axis=1) + self.offset_)

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the log-odds of the second class, (Q,)."""
        check_is_fitted(self, "weights_")
        return self.linear(validate_data(self, X, dtype=np.float64, reset=False))

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the probabilities of both classes, (Q, 2)."""
        odds = self.decision_function(X)
        second = 0.5 * (1 + np.tanh(odds / 2))
        return np.stack([1 - second, second], axis=1)

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return the likelier class, (Q,)."""
        second = self.decision_function(X) > 0
        return np.asarray(self.classes_[second.astype(np.int64)])
