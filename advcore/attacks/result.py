"""What an attack hands back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advcore._check import Array

NORMS = ("l0", "l1", "l2", "linf")
STATUSES = ("success", "failed", "misclassified", "masked")


@dataclass(frozen=True)
class AttackResult:
    """The examples of one attack and what they cost, one entry a sample.

    Attributes
    ----------
    examples : array, (N, ...), of the inputs' type
        Inside the box and the budget. Where the attack failed: its last try (a minimum-norm attack: the input itself).
    success : bool array, (N,)
        The model, run afresh on the example, meets the criterion: it is wrong (targeted: it says the target).
    status : str array, (N,)
        "success"; "failed"; "misclassified": the input itself met the criterion (counts as success, at distance 0);
        "masked": failed, and the gradient was zero or not finite at every iterate, so the failure says nothing about
        robustness.
    distances : dict of float64 arrays, (N,)
        "l0" (entries that differ), "l1", "l2", "linf" between example and input, in the units of the input.
    queries : int64 array, (N,)
        Forward evaluations that the attack asked for, the check of the clean input included.
    gradients : int64 array, (N,)
        Backward evaluations. Each one needs a forward evaluation too, which is among the queries.
    verification : int64 array, (N,)
        Forward evaluations spent on verifying the examples, which the attack did not ask for.
    seconds : float
        Wall-clock time of the whole attack.
    """

    examples: Array
    success: NDArray[np.bool_]
    status: NDArray[np.str_]
    distances: dict[str, NDArray[np.float64]]
    queries: NDArray[np.int64]
    gradients: NDArray[np.int64]
    verification: NDArray[np.int64]
    seconds: float

    @property
    def robust_accuracy(self) -> float:
        """The fraction of the samples that the attack did not break: an upper bound on the true robust accuracy."""
        return float(np.mean(~self.success)) if len(self.success) else float("nan")


def measure(examples: Array, x: Array) -> dict[str, NDArray[np.float64]]:
    """Return the four distances of each example (axis 0) from its input, computed in float64."""
    difference = np.abs(rows(examples).astype(np.float64) - rows(x))
    return {
        "l0": np.count_nonzero(difference, axis=1).astype(np.float64),
        "l1": difference.sum(axis=1),
        "l2": l2_norms(difference),
        "linf": difference.max(axis=1, initial=0.0),
    }


def l2_norms(difference: Array) -> NDArray[np.float64]:
    """Return the Euclidean length of each row of a float64 matrix."""
    norms: NDArray[np.float64] = np.sqrt(np.square(difference).sum(axis=1))
    return norms


def rows(x: Array) -> Array:
    """Flatten each sample, empty arrays included."""
    return x.reshape(len(x), int(np.prod(x.shape[1:])))
