"""What attacks climb: losses of the logits that grow as a sample nears success, and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float64]
Labels = NDArray[np.int64]
Values = NDArray[np.float64]

_TINY = 1e-12


def margin(logits: Logits, labels: Labels) -> Values:
    """Return ``max_{i != label} z_i - z_label``: positive where another class wins. (N, K), (N,) -> (N,)."""
    gap: Values = without(logits, labels).max(axis=1) - logits[np.arange(len(logits)), labels]
    return gap


def margin_ascent(logits: Logits, labels: Labels) -> Logits:
    """Return the gradient of the margin for the logits; ties take the first class."""
    gradient = np.zeros(logits.shape)
    index = np.arange(len(logits))
    gradient[index, without(logits, labels).argmax(axis=1)] = 1.0
    gradient[index, labels] = -1.0
    return gradient


def cross_entropy(logits: Logits, labels: Labels) -> Values:
    """Return ``log sum_{i != label} exp z_i - z_label``, the log odds against the label, which grow with cross-entropy.

    Its gradient is cross-entropy's, divided by the probability of all other classes: the direction is the same, but it
    cannot vanish where softmax saturates.
    """
    others = without(logits, labels)
    top = others.max(axis=1)
    odds: Values = top + np.log(np.exp(others - top[:, np.newaxis]).sum(axis=1))
    return odds - logits[np.arange(len(logits)), labels]


def cross_entropy_ascent(logits: Logits, labels: Labels) -> Logits:
    """Return the gradient of the log odds: softmax over the other classes, and -1 for the label."""
    others = without(logits, labels)
    weights: Logits = np.exp(others - others.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    weights[np.arange(len(logits)), labels] = -1.0
    return weights


def saturating_cross_entropy_ascent(logits: Logits, labels: Labels) -> Logits:
    """Return ``softmax - onehot(label)`` in float32, as frameworks compute it: zero where softmax saturates."""
    narrow = logits.astype(np.float32)
    shares: NDArray[np.float32] = np.exp(narrow - narrow.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    shares[np.arange(len(logits)), labels] -= np.float32(1)
    return shares.astype(np.float64)


def hinge(logits: Logits, labels: Labels) -> Values:
    """Return the multi-class hinge loss ``sum_{i != label} max(0, 1 + z_i - z_label)``."""
    index = np.arange(len(logits))
    terms: Logits = np.maximum(0.0, 1.0 + logits - logits[index, labels][:, np.newaxis])
    terms[index, labels] = 0.0
    return np.asarray(terms.sum(axis=1))


def hinge_ascent(logits: Logits, labels: Labels) -> Logits:
    """Return the gradient of the hinge loss, which is zero where every other class is a margin of 1 behind."""
    index = np.arange(len(logits))
    gradient = (1.0 + logits - logits[index, labels][:, np.newaxis] > 0).astype(np.float64)
    gradient[index, labels] = 0.0
    gradient[index, labels] = -gradient.sum(axis=1)
    return gradient


def dlr(logits: Logits, labels: Labels) -> Values:
    """Return the difference-of-logits ratio ``-(z_y - max_{i != y} z_i) / (z_p1 - z_p3)`` (Croce, Hein 2020).

    p sorts the logits in descending order. Two classes have no z_p3: the margin takes its place.
    """
    return margin(logits, labels) / _spread(logits)


def dlr_ascent(logits: Logits, labels: Labels) -> Logits:
    """Return the gradient of dlr for the logits."""
    gradient = margin_ascent(logits, labels) / _spread(logits)[:, np.newaxis]
    if logits.shape[1] < 3:
        return gradient
    order = np.argsort(-logits, axis=1, kind="stable")
    index = np.arange(len(logits))
    share = dlr(logits, labels) / _spread(logits)
    gradient[index, order[:, 0]] -= share
    gradient[index, order[:, 2]] += share
    return gradient


def dlr_targeted(logits: Logits, labels: Labels, targets: Labels) -> Values:
    """Return ``-(z_y - z_t) / (z_p1 - (z_p3 + z_p4) / 2)``; with fewer than four classes, the difference alone."""
    index = np.arange(len(logits))
    return (logits[index, targets] - logits[index, labels]) / _targeted_spread(logits)


def dlr_targeted_ascent(logits: Logits, labels: Labels, targets: Labels) -> Logits:
    """Return the gradient of dlr_targeted for the logits."""
    index = np.arange(len(logits))
    spread = _targeted_spread(logits)
    gradient = np.zeros(logits.shape)
    gradient[index, targets] += 1.0 / spread
    gradient[index, labels] -= 1.0 / spread
    if logits.shape[1] < 4:
        return gradient
    order = np.argsort(-logits, axis=1, kind="stable")
    share = dlr_targeted(logits, labels, targets) / spread
    gradient[index, order[:, 0]] -= share
    gradient[index, order[:, 2]] += share / 2
    gradient[index, order[:, 3]] += share / 2
    return gradient


@dataclass(frozen=True)
class Loss:
    """A loss in the direction of success: ``value`` and ``ascent`` take logits (B, K), labels, and targets or None."""

    value: Callable[[Logits, Labels, Labels | None], Values]
    ascent: Callable[[Logits, Labels, Labels | None], Logits]


def _towards(value: Callable[[Logits, Labels], Values], ascent: Callable[[Logits, Labels], Logits]) -> Loss:
    """Return the loss that climbs away from the label, or, with targets, down to them."""
    return Loss(
        lambda logits, y, t: value(logits, y) if t is None else -value(logits, t),
        lambda logits, y, t: ascent(logits, y) if t is None else -ascent(logits, t),
    )


LOSSES: dict[str, Loss] = {
    "cross_entropy": _towards(cross_entropy, cross_entropy_ascent),
    "margin": _towards(margin, margin_ascent),
    "dlr": Loss(
        lambda logits, y, t: dlr(logits, y) if t is None else dlr_targeted(logits, y, t),
        lambda logits, y, t: dlr_ascent(logits, y) if t is None else dlr_targeted_ascent(logits, y, t),
    ),
    "hinge": _towards(hinge, hinge_ascent),
    "saturating_cross_entropy": _towards(cross_entropy, saturating_cross_entropy_ascent),
}


def name_of(loss: str, classes: int, aimed: bool) -> str:
    """Return what a loss in LOSSES really is: DLR needs three classes, and four where it aims at one."""
    if loss != "dlr":
        return loss
    if classes == 2:
        return "margin"
    if not aimed:
        return "dlr"
    return "dlr_targeted" if classes >= 4 else "logit_difference"


def without(logits: Logits, labels: Labels) -> Logits:
    """Return the logits with each sample's label at minus infinity."""
    others: Logits = logits.copy()
    others[np.arange(len(logits)), labels] = -np.inf
    return others


def _spread(logits: Logits) -> Values:
    if logits.shape[1] < 3:
        return np.ones(len(logits))
    top = -np.partition(-logits, 2, axis=1)[:, :3]
    top.sort(axis=1)
    spread: Values = top[:, 2] - top[:, 0] + _TINY
    return spread


def _targeted_spread(logits: Logits) -> Values:
    if logits.shape[1] < 4:
        return np.ones(len(logits))
    top = -np.partition(-logits, 3, axis=1)[:, :4]
    top.sort(axis=1)
    spread: Values = top[:, 3] - (top[:, 0] + top[:, 1]) / 2 + _TINY
    return spread
