"""The report on disk: report.html, which needs no other file, results.json and results.csv."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from advcore._demo import figures, numbers
from advcore._demo.figures import STYLES, Curve, Pair
from advcore._demo.pipeline import Attacked, Outcome, Trained
from advcore._files import write


@dataclass(frozen=True)
class Picture:
    """A figure of the page: base64 of a PNG, the words for who cannot see it, and the words under it."""

    png: str
    alternative: str
    caption: str


def write_report(outcome: Outcome, folder: Path) -> dict[str, Any]:
    """Write the three files and return the numbers."""
    found = numbers.document(outcome)
    write(folder / "results.json", json.dumps(found, indent=1, allow_nan=False) + "\n")
    write(folder / "results.csv", numbers.as_csv(found))
    write(folder / "report.html", page(outcome, found))
    return found


def page(outcome: Outcome, found: dict[str, Any]) -> str:
    """Return the page."""
    environment = Environment(
        loader=PackageLoader("advcore._demo", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja").render(
        found=found,
        facts=[fact for model in outcome.models for fact in _facts(model, _typical(outcome, model))],
        columns=numbers.COLUMNS,
        tables={model.name: numbers.table(found, model.name) for model in outcome.models},
        curves=[_accuracy_against_eps(outcome), _accuracy_against_distance(outcome)],
        grids=[picture for model in outcome.models for picture in _grids(outcome, model)],
        detections=[picture for model in outcome.models if (picture := _detection(_typical(outcome, model)))],
    )


def _facts(model: Trained, attacked: Attacked) -> list[dict[str, str]]:
    accuracy, eps = attacked.result.robust_accuracy, f"L∞ ≤ {attacked.eps:g}"
    facts = [
        {"value": f"{model.accuracy:.1%}", "text": f"{model.name}: accuracy on clean test images"},
        {"value": f"≤ {accuracy:.1%}", "text": f"{model.name}: robust accuracy at {eps}, by PGD"},
    ]
    if attacked.detection:
        facts.append(
            {"value": f"{attacked.detection.auc:.3f}", "text": f"{model.name}: LID's AUC against PGD at {eps}"}
        )
    return facts


def _accuracy_against_eps(outcome: Outcome) -> Picture:
    def curve(model: Trained, attack: str) -> Curve:
        runs = [run for run in outcome.attacked if (run.model, run.attack) == (model, attack)]
        clean = 1 - np.mean(runs[0].result.status == "misclassified")
        accuracies = [float(clean), *(run.result.robust_accuracy for run in runs)]
        return Curve(attack.upper(), STYLES[attack], [0.0, *outcome.settings.eps], accuracies)

    panels = [(model.name, [curve(model, "fgsm"), curve(model, "pgd")]) for model in outcome.models]
    png = figures.accuracy_curves(panels, axis="budget ε (L∞, pixels in [0, 1])", chance=1 / outcome.data.classes)
    count = len(outcome.attacked[0].x)
    caption = f"Accuracy on {count} test images when every pixel may change by at most ε. Lower is a stronger attack."
    return Picture(png, "Accuracy falls as the budget grows, for each model under FGSM and PGD.", caption)


def _accuracy_against_distance(outcome: Outcome) -> Picture:
    def curve(run: Attacked) -> Curve:
        reached = np.sort(run.result.distances["l2"][run.result.success])
        left = 1 - np.arange(1, len(reached) + 1) / len(run.x)
        return Curve("ZOO", STYLES["zoo"], [0.0, *reached.tolist()], [1.0, *left.tolist()])

    runs = [run for run in outcome.attacked if run.attack == "zoo"]
    panels = [(run.model.name, [curve(run)]) for run in runs]
    png = figures.accuracy_curves(panels, axis="L2 distance allowed", chance=1 / outcome.data.classes, steps=True)
    caption = (
        f"ZOO keeps no budget but looks for an example nearby: the share of {len(runs[0].x)} test images for which it "
        f"found none within the distance, in {runs[0].steps} steps."
    )
    return Picture(png, "Accuracy falls as the allowed L2 distance grows, for each model under ZOO.", caption)


def _typical(outcome: Outcome, model: Trained) -> Attacked:
    """Return the PGD run with the smallest budget that breaks half of the images, or the largest budget."""
    runs = [run for run in outcome.attacked if (run.model, run.attack) == (model, "pgd")]
    return next((run for run in runs if len(run.broken) >= len(run.x) / 2), runs[-1])


def _grids(outcome: Outcome, model: Trained) -> list[Picture]:
    zoo = next(run for run in outcome.attacked if (run.model, run.attack) == (model, "zoo"))
    return [_grid(run, outcome.settings.pictured) for run in (_typical(outcome, model), zoo) if len(run.broken)]


def _grid(run: Attacked, columns: int) -> Picture:
    broken = run.broken
    _, first_of_label = np.unique(run.y[broken], return_index=True)
    rest = np.setdiff1d(np.arange(len(broken)), first_of_label)
    chosen = broken[np.concatenate([first_of_label, rest])[:columns]]  # every label once, as far as it goes
    before, after = (run.model.network.predict(x[chosen]) for x in (run.x, run.result.examples))
    pairs = [
        Pair(run.x[image], run.result.examples[image], int(old), int(new))
        for image, old, new in zip(chosen, before, after, strict=True)
    ]
    budget = f"{run.steps} steps" if run.eps is None else f"L∞ ≤ {run.eps:g}"
    caption = (
        f"{run.model.name}, {run.attack.upper()}, {budget}. Numbers are the model's labels. "
        "Perturbations: red adds, blue takes away, one scale a figure."
    )
    return Picture(figures.image_grid(pairs), f"Images before and after {run.attack.upper()}.", caption)


def _detection(run: Attacked) -> Picture | None:
    found = run.detection
    if found is None:  # too few images were broken
        return None
    png = figures.detection(found.scores, found.roc, found.auc)
    caption = (
        f"{run.model.name}: LID against PGD, L∞ ≤ {run.eps:g}, on {found.held_out} images that the "
        "detector was not fitted on."
    )
    return Picture(png, "Histogram of the detector's scores, and its ROC curve.", caption)
