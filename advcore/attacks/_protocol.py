"""What all attacks share: batches, criterion, budget, verification. An algorithm only proposes examples.

``run`` leaves out the samples that meet the criterion from the start, hands the others to the algorithm in batches,
projects what it proposes into the box and the budget, and asks the model afresh.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advcore._check import Array
from advcore.attacks._arguments import Arguments
from advcore.attacks._ledger import Index, Ledger
from advcore.attacks._losses import ASCENTS, Logits, margin
from advcore.attacks._projection import Region
from advcore.attacks.result import NORMS, AttackResult, measure


class Gradient(NamedTuple):
    """Logits (B, K), the input gradient of the attack's loss, finite, and whether the model gave one at all, (B,)."""

    logits: Logits
    ascent: Array
    informative: NDArray[np.bool_]


@dataclass(frozen=True)
class Problem:
    """The samples that an algorithm works on together. ``index`` arguments say which of them the rows of x belong to.

    ``labels`` is what the samples must be moved away from (untargeted) or to (targeted).
    """

    x: Array
    labels: NDArray[np.int64]
    targeted: bool
    seed: int
    sample_ids: NDArray[np.int64]
    region: Region
    ledger: Ledger
    owners: Index

    def logits(self, x: Array, index: Index) -> Logits:
        """Ask the model: one query a row."""
        return self.ledger.logits(x, self.owners[index])

    def gradient(self, x: Array, index: Index, loss: str) -> Gradient:
        """Ask for the gradient of the loss, in the direction of success: one gradient a row."""
        sign = -1.0 if self.targeted else 1.0
        labels = self.labels[index]

        def ascent(logits: Logits, rows: slice) -> NDArray[np.float64]:
            return sign * ASCENTS[loss](logits, labels[rows])

        logits, gradient = self.ledger.logits_and_gradient(x, self.owners[index], ascent)
        finite = np.isfinite(gradient)
        axes = tuple(range(1, gradient.ndim))
        informative = np.asarray(finite.all(axis=axes) & gradient.any(axis=axes))
        return Gradient(logits, np.where(finite, gradient, 0.0), informative)

    def margin(self, logits: Logits, index: Index) -> NDArray[np.float64]:
        """Return how far past the decision boundary the logits are, in the direction of success; negative before it."""
        gap = margin(logits, self.labels[index])
        return -gap if self.targeted else gap

    def met(self, logits: Logits, index: Index) -> NDArray[np.bool_]:
        """Say which rows meet the criterion; of equal logits the first class is the prediction."""
        hit: NDArray[np.bool_] = logits.argmax(axis=1) == self.labels[index]
        return hit if self.targeted else ~hit

    def project(self, x: Array, index: Index) -> Array:
        """Move x into the box and the budget."""
        return self.region.project(x, index)

    def part(self, keep: NDArray[np.bool_]) -> Problem:
        """Return the problem of some of the samples."""
        region = Region(self.x[keep], self.region.bounds, self.region.norm, self.region.eps)
        return Problem(
            self.x[keep],
            self.labels[keep],
            self.targeted,
            self.seed,
            self.sample_ids[keep],
            region,
            self.ledger,
            self.owners[keep],
        )


class Proposal(NamedTuple):
    """What an algorithm suggests: examples, (n, ...), and the samples on which it never saw a gradient, (n,)."""

    examples: Array
    masked: NDArray[np.bool_]


def run(
    propose: Callable[[Problem], Proposal],
    given: Arguments,
    *,
    together: int,
    norm: str | None = None,
    eps: float = 0.0,
) -> AttackResult:
    """Run an algorithm on all samples, ``together`` at a time, within eps in the norm (None: within the box alone)."""
    start = time.perf_counter()
    count = len(given.x)
    ledger = Ledger(given.access, count, given.batch_size)
    examples = given.x.copy()
    success = np.zeros(count, np.bool_)
    status = np.full(count, "failed", dtype="<U13")
    distances = {key: np.zeros(count) for key in NORMS}
    for first in range(0, count, together):
        part = slice(first, min(first + together, count))
        problem = Problem(
            given.x[part],
            (given.y if given.targets is None else given.targets)[part],
            given.targets is not None,
            given.seed,
            given.sample_ids[part],
            Region(given.x[part], given.bounds, norm, eps),
            ledger,
            np.arange(part.start, part.stop),
        )
        logits = ledger.logits(problem.x, problem.owners)
        _check_classes(given, part, logits.shape[1])
        met = problem.met(logits, np.arange(len(problem.x)))
        success[problem.owners[met]] = True
        status[problem.owners[met]] = "misclassified"
        if met.all():
            continue
        problem = problem.part(~met)
        proposal = propose(problem)
        index = np.arange(len(problem.x))
        examples[problem.owners] = verified = problem.project(proposal.examples, index)
        broken = problem.met(ledger.verify(verified, problem.owners), index)
        success[problem.owners] = broken
        status[problem.owners] = np.where(broken, "success", np.where(proposal.masked, "masked", "failed"))
        for key, values in measure(verified, problem.x).items():
            distances[key][problem.owners] = values
    seconds = time.perf_counter() - start
    return AttackResult(
        examples, success, status, distances, ledger.queries, ledger.gradients, ledger.verification, seconds
    )


def _check_classes(given: Arguments, part: slice, classes: int) -> None:
    """Refuse labels that the model does not have: their number is known only from its answer."""
    for name, labels in (("y", given.y), ("targets", given.targets)):
        if labels is not None and (outside := labels[part] >= classes).any():
            where = part.start + int(np.argmax(outside))
            raise ValueError(
                f"{name} must be in [0, {classes - 1}] for this model, got {labels[where]} at index {where}"
            )
