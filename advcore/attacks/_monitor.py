"""What may end an attack early: time, the user's callback, Ctrl-C, a budget of evaluations."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any


class Stopped(Exception):  # noqa: N818 - not an error: what has been found so far is the result
    """Ends an attack; the reason is what AttackResult.stopped says."""


@dataclass(frozen=True)
class Progress:
    """How far an attack has come.

    Attributes
    ----------
    finished, total : int
        Samples.
    succeeded : int
        Samples that the attack believes to have broken so far, not yet verified.
    queries, gradients : int
        Spent on all samples together.
    seconds : float
        Since the start.
    """

    finished: int
    total: int
    succeeded: int
    queries: int
    gradients: int
    seconds: float


class Monitor:
    """Watches one attack; ``tick`` raises Stopped where it must end.

    Parameters
    ----------
    name : str
        Of the attack, for the progress bar.
    total : int
        Samples.
    """

    def __init__(
        self,
        name: str,
        total: int,
        *,
        max_seconds: float | None = None,
        callback: Callable[[Progress], bool | None] | None = None,
        progress: bool = False,
    ) -> None:
        self.start = time.perf_counter()
        self.total, self.max_seconds, self.callback = total, max_seconds, callback
        self.finished = self.succeeded = 0
        self._bar = _bar(name, total) if progress else None

    def __enter__(self) -> Monitor:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._show()
            self._bar.stop()

    @property
    def seconds(self) -> float:
        """Wall-clock time since the start."""
        return time.perf_counter() - self.start

    def tick(self, queries: int, gradients: int) -> None:
        """Report the evaluations so far; raise Stopped if the time is over or the callback says so."""
        self._show()
        if self.callback is not None:
            state = Progress(self.finished, self.total, self.succeeded, queries, gradients, self.seconds)
            if self.callback(state):
                raise Stopped("callback")
        if self.max_seconds is not None and self.seconds >= self.max_seconds:
            raise Stopped("max_seconds")

    def _show(self) -> None:
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self.finished, note=f"{self.succeeded} broken")


def _bar(name: str, total: int) -> Any:
    from rich import progress  # takes a tenth of a second, which most attacks need not pay

    columns = (progress.TextColumn(name), progress.BarColumn(), progress.MofNCompleteColumn())
    bar = progress.Progress(*columns, progress.TextColumn("{task.fields[note]}"), progress.TimeElapsedColumn())
    bar.add_task(name, total=total, note="")
    return bar
