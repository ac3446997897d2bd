"""Losses of a real prediction: functions of the residual ``r = prediction - target``.

Each returns (loss, gradient for the prediction), arrays of the prediction's shape.
"""

from __future__ import annotations

import math

import numpy as np

from advcore import _check
from advcore._check import Array


def _residual(prediction: Array, target: Array) -> Array:
    prediction = _check.array("prediction", prediction)
    return prediction - _check.array("target", target, dtype=prediction.dtype, shape=prediction.shape)


def squared(prediction: Array, target: Array) -> tuple[Array, Array]:
    """r^2, with gradient 2r."""
    r = _residual(prediction, target)
    return r * r, 2 * r


def absolute(prediction: Array, target: Array) -> tuple[Array, Array]:
    """|r|, with gradient sign(r), 0 at 0."""
    r = _residual(prediction, target)
    return np.abs(r), np.sign(r)


def huber(prediction: Array, target: Array, *, delta: float = 1.0) -> tuple[Array, Array]:
    """r^2 / 2 where |r| <= delta, delta (|r| - delta / 2) beyond; the gradient is r clipped to [-delta, delta]."""
    delta = _check.real("delta", delta, above=0.0)
    r = _residual(prediction, target)
    slope = np.clip(r, -delta, delta)
    return slope * (r - slope / 2), slope


def epsilon_insensitive(prediction: Array, target: Array, *, epsilon: float = 0.1) -> tuple[Array, Array]:
    """max(0, |r| - epsilon), with gradient sign(r) where |r| > epsilon, 0 elsewhere."""
    epsilon = _check.real("epsilon", epsilon, minimum=0.0)
    r = _residual(prediction, target)
    return np.maximum(np.abs(r) - epsilon, 0), np.where(np.abs(r) > epsilon, np.sign(r), 0).astype(r.dtype, copy=False)


def log_cosh(prediction: Array, target: Array, *, beta: float = 1.0) -> tuple[Array, Array]:
    """log(cosh(beta r)) / beta, as |r| + (log1p(exp(-2 beta |r|)) - log 2) / beta; gradient tanh(beta r)."""
    beta = _check.real("beta", beta, above=0.0)
    r = _residual(prediction, target)
    size = np.abs(r)
    return size + (np.log1p(np.exp(-2 * beta * size)) - math.log(2)) / beta, np.tanh(beta * r)
