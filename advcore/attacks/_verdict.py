"""Whether an example meets the criterion: decided by asking the model afresh, often where it answers at random."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advcore._check import Array
from advcore.attacks._ledger import Index, Ledger
from advcore.attacks._losses import Logits

PASSES = 100  # of a randomised model
PROBED = 8  # samples that are asked for twice to find out whether a model is randomised
_Z = 1.959963984540054  # of a 95% interval


class Verdict(NamedTuple):
    """What the fresh passes say, a row each: broken; too close to tell; the fraction of the votes for broken."""

    met: NDArray[np.bool_]
    undecided: NDArray[np.bool_]
    votes: NDArray[np.float64]


class Judge:
    """Decides for one model. A deterministic model is asked once, a randomised one PASSES times.

    Parameters
    ----------
    ledger : Ledger
        Books what is asked as verification.
    randomised : bool or None
        None: found out at the first batch, by asking for the same samples twice.
    """

    def __init__(self, ledger: Ledger, randomised: bool | None) -> None:
        self.ledger, self.randomised = ledger, randomised

    def probe(self, x: Array, owners: Index) -> None:
        """Find out whether the model is randomised, if that is not known: the same batch must get the same logits."""
        if self.randomised is None and len(x):
            first, second = (self.ledger.verify(x[:PROBED], owners[:PROBED]) for _ in range(2))
            scale = 1e-4 * (1.0 + np.abs(first).max())
            self.randomised = bool((np.abs(first - second) > scale).any())

    def decide(self, x: Array, owners: Index, criterion: Callable[[Logits], NDArray[np.bool_]]) -> Verdict:
        """Say which rows meet the criterion, which is a function of the logits.

        A randomised model's softmax is averaged over the passes; where the 95% interval of the votes (Wilson's) covers
        one half, the row is undecided, and not met.
        """
        if not self.randomised:
            met = criterion(self.ledger.verify(x, owners))
            return Verdict(met, np.zeros(len(x), np.bool_), met.astype(np.float64))
        total: Logits | float = 0.0
        votes = np.zeros(len(x))
        for _ in range(PASSES):
            logits = self.ledger.verify(x, owners)
            shares = np.exp(logits - logits.max(axis=1, keepdims=True))
            total = total + shares / shares.sum(axis=1, keepdims=True)
            votes += criterion(logits)
        low, high = wilson(votes, PASSES)
        undecided = (low <= 0.5) & (high >= 0.5)
        return Verdict(criterion(np.asarray(total)) & ~undecided, undecided, votes / PASSES)


def wilson(successes: NDArray[np.float64], trials: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of Wilson's 95% interval for a proportion."""
    share = successes / trials
    centre = (share + _Z**2 / (2 * trials)) / (1 + _Z**2 / trials)
    half = _Z / (1 + _Z**2 / trials) * np.sqrt(share * (1 - share) / trials + _Z**2 / (4 * trials**2))
    return centre - half, centre + half
