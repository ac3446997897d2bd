"""The outcome in numbers: one document for JSON, and its table of attacks for CSV, the terminal and the page."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import Any

import numpy as np

from advcore._config import show_config
from advcore._demo.pipeline import Attacked, Outcome, Trained

NOTE = (
    "Accuracy under attack is the share of all attacked images that the model classifies correctly and that the attack "
    "did not break: an upper bound on robust accuracy, which a stronger attack can only lower. L2 and L∞ are mean "
    "sizes of the perturbation over the images that were right before the attack and wrong after it; queries (forward "
    "evaluations) and grads (backward ones) are means over all attacked images. AUC: the LID detector's area under "
    "the ROC curve, adversarial images against clean and noisy ones. Knowing: the share of held-out images that an "
    "attack which knows the detector too makes wrong, within the same budget, without being noticed at 5% false alarms."
)


def document(outcome: Outcome) -> dict[str, Any]:
    """Return all numbers. Two runs with the same settings differ only in fields named ``seconds``."""
    data = outcome.data
    return {
        "settings": asdict(outcome.settings),
        "machine": show_config(),
        "data": {
            "name": data.name,
            "classes": data.classes,
            "image_shape": list(data.input_shape),
            "train_images": min(len(data.x_train), outcome.settings.train_images),
            "test_images": len(data.x_test),
        },
        "models": [_model(trained) for trained in outcome.models],
        "attacks": [_attack(attacked) for attacked in outcome.attacked],
        "note": NOTE,
    }


def _model(trained: Trained) -> dict[str, Any]:
    return {
        "model": trained.name,
        "layers": [repr(layer) for layer in trained.network.layers.values()],
        "parameters": trained.network.parameter_count(),
        "train_loss": trained.last_epoch.loss,
        "train_accuracy": trained.last_epoch.accuracy,
        "test_accuracy": trained.accuracy,
        "seconds": trained.seconds,
    }


def _attack(attacked: Attacked) -> dict[str, Any]:
    result, broken = attacked.result, attacked.broken
    status = {name: int(np.sum(result.status == name)) for name in ("misclassified", "success", "failed", "masked")}
    row = {
        "model": attacked.model.name,
        "attack": attacked.attack,
        "norm": attacked.norm,
        "eps": attacked.eps,
        "steps": attacked.steps,
        "images": len(attacked.x),
        "clean_accuracy": 1 - status["misclassified"] / len(attacked.x),
        "accuracy_under_attack": result.robust_accuracy,
        **status,
        "mean_l2": _mean(result.distances["l2"][broken]),
        "mean_linf": _mean(result.distances["linf"][broken]),
        "mean_queries": _mean(result.queries),
        "mean_gradients": _mean(result.gradients),
        "seconds": result.seconds,
    }
    found = attacked.detection
    return row | {
        "lid_auc": found and found.auc,
        "lid_detected_at_5_percent_false_positives": found and found.detection_rate,
        "lid_held_out_images": found and found.held_out,
        "lid_undetected_by_an_attack_that_knows_it": found and found.adaptive.success,
    }


def _mean(values: np.ndarray[Any, Any]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def as_csv(numbers: dict[str, Any]) -> str:
    """Return the table of attacks: a row an attack, model and budget, a column a number."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(numbers["attacks"][0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(numbers["attacks"])
    return text.getvalue()


COLUMNS = (
    ("Attack", "text"),
    ("Budget", "text"),
    ("N", "number"),
    ("Accuracy", "number"),
    ("L2", "number"),
    ("L∞", "number"),
    ("Queries", "number"),
    ("Grads", "number"),
    ("Seconds", "number"),
    ("AUC", "number"),
    ("Knowing", "number"),
)


def table(numbers: dict[str, Any], model: str) -> list[list[str]]:
    """Return the rows that people read: the clean model first, then every attack on it."""
    attacks = [row for row in numbers["attacks"] if row["model"] == model]
    clean = next(row for row in numbers["models"] if row["model"] == model)
    first = ["none", "", str(numbers["data"]["test_images"]), f"{clean['test_accuracy']:.1%}"]
    return [first + [""] * (len(COLUMNS) - len(first)), *map(_cells, attacks)]


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        row["attack"].upper(),
        f"{row['steps']} steps" if row["eps"] is None else f"L∞ ≤ {row['eps']:g}",
        str(row["images"]),
        f"{row['accuracy_under_attack']:.1%}",
        _number(row["mean_l2"], ".3f"),
        _number(row["mean_linf"], ".3f"),
        _count(row["mean_queries"]),
        _count(row["mean_gradients"]),
        f"{row['seconds']:.2f}",
        _number(row["lid_auc"], ".3f"),
        _number(row["lid_undetected_by_an_attack_that_knows_it"], ".0%"),
    ]


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _count(mean: float) -> str:
    return f"{mean:.1f}" if mean < 100 else f"{mean:,.0f}"
