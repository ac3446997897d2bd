"""What white-box attacks climb: the gradient, for the logits, of a loss that grows as a sample nears success."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float64]
Labels = NDArray[np.int64]


def margin(logits: Logits, labels: Labels) -> NDArray[np.float64]:
    """Return ``max_{i != label} z_i - z_label``: positive where another class wins. (N, K), (N,) -> (N,)."""
    gap: NDArray[np.float64] = _without(logits, labels).max(axis=1) - logits[np.arange(len(logits)), labels]
    return gap


def cross_entropy_ascent(logits: Logits, labels: Labels) -> NDArray[np.float64]:
    """Return the gradient of cross-entropy for the logits, divided by the probability of all other classes.

    That is ``softmax over the other classes - onehot(label)``, the gradient of
    ``log sum_{i != label} exp z_i - z_label``: the direction is cross-entropy's, but it cannot vanish where softmax
    saturates.
    """
    others = _without(logits, labels)
    weights: NDArray[np.float64] = np.exp(others - others.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    weights[np.arange(len(logits)), labels] = -1.0
    return weights


def margin_ascent(logits: Logits, labels: Labels) -> NDArray[np.float64]:
    """Return the gradient of the margin for the logits; ties take the first class."""
    gradient: NDArray[np.float64] = np.zeros(logits.shape)
    index = np.arange(len(logits))
    gradient[index, _without(logits, labels).argmax(axis=1)] = 1.0
    gradient[index, labels] = -1.0
    return gradient


ASCENTS: dict[str, Callable[[Logits, Labels], NDArray[np.float64]]] = {
    "cross_entropy": cross_entropy_ascent,
    "margin": margin_ascent,
}


def _without(logits: Logits, labels: Labels) -> Logits:
    """Return the logits with each sample's label at minus infinity."""
    others: Logits = logits.copy()
    others[np.arange(len(logits)), labels] = -np.inf
    return others
