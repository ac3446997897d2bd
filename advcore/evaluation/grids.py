"""Images before and after an attack, for the page. A run keeps none of them: they are attacked again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from advcore._check import Array
from advcore._demo.figures import Pair, image_grid
from advcore.evaluation import answers, work
from advcore.evaluation.figures import Picture
from advcore.evaluation.plan import Planned
from advcore.evaluation.rows import EVERY_EPS, Row
from advcore.evaluation.work import Task

if TYPE_CHECKING:
    from advcore.evaluation.report import Report

PICTURED = 8  # images a grid
MOST_TEXT = 2_000_000  # of all grids together: the page stays under 3 MB
QUICK = ("apgd", "pgd", "fgsm", "fgm", "bim", "square")  # attacks that are run again without a thought
SLOW_SECONDS, ALL_SECONDS = 2.0, 20.0  # others: what one image may have taken in the run, and all may take here

Shown = tuple[str, Pair]  # an attack, and an image before and after it


def examples(report: Report) -> Iterator[Picture]:
    """Draw some images, their magnified perturbations and the examples, at the smallest, middle and largest eps."""
    if report.x.ndim != 4 or report.x.shape[1] not in (1, 3):
        return
    eps = report.found.about.eps
    chosen = sorted({eps[0], eps[len(eps) // 2], eps[-1]})
    again = _Again(report)
    for e in chosen:
        shown = again.at(e)
        if shown:
            yield _picture(shown, e, MOST_TEXT // len(chosen))


def _picture(shown: list[Shown], eps: float, most: int) -> Picture:
    """Return a grid of as many images as so much text holds: photographs and noise take a lot."""
    png = image_grid([pair for _, pair in shown])
    while len(png) > most and len(shown) > 1:
        shown = shown[: len(shown) // 2]
        png = image_grid([pair for _, pair in shown])
    names = ", ".join(sorted({label for label, _ in shown}))
    return Picture(
        png,
        f"{len(shown)} images before and after {names} at eps {eps:g}, and the differences.",
        f"{names}, ε = {eps:g}. Numbers are the model's classes. Perturbations, magnified: red adds, blue takes away, "
        "one scale a figure.",
    )


class _Again:
    """Attacks images of a run once more."""

    def __init__(self, report: Report) -> None:
        self.report, self.started = report, time.monotonic()
        self.known: dict[tuple[int, str, float], Shown | None] = {}  # one search for the nearest serves every eps

    def at(self, eps: float) -> list[Shown]:
        """Return what was found again at eps."""
        rows = self._rows(eps, quick=True) or self._rows(eps, quick=False)
        found = (self._shown(row) for row in _some(rows, self.report.found.about.labels))
        return [shown for shown in found if shown is not None]

    def _rows(self, eps: float, quick: bool) -> dict[int, Row]:
        """Return a row of each image that was broken at eps, of the attacks that are quick, or of the others."""
        found, about = self.report.found, self.report.found.about
        rows: dict[int, Row] = {}
        for entry in about.plan:
            for sample, row in found.tried(entry["label"], eps).items():
                able = entry["attack"] in QUICK if quick else row.seconds <= SLOW_SECONDS
                if able and row.status == "success" and row.within(about.norm, eps):
                    rows.setdefault(sample, row)
        return rows

    def _shown(self, row: Row) -> Shown | None:
        """Return the image and what the attack makes of it; None where it takes too long or comes out otherwise."""
        if row.key not in self.known:
            entry = next(entry for entry in self.report.found.about.plan if entry["label"] == row.attack)
            if entry["attack"] not in QUICK and time.monotonic() - self.started > ALL_SECONDS:
                return None
            planned = Planned(row.attack, entry["attack"], entry["options"], draws=entry["draws"])
            self.known[row.key] = self._attacked(row, planned)
        return self.known[row.key]

    def _attacked(self, row: Row, planned: Planned) -> Shown | None:
        report, index = self.report, np.array([row.sample])
        task = Task(row.attack, row.eps, index, report.x[index], report.found.about.labels[index], planned)
        try:
            result = work.attack(report.setup, task)
        except Exception:  # a model that raises has its line elsewhere
            return None
        norm = report.found.about.norm
        further = row.eps == EVERY_EPS and result.distances[norm][0] > getattr(row, norm) * 1.001
        if not result.success[0] or further:  # a foreign model may answer differently alone
            return None
        access = report.setup.access()
        before, after = (int(answers.classes(access, images)[0]) for images in (task.x, result.examples))
        low, high = report.setup.bounds
        clean, adversarial = ((image - low) / (high - low) for image in (task.x[0], result.examples[0]))
        return row.attack, Pair(clean, adversarial, before, after)


def _some(rows: dict[int, Row], labels: Array) -> list[Row]:
    """Return some of the rows; each class once, as far as it goes."""
    first = {int(labels[sample]): sample for sample in sorted(rows, reverse=True)}
    order = sorted(first.values()) + [sample for sample in sorted(rows) if sample not in first.values()]
    return [rows[sample] for sample in order[:PICTURED]]
