"""The numbers of a run: one document for JSON, one table of rows for CSV. Times are kept apart from results."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np

from advcore.evaluation import detection, probes
from advcore.evaluation.checks import Check
from advcore.evaluation.identity import plain
from advcore.evaluation.results import Results, share
from advcore.evaluation.rows import COLUMNS, EVERY_EPS, Row
from advcore.evaluation.statistics import wilson

NOTE = (
    "Robust accuracy is the share of all images that the model has right and that no attack broke within eps: an upper "
    "bound, which a stronger attack can only lower. Intervals are Wilson's, 95%, over the images."
)
FILES = ("report.html", "results.json", "results.csv")
TIMES = ("seconds", "times")


def document(results: Results, checks: list[Check], complete: bool) -> dict[str, Any]:
    """Return all numbers. Two runs of one command differ in "times" only."""
    about = results.about
    return {
        "format": 1,
        "complete": complete,
        "note": NOTE,
        "model": about.names.get("model", "model"),
        "data": about.names.get("data", "data"),
        "images": results.count,
        "classes": len(np.unique(about.labels)),
        "accuracy": results.accuracy(),
        "robust": [results.robust(eps) for eps in about.eps],
        "checks": [check.as_dict() for check in checks],
        "attacks": [entry for label in results.attacks for entry in _attack(results, label)],
        "per_class": _per_class(results),
        "minimum_norm": _minimum_norm(results),
        "transfer": _transfer(results),
        "cost": _cost(results.rows),
        "errors": _errors(results),
        "warnings": about.warnings,
        "settings": {
            "norm": about.norm,
            "eps": list(about.eps),
            "seed": about.seed,
            "bounds": list(about.bounds),
            "level": about.level,
            "chunk_size": about.chunk,
            "access": about.access,
            "randomised": about.randomised,
            "plan": plain(about.plan),
            "command": about.command,
        },
        "identity": about.identity,
        "machine": about.machine,
        "times": _times(results),
    }


def _attack(results: Results, label: str) -> list[dict[str, Any]]:
    """Return what one attack did, an entry an eps."""
    entries = []
    for eps in dict.fromkeys((*results.about.eps, *(e for name, e in results.by if name == label and np.isfinite(e)))):
        rows = results.tried(label, eps)
        if not rows:
            continue
        hits = [row for row in rows.values() if row.within(results.about.norm, eps)]
        low, high = wilson(len(hits), len(rows))
        errors = sum(row.status == "error" for row in rows.values())
        untold = sum(not row.tells and not row.within(results.about.norm, eps) for row in rows.values())
        entries.append(
            {
                "attack": label,
                "eps": eps,
                "tried": len(rows),
                "broken": len(hits),
                "success_rate": len(hits) / len(rows),
                "low": low,
                "high": high,
                "masked": sum(row.status == "masked" for row in rows.values()),
                "undecided": sum(row.status == "undecided" for row in rows.values()),
                "unfinished": untold - errors,
                "errors": errors,
                "median_distance": _median([getattr(row, results.about.norm) for row in hits]),
                "mean_queries": _mean([row.queries for row in rows.values()]),
                "mean_gradients": _mean([row.gradients for row in rows.values()]),
                "median_queries_to_success": _median([row.queries_of_success for row in hits]),
            }
        )
    return entries


def _per_class(results: Results) -> list[dict[str, Any]]:
    entries = []
    for label in np.unique(results.about.labels).tolist():
        there = results.about.labels == label
        asked = there & ~results.unknown
        entry: dict[str, Any] = {"class": label, "images": int(there.sum())}
        entry["accuracy"] = share(int(results.right[asked].sum()), int(asked.sum()))
        entry["robust"] = [float(results.unbroken(eps)[there].mean()) for eps in results.about.eps]
        entries.append(entry)
    return entries


def _minimum_norm(results: Results) -> dict[str, Any]:
    """Return quantiles of the distance to the nearest example that any attack found, an upper bound a sample."""
    distance = np.sort(results.nearest()[results.right])
    found = distance[np.isfinite(distance)]
    levels = (0.1, 0.25, 0.5, 0.75, 0.9)

    def at(level: float) -> float | None:
        place = int(level * len(distance))
        return float(distance[place]) if place < len(found) else None

    return {
        "norm": results.about.norm,
        "images": len(distance),
        "found": len(found),
        "quantiles": {str(level): at(level) for level in levels},
    }


def _transfer(results: Results) -> list[dict[str, Any]]:
    """Return the share of images for which an example made for one model is misclassified by another."""
    entries = []
    for (label, eps), rows in sorted(results.by.items()):
        source, arrow, target = label.removeprefix(probes.TRANSFER).strip().partition(" > ")
        known = [row for row in rows.values() if row.success or row.tells]
        if label.startswith(probes.TRANSFER) and arrow and known:
            broken = sum(row.success for row in known)
            entries.append({"source": source, "target": target, "eps": eps, "images": len(known), "broken": broken})
    return entries


def _cost(rows: list[Row]) -> dict[str, int]:
    return {
        "forward": sum(row.queries for row in rows),
        "backward": sum(row.gradients for row in rows),
        "verification": sum(row.verification for row in rows),
    }


def _times(results: Results) -> dict[str, Any]:
    """Return seconds, in all and an attack: all that may differ between two runs of one command.

    An attack without a budget succeeds where it comes as near as the largest eps.
    """
    attacks, norm, largest = {}, results.about.norm, max(results.about.eps)
    for label in dict.fromkeys(row.attack for row in results.rows):
        rows = [row for row in results.rows if row.attack == label]
        seconds = sum(row.seconds for row in rows)
        won = sum(row.within(norm, largest if row.eps == EVERY_EPS else row.eps) for row in rows)
        attacks[label] = {
            "seconds": seconds,
            "cpu_seconds": sum(row.cpu_seconds for row in rows),
            "seconds_a_success": seconds / won if won else None,
        }
    return {
        "seconds": sum(row.seconds for row in results.rows),
        "cpu_seconds": sum(row.cpu_seconds for row in results.rows),
        "attacks": attacks,
    }


def _errors(results: Results) -> list[dict[str, Any]]:
    """Return what the model raised; once a probe, which has several rows a sample."""
    found = [(row.sample, _probe_of(row.attack), row.eps, row.note) for row in results.rows if row.status == "error"]
    return [
        {"sample": sample, "attack": attack, "eps": _plain(eps), "error": note}
        for sample, attack, eps, note in dict.fromkeys(found)
    ]


def _probe_of(label: str) -> str:
    return next((name for name in (probes.TRANSFER, detection.PREFIX) if label.startswith(name)), label)


def as_csv(rows: list[Row]) -> str:
    """Return the rows, one a sample, attack and eps."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(["" if value is None else value for value in row.values()] for row in rows)
    return text.getvalue()


def without_times(found: dict[str, Any]) -> dict[str, Any]:
    """Return the document without what may differ between two runs of one command."""
    return {key: value for key, value in found.items() if key not in TIMES}


def _plain(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _mean(values: list[Any]) -> float | None:
    return float(np.mean(values)) if values else None


def _median(values: list[Any]) -> float | None:
    return float(np.median(values)) if values else None
