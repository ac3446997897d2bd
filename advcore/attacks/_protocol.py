"""What all attacks share: batches, criterion, budget, verification. An algorithm only proposes examples.

``run`` leaves out the samples that meet the criterion from the start, hands the others to the algorithm in batches,
projects what it offered into the box and the budget, and asks the model afresh.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from advcore._check import Array
from advcore.attacks._arguments import Arguments, within_box
from advcore.attacks._ledger import NAMED, Index, Ledger
from advcore.attacks._losses import Logits
from advcore.attacks._monitor import Monitor, Stopped
from advcore.attacks._problem import Problem
from advcore.attacks._verdict import Judge, Verdict
from advcore.attacks.result import NORMS, AttackResult, measure

Propose = Callable[[Problem], None]
NOISY = 0.5  # relative standard error of an averaged gradient


def run(
    propose: Propose,
    given: Arguments,
    *,
    together: int | None = None,
    norm: str | None = None,
    eps: float = 0.0,
    minimise: str | None = None,
) -> AttackResult:
    """Run an algorithm on all samples.

    Parameters
    ----------
    propose : callable
        The algorithm: offers examples to the Problem that it is given.
    given : Arguments
    together : int, optional
        Samples a problem; unless given, the batch size.
    norm : None, "linf", "l2" or "l1"
        Of the budget eps; None: the box alone.
    eps : float
    minimise : None, "l0", "l1", "l2" or "linf"
        The distance that the algorithm keeps small; None: it looks for the largest margin within the budget.
    """
    monitor = Monitor(
        given.name,
        len(given.x),
        max_seconds=given.max_seconds,
        callback=given.callback,
        progress=given.progress,
    )
    eps = eps if norm is None else within_box(eps, norm, given)
    with monitor:
        return _Run(given, monitor, norm, eps, minimise).all(propose, together or given.batch_size)


class _Run:
    """One attack on all samples, and its result as it grows."""

    def __init__(self, given: Arguments, monitor: Monitor, norm: str | None, eps: float, minimise: str | None) -> None:
        count = len(given.x)
        self.given, self.monitor = given, monitor
        self.norm, self.eps, self.minimise = norm, eps, minimise
        self.ledger = Ledger(given.access, given.y, given.batch_size, monitor, given.max_queries, given.max_evaluations)
        self.judge = Judge(self.ledger, given.access.randomised)
        self.examples = given.x.copy()
        self.success = np.zeros(count, np.bool_)
        self.status = np.full(count, "unfinished", dtype="<U13")
        self.votes = np.full(count, np.nan)
        self.distances = {key: np.zeros(count) for key in NORMS}
        self.first_queries = np.full(count, -1, np.int64)
        self.first_gradients = np.full(count, -1, np.int64)
        self.traces: list[list[float]] | None = [[] for _ in range(count)] if given.trace else None
        self.stopped: str | None = None
        self.losses: set[str] = set()
        self.problem: Problem | None = None  # of the batch that is being attacked

    def all(self, propose: Propose, together: int) -> AttackResult:
        """Work through the samples, ``together`` at a time, until the end or a reason to stop."""
        try:
            for first in range(0, len(self.given.x), together):
                owners = np.arange(first, min(first + together, len(self.given.x)))
                reason = self._batch(propose, owners)
                self.stopped = reason or self.stopped
                self.monitor.finished = first + len(owners)
                if reason not in (None, "max_queries", "max_evaluations"):  # those are a sample's own
                    break
        except Exception as error:
            self._keep(error)
            raise
        return self.result()

    def _batch(self, propose: Propose, owners: Index) -> str | None:
        """Attack some samples and verify what was found; return what ended it early, if anything did."""
        self.problem, reason = None, None
        try:
            try:
                self.problem = self._open(owners)
                if self.problem is not None:
                    propose(self.problem)
                    self._retry(propose, self.problem)
            except (Stopped, KeyboardInterrupt) as stop:
                reason = str(stop) if isinstance(stop, Stopped) else "interrupted"
            if self.problem is not None:
                self._close(self.problem, "failed" if reason is None else "unfinished")
        except KeyboardInterrupt:  # while verifying: this batch stays unverified, what came before it is kept
            reason = "interrupted"
        return reason

    def result(self) -> AttackResult:
        """Return what there is."""
        return AttackResult(
            self.examples,
            self.success,
            self.status,
            self.distances,
            self.ledger.queries,
            self.ledger.gradients,
            self.ledger.verification,
            self.monitor.seconds,
            self.first_queries,
            self.first_gradients,
            self.votes if self.judge.randomised else None,
            self._gradient_error(),
            self.given.access.simulated,
            self.given.access.vjp_seconds,
            self.stopped,
            None if self.traces is None else [np.array(trace) for trace in self.traces],
            tuple(sorted(self.losses)),
            shared_queries=self.ledger.shared,
        )

    def _gradient_error(self) -> NDArray[np.float64] | None:
        """Return each sample's mean relative error of averaged gradients; say when they are mostly noise."""
        averages = self.ledger.averages
        if not averages.any():
            return None
        error: NDArray[np.float64] = np.divide(
            self.ledger.gradient_errors, averages, out=np.full(len(averages), np.nan), where=averages > 0
        )
        if np.nanmedian(error) > NOISY:
            warnings.warn(
                f"the averaged gradients are mostly noise (median relative standard error {np.nanmedian(error):.2f}): "
                "take more draws",
                stacklevel=2,
            )
        return error

    def _open(self, owners: Index) -> Problem | None:
        """Check the inputs; return the problem of those that do not meet the criterion yet."""
        owners = self._solvent(owners)
        if not len(owners):
            return None
        x = self.given.x[owners]
        try:
            logits = self.ledger.logits(x, owners)
        except BaseException as error:
            self._keep_checked(owners, getattr(error, "answered", None))
            raise
        _check_classes(self.given, owners, logits.shape[1])
        try:
            self.judge.probe(x, owners)
        except BaseException:
            self._keep_checked(owners, logits)
            raise
        problem = self._problem(owners, logits)
        met = problem.met(logits, np.arange(len(owners)))
        if self.judge.randomised:
            met = self._decide(problem, x).met
        self._finish(owners[met])
        return self._problem(owners[~met], logits[~met]) if not met.all() else None

    def _finish(self, misclassified: Index) -> None:
        self.success[misclassified], self.status[misclassified] = True, "misclassified"
        self.first_queries[misclassified], self.first_gradients[misclassified] = self.ledger.queries[misclassified], 0

    def _keep_checked(self, owners: Index, answered: Logits | None) -> None:
        """Finish those of the samples that the model called wrong before it raised, or was stopped."""
        if answered is not None and not self.judge.randomised:
            known = owners[: len(answered)]
            self._finish(known[self._problem(known, answered).met(answered, np.arange(len(known)))])

    def _solvent(self, owners: Index) -> Index:
        """Return the samples that can pay for the check of their input; the others stay unfinished, by themselves."""
        beyond = self.ledger.beyond(owners, self.ledger.access.queries, 0)
        for limit, samples in beyond.items():
            self.stopped = limit if samples.any() else self.stopped
        able: Index = owners[~np.any(list(beyond.values()), axis=0)]
        return able

    def _problem(self, owners: Index, logits: Logits) -> Problem:
        budget, random = (self.norm, self.eps, self.minimise), bool(self.judge.randomised)
        problem = Problem(self.given, owners, logits, self.ledger, *budget, self.traces, random)
        problem.losses = self.losses
        return problem

    def _retry(self, propose: Propose, problem: Problem) -> None:
        """Let the algorithm climb the margin where no gradient of its own loss was of use."""
        masked = np.flatnonzero(~problem.informed & ~problem.best.met)
        if len(masked) and problem.losses - {"margin"}:
            again = self._problem(problem.owners[masked], problem.logits_of_x[masked])
            again.loss = "margin"
            try:
                propose(again)
            finally:
                problem.informed[masked] = again.informed
                problem.cut[masked] |= again.cut
                problem.cut_by = again.cut_by or problem.cut_by
                problem.best.examples[masked], problem.best.met[masked] = again.best.examples, again.best.met
                problem.first_queries[masked] = again.first_queries
                problem.first_gradients[masked] = again.first_gradients

    def _close(self, problem: Problem, unbroken: str) -> None:
        """Project and verify what was offered; ``unbroken`` is the status of samples of which nothing else is known."""
        owners, index = problem.owners, np.arange(len(problem.x))
        examples = problem.region.quantized(problem.project(problem.best.examples, index), index)
        self._take(problem, examples)
        verdict = self._decide(problem, examples)
        unseen = owners[verdict.met & (problem.first_queries < 0)]  # nobody could pay for a look at it before
        self.first_queries[unseen] = self.ledger.queries[unseen]
        self.first_gradients[unseen] = self.ledger.gradients[unseen]
        masked = (self.ledger.gradients[owners] > 0) & ~problem.informed
        undecided = verdict.undecided | self._changed(problem, verdict)
        known = [verdict.met, undecided, masked, problem.cut]
        status = np.select(known, ["success", "undecided", "masked", "unfinished"], default=unbroken)
        if (status == "unfinished").any():
            self.stopped = problem.cut_by or self.stopped
        self.success[owners], self.status[owners] = verdict.met, status

    def _take(self, problem: Problem, examples: Array) -> None:
        """Take over a problem's examples, as yet unverified."""
        owners, distances = problem.owners, measure(examples, problem.x)
        self.examples[owners] = examples
        for key, values in distances.items():
            self.distances[key][owners] = values
        self.first_queries[owners], self.first_gradients[owners] = problem.first_queries, problem.first_gradients
        self.votes[owners] = np.nan  # those so far were for the input

    def _decide(self, problem: Problem, x: Array) -> Verdict:
        verdict = self.judge.decide(x, problem.owners, lambda logits: problem.met(logits, np.arange(len(x))))
        self.votes[problem.owners] = verdict.votes
        return verdict

    def _changed(self, problem: Problem, verdict: Verdict) -> NDArray[np.bool_]:
        """Say which examples a model that is not randomised has called wrong, and now calls right; warn of them."""
        changed = problem.best.met & ~verdict.met & (not self.judge.randomised)
        if changed.any():
            samples = problem.owners[changed].tolist()
            more = f" and {len(samples) - NAMED} more" if len(samples) > NAMED else ""
            warnings.warn(
                f"asked again about the same example, the model changed its answer for sample "
                f"{', '.join(map(str, samples[:NAMED]))}{more}: undecided, counted as robust. "
                "If it answers at random, pass randomised=True",
                stacklevel=2,
            )
        return changed

    def _keep(self, error: Exception) -> None:
        """Leave what has been found in the error: nothing that was paid for is lost."""
        if self.problem is not None:
            self._take(self.problem, self.problem.best.examples)
        if self.ledger.queries.any():
            error.result = self.result()  # type: ignore[attr-defined]  # any exception may carry it
            error.add_note("The examples found so far, unverified where unfinished, are in this error's `result`.")


def _check_classes(given: Arguments, owners: Index, classes: int) -> None:
    """Refuse labels that the model does not have: their number is known only from its answer."""
    for name, labels in (("y", given.y), ("targets", given.targets)):
        if labels is not None and (outside := labels[owners] >= classes).any():
            where = owners[int(np.argmax(outside))]
            raise ValueError(
                f"{name} must be in [0, {classes - 1}] for this model, got {labels[where]} at index {where}"
            )
