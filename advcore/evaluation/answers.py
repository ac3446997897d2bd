"""What a model answers: its classes, once or on average, of images together or alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore._check import Array
from advcore.attacks._access import Access
from advcore.attacks.model import top_class

TOLERANCE = 1e-3  # of logits of one image in two calls: far above rounding, far below what changes a class

Samples = NDArray[np.int64]


def classes(access: Access, x: Array) -> Samples:
    """Return the model's classes, -1 for what it rejects."""
    return top_class(np.asarray(access.logits(x.copy())), access.rejects)


def fooled(prediction: Samples, y: Samples) -> NDArray[np.bool_]:
    """Say where a class is predicted that is not the true one; what is rejected has none."""
    return np.asarray((prediction != y) & (prediction >= 0))


def average_class(access: Access, x: Array, passes: int) -> Samples:
    """Return the classes of the softmax averaged over so many passes."""
    total: Any = 0.0
    for _ in range(passes):
        logits = np.asarray(access.logits(x.copy()), np.float64)
        if passes == 1:
            return top_class(logits, access.rejects)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        total = total + shares / shares.sum(axis=1, keepdims=True)
    return top_class(np.asarray(total), access.rejects)


def alone(access: Access, x: Array, is_over: Callable[[], bool] = lambda: False) -> tuple[Array, Array]:
    """Return the logits of each sample by itself, of the first one or more if the time is over, and of all together."""
    together = np.asarray(access.logits(x.copy()))
    single: list[Array] = []
    for i in range(len(x)):
        if single and is_over():
            break
        single.append(np.asarray(access.logits(x[i : i + 1].copy())))
    return (np.concatenate(single) if single else together), together


def differ(a: Array, b: Array) -> NDArray[np.bool_]:
    """Say which rows of logits are further apart than rounding explains."""
    scale = TOLERANCE * (1 + np.abs(a).max(axis=1, initial=0.0))
    apart: NDArray[np.bool_] = np.abs(a - b).max(axis=1, initial=0.0) > scale
    return apart
