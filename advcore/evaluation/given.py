"""What evaluate is given, checked: the model, the data, the plan that is possible for both."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import _check, _config, _core, attacks
from advcore._check import Array
from advcore._files import refuse_folders
from advcore.attacks._access import Access
from advcore.attacks._callback import OUTPUTS
from advcore.attacks._projection import off_grid
from advcore.attacks.model import wrap
from advcore.evaluation import detection, handle, identity, plan, probes
from advcore.evaluation.answers import differ
from advcore.evaluation.document import FILES
from advcore.evaluation.identity import digest, plain
from advcore.evaluation.plan import EFFORTS, LABELS_ONLY, RANDOMISED, Effort, Planned
from advcore.evaluation.results import About
from advcore.evaluation.rows import Key, Row
from advcore.evaluation.work import Setup

NORMS = ("linf", "l2", "l1")
PROBED = 8  # samples that are asked for twice
MANY_QUERIES = 100  # that an attack may ask about a sample
LOOKED_AT = 32


@dataclass(frozen=True)
class Given:
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
    seconds: float  # of an image in a batch, about
    detector_leads: bool  # its gradients are of use

    @classmethod
    def checked(cls, model: Any, x: object, y: object, **given: Any) -> Given:
        """Return evaluate's arguments as they are used; refuse what cannot be."""
        folder = None if given["output"] is None else _check.path("output", given["output"])
        if folder is not None:
            refuse_folders(*(folder / name for name in FILES))
        x = _check.array("x", x, min_ndim=2)
        if not len(x):
            raise ValueError(f"x must have at least one sample, got shape {x.shape}")
        box = _check.bounds("bounds", given["bounds"])
        if (box[1] - box[0]) * math.prod(x.shape[1:]) > np.finfo(np.float32).max:
            raise ValueError(f"bounds must be near enough for finite distances between inputs, got {box}")
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
        access = _wrapped(setup)
        started = time.monotonic()
        first, is_randomised = _first_answers(access, x[:PROBED], given["randomised"])
        seconds = (time.monotonic() - started) / (2 * len(x[:PROBED]))
        detection.refuse_useless(setup.detector, x[:PROBED])
        useful = detection.leads(setup.detector, x[:PROBED])
        _refuse_unknown_classes(labels, access, first, setup.output)
        setup = replace(setup, randomised=is_randomised)
        kind = _kind(access, setup.output)
        planned = _possible(level, planned, kind, is_randomised, norm)
        effort = _effort(given["checks"], level)
        # What is known by its bytes answers as it does; what draws at random never answers as it did.
        known = is_randomised or isinstance(setup.handle.content, bytes)
        said = "" if known else identity.answers(access, x, first)
        found = cls(x, labels, setup, budgets, level, planned, effort, chunk, folder, kind, said, seconds, useful)
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
            steps = planned.options.get("quantize")
            if steps is not None and not self.is_on_grid(steps):
                raise ValueError(
                    f"{planned.attack} can be given quantize={steps} only where x lies on the grid of so many steps in "
                    "its bounds: leave it out, or round x first"
                )

    def is_on_grid(self, steps: int) -> bool:
        """Say whether all samples lie on the grid of so many steps from the lower to the upper bound."""
        parts = (self.x[first : first + self.chunk] for first in range(0, len(self.x), self.chunk))
        return not any(off_grid(part, self.setup.bounds, steps).any() for part in parts)

    def refuse_classes_of_another(self, rows: Mapping[Key, Row]) -> None:
        """Raise where the rows of a run that goes on are not of this model, which may be known by its answers only."""
        looked = {key.sample: row for key, row in rows.items() if key.attack == probes.CLEAN}
        classes = {sample: row.prediction for sample, row in looked.items() if row.status != "error"}
        if self.answers and not identity.answers_as(self.setup.access(), self.x, classes, self.first_chunk):
            raise ValueError(
                f"{self.folder} holds the results of a run with another model: give the same model to go on with it, "
                "or another output folder"
            )

    @property
    def first_chunk(self) -> int:
        """Samples that are looked at together before any attack: few, so that slow models have a report in seconds."""
        return min(self.chunk, LOOKED_AT)

    @property
    def pays_for_gradients(self) -> bool:
        """Whether the model has gradients, and the limit of queries pays for those of two losses."""
        limit = self.setup.max_queries
        return self.access == "gradients" and (limit is None or limit >= self.setup.access().forwards(2))

    def first_chunk_within(self, seconds: float) -> int:
        """Return as many, or as few as can be looked at in so many seconds."""
        return int(np.clip(seconds / max(3 * self.seconds, 1e-9), 1, self.first_chunk))

    def chunk_within(self, seconds: float) -> int:
        """Return the samples of a chunk, fewer where so many seconds are short: what is cut begins anew next time."""
        return int(np.clip(seconds / max(MANY_QUERIES * self.seconds, 1e-9), 1, self.chunk))

    @property
    def unbounded(self) -> float:
        """An eps whose ball around any sample holds the whole box."""
        low, high = self.setup.bounds
        size = math.prod(self.x.shape[1:])
        return (high - low) * {"linf": 1.0, "l2": math.sqrt(size), "l1": float(size)}[self.setup.norm]

    def about(self, names: dict[str, str], command: str) -> About:
        """Return what the report says of the run."""
        machine = _config.show_config() | {"software": _versions()}
        plan_rows = [p.described(self.setup.norm) for p in self.plan]
        options = {
            "bounds": self.setup.bounds,
            "attacks": plan_rows,
            "checks": None if self.effort is None else asdict(self.effort),
            "max_queries": self.setup.max_queries,
            "randomised": self.setup.randomised,
            "chunk_size": self.chunk,
            "answers": self.setup.output,
        }
        hashes = {
            "model": digest(self.setup.handle.digest, self.answers),
            "data": digest(str((self.x.shape, self.x.dtype)), self.x.tobytes(), self.y.tobytes()),
            "detector": identity.of_detector(self.setup.detector, self.x[:PROBED]),
            "source model": identity.of_source(self.setup.handle.source, self.x[:PROBED]),
            "seed": str(self.setup.seed),
            "version of advcore or instruction set": f"{machine['version']}, {machine['level']}",
        }
        hashes |= {name: digest(json.dumps(plain(value), sort_keys=True)) for name, value in options.items()}
        hashes |= {"norm": self.setup.norm, "eps": " ".join(map(repr, self.eps))}
        hashes["run"] = digest(json.dumps(hashes, sort_keys=True))[:16]
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
            hashes,
            machine,
            command,
        )


def _versions() -> dict[str, str]:
    """Return the versions of what is installed that may have a part in the results."""
    found = {}
    for name in ("torch", "onnxruntime", "onnx", "distributed"):
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _wrapped(setup: Setup) -> Access:
    try:
        return wrap(setup.handle.open(), setup.output, needs="label", named=setup.classes)
    except ValueError as error:  # evaluate's output is a folder
        raise ValueError(str(error).replace("output must", "answers (--answers) must", 1)) from error


def _first_answers(access: Access, x: Array, randomised: bool | None) -> tuple[Array | None, bool]:
    """Ask for a few samples twice: return the logits, None where it raises, and whether they differ each time."""
    try:
        first, second = (np.asarray(access.logits(x.copy()), np.float64) for _ in range(2))
    except (Exception, SystemExit):  # it may raise for one of them only: the run finds out which
        return None, bool(randomised)
    if first.ndim != 2 or first.shape != second.shape or len(first) != len(x):
        raise ValueError(f"the model must return an array of shape ({len(x)}, classes), got {first.shape}")
    if randomised is None:
        randomised = access.randomised
    if randomised is None:
        randomised = bool(differ(first, second).any())
    return first, bool(_check.flag("randomised", randomised))


def _refuse_unknown_classes(
    labels: NDArray[np.int64], access: Access, logits: Array | None, output: str | None
) -> None:
    if logits is None or output in ("label", "top1"):  # whose columns are those of the labels
        return
    count = logits.shape[1] - access.rejects
    if (unknown := np.flatnonzero(labels >= count)).size:
        where = int(unknown[0])
        raise ValueError(
            f"y must be among the model's {count} classes, 0 to {count - 1}, got {labels[where]} for sample {where}"
        )


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
