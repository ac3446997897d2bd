"""Ensemble robustness: does the worst loss change around training samples, averaged over runs, tell what generalises?

Usage: python examples/ensemble_robustness.py FOLDER --output OUT, FOLDER with MNIST's four IDX files.
With --quick it takes scikit-learn's 8 x 8 digits and no folder, in seconds.
Writes OUT/ensemble_robustness.json, .md and .png.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from study import Report, arguments, load, percent

from advcore import data, defenses, models, nn
from advcore.nn.losses import cross_entropy

STEPS = 10
GAP = "gap of the loss"


@dataclass(frozen=True)
class Learner:
    """A way to train: everything but the seed."""

    hidden: tuple[int, ...] = (64,)
    network: dict[str, Any] = field(default_factory=dict)  # options of models.mlp
    weight_decay: float = 0.0
    noise: float = 0.0
    eps: float = 0.0  # of adversarial training

    def train(self, digits: data.Dataset, x: Any, y: Any, epochs: int, rate: float, seed: int) -> nn.Network:
        """Return a network trained from this seed: initial parameters, order, dropout, noise."""
        network = models.mlp(digits.input_shape, digits.classes, hidden=self.hidden, seed=seed, **self.network)
        optimizer = nn.Adam(rate, weight_decay=self.weight_decay)
        options: dict[str, Any] = {"epochs": epochs, "batch_size": 50, "optimizer": optimizer, "seed": seed}
        if self.noise:
            defenses.noise_training(network, x, y, sigma=self.noise, **options)
        elif self.eps:
            defenses.adversarial_training(network, x, y, eps=self.eps, steps=3, **options)
        else:
            nn.fit(network, x, y, **options)
        return network


LEARNERS = {
    "linear": Learner(hidden=()),
    "64": Learner(),
    "256": Learner(hidden=(256,)),
    "64-64": Learner(hidden=(64, 64)),
    "64-64-64-64": Learner(hidden=(64,) * 4),
    "tanh": Learner(network={"activation": "tanh"}),
    "weight decay": Learner(weight_decay=1e-3),
    "noise": Learner(noise=0.2),
    "adversarial, 0.05": Learner(eps=0.05),
    "adversarial, 0.1": Learner(eps=0.1),
    "dropout 0.5": Learner(network={"dropout": 0.5}),
}
DROPOUT = (0.0, 0.2, 0.4, 0.6, 0.8)


def worst_change(network: nn.Network, x: Any, y: Any, radius: float) -> Any:
    """Return ``max |loss(z) - loss(x)|`` that steps of gradients find over the Linf cell around each sample, (N,)."""

    def loss(z: Any) -> Any:
        return cross_entropy(network.logits(z).astype(np.float64), y)[0]

    clean, worst = loss(x), np.zeros(len(x))
    lower, upper = np.maximum(x - np.float32(radius), 0), np.minimum(x + np.float32(radius), 1)
    for way in (1, -1):
        current = x
        for _ in range(STEPS):
            step = np.float32(way * 2.5 * radius / STEPS) * np.sign(network.loss_gradient(current, y))
            current = np.clip(current + step, lower, upper)
            worst = np.maximum(worst, np.abs(loss(current) - clean))
    return worst


def loss_and_accuracy(network: nn.Network, x: Any, y: Any) -> tuple[float, float]:
    """Return the mean cross-entropy and the share of samples that are right."""
    logits = network.logits(x)
    return float(cross_entropy(logits, y)[0].mean()), float((logits.argmax(axis=1) == y).mean())


def main(given: list[str] | None = None) -> dict[str, Any]:
    """Run the study that the command line asks for and write what it found."""
    chosen = arguments(__doc__, given)
    digits, seed = load(chosen), chosen.seed
    samples, epochs, runs, rate = (150, 30, 3, 3e-3) if chosen.quick else (300, 40, 5, 2e-3)
    radii = (0.02, 0.1) if chosen.quick else (0.02, 0.05, 0.1)
    wide, shown = (128,) if chosen.quick else (256,), 0.1
    x, y = digits.x_train[:samples], digits.y_train[:samples]
    report = Report(
        "ensemble_robustness",
        "Ensemble robustness",
        {
            "data": digits.name,
            "training samples": samples,
            "runs a learner": runs,
            "network": "mlp, of the hidden units named, else 64",
            "noise": "sigma 0.2",
            "weight decay": 1e-3,
            "cells": f"Linf balls of radius {', '.join(map(str, radii))}",
            "steps": f"{STEPS} up, {STEPS} down",
            "epochs": epochs,
            "optimizer": f"Adam, lr {rate}, batches of 50",
            "seed": seed,
        },
        "Zahavy et al. (arXiv 1602.02389) take seven learners, Bayes by backprop among them; here small perceptrons on "
        "few samples, so that there is a gap to tell, and gradient steps up and down the loss, which is cross-entropy "
        "and, unlike their theorems', not bounded.",
    )

    def measure(name: str, learner: Learner) -> dict[str, Any]:
        networks = [learner.train(digits, x, y, epochs, rate, seed + run) for run in range(runs)]
        train, right = np.array([loss_and_accuracy(network, x, y) for network in networks]).T
        test, tested = np.array([loss_and_accuracy(network, digits.x_test, digits.y_test) for network in networks]).T
        changes = {r: np.stack([worst_change(network, x, y, r) for network in networks]) for r in radii}
        return {
            "learner": name,
            "train loss": float(train.mean()),
            GAP: float((test - train).mean()),
            "its standard deviation": float((test - train).std(ddof=1)),
            "gap of the accuracy, points": percent((right - tested).mean()),
            **{f"worst change, {r}": float(change.mean()) for r, change in changes.items()},
            # of one sample's worst change over the runs, then averaged over the samples
            **{f"its variance, {r}": float(change.var(axis=0, ddof=1).mean()) for r, change in changes.items()},
        }

    learners = [report.timed(name, measure, name, learner) for name, learner in LEARNERS.items()]
    dropped = {p: Learner(hidden=wide, network={"dropout": p}) for p in DROPOUT}
    dropout = [report.timed(f"dropout {p} alone", measure, str(p), learner) for p, learner in dropped.items()]
    report.table("Learners, means over the runs", learners)
    report.table("Dropout on its own, by its rate", dropout)

    def rank(rows: list[dict[str, Any]], measure: str, gap: str) -> float:
        return round(float(spearmanr([row[measure] for row in rows], [row[gap] for row in rows]).statistic), 3)

    correlations = []
    for r in radii:
        for measure in ("worst change", "its variance"):
            row: dict[str, Any] = {"radius": r, "measure": measure}
            for family, rows in (("learners", learners), ("dropout", dropout)):
                row[f"{family}: {GAP}"] = rank(rows, f"{measure}, {r}", GAP)
                row[f"{family}: of the accuracy"] = rank(rows, f"{measure}, {r}", "gap of the accuracy, points")
            correlations.append(row)
    report.table("Rank correlation (Spearman) with the generalisation gap", correlations)

    def by_radius(rows: list[dict[str, Any]]) -> str:
        return ", ".join(f"{rank(rows, f'worst change, {r}', GAP)} at {r}" for r in radii)

    report.finding(
        f"Does the worst change rank the {len(learners)} learners as their gaps of the loss do? Rank correlation "
        f"{by_radius(learners)}; of its variance over the runs {rank(learners, f'its variance, {shown}', GAP)} at "
        f"{shown}. In small cells whoever fits the samples well looks robust: where the loss is near 0 so is its slope."
    )
    first, last = ((row["learner"], row[GAP], row[f"worst change, {shown}"]) for row in (dropout[0], dropout[-1]))
    report.finding(
        f"Dropout on its own, rate {first[0]} to {last[0]}: the gap of the loss goes from {first[1]:.3f} to "
        f"{last[1]:.3f}, the worst change in a cell of {shown} from {first[2]:.3f} to {last[2]:.3f}; rank correlation "
        f"{by_radius(dropout)}."
    )

    def draw(grid: Any) -> None:
        for axes, rows, title in zip(grid, (learners, dropout), ("learners", "dropout's rate"), strict=True):
            for row in rows:
                at = row[f"worst change, {shown}"], row[GAP]
                axes.errorbar(*at, yerr=row["its standard deviation"], fmt="o")
                axes.annotate(row["learner"], at, xytext=(5, 4), textcoords="offset points", fontsize=8)
            axes.set(title=title, xlabel=f"worst loss change in a cell of {shown}", ylabel="test loss - training loss")
        grid[0].set(xscale="log", yscale="log")

    return report.write(chosen.output, draw, axes=2)


if __name__ == "__main__":
    main()
