"""The figures of permuted_pixels.py: curves, longer sequences, gradients through time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np


def draw(results: dict[str, Any], folder: Path) -> None:
    """Draw three figures from the results."""
    _curves(results, folder / "permuted_pixels_curves.png")
    _longer(results, folder / "permuted_pixels_longer.png")
    _gradients(results, folder / "permuted_pixels_gradients.png")


def by_model(results: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the runs of every model."""
    models: dict[str, list[dict[str, Any]]] = {}
    for name, measured in results["runs"].items():
        models.setdefault(name.split(",")[0], []).append(measured)
    return models


def _spread(axes: Any, x: Any, values: Any, label: str, **style: Any) -> None:
    """Draw the mean over the seeds, and what lies between the smallest and the largest."""
    values = np.asarray(values)
    (line,) = axes.plot(x, values.mean(axis=0), marker="o", markersize=3, label=label, **style)
    axes.fill_between(x, values.min(axis=0), values.max(axis=0), alpha=0.2, color=line.get_color())


def _curves(results: dict[str, Any], path: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    epochs = range(1, results["settings"]["epochs"] + 1)
    for model, runs in by_model(results).items():
        _spread(left, epochs, [100 * np.asarray(run["test_accuracy"]) for run in runs], model)
        _spread(right, epochs, [run["training_loss"] for run in runs], model)
    left.set(xlabel="epoch", ylabel="test accuracy, %")
    right.set(xlabel="epoch", ylabel="training loss")
    left.legend()
    _save(figure, path)


def _longer(results: dict[str, Any], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    for colour, (model, runs) in enumerate(by_model(results).items()):
        kinds = [kind for kind in ("black", "other pixels") if kind in runs[0]["longer"]]
        for kind, line in zip(kinds, ("-", "--"), strict=False):
            values = [100 * np.asarray(run["longer"][kind]) for run in runs]
            steps = results["steps"] + np.asarray(runs[0]["longer"]["extra_steps"])
            _spread(axes, steps, values, f"{model}, {kind}", linestyle=line, color=f"C{colour}")
    axes.axvline(results["steps"], color="grey", linewidth=0.8)
    axes.set(xlabel=f"steps tested on (trained on {results['steps']})", ylabel="test accuracy, %")
    axes.legend(fontsize="small")
    _save(figure, path)


def _gradients(results: dict[str, Any], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(5, 3.5), layout="constrained")
    for gamma, measured in results["gradient_norms"].items():
        axes.semilogy(measured["steps"], measured["norms"], marker="o", markersize=3, label=f"gamma {gamma}")
    axes.set(xlabel="step t", ylabel="norm of the loss's gradient for h_t")
    axes.legend()
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=150)
    plt.close(figure)
