"""Runs the steps on all chunks, here or on workers, and keeps what comes back."""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore._check import Array
from advcore.evaluation import probes
from advcore.evaluation.rows import Key, Row
from advcore.evaluation.steps import Step
from advcore.evaluation.store import Store
from advcore.evaluation.work import Done, Samples, Setup, Task, perform

_DIED = "every one that tried died: does the model end its process, or is there too little memory?"
_LOST = "the scheduler is gone, or has cancelled it"
DEAD = {"KilledWorker": _DIED, "BrokenProcessPool": _DIED, "CancelledError": _LOST, "FutureCancelledError": _LOST}

Ready = tuple[int, float, int, int, list[Step]]  # how many steps behind it, eps, chunk, number of the next step, steps


@dataclass
class Table:
    """All rows of a run, in memory and, where there is a store, on the disk."""

    store: Store | None = None
    rows: dict[Key, Row] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.store is not None:
            self.rows = {row.key: row for row in self.store.rows()}

    def add(self, rows: Sequence[Row]) -> None:
        """Keep rows; they are safe when this returns."""
        if self.store is not None and rows:
            self.store.add(rows)
        self.rows.update((row.key, row) for row in rows)

    def sorted(self) -> list[Row]:
        """Return the rows by sample, attack and eps."""
        return [self.rows[key] for key in sorted(self.rows)]


class Campaign:
    """The work of one run.

    Parameters
    ----------
    x, y : arrays
    setup : Setup
    table : Table
    chunk : int
        Samples a task.
    executor : concurrent.futures-like, optional
        With ``submit``; without one the tasks are done here.
    ahead : int
        Tasks that an executor is given at a time.
    deadline : float, optional
        Of time.monotonic(): no task starts after it, and attacks are cut at it.
    progress : callable, optional
        Called after every task with the number of those that are over and the rest that is known of.
    """

    def __init__(
        self,
        x: Array,
        y: NDArray[np.int64],
        setup: Setup,
        table: Table,
        *,
        chunk: int,
        executor: Any = None,
        ahead: int = 16,
        deadline: float | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.x, self.y, self.setup, self.table = x, y, setup, table
        self.executor, self.ahead, self.deadline, self.progress = executor, ahead, deadline, progress
        self.chunks = [np.arange(i, min(i + chunk, len(x))) for i in range(0, len(x), chunk)]
        self.out_of_time = False
        self.finished = self.known = 0
        self._subsets: dict[tuple[int, int], Samples] = {}

    def run(self, chains: Iterable[list[Step]]) -> None:
        """Do each chain of steps on every chunk, the first steps of all chains first."""
        ready: list[Ready] = []
        for steps in chains:
            self.known += len(steps) * len(self.chunks)
            for chunk in range(len(self.chunks)):
                if steps:
                    heapq.heappush(ready, (0, steps[0].eps, chunk, id(steps), steps))
        if self.executor is None:
            while ready:
                self._advance(ready, heapq.heappop(ready), self._now)
        else:
            self._spread(ready)

    def _advance(self, ready: list[Ready], item: Ready, do: Callable[[Task], Done]) -> None:
        """Do the next step of a chain here."""
        task = self._task(item)
        if task is not None:
            self._keep(do(task))
        self._push_next(ready, item)

    def _now(self, task: Task) -> Done:
        return perform(self.setup, task)

    def _spread(self, ready: list[Ready]) -> None:
        running: dict[Future[Done], tuple[Ready, Task]] = {}
        share = getattr(self.executor, "share", None)
        setup = self.setup if share is None else share(self.setup)
        try:
            while ready or running:
                while ready and len(running) < self.ahead:
                    item = heapq.heappop(ready)
                    task = self._task(item)
                    if task is None:
                        self._push_next(ready, item)
                    else:
                        running[self.executor.submit(perform, setup, task)] = item, task
                if running:
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        item, task = running.pop(future)
                        self._keep(_result(future, task))
                        self._push_next(ready, item)
        finally:
            for future in running:
                future.cancel()

    def _keep(self, done: Done) -> None:
        self.out_of_time |= done.cut
        self.table.add(done.rows)

    def _push_next(self, ready: list[Ready], item: Ready) -> None:
        behind, _, chunk, identity, steps = item
        self.finished += 1
        if self.progress is not None:
            self.progress(self.finished, self.known)
        if behind + 1 < len(steps):
            heapq.heappush(ready, (behind + 1, steps[behind + 1].eps, chunk, identity, steps))

    # Who takes part

    def _task(self, item: Ready) -> Task | None:
        """Return the task of a chunk at a step, None where nothing is left to do."""
        number, _, chunk, _, steps = item
        step = steps[number]
        samples = self.participants(step, steps[:number], self.chunks[chunk])
        if all(Key(int(sample), label, step.eps) in self.table.rows for sample in samples for label in step.labels):
            return None
        left = math.inf if self.deadline is None else self.deadline - time.monotonic()
        if left <= 0:
            self.out_of_time = True
            return None
        return Task(
            step.label,
            step.eps,
            samples,
            self.x[samples],
            self.y[samples],
            step.planned,
            step.run,
            step.options,
            time.time() + left if math.isfinite(left) else None,
            step.labels,
        )

    def participants(self, step: Step, before: Sequence[Step], chunk: Samples) -> Samples:
        """Return the samples of a chunk that take part in a step."""
        if step.images is not None:
            chunk = np.intersect1d(chunk, self._subset(step.images, step.stream))
        if step.label == probes.CLEAN:
            return chunk
        rows = self.table.rows
        chosen = [int(sample) for sample in chunk if _is_right(rows, int(sample))]
        labels, norm = [previous.label for previous in before if previous.breaks], self.setup.norm
        if step.rounded_away:
            seen = labels + [previous.label for previous in before if previous.rounded_away]
            chosen = [sample for sample in chosen if _is_rounded_away(rows, sample, seen, step.eps, norm)]
        if not step.everyone:
            chosen = [sample for sample in chosen if not _is_broken(rows, sample, labels, step.eps, norm)]
        return np.array(chosen, np.int64)

    def _subset(self, images: int, stream: int) -> Samples:
        key = (images, stream)
        if key not in self._subsets:
            self._subsets[key] = probes.sample_of(self.setup.seed, len(self.x), images, stream)
        return self._subsets[key]


def _result(future: Future[Done], task: Task) -> Done:
    """Return what a worker did; what a model raises is in it, so that all else is the workers' fault."""
    try:
        return future.result()
    except Exception as error:
        kind = type(error).__name__
        reason = DEAD.get(kind) or f"{kind}: {' '.join(str(error).split())[:300]}"
        raise OSError(
            f"the workers did not do {task.label} at eps {task.eps:g} on samples {task.samples[0]} to "
            f"{task.samples[-1]}: {reason}; what was found is kept, and the same command goes on"
        ) from error


def _is_right(rows: dict[Key, Row], sample: int) -> bool:
    """Say whether the model has the sample right."""
    row = rows.get(Key(sample, probes.CLEAN, 0.0))
    return row is not None and row.status == "failed"


def _is_rounded_away(rows: dict[Key, Row], sample: int, labels: list[str], eps: float, norm: str) -> bool:
    """Say whether the sample is broken at eps, but by no example that holds in 8 bits."""
    found = [rows.get(Key(sample, label, eps)) for label in labels]
    hits = [row for row in found if row is not None and row.within(norm, eps)]
    return bool(hits) and not any(row.rounded for row in hits)


def _is_broken(rows: dict[Key, Row], sample: int, labels: list[str], eps: float, norm: str) -> bool:
    found = (rows.get(Key(sample, label, eps)) for label in labels)
    return any(row is not None and row.within(norm, eps) for row in found)
