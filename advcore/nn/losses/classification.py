"""Losses of logits and labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advcore import _check, ops
from advcore._check import Array


def labels_of(labels: object, logits: Array) -> NDArray[np.int64]:
    """Return labels as int64 (N,) in [0, K)."""
    return _check.integers("labels", labels, shape=(len(logits),), minimum=0, maximum=logits.shape[1] - 1)


def row_sums(x: Array) -> Array:
    """Add each row in a fixed order, whatever the number of rows."""
    return ops.matmul(x, np.ones(x.shape[1], x.dtype))


def cross_entropy(logits: Array, target: object, *, temperature: float = 1.0) -> tuple[Array, Array]:
    """Cross-entropy of the softmax: ``-sum_k target_k log softmax(logits / temperature)_k``.

    Parameters
    ----------
    logits : float32 or float64 array, (N, K)
    target : int array, (N,), or array of the logits' type, (N, K)
        Labels in [0, K), or a distribution over the classes a sample.
    temperature : float
        Positive; above 1 it makes the probabilities more alike.

    Returns
    -------
    loss : array, (N,)
    gradient : array, (N, K)
        ``(softmax(logits / temperature) * sum_k target_k - target) / temperature``.

    Raises
    ------
    TypeError
        If logits is not an array of float32 or float64, or target is of another type.
    ValueError
        If a shape does not fit, a label is out of range, or the temperature is not positive.

    References
    ----------
    Hinton, Vinyals, Dean: Distilling the knowledge in a neural network. arXiv 1503.02531 (2015), equation 1.
    """
    logits = _check.array("logits", logits, axes=("N", "K"))
    temperature = _check.real("temperature", temperature, above=0.0)
    if temperature != 1:
        loss, gradient = cross_entropy(logits / logits.dtype.type(temperature), target)
        return loss, gradient / logits.dtype.type(temperature)
    log_probabilities = ops.log_softmax(logits)
    gradient = ops.softmax(logits)
    if isinstance(target, np.ndarray) and target.dtype.kind == "f":
        soft = _check.array("target", target, dtype=logits.dtype, shape=logits.shape)
        # A class of target 0 costs nothing, even where its log-probability is infinite.
        terms = np.multiply(soft, log_probabilities, out=np.zeros_like(soft), where=soft != 0)
        return -row_sums(terms), gradient * row_sums(soft)[:, np.newaxis] - soft
    rows, labels = np.arange(len(logits)), labels_of(target, logits)
    gradient[rows, labels] -= 1
    return -log_probabilities[rows, labels], gradient


def multiclass_hinge(logits: Array, labels: object) -> tuple[Array, Array]:
    """Multi-class hinge: ``sum_{i != y} max(0, z_i - z_y + 1)``; the derivative at a kink is 1.

    Where every other logit is more than 1 below the label's, loss and gradient are exactly 0.

    Parameters
    ----------
    logits : float32 or float64 array, (N, K)
    labels : int array, (N,)
        In [0, K).

    Returns
    -------
    loss : array, (N,)
    gradient : array, (N, K)

    Raises
    ------
    TypeError, ValueError
        As cross_entropy.
    """
    logits = _check.array("logits", logits, axes=("N", "K"))
    rows, labels = np.arange(len(logits)), labels_of(labels, logits)
    violation = logits - logits[rows, labels, np.newaxis]
    violation += 1
    violation[rows, labels] = -1
    violated = violation >= 0
    gradient = violated.astype(logits.dtype)
    gradient[rows, labels] = -violated.sum(axis=1)
    return row_sums(np.maximum(violation, 0, out=violation)), gradient


def margin(logits: Array, labels: object) -> tuple[Array, Array]:
    """Margin by which the best other class beats the label: ``max_{i != y} z_i - z_y``.

    It is negative where the sample is classified right. Among equal logits the first class counts.

    Parameters
    ----------
    logits : float32 or float64 array, (N, K)
        With K >= 2.
    labels : int array, (N,)
        In [0, K).

    Returns
    -------
    loss : array, (N,)
    gradient : array, (N, K)
        1 at the best other class, -1 at the label.

    Raises
    ------
    TypeError, ValueError
        As cross_entropy.
    """
    logits = _check.array("logits", logits, axes=("N", "K"))
    if logits.shape[1] < 2:
        raise ValueError(f"logits must have at least 2 classes, got shape {logits.shape}")
    rows, labels = np.arange(len(logits)), labels_of(labels, logits)
    others = logits.copy()
    others[rows, labels] = -np.inf
    best = others.argmax(axis=1)
    best = np.where(best == labels, (labels == 0).astype(np.int64), best)  # all others are -inf: the first of them
    gradient = np.zeros_like(logits)
    gradient[rows, best] = 1
    gradient[rows, labels] = -1
    return logits[rows, best] - logits[rows, labels], gradient
