"""What an attack hands back."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore._check import Array

NORMS = ("l0", "l1", "l2", "linf")


@dataclass(frozen=True)
class AttackResult:
    """The examples of one attack and what they cost, one entry a sample.

    Attributes
    ----------
    examples : array, (N, ...), of the inputs' type
        Inside the box and the budget. Where the attack failed: its best try (a minimum-norm attack: the input itself).
    success : bool array, (N,)
        The model, run afresh on the example, meets the criterion: it is wrong (targeted: it says the target).
    status : str array, (N,)
        "success"; "failed"; "misclassified": the input itself met the criterion (counts as success, at distance 0);
        "masked": failed, and the gradient was zero or not finite at every iterate, so the failure says nothing about
        robustness; "undecided": a randomised model whose votes do not tell, or one that answered otherwise when asked
        again (counts as robust); "unfinished": the attack was stopped before the sample was broken, or the sample's
        budget does not pay for the check of its input, or for a gradient that was to come (of an ensemble: for a turn
        with every member).
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
    queries_to_success, gradients_to_success : int64 array, (N,)
        Spent when the attack first saw an example that meets the criterion; -1 where it never did.
    votes : float64 array, (N,), or None
        Of a randomised model: the fraction of the fresh passes that meet the criterion.
    gradient_error : float64 array, (N,), or None
        Of attacks through ``expectation``: the mean relative standard error of the averaged gradients.
    simulated : bool
        The queries were charged, but the network's weights helped to answer them: it is what a black-box attack would
        have reached, at that cost.
    vjp_seconds : float or None
        Of a simulated attack: what one gradient of one sample takes, for comparison.
    stopped : str or None
        Why the attack ended early: "max_seconds", "callback", "interrupted" (Ctrl-C), "max_queries", "max_evaluations".
    traces : list of float64 arrays, or None
        Each sample's loss, in the direction of success, at every iterate, where it was asked for.
    losses : tuple of str
        What was climbed: "dlr" becomes "margin" for two classes; aimed at a class it is "dlr_targeted", with three
        classes "logit_difference"; "margin" is added where the first loss had no usable gradient.
    broken_by : str array, (N,), or None
        Of an ensemble: the attack that broke the sample; "" where none did or the input itself met the criterion.
    log : dict of float32 arrays, (N, T), or None
        What the attack did at each of its T iterations, where it keeps a log: see there.
    shared_queries : int
        Forward evaluations that were asked for on behalf of all samples together, beside ``queries``.
    """

    examples: Array
    success: NDArray[np.bool_]
    status: NDArray[np.str_]
    distances: dict[str, NDArray[np.float64]]
    queries: NDArray[np.int64]
    gradients: NDArray[np.int64]
    verification: NDArray[np.int64]
    seconds: float
    queries_to_success: NDArray[np.int64]
    gradients_to_success: NDArray[np.int64]
    votes: NDArray[np.float64] | None = None
    gradient_error: NDArray[np.float64] | None = None
    simulated: bool = False
    vjp_seconds: float | None = None
    stopped: str | None = None
    traces: list[NDArray[np.float64]] | None = None
    losses: tuple[str, ...] = ()
    broken_by: NDArray[np.str_] | None = None
    log: dict[str, NDArray[np.float32]] | None = None
    shared_queries: int = 0

    @property
    def robust_accuracy(self) -> float:
        """The fraction of the samples that the attack did not break: an upper bound on the true robust accuracy."""
        return float(np.mean(~self.success)) if len(self.success) else float("nan")

    def summary(self) -> str:
        """Return one line: the robust accuracy, and how many of the unbroken samples say little about it."""
        counts = Counter(self.status.tolist())
        notes = [f"{counts[s]} {s}" for s in ("masked", "undecided", "unfinished") if counts[s]]
        of = f"at most {100 * self.robust_accuracy:.1f}% of {len(self.success)} samples are robust"
        return of + (f" (counted as robust: {', '.join(notes)})" if notes else "")

    def plot_queries(self, ax: Any = None, label: str | None = None) -> Any:
        """Draw the fraction of samples broken against the queries spent on each.

        Several results in one axes: pass the axes that the first call returned on to the next ones.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            To draw on; a new one unless given.
        label : str, optional
            Name of the curve, for a legend.

        Returns
        -------
        matplotlib Axes
        """
        from matplotlib import pyplot as plt

        if ax is None:
            _, ax = plt.subplots()
        at = np.sort(self.queries_to_success[self.success & (self.queries_to_success >= 0)])
        share = np.arange(1, len(at) + 1) / max(len(self.success), 1)
        end = max(int(self.queries.max(initial=0)), int(at.max(initial=0)))  # the curve goes on while queries are spent
        reached = share[-1] if len(share) else 0.0
        ax.step(np.concatenate([[0], at, [end]]), np.concatenate([[0.0], share, [reached]]), where="post", label=label)
        ax.set(xlabel="queries a sample", ylabel="samples broken", ylim=(0, 1.02))
        ax.set_xlim(left=0)
        if label is not None:
            ax.legend()
        return ax


def measure(examples: Array, x: Array) -> dict[str, NDArray[np.float64]]:
    """Return the four distances of each example (axis 0) from its input, computed in float64."""
    difference = np.abs(rows(examples).astype(np.float64) - rows(x))
    return {norm: lengths(difference, norm) for norm in NORMS}


def distance(examples: Array, x: Array, norm: str) -> NDArray[np.float64]:
    """Return one distance of each example from its input, in float64."""
    return lengths(rows(examples).astype(np.float64) - rows(x), norm)


def lengths(difference: Array, norm: str) -> NDArray[np.float64]:
    """Return the length of each row of a float64 matrix in a norm."""
    if norm == "l2":
        return l2_norms(difference)
    if norm == "l0":
        return np.asarray(np.count_nonzero(difference, axis=1), np.float64)
    size = np.abs(difference)
    result: NDArray[np.float64] = size.sum(axis=1) if norm == "l1" else size.max(axis=1, initial=0.0)
    return result


def l2_norms(difference: Array) -> NDArray[np.float64]:
    """Return the Euclidean length of each row of a float64 matrix."""
    norms: NDArray[np.float64] = np.sqrt(np.square(difference).sum(axis=1))
    return norms


def rows(x: Array) -> Array:
    """Flatten each sample, empty arrays included."""
    return x.reshape(len(x), int(np.prod(x.shape[1:])))
