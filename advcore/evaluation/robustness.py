"""advcore.evaluate: an honest robustness report of a user's own model."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import _check, _config, _core, attacks
from advcore._check import Array
from advcore.attacks.model import OUTPUTS, Access, wrap
from advcore.evaluation import detection, handle, plan, probes, surrogates
from advcore.evaluation.campaign import Campaign, Table
from advcore.evaluation.plan import EFFORTS, LABELS_ONLY, RANDOMISED, Effort, Planned
from advcore.evaluation.report import Report
from advcore.evaluation.results import About
from advcore.evaluation.rows import Key
from advcore.evaluation.steps import attack_steps, first_steps
from advcore.evaluation.store import Store
from advcore.evaluation.work import Setup, differ

NORMS = ("linf", "l2", "l1")
FIRST_REPORT = 3.0  # seconds until the first partial report; later ones take at most a twentieth of the time
PROBED = 16  # samples that are asked for twice


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
        With decision_function(x), positive where x is taken for adversarial, and perhaps score_gradient(x): is attacked
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
        That repeats the run, for the report.

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
    given = _Given.checked(
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
    limit = None if max_seconds is None else _check.real("max_seconds", max_seconds, above=0.0)
    deadline = None if limit is None else time.monotonic() + limit
    if executor is not None and not given.setup.handle.travels:
        raise TypeError(
            "model must be a Network, or named by a file or package.module:factory, to be run by an executor; got a "
            f"{type(model).__name__}"
        )
    about = given.about(dict(names or {}), command)
    runner = _Runner(given, about, executor, _check.integer("ahead", ahead, minimum=1), deadline, progress)
    if given.folder is None:
        return runner.run(Table())
    with Store(given.folder, about.identity) as store:
        about.warnings.extend(store.warnings)
        return runner.run(Table(store))


@dataclass(frozen=True)
class _Given:
    """The arguments of evaluate, checked."""

    x: Array
    y: NDArray[np.int64]
    setup: Setup
    eps: tuple[float, ...]
    level: str
    plan: tuple[Planned, ...]
    effort: Effort | None
    chunk: int
    folder: Path | None
    access: str
    answers: str

    @classmethod
    def checked(cls, model: Any, x: object, y: object, **given: Any) -> _Given:
        x = _check.array("x", x, min_ndim=2)
        if not len(x):
            raise ValueError(f"x must have at least one sample, got shape {x.shape}")
        box = _check.bounds("bounds", given["bounds"])
        _check.finite("x", x)
        _check.inside("x", x, box)
        labels = _check.integers("y", y, shape=(len(x),), minimum=0, maximum=2**31 - 1)
        if len(x) > 1 and (labels == labels[0]).all():
            raise ValueError(f"y must have at least two classes, got only class {labels[0]}")
        norm = _check.choice("norm", given["norm"], NORMS)
        budgets = tuple(sorted(set(_check.reals("eps", given["eps"], above=0.0))))
        level, planned = plan.chosen(given["attacks"])
        seed = _check.integer("seed", given["seed"], minimum=0, maximum=2**63 - 1)
        if given["answers"] is not None:
            _check.choice("answers", given["answers"], OUTPUTS)
        queries = given["max_queries"]
        chunk = _check.integer("chunk_size", given["chunk_size"], minimum=1)
        own = handle.of(model, given["source"])
        setup = Setup(
            own if own.shape else replace(own, shape=x.shape[1:]),
            norm,
            box,
            seed,
            given["answers"],
            bool(given["randomised"]),
            int(labels.max()) + 1,
            _config.get_num_threads(),
            _core.level(),
            None if queries is None else _check.integer("max_queries", queries, minimum=1),
            detector=detection.checked(given["detector"]),
        )
        access = wrap(setup.handle.open(), setup.output, needs="label", named=setup.classes)
        fingerprint, is_randomised = _first_answers(access, x[:PROBED], given["randomised"])
        setup = replace(setup, randomised=is_randomised)
        kind = _kind(access, setup.output)
        planned = _possible(level, planned, kind, is_randomised, norm)
        effort = _effort(given["checks"], level)
        folder = None if given["output"] is None else _check.path("output", given["output"])
        found = cls(x, labels, setup, budgets, level, planned, effort, chunk, folder, kind, fingerprint)
        found.refuse_bad_options()
        return found

    def refuse_bad_options(self) -> None:
        """Try each attack on no samples at all: it says what is wrong with its options."""
        for planned in self.plan:
            arguments = planned.arguments(self.setup.norm, self.eps[0])
            function = getattr(attacks, planned.attack)
            function(
                self.setup.handle.open(), self.x[:0], self.y[:0], bounds=self.setup.bounds, output=self.setup.output,
                randomised=False, **arguments,
            )  # fmt: skip

    @property
    def unbounded(self) -> float:
        """An eps whose ball around any sample holds the whole box."""
        low, high = self.setup.bounds
        size = math.prod(self.x.shape[1:])
        return (high - low) * {"linf": 1.0, "l2": math.sqrt(size), "l1": float(size)}[self.setup.norm]

    def about(self, names: dict[str, str], command: str) -> About:
        """Return what the report says of the run."""
        machine = _config.show_config()
        plan_rows = [asdict(p) | {"access": p.access, "has_budget": p.has_budget} for p in self.plan]
        options = {
            "norm": self.setup.norm,
            "eps": self.eps,
            "bounds": self.setup.bounds,
            "plan": plan_rows,
            "effort": None if self.effort is None else asdict(self.effort),
            "max_queries": self.setup.max_queries,
            "randomised": self.setup.randomised,
            "chunk": self.chunk,
            "answers": self.setup.output,
        }
        identity = {
            "model": _hash(self.setup.handle.digest, self.answers),
            "data": _hash(str((self.x.shape, self.x.dtype)), self.x.tobytes(), self.y.tobytes()),
            "options": _hash(json.dumps(options, sort_keys=True, default=str)),
            "seed": str(self.setup.seed),
            "version of advcore or instruction set": f"{machine['version']}, {machine['level']}",
        }
        identity |= {"norm": self.setup.norm, "eps": " ".join(map(repr, self.eps))}
        identity["run"] = _hash(json.dumps(identity, sort_keys=True))[:16]
        return About(
            self.setup.norm,
            self.eps,
            self.setup.seed,
            self.setup.bounds,
            self.level,
            plan_rows,
            self.y,
            self.access,
            self.setup.randomised,
            self.chunk,
            names,
            identity,
            machine,
            command,
        )


class _Runner:
    """Runs the steps and makes reports of what there is."""

    def __init__(
        self,
        given: _Given,
        about: About,
        executor: Any,
        ahead: int,
        deadline: float | None,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.given, self.about = given, about
        self.executor, self.ahead, self.deadline, self.progress = executor, ahead, deadline, progress
        self.next_report = time.monotonic() + FIRST_REPORT

    def run(self, table: Table) -> Report:
        given = self.given
        campaign = Campaign(
            given.x,
            given.y,
            given.setup,
            table,
            chunk=given.chunk,
            executor=self.executor,
            ahead=self.ahead,
            deadline=self.deadline,
            progress=lambda done, known: self._tell(table, done, known),
        )
        try:
            campaign.run([first_steps(given.access == "gradients")])
            if not campaign.out_of_time:
                _refuse_useless(table, given)
                nets = self._surrogates(table)
                campaign.replace_setup(surrogates=nets)
                steps = attack_steps(
                    given.plan,
                    given.eps,
                    given.effort,
                    given.setup.norm,
                    given.unbounded,
                    has_gradients=given.access == "gradients",
                    surrogates=tuple(name for name, _ in nets),
                    detector=given.setup.detector is not None,
                )
                campaign.run(steps[e] for e in sorted(steps))
        except BaseException:
            if given.folder is not None and table.rows:
                self._report(table, complete=False).save(given.folder, pictures=False)
            raise
        report = self._report(table, complete=not campaign.out_of_time)
        if given.folder is not None:
            report.save(given.folder)
        return report

    def _surrogates(self, table: Table) -> tuple[tuple[str, bytes], ...]:
        """Train small networks on the model's own answers, whose examples are tried on it."""
        given = self.given
        if given.effort is None:
            return ()
        answers = np.array([table.rows[Key(sample, probes.CLEAN, 0.0)].prediction for sample in range(len(given.x))])
        try:
            return surrogates.train(given.x, np.where(answers < 0, given.y, answers), given.setup.seed)
        except ValueError as error:
            self.about.missing["examples made for other models do not beat white-box attacks"] = str(error)
            return ()

    def _tell(self, table: Table, done: int, known: int) -> None:
        if self.progress is not None:
            self.progress(done, known)
        if self.given.folder is not None and time.monotonic() >= self.next_report:
            started = time.monotonic()
            self._report(table, complete=False).save(self.given.folder, pictures=False)
            self.next_report = time.monotonic() + max(FIRST_REPORT, 20 * (time.monotonic() - started))

    def _report(self, table: Table, complete: bool) -> Report:
        return Report.of(self.about, table.sorted(), complete, self.given.x, self.given.setup)


def _first_answers(access: Access, x: Array, randomised: bool | None) -> tuple[str, bool]:
    """Ask for a few samples twice: what the model's answers are, roughly, and whether they are always the same."""
    try:
        first, second = (np.asarray(access.logits(x.copy()), np.float64) for _ in range(2))
    except Exception:  # it may raise for one of them only: the run finds out which
        return "raises", bool(randomised)
    if first.ndim != 2 or first.shape != second.shape or len(first) != len(x):
        raise ValueError(f"the model must return an array of shape ({len(x)}, classes), got {first.shape}")
    if randomised is None:
        randomised = access.randomised
    if randomised is None:
        randomised = bool(differ(first, second).any())
    rough = "randomised" if randomised else " ".join(f"{value:.2g}" for value in np.nan_to_num(first).ravel())
    return rough, bool(_check.flag("randomised", randomised))


def _effort(checks: object, level: str) -> Effort | None:
    if isinstance(checks, str):
        return EFFORTS[_check.choice("checks", checks, plan.LEVELS)]
    return EFFORTS.get(level, EFFORTS["standard"]) if _check.flag("checks", checks) else None


def _kind(access: Access, output: str | None) -> str:
    if access.gradients:
        return "gradients"
    return "labels" if output in ("label", "top1") else "scores"


def _possible(level: str, planned: tuple[Planned, ...], kind: str, randomised: bool, norm: str) -> tuple[Planned, ...]:
    """Return the attacks of a level that the model can be given; refuse names that it cannot."""
    fits = {"gradients": ("gradient", "scores", "top1", "label"), "scores": ("scores", "top1", "label")}
    able = fits.get(kind, ("top1", "label"))
    if level in plan.LEVELS:
        if randomised and kind == "gradients":
            planned = (*RANDOMISED, *(p for p in planned if p.access != "gradient" and p.has_budget))
        elif kind == "labels":
            planned = LABELS_ONLY
        return tuple(p for p in planned if p.access in able and p.fits(norm))
    for p in planned:
        if p.access not in able:
            raise ValueError(f"{p.attack} needs a model that gives {p.access}, got one that gives {kind} only")
        if not p.fits(norm):
            raise ValueError(f"{p.attack} does not work within a budget of norm {norm}")
    return planned


def _refuse_useless(table: Table, given: _Given) -> None:
    """Refuse models that cannot be run, or that have nothing right: something is wrong with the data or the model."""
    rows = [table.rows[Key(sample, probes.CLEAN, 0.0)] for sample in range(len(given.x))]
    if all(row.status == "error" for row in rows):
        raise ValueError(f"the model cannot be run on the data, of shape {given.x.shape}: {rows[0].note}")
    if not any(row.status == "failed" for row in rows):
        raise ValueError(
            f"the model is wrong on all {len(rows)} samples: are labels, bounds, mean, std and layout those that "
            "it was trained with?"
        )


def _hash(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
        digest.update(b"\0")
    return digest.hexdigest()
