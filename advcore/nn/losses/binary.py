"""Losses of a score and a label -1 or +1: functions of ``m = label * score``, positive where the sign is right.

Each returns (loss, gradient for the score), arrays of the score's shape.
"""

from __future__ import annotations

import numpy as np

from advcore import _check
from advcore._check import Array


def _signs(score: Array, label: Array) -> tuple[Array, Array]:
    score = _check.array("score", score)
    label = _check.array("label", label, dtype=score.dtype, shape=score.shape)
    if not np.all(np.abs(label) == 1):
        raise ValueError(f"label must be -1 or +1, got {label[np.abs(label) != 1].flat[0]:g}")
    return score, label


def perceptron(score: Array, label: Array) -> tuple[Array, Array]:
    """max(0, -m), with gradient -label where m < 0, 0 elsewhere."""
    score, label = _signs(score, label)
    m = label * score
    return np.maximum(-m, 0), np.where(m < 0, -label, 0).astype(score.dtype, copy=False)


def log(score: Array, label: Array) -> tuple[Array, Array]:
    """log(1 + exp(-m)), with gradient -label / (1 + exp(m)); stable for any m."""
    score, label = _signs(score, label)
    m = label * score
    small = np.exp(-np.abs(m))
    return np.maximum(-m, 0) + np.log1p(small), -label * np.where(m >= 0, small, 1) / (1 + small)


def zero_one(score: Array, label: Array) -> tuple[Array, Array]:
    """1 where the sign is wrong (m <= 0), else 0; the gradient is 0 everywhere."""
    score, label = _signs(score, label)
    return (label * score <= 0).astype(score.dtype), np.zeros_like(score)
