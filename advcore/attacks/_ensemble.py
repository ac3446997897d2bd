"""Several attacks in turn, each on the samples that none before it has broken, merged into one result."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from advcore.attacks._arguments import Arguments
from advcore.attacks._ledger import NAMED, Index, Limit
from advcore.attacks._monitor import Progress
from advcore.attacks._options import Options
from advcore.attacks.result import NORMS, AttackResult


class Member(NamedTuple):
    """One of several attacks: its name in ``broken_by``, attack(x, y, **options), and whether it asks for gradients."""

    name: str
    attack: Callable[..., AttackResult]
    gradients: bool = True


_ONE_SAMPLE = ("max_queries", "max_evaluations")  # reasons that stop a sample, not the attack


def in_turn(members: Sequence[Member], given: Arguments, options: Options) -> AttackResult:
    """Attack all samples by the first member, the survivors by the second, and so on.

    Parameters
    ----------
    members : sequence of Member
        Each attack is called with the survivors' own part of the options.
    given : Arguments
        Of the whole, checked; its model is the one that the members ask.
    options : Options
        As they came. Budgets hold for all members together, and so do the callback and the clock.

    Returns
    -------
    AttackResult
        Evaluations are those of all members. A failed sample has the first member's example and is "masked" if no
        member found a usable gradient. A survivor whose turn did not come with every member is "unfinished".
    """
    merged = _Merged(given)
    survivors = np.arange(len(given.x))
    randomised = options.get("randomised")
    for number, member in enumerate(members):
        asked = merged.solvent(survivors, member.gradients) if number else survivors
        if number and not len(asked):
            continue
        seconds = None if given.max_seconds is None else given.max_seconds - merged.seconds
        if seconds is not None and seconds <= 0:
            merged.stopped = "max_seconds"
            merged.cut(asked)
            break
        shared = cast("Options", {**options, "randomised": randomised, "max_seconds": seconds})
        shared |= merged.part(asked, number + 1 == len(members))
        try:
            result = member.attack(given.x[asked], given.y[asked], **shared)
        except Exception as error:
            merged.keep(error, member.name, asked, number == 0)
            raise
        merged.take(member.name, result, asked, number == 0)
        if len(asked) and randomised is None:
            randomised = result.votes is not None
        survivors = np.setdiff1d(survivors, asked[result.success])
        if result.stopped not in (None, *_ONE_SAMPLE):
            if number + 1 < len(members):
                merged.cut(survivors)
            break
    return merged.result()


class _Merged:
    """The result of several attacks as it grows."""

    def __init__(self, given: Arguments) -> None:
        count = len(given.x)
        self.given, self.start = given, time.perf_counter()
        self.examples, self.success = given.x.copy(), np.zeros(count, np.bool_)
        self.status = np.full(count, "unfinished", dtype="<U13")
        self.distances = {norm: np.zeros(count) for norm in NORMS}
        self.queries, self.gradients, self.verification = (np.zeros(count, np.int64) for _ in range(3))
        self.first_queries, self.first_gradients = np.full(count, -1, np.int64), np.full(count, -1, np.int64)
        self.votes, self.errors = np.full(count, np.nan), np.full(count, np.nan)
        self.traces: list[list[float]] | None = [[] for _ in range(count)] if given.trace else None
        self.losses: set[str] = set()
        self.broken_by = np.full(count, "", dtype="<U32")
        self.stopped: str | None = None

    @property
    def seconds(self) -> float:
        """Wall-clock time since the start."""
        return time.perf_counter() - self.start

    def solvent(self, index: Index, gradients: bool) -> Index:
        """Return the samples that can pay for the check of the input and a gradient, or a query; cut the others."""
        access, given = self.given.access, self.given
        queries = access.queries + (access.forwards(1) if gradients else access.queries)
        total = queries + (access.backwards(1) if gradients else 0)
        able = np.ones(len(index), np.bool_)
        for name, left, cost in (
            ("max_queries", _left(given.max_queries, self.queries, index), queries),
            ("max_evaluations", _left(given.max_evaluations, self.queries + self.gradients, index), total),
        ):
            if left is not None and (left < cost).any():
                able &= left >= cost
                self.stopped = name
        self.cut(index[~able])
        return index[able]

    def cut(self, index: Index) -> None:
        """Mark survivors that not all members have attacked."""
        self.status[index[self.status[index] != "undecided"]] = "unfinished"

    def part(self, index: Index, last: bool) -> Options:
        """Return the options that are a sample's own, and the callback with what came before counted in."""
        given = self.given
        own: dict[str, Any] = {
            "targets": None if given.targets is None else given.targets[index],
            "sample_ids": given.sample_ids[index],
            "mask": None if given.mask is None else given.mask[index],
            "max_queries": _left(given.max_queries, self.queries, index),
            "max_evaluations": _left(given.max_evaluations, self.queries + self.gradients, index),
        }
        if given.callback is not None:
            before = (int(self.success.sum()), int(self.queries.sum()), int(self.gradients.sum()))
            done = len(given.x) - len(index)

            def callback(now: Progress) -> bool | None:
                finished = done + (now.finished if last else 0)
                spent = (before[1] + now.queries, before[2] + now.gradients)
                answer: bool | None = given.callback(
                    Progress(finished, len(given.x), before[0] + now.succeeded, *spent, self.seconds)
                )
                return answer

            own["callback"] = callback
        return cast("Options", own)

    def take(self, name: str, result: AttackResult, index: Index, first: bool) -> None:
        """Add what a member did to the samples that it was given."""
        for ours, theirs in (
            (self.first_queries, self.queries[index] + result.queries_to_success),
            (self.first_gradients, self.gradients[index] + result.gradients_to_success),
        ):
            ours[index[result.success]] = theirs[result.success]
        self.queries[index] += result.queries
        self.gradients[index] += result.gradients
        self.verification[index] += result.verification
        change = result.success | first | (result.status == "undecided")
        changed = index[change]
        self.examples[changed], self.success[index] = result.examples[change], result.success
        for norm, lengths in result.distances.items():
            self.distances[norm][changed] = lengths[change]
        self.broken_by[index[result.status == "success"]] = name
        self.status[index] = result.status if first else _worse(self.status[index], result)
        if result.votes is not None:
            self.votes[changed] = result.votes[change]  # they are about the example
        if result.gradient_error is not None:
            self.errors[index] = np.where(np.isnan(result.gradient_error), self.errors[index], result.gradient_error)
        if self.traces is not None and result.traces is not None:
            for owner, trace in zip(index.tolist(), result.traces, strict=True):
                self.traces[owner].extend(trace.tolist())
        self.losses |= set(result.losses)
        self.stopped = result.stopped or self.stopped

    def keep(self, error: Exception, name: str, index: Index, first: bool) -> None:
        """Give an error that ends a member, and carries what that one found, what all have found."""
        found = getattr(error, "result", None)
        if not isinstance(found, AttackResult):
            return
        self.take(name, found, index, first)
        error.result = self.result()  # type: ignore[attr-defined]  # any exception may carry it
        named = [int(number) for number in re.findall(r"for sample (\d+)", str(error))]
        if not first and named and named[0] < len(index):
            error.add_note(f"{name} was given the survivors alone: its sample {named[0]} is sample {index[named[0]]}.")
        elif not first:
            more = ", ..." if len(index) > NAMED else ""
            error.add_note(f"{name} numbers the samples it was given: {', '.join(map(str, index[:NAMED]))}{more}.")

    def result(self) -> AttackResult:
        """Return what there is."""
        return AttackResult(
            self.examples,
            self.success,
            self.status,
            self.distances,
            self.queries,
            self.gradients,
            self.verification,
            self.seconds,
            self.first_queries,
            self.first_gradients,
            None if np.isnan(self.votes).all() else self.votes,
            None if np.isnan(self.errors).all() else self.errors,
            stopped=self.stopped,
            traces=None if self.traces is None else [np.array(trace) for trace in self.traces],
            losses=tuple(sorted(self.losses)),
            broken_by=self.broken_by,
        )


def _worse(before: Any, result: AttackResult) -> Any:
    """Return the status of samples that survived so far and met one more attack."""
    # An attack without gradients says nothing about masking: what the others said stands.
    silent = (before == "masked") & (result.gradients == 0) & (result.status == "failed")
    return np.select(
        [result.success, before == "undecided", before == "unfinished", silent, before == "failed"],
        ["success", "undecided", "unfinished", "masked", np.where(result.status == "masked", "failed", result.status)],
        default=result.status,
    )


def _left(limit: Limit, spent: Index, index: Index) -> Index | None:
    """Return how much of a limit each sample has left."""
    if limit is None:
        return None
    return (limit - spent[index]) if isinstance(limit, int) else limit[index] - spent[index]
