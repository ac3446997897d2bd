"""What the rows of a run say together: who is broken at which eps, by whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore.evaluation import detection, probes
from advcore.evaluation.rows import EVERY_EPS, Row
from advcore.evaluation.statistics import wilson

NO_ATTACKS = (probes.CLEAN, probes.GRADIENTS, probes.TREND)

Outcomes = dict[int, bool | None]  # by sample: broken or not; None: not known


@dataclass(frozen=True)
class About:
    """What the run was, beside its rows.

    Attributes
    ----------
    norm, eps, seed, bounds, level
        As evaluate's; level is the name of the plan.
    plan : list of dict
        Label, attack and options of each attack.
    labels : int64 array, (N,)
        True classes.
    access : str
        What the model gives: "gradients", "scores" or "labels".
    randomised : bool
    chunk : int
    names : dict of str
        Of model and data.
    identity : dict of str
        Hashes.
    machine : dict
    command : str
        That repeats the run.
    missing : dict of str
        Why a check could not run, by its name.
    doubts : dict of str
        What keeps a check from passing, though not from failing, by its name.
    warnings : list of str
    """

    norm: str
    eps: tuple[float, ...]
    seed: int
    bounds: tuple[float, float]
    level: str
    plan: list[dict[str, Any]]
    labels: NDArray[np.int64]
    access: str
    randomised: bool
    chunk: int
    names: dict[str, str]
    identity: dict[str, str]
    machine: dict[str, Any]
    command: str
    missing: dict[str, str] = field(default_factory=dict)
    doubts: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class Results:
    """The rows of a run, by attack.

    Parameters
    ----------
    about : About
    rows : iterable of Row
    complete : bool
        Whether every step was done.
    """

    def __init__(self, about: About, rows: Iterable[Row], complete: bool = True) -> None:
        self.about, self.complete = about, complete
        self.rows = list(rows)
        self.by: dict[tuple[str, float], dict[int, Row]] = defaultdict(dict)
        for row in self.rows:
            self.by[row.attack, row.eps][row.sample] = row

    @property
    def count(self) -> int:
        """N."""
        return len(self.about.labels)

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """The samples that the model has right, (N,)."""
        right = np.zeros(self.count, np.bool_)
        for sample, row in self.by[probes.CLEAN, 0.0].items():
            right[sample] = row.status == "failed"
        return right

    @cached_property
    def unknown(self) -> NDArray[np.bool_]:
        """The samples that the model has not been asked for yet, (N,)."""
        unknown = np.ones(self.count, np.bool_)
        for sample, row in self.by[probes.CLEAN, 0.0].items():
            unknown[sample] = row.status == "unfinished"
        return unknown

    @property
    def labels(self) -> list[str]:
        """The attacks of the plan that have rows, in its order."""
        there = {row.attack for row in self.rows}
        return [entry["label"] for entry in self.about.plan if entry["label"] in there]

    @cached_property
    def attacks(self) -> list[str]:
        """Everything that tried to break the model itself, the probes included."""
        there = dict.fromkeys(row.attack for row in self.rows)
        return [label for label in there if label not in NO_ATTACKS and is_on_model(label)]

    def tried(self, label: str, eps: float) -> dict[int, Row]:
        """Return the rows of an attack that count at eps, by sample."""
        return self.by.get((label, eps)) or self.by.get((label, EVERY_EPS), {})

    def at(self, label: str, eps: float) -> dict[int, bool]:
        """Say of each sample that an attack was run on, to its end, whether it broke it at eps."""
        return {sample: hit for sample, hit in self.outcomes([label], eps).items() if hit is not None}

    def outcomes(self, labels: Iterable[str], eps: float) -> Outcomes:
        """Say of each sample that any of the attacks was run on whether one of them broke it at eps.

        Not known (None) where none did, and the model raised or an attack was cut.
        """
        found: Outcomes = {}
        for label in labels:
            for sample, row in self.tried(label, eps).items():
                before = found.get(sample, False)
                if before or row.within(self.about.norm, eps):
                    found[sample] = True
                else:
                    found[sample] = None if before is None or not row.tells else False
        return found

    def broken(self, eps: float, labels: Sequence[str] | None = None) -> NDArray[np.bool_]:
        """Say which samples any of the attacks broke within eps, at whichever eps it was run; (N,)."""
        broken = np.zeros(self.count, np.bool_)
        wanted = set(self.attacks if labels is None else labels)
        for row in self.rows:
            if row.attack in wanted and row.within(self.about.norm, eps):
                broken[row.sample] = True
        return broken

    def accuracy(self) -> dict[str, Any]:
        """Return the share that is right of the images that the model was asked for, with Wilson's interval."""
        right, asked = int(self.right.sum()), int((~self.unknown).sum())
        low, high = wilson(right, asked)
        return {"accuracy": share(right, asked), "low": low, "high": high, "right": right, "asked": asked}

    def unbroken(self, eps: float) -> NDArray[np.bool_]:
        """Say which samples are right and unbroken within eps; (N,). What has not been asked yet may be."""
        return np.asarray((self.right | self.unknown) & ~self.broken(eps))

    def robust(self, eps: float) -> dict[str, Any]:
        """Return robust accuracy: correct and unbroken over all N, an upper bound, with Wilson's interval."""
        left = int(self.unbroken(eps).sum())
        low, high = wilson(left, self.count)
        return {"eps": eps, "robust_accuracy": left / self.count, "low": low, "high": high, "unbroken": left}

    def nearest(self) -> NDArray[np.float64]:
        """Return the distance of each sample's nearest example; 0 where it is wrong by itself, infinity where none."""
        distance = np.where(self.right | self.unknown, np.inf, 0.0)
        wanted = set(self.attacks)
        for row in self.rows:
            if row.attack in wanted and row.success:
                distance[row.sample] = min(distance[row.sample], getattr(row, self.about.norm))
        return distance


def share(part: int, whole: int) -> float | None:
    """Return a share, None of nothing."""
    return part / whole if whole else None


def is_on_model(label: str) -> bool:
    """Say whether the rows of that name are about the model itself, and not about a surrogate."""
    if label.startswith(detection.PREFIX):
        return False
    return not label.startswith(probes.TRANSFER) or label.endswith("> model")
