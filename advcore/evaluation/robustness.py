"""advcore.evaluate: an honest robustness report of a user's own model."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from advcore import _check
from advcore._check import Array
from advcore.evaluation import checks as checklist
from advcore.evaluation import detection, probes, repeat, surrogates
from advcore.evaluation.campaign import Campaign, Table
from advcore.evaluation.given import Given
from advcore.evaluation.grid import EIGHT_BITS
from advcore.evaluation.report import Report
from advcore.evaluation.results import About
from advcore.evaluation.rows import Key
from advcore.evaluation.steps import attack_steps, first_steps, not_run
from advcore.evaluation.store import Store
from advcore.evaluation.work import Setup

FIRST_REPORT = 3.0  # seconds until the first partial report; later ones take at most a twentieth of the time


def evaluate(
    model: Any,
    x: Array,
    y: object,
    *,
    norm: str,
    eps: float | Sequence[float],
    attacks: str | Sequence[object] = "standard",
    output: str | Path | None = None,
    seed: int = 0,
    bounds: tuple[float, float] = (0.0, 1.0),
    checks: bool | str = True,
    answers: str | None = None,
    randomised: bool | None = None,
    detector: Any = None,
    source: Any = None,
    max_seconds: float | None = None,
    max_queries: int | None = None,
    chunk_size: int = 128,
    executor: Any = None,
    ahead: int = 16,
    progress: Callable[[int, int], None] | None = None,
    names: Mapping[str, str] | None = None,
    command: str = "",
) -> Report:
    """Attack a model with an ensemble of attacks and check that their result can be believed.

    A sample is robust at eps if the model has it right and no attack breaks it; robust accuracy is their share of all N
    samples, an upper bound. The checklist (Carlini et al. 2019, arXiv 1902.06705) tells where it may be too high.

    Parameters
    ----------
    model : Network, object with logits(x) and perhaps vjp(x, cotangent), torch module, or callable
        Without gradients it is attacked by its scores or labels, and the report says so.
    x : float32 or float64 array, (N, ...)
        Inside the bounds.
    y : int array, (N,)
        True labels, of at least two classes.
    norm : "linf", "l2" or "l1"
    eps : float or sequence of float, above 0
        Budgets, in the units of x.
    attacks : "quick", "standard", "full", or sequence of names or (name, options)
        "standard" is AutoAttack's ensemble with C&W and ZOO on some images.
    output : path, optional
        Folder for results.sqlite, results.json, results.csv and report.html. A run that was stopped goes on where it
        was; a folder of another run is refused.
    seed : int
    bounds : (low, high)
        The box of valid inputs.
    checks : bool, "quick", "standard" or "full"
        Run the probes that the checklist needs, and how thoroughly; True: as the level of the attacks, or "standard".
    answers : "logits", "probabilities", "top1" or "label", optional
        What a plain callable returns.
    randomised : bool, optional
        Whether the model answers differently each time; unless given, it is found out.
    detector : fitted detector, optional
        With decision_function(x), positive where x is taken for adversarial, and perhaps score_gradient(x), which
        returns (scores, gradients): is attacked
        together with the model (see attacks.joint).
    source : torch module or callable, optional
        The model in the framework it came from, where examples are tried again.
    max_seconds : float, above 0, optional
        Time after which the report is made of what there is.
    max_queries : int, at least 1, optional
        Forward evaluations that each attack may spend on a sample.
    chunk_size : int, at least 1
        Samples that are attacked together. Results of networks do not depend on it.
    executor : concurrent.futures-like, optional
        Does the work elsewhere: a ProcessPoolExecutor, or Dask's ``client.get_executor()``.
    ahead : int, at least 1
        Tasks that the executor has at a time.
    progress : callable, optional
        Called with the steps that are over and that are known of.
    names : dict, optional
        "model" and "data", for the report.
    command : str
        That repeats the run, for the report; unless given, this call.

    Returns
    -------
    Report

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If an argument has a wrong value or shape, x is outside its bounds, there is one class only, the model cannot
        be run or is wrong on all samples, or output holds another run.
    OSError
        If output cannot be written, or another run writes there.
    """
    command = command or repeat.call(evaluate, locals())
    started = time.monotonic()
    limit = None if max_seconds is None else _check.real("max_seconds", max_seconds, above=0.0)
    given = Given.checked(
        model,
        x,
        y,
        norm=norm,
        eps=eps,
        attacks=attacks,
        output=output,
        seed=seed,
        bounds=bounds,
        checks=checks,
        answers=answers,
        randomised=randomised,
        detector=detector,
        source=source,
        max_queries=max_queries,
        chunk_size=chunk_size,
    )
    if executor is not None and not given.setup.handle.travels:
        raise TypeError(
            "model must be a Network, or named by a file or package.module:factory, to be run by an executor; got a "
            f"{type(model).__name__}"
        )
    about = given.about(dict(names or {}), command)
    kind = {"has_gradients": given.access == "gradients", "detector": detector is not None}
    if given.access == "gradients" and not given.pays_for_gradients:
        about.missing[checklist.GRADIENTS] = "max_queries does not pay for a gradient"
    about.missing.update(not_run(given.plan, given.effort, given.setup.norm, **kind))
    runner = _Runner(given, about, executor, _check.integer("ahead", ahead, minimum=1), started, limit, progress)
    if given.folder is None:
        return runner.run(Table())
    with Store(given.folder, about.identity) as store:
        about.warnings.extend(store.warnings)
        table = Table(store)
        given.refuse_classes_of_another(table.rows)
        return runner.run(table)


class _Runner:
    """Runs the steps and makes reports of what there is."""

    def __init__(
        self,
        given: Given,
        about: About,
        executor: Any,
        ahead: int,
        started: float,
        limit: float | None,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.given, self.about = given, about
        self.executor, self.ahead, self.progress = executor, ahead, progress
        self.deadline = None if limit is None else started + limit
        self.next_report = started + FIRST_REPORT

    def run(self, table: Table) -> Report:
        given = self.given
        campaign = self._campaign(table, given.setup, given.first_chunk_within(self._left()))
        try:
            campaign.run([first_steps(given.pays_for_gradients)])
            if not campaign.out_of_time:
                _refuse_useless(table, given)
                nets = self._surrogates(table)
                setup, chunk = replace(given.setup, surrogates=nets), given.chunk_within(self._left())
                campaign = self._campaign(table, setup, chunk, campaign.finished)
                steps = attack_steps(
                    given.plan,
                    given.eps,
                    given.effort,
                    given.setup.norm,
                    given.unbounded,
                    has_gradients=given.access == "gradients",
                    surrogates=tuple(name for name, _ in nets),
                    detector=self._attacks_detector(),
                    on_grid=given.is_on_grid(EIGHT_BITS),
                )
                campaign.run(steps[e] for e in sorted(steps))
        except BaseException:
            if given.folder is not None and table.rows:
                with suppress(OSError):  # of a full disk: the rows are safe, and what ended the run is what to tell
                    self._report(table, complete=False).save(given.folder, pictures=False)
            raise
        report = self._report(table, complete=not campaign.out_of_time)
        if given.folder is not None:
            _save(report, given.folder)
        return report

    def _left(self) -> float:
        return math.inf if self.deadline is None else max(self.deadline - time.monotonic(), 0.0)

    def _campaign(self, table: Table, setup: Setup, chunk: int, finished: int = 0) -> Campaign:
        return Campaign(
            self.given.x,
            self.given.y,
            setup,
            table,
            chunk=chunk,
            executor=self.executor,
            ahead=self.ahead,
            deadline=self.deadline,
            progress=lambda done, known: self._tell(table, finished + done, finished + known),
        )

    def _surrogates(self, table: Table) -> tuple[tuple[str, bytes], ...]:
        """Train small networks on the model's own answers, whose examples are tried on it."""
        given = self.given
        if given.effort is None:
            return ()
        answers = np.array([table.rows[Key(sample, probes.CLEAN, 0.0)].prediction for sample in range(len(given.x))])
        try:
            return surrogates.train(given.x, np.where(answers < 0, given.y, answers), given.setup.seed)
        except ValueError as error:
            self.about.missing[checklist.TRANSFER] = str(error)
            return ()

    def _attacks_detector(self) -> bool:
        """Say whether there is a detector, and an attack on it; the report tells why not."""
        if self.given.setup.detector is None or self.given.effort is None:
            return False
        asked = (self.given.setup, self.given.detector_leads)
        reason = detection.not_run(*asked)
        if reason:
            self.about.missing[checklist.DETECTOR] = reason
        elif not detection.has_gradients(*asked):
            self.about.doubts[checklist.DETECTOR] = detection.BY_SCORES_ALONE
        return not reason

    def _tell(self, table: Table, done: int, known: int) -> None:
        if self.progress is not None:
            self.progress(done, known)
        if self.given.folder is not None and time.monotonic() >= self.next_report:
            started = time.monotonic()
            _save(self._report(table, complete=False), self.given.folder, pictures=False)
            self.next_report = time.monotonic() + max(FIRST_REPORT, 20 * (time.monotonic() - started))

    def _report(self, table: Table, complete: bool) -> Report:
        return Report.of(self.about, table.sorted(), complete, self.given.x, self.given.setup)


def _save(report: Report, folder: Path, pictures: bool = True) -> None:
    try:
        report.save(folder, pictures)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(
            f"cannot write the report to {folder}: {reason}; the results are kept, the same command goes on"
        ) from error


def _refuse_useless(table: Table, given: Given) -> None:
    """Refuse models that cannot be run, or that have nothing right: something is wrong with the data or the model."""
    rows = [table.rows[Key(sample, probes.CLEAN, 0.0)] for sample in range(len(given.x))]
    if all(row.status == "error" for row in rows):
        raise ValueError(f"the model cannot be run on the data, of shape {given.x.shape}: {rows[0].note}")
    if not any(row.status == "failed" for row in rows):
        raise ValueError(
            f"the model is wrong on all {len(rows)} samples: are labels, bounds, mean, std and layout those that "
            "it was trained with?"
        )
