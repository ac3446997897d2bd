"""What a worker does: one attack, or one probe, on one chunk of samples at one eps."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import _config, _core, attacks
from advcore._check import Array
from advcore.attacks import AttackResult
from advcore.attacks._access import Access
from advcore.attacks.model import top_class, wrap
from advcore.evaluation import limits
from advcore.evaluation.answers import alone, classes, fooled
from advcore.evaluation.grid import rounded_to_8_bits, without_rounding
from advcore.evaluation.handle import Handle
from advcore.evaluation.plan import Planned
from advcore.evaluation.rows import SPENT, Row

Samples = NDArray[np.int64]
LOOKS = 5  # at each example: its class, again, together and alone, rounded


class OutOfTime(Exception):  # noqa: N818 - not an error: the rows so far are results
    """A task was cut by the time budget; ``rows`` are those of the samples that were finished."""

    def __init__(self, rows: list[Row]) -> None:
        super().__init__(rows)
        self.rows = rows


@dataclass(frozen=True)
class Done:
    """What came of a task.

    Attributes
    ----------
    rows : list of Row
    cut : bool
        The time was over before all samples were finished; the others have no rows.
    """

    rows: list[Row]
    cut: bool = False


@dataclass(frozen=True)
class Setup:
    """What all tasks of a run share; it travels with each of them.

    Attributes
    ----------
    handle : Handle
    norm, bounds, seed
        As in evaluate.
    output : str or None
        What a plain callable returns.
    randomised : bool
    classes : int
        Of the labels, for callables that give labels alone.
    threads : int
        Set explicitly in each worker, where others may have set OMP_NUM_THREADS.
    level : str
        Instruction-set level, which every worker must have.
    max_queries : int or None
    surrogates : tuple of (name, bytes)
        Networks whose examples are tried on the model.
    detector : object or None
        Fitted.
    """

    handle: Handle
    norm: str
    bounds: tuple[float, float]
    seed: int
    output: str | None
    randomised: bool
    classes: int
    threads: int
    level: str
    max_queries: int | None = None
    surrogates: tuple[tuple[str, bytes], ...] = ()
    detector: Any = None

    def access(self) -> Access:
        """Return the model at arm's length."""
        access = wrap(self.handle.open(), self.output, needs="label", named=self.classes)
        access.randomised = self.randomised
        return access


@dataclass(frozen=True)
class Task:
    """One attack or probe on some samples.

    Attributes
    ----------
    label : str
        In the rows.
    eps : float
    samples : int64 array, (n,)
        Indices into the data.
    x, y : arrays, (n, ...) and (n,)
    planned : Planned or None
        The attack; None: a probe, which ``run`` does.
    run : callable or None
        ``run(setup, task) -> list of Row``, a function of a module (it is pickled by name).
    options : dict
        Of the probe.
    until : float or None
        When the time budget is over, by the clock that all hosts share (time.time()): a task may wait for a worker.
    labels : tuple of str
        Of all rows of each sample, which are errors where the model raises for it; unless given, the label alone.
    """

    label: str
    eps: float
    samples: Samples
    x: Array
    y: NDArray[np.int64]
    planned: Planned | None = None
    run: Callable[[Setup, Task], list[Row]] | None = None
    options: Any = None
    until: float | None = None
    labels: tuple[str, ...] = ()

    @property
    def seconds_left(self) -> float | None:
        """What is left of the time budget, above 0; None: as much as it takes."""
        return None if self.until is None else max(self.until - time.time(), 1e-9)

    def is_over(self) -> bool:
        """Say whether the time is over."""
        return self.until is not None and time.time() >= self.until

    def part(self, chosen: Any) -> Task:
        """Return the task for some of its samples."""
        return replace(self, samples=self.samples[chosen], x=self.x[chosen], y=self.y[chosen])


def perform(setup: Setup, task: Task) -> Done:
    """Do a task; called in a worker.

    A model that raises costs the samples it raises for, which are found by halving, and no others.
    """
    _prepare(setup)
    started, cpu = time.perf_counter(), time.process_time()
    done = _guarded(setup, task)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    share = 1 / max(len(done.rows), 1)
    return Done([replace(row, seconds=seconds * share, cpu_seconds=cpu_seconds * share) for row in done.rows], done.cut)


def _prepare(setup: Setup) -> None:
    _config.set_num_threads(setup.threads)
    if _core.level() != setup.level:
        if setup.level not in _core.available_levels():
            raise RuntimeError(
                f"this worker has the instruction sets {', '.join(_core.available_levels())}, but the run is at "
                f"{setup.level}: set ADVCORE_ISA={_core.level()} where the run is started, or leave this worker out"
            )
        _core._set_level(setup.level)


def _guarded(setup: Setup, task: Task) -> Done:
    try:
        if task.is_over():
            return Done([], cut=True)
        return Done(task.run(setup, task) if task.run else attack_rows(setup, task))
    except OutOfTime as reason:
        return Done(reason.rows, cut=True)
    except (Exception, SystemExit) as error:  # memory that a whole chunk lacked may do for half of it
        if len(task.samples) == 1:
            note = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            labels = task.labels or (task.label,)
            return Done([Row(int(task.samples[0]), label, task.eps, False, "error", note=note) for label in labels])
    half = len(task.samples) // 2
    first, second = (_guarded(setup, task.part(chosen)) for chosen in (slice(None, half), slice(half, None)))
    return Done(first.rows + second.rows, first.cut or second.cut)


def options(setup: Setup, task: Task) -> dict[str, Any]:
    """Return the arguments that every attack gets."""
    return {
        "seed": setup.seed,
        "sample_ids": task.samples,
        "bounds": setup.bounds,
        "output": setup.output,
        "randomised": setup.randomised,
        "max_queries": setup.max_queries,
        "max_seconds": task.seconds_left,
    }


def refuse_partial(result: AttackResult) -> None:
    """Raise where an attack of a probe was cut: its rows would not be comparable."""
    if result.stopped == "interrupted":
        raise KeyboardInterrupt
    if result.stopped == "max_seconds":
        raise OutOfTime([])


def attack_rows(setup: Setup, task: Task) -> list[Row]:
    """Run one attack and look at its examples once more."""
    result = attack(setup, task)
    if result.stopped == "interrupted":
        raise KeyboardInterrupt
    rows = to_rows(task, result, spent=_spent(setup, task, result))
    if task.planned is not None and (grid := task.planned.options.get("quantize")) is not None:
        rows = [without_rounding(row, setup.norm, setup.bounds, grid, task.x.dtype) for row in rows]
    if result.stopped == "max_seconds":
        raise OutOfTime([row for row in rows if row.status != "unfinished"])
    hit = np.flatnonzero(result.status == "success")
    if len(hit) and not setup.randomised:
        for place, seen in zip(hit, look_again(setup, task.part(hit), result.examples[hit]), strict=True):
            seen["verification"] += rows[place].verification
            rows[place] = replace(rows[place], **seen)
    return rows


def attack(setup: Setup, task: Task) -> AttackResult:
    """Run the planned attack."""
    planned = task.planned
    assert planned is not None  # a probe has a function of its own
    model = setup.handle.open()
    if planned.draws is not None:
        model = attacks.expectation(model, draws=planned.draws, output=setup.output)
    limit = {"max_queries": limits.most_queries(setup, planned.options)}
    function = getattr(attacks, planned.attack)
    arguments = planned.arguments(setup.norm, task.eps) | options(setup, task) | limit
    found: AttackResult = function(model, task.x, task.y, **arguments)
    return found


def _spent(setup: Setup, task: Task, result: AttackResult) -> NDArray[np.bool_] | None:
    planned = task.planned
    return None if planned is None else limits.spent(setup, result, planned.attack, planned.options, planned.draws)


def to_rows(
    task: Task,
    result: AttackResult,
    success: NDArray[np.bool_] | None = None,
    spent: NDArray[np.bool_] | None = None,
) -> list[Row]:
    """Return an attack's result as rows, with a note in those of samples whose queries were spent."""
    met = result.success if success is None else success
    notes = [""] * len(met) if spent is None else [SPENT if short else "" for short in spent.tolist()]
    columns = zip(
        task.samples.tolist(),
        met.tolist(),
        result.status.tolist(),
        *(result.distances[norm].tolist() for norm in ("l0", "l1", "l2", "linf")),
        result.queries.tolist(),
        result.gradients.tolist(),
        result.verification.tolist(),
        result.queries_to_success.tolist(),
        strict=True,
    )
    found = [Row(sample, task.label, task.eps, *rest) for sample, *rest in columns]
    return [replace(row, note=note) for row, note in zip(found, notes, strict=True)]


def look_again(setup: Setup, task: Task, examples: Array) -> list[dict[str, Any]]:
    """Say of examples that succeeded whether they do so a second time, alone, rounded, and in their own framework.

    "verification" counts what of the model that takes, in evaluations.
    """
    access = setup.access()
    prediction = classes(access, examples)
    source = setup.handle.open_source()
    rounded = rounded_to_8_bits(examples, setup.bounds)
    kept = fooled(classes(access, rounded), task.y)
    more: Any = 0
    if (lost := np.flatnonzero(~kept)).size and access.gradients and np.isfinite(task.eps):
        kept[lost], more = _rounded_with_more_margin(setup, task.part(lost), access)
    seen = {
        "prediction": prediction,
        "again": fooled(classes(access, examples), task.y),
        "alone": fooled(top_class(alone(access, examples)[0], access.rejects), task.y),
        "rounded": kept,
        "verification": np.full(len(examples), LOOKS),
    }
    seen["verification"][lost] += more
    if source is not None:
        own = wrap(source, None if hasattr(source, "parameters") else "logits")
        seen["source"] = fooled(classes(own, examples), task.y)
    names, columns = list(seen), zip(*(values.tolist() for values in seen.values()), strict=True)
    return [dict(zip(names, values, strict=True)) for values in columns]


def _rounded_with_more_margin(setup: Setup, task: Task, access: Access) -> tuple[NDArray[np.bool_], Samples]:
    """Try again with examples that go past the boundary as far as they can: attacks stop at the first success.

    Returns which are lost to the model then, and the evaluations of each; they are no attack's, whose limit is not
    theirs.
    """
    budget: dict[str, Any] = {"eps": task.eps, "norm": setup.norm}
    shared = options(setup, task) | {"max_queries": None}
    result = attacks.pgd(setup.handle.open(), task.x, task.y, **budget, steps=40, early_stop=False, **shared)
    examples = rounded_to_8_bits(result.examples, setup.bounds)
    lost = fooled(classes(access, examples), task.y)
    return lost, result.queries + result.gradients + result.verification + 1
