"""The pictures of the report, each with the words for who cannot see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from advcore._demo.figures import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    as_png,
    new_figure,
    plain_axes,
)
from advcore.evaluation import probes
from advcore.evaluation.results import Results

STYLES = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), ("#cc79a7", "D"), ("#e69f00", "v"), ("#56b4e9", "P"))


@dataclass(frozen=True)
class Picture:
    """A figure of the page: base64 of a PNG, the words for who cannot see it, and the words under it."""

    png: str
    alternative: str
    caption: str


def accuracy(found: dict[str, Any]) -> Picture:
    """Draw robust accuracy against eps, with its interval, and each attack by itself where it was run on all images."""
    figure = new_figure(6.6, 3.6)
    axes = figure.add_subplot()
    clean, robust = found["accuracy"], found["robust"]
    eps = [0.0, *(entry["eps"] for entry in robust)]
    middle = [clean["accuracy"], *(entry["robust_accuracy"] for entry in robust)]
    low, high = ([clean[key], *(entry[key] for entry in robust)] for key in ("low", "high"))
    axes.fill_between(eps, 100 * np.array(low), 100 * np.array(high), color=INK, alpha=0.12, linewidth=0)
    names = [label for label in _labels(found) if _is_complete(found, label)]
    for (colour, marker), label in zip(STYLES, names, strict=False):
        entries = [entry for entry in found["attacks"] if entry["attack"] == label and entry["eps"] in eps]
        shares = [clean["accuracy"], *((clean["right"] - e["broken"]) / found["images"] for e in entries)]
        places = [0.0, *(entry["eps"] for entry in entries)]
        axes.plot(places, 100 * np.array(shares), color=colour, marker=marker, linewidth=1.4, label=label)
    axes.plot(eps, 100 * np.array(middle), color=INK, marker="o", linewidth=2.4, label="worst case of all")
    axes.axhline(100 / found["classes"], color=GREY, linestyle=(0, (4, 3)), linewidth=1, label="chance")
    axes.set(xlabel=f"eps ({found['settings']['norm']})", ylabel="accuracy, %", ylim=(-3, 103), xlim=(0, None))
    axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    plain_axes(axes)
    steps = ", ".join(f"{100 * m:.1f}% at eps {e:g}" for e, m in zip(eps, middle, strict=True))
    return Picture(
        as_png(figure), f"Accuracy against eps: {steps}.", "Accuracy against ε; the band is the 95% interval."
    )


def queries(results: Results) -> Picture | None:
    """Draw the share of images broken against the queries spent on each, at the eps where most attacks break any."""
    eps = max(results.about.eps, key=lambda e: len(_curves(results, e)))
    curves = _curves(results, eps)
    if not curves:
        return None
    figure = new_figure(6.6, 3.2)
    axes = figure.add_subplot()
    drawn = []
    for (colour, _), (label, (spent, tried)) in zip(STYLES, curves.items(), strict=False):
        share = 100 * np.arange(1, len(spent) + 1) / tried
        axes.step([spent[0], *spent], [0.0, *share], where="post", color=colour, linewidth=1.8, label=label)
        drawn.append(f"{label} breaks {len(spent)} of its {tried} images")
    axes.set(xlabel="queries an image", ylabel="images broken, %", xscale="log", ylim=(-3, 103))
    axes.legend(frameon=False, fontsize=9, labelcolor=INK)
    plain_axes(axes)
    caption = (
        f"Success against queries at ε = {eps:g}, of the images that each attack was run on. An attack that takes no ε "
        "has all its queries counted."
    )
    return Picture(as_png(figure), f"Success against queries: {'; '.join(drawn)}.", caption)


def _curves(results: Results, eps: float) -> dict[str, tuple[list[int], int]]:
    """Return, of each attack that broke an image within eps, the examples' queries, ascending, and the images tried."""
    found = {}
    for label in results.labels:
        rows = results.tried(label, eps).values()
        spent = sorted(max(row.queries_of_success, 1) for row in rows if row.within(results.about.norm, eps))
        if spent:
            found[label] = spent, len(rows)
    return found


def minimum_norm(results: Results) -> Picture | None:
    """Draw the share of images that are broken within a distance, over the distance."""
    distance = results.nearest()
    found = np.sort(distance[np.isfinite(distance)])
    if not len(found):
        return None
    figure = new_figure(6.6, 3.2)
    axes = figure.add_subplot()
    share = 100 * np.arange(1, len(found) + 1) / results.count
    axes.step([0.0, *found], [0.0, *share], where="post", color=BLUE, linewidth=1.8)
    for eps in results.about.eps:
        axes.axvline(eps, color=GREY, linestyle=(0, (4, 3)), linewidth=1)
    norm = results.about.norm
    axes.set(xlabel=f"{norm} distance of the nearest example", ylabel="images misclassified, %", ylim=(-3, 103))
    axes.set_xlim(0, 1.3 * max(results.about.eps))
    plain_axes(axes)
    return Picture(
        as_png(figure),
        f"Distance of the nearest example that any attack found, for {len(found)} of {results.count} images.",
        "How far the nearest example that any attack found is; an upper bound for each image. Dashed: the ε evaluated.",
    )


def per_class(found: dict[str, Any]) -> Picture | None:
    """Draw accuracy and robust accuracy of each class as bars."""
    entries = found["per_class"]
    if len(entries) > 40:
        return None
    figure = new_figure(max(6.6, 0.3 * len(entries)), 3.2)
    axes = figure.add_subplot()
    places = np.arange(len(entries))
    axes.bar(places, [100 * e["accuracy"] for e in entries], color="#c9cdd3", label="unattacked")
    for (colour, _), number in zip(STYLES, range(len(found["robust"])), strict=False):
        width = 0.8 - 0.15 * number
        label = f"ε = {found['robust'][number]['eps']:g}"
        axes.bar(places, [100 * e["robust"][number] for e in entries], width=max(width, 0.2), color=colour, label=label)
    axes.set(xlabel="class", ylabel="accuracy, %", ylim=(0, 103))
    axes.set_xticks(places, [str(entry["class"]) for entry in entries])
    axes.legend(frameon=False, fontsize=9, labelcolor=INK, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    plain_axes(axes)
    worst = min(entries, key=lambda e: (e["robust"][0], e["class"]))
    alternative = f"Accuracy of each class; class {worst['class']} is the least robust."
    return Picture(as_png(figure), alternative, "Accuracy and robust accuracy of each class.")


def _labels(found: dict[str, Any]) -> list[str]:
    return [entry["label"] for entry in found["settings"]["plan"]] + [probes.SINGLE_STEP]


def _is_complete(found: dict[str, Any], label: str) -> bool:
    """Say whether an attack was run on all images that the model has right, at every eps."""
    tried = [e["tried"] for e in found["attacks"] if e["attack"] == label and e["eps"] in found["settings"]["eps"]]
    return len(tried) == len(found["settings"]["eps"]) and min(tried) == found["accuracy"]["right"]
