"""Few labels: virtual adversarial training classifies perturbed points as their clean ones, labelled or not.

And what PGD through the networks' own gradients leaves of them: the perturbations of the training were of one step.

Usage: python examples/semi_supervised.py FOLDER --output OUT, FOLDER with MNIST's four IDX files.
With --quick it takes scikit-learn's 8 x 8 digits and no folder, in seconds.
Writes OUT/semi_supervised.json, .md and .png.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from study import Report, arguments, load, percent

from advcore import attacks, data, defenses, models, nn

PUBLISHED = {("mnist", 100): 1.36}  # Miyato et al. 2018


@dataclass(frozen=True)
class Setting:
    """What a form of the study is run with."""

    labels: tuple[int, ...]
    unlabelled: int
    hidden: tuple[int, ...]
    eps: float
    epochs: int
    rate: float
    batch: int = 256
    attacked: int = 1000


QUICK = Setting((20, 100), unlabelled=1337, hidden=(64,), eps=0.5, epochs=30, rate=5e-3, batch=128, attacked=200)
FULL = Setting(labels=(100, 1000), unlabelled=20000, hidden=(200,), eps=1.0, epochs=30, rate=3e-3)


def choose(digits: data.Dataset, count: int, unlabelled: int, seed: int) -> tuple[Any, Any]:
    """Return the places of the labelled training samples, as many of each class, and of others without labels."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(digits.x_train))
    each = [order[digits.y_train[order] == k][: count // digits.classes] for k in range(digits.classes)]
    labelled = np.concatenate(each)
    return labelled, order[~np.isin(order, labelled)][:unlabelled]


def left(network: nn.Network, x: Any, y: Any, eps: float, seed: int) -> dict[str, float]:
    """Return the accuracy in % that PGD on the margin leaves: in L2 at the training's eps and its double, in Linf."""
    budgets = {f"L2 {e:g}": ("l2", e) for e in (eps, 2 * eps)} | {f"Linf {e:g}": ("linf", e) for e in (0.1, 0.2)}
    climb: dict[str, Any] = {"steps": 40, "loss": "margin", "seed": seed}
    found = {"clean": percent(nn.accuracy(network, x, y))}
    for name, (norm, budget) in budgets.items():
        found[name] = percent(attacks.pgd(network, x, y, norm=norm, eps=budget, **climb).robust_accuracy)
    return found


def main(given: list[str] | None = None) -> dict[str, Any]:
    """Run the study that the command line asks for and write what it found."""
    chosen = arguments(__doc__, given)
    digits, seed, use = load(chosen), chosen.seed, QUICK if chosen.quick else FULL
    report = Report(
        "semi_supervised",
        "Semi-supervised training",
        {
            "data": digits.name,
            "without labels": use.unlabelled,
            "network": f"mlp, hidden units {use.hidden}",
            "eps (L2)": use.eps,
            "epochs": use.epochs,
            "batches": f"64 labelled, {use.batch} of all",
            "optimizer": f"Adam, lr {use.rate}, cosine schedule",
            "seed": seed,
        },
        "Miyato et al. (2018) train a larger perceptron with batch normalisation on all images, for many more updates, "
        "and report 1.36% at 100 labels, the mean over draws of the labels.",
    )
    x, y = digits.x_test, digits.y_test
    rows: list[dict[str, Any]] = []
    robust: list[dict[str, Any]] = []
    curves: dict[str, list[float]] = {}

    def error(network: nn.Network) -> float:
        return percent(1 - nn.accuracy(network, x, y))

    for count in use.labels:
        labelled, free = choose(digits, count, use.unlabelled, seed)
        own, known = digits.x_train[labelled], digits.y_train[labelled]
        updates = use.epochs * -(-(count + len(free)) // use.batch)
        for name, others in (("labels alone", None), ("perturbed, labelled", None), ("perturbed, all", free)):
            network = models.mlp(digits.input_shape, digits.classes, hidden=use.hidden, seed=seed)
            options: dict[str, Any] = {"optimizer": nn.Adam(use.rate), "schedule": "cosine", "seed": seed}
            curve: list[float] = []
            if others is None:  # as many updates
                options |= {"epochs": -(-updates // -(-count // 64)), "batch_size": 64}
            else:
                options |= {"epochs": use.epochs, "batch_size": use.batch}
                options["callback"] = lambda epoch, n=network, c=curve: c.append(error(n))
            if name == "labels alone":
                report.timed(f"{count}, {name}", nn.fit, network, own, known, **options)
            else:
                train = defenses.virtual_adversarial_training
                extra = None if others is None else digits.x_train[others]
                report.timed(f"{count}, {name}", train, network, own, known, extra, eps=use.eps, **options)
            found = {"labels": count, "training": name, "without labels": 0 if others is None else len(others)}
            rows.append(found | {"test error, %": error(network)})
            attacked = report.timed(
                f"{count}, {name}, PGD", left, network, x[: use.attacked], y[: use.attacked], use.eps, seed
            )
            robust.append({"labels": count, "training": name} | attacked)
            if curve:
                curves[f"{count} labels"] = curve
                rows[-1]["published, %"] = PUBLISHED.get((digits.name, count))
    report.table("Error by what is trained on", rows)
    report.table(f"Accuracy left by PGD on the margin, 40 steps, % of {use.attacked} images", robust)
    for count in use.labels:
        alone, few, everything = (row["test error, %"] for row in rows if row["labels"] == count)
        report.finding(
            f"{count} labels: {alone}% of the test images are wrong with the labels alone, {few}% when their perturbed "
            f"points must keep their class too, {everything}% with the points without a label."
        )
        before, _, after = (row for row in robust if row["labels"] == count)
        near, far = f"L2 {use.eps:g}", f"L2 {2 * use.eps:g}"
        report.finding(
            f"{count} labels: PGD of the training's length in L2 leaves {before[near]}% with the labels alone, "
            f"{after[near]}% with the points without a label; of twice that length {before[far]}% and {after[far]}%."
        )

    def draw(axes: Any) -> None:
        for number, (label, curve) in enumerate(curves.items()):
            axes.plot(np.arange(1, len(curve) + 1), curve, color=f"C{number}", label=f"{label} and the others")
            alone = next(row for row in rows if f"{row['labels']} labels" == label)["test error, %"]
            axes.axhline(alone, color=f"C{number}", linestyle="--", label=f"{label} alone")
        axes.set(xlabel="epoch", ylabel="test error, %", yscale="log")
        axes.legend()

    return report.write(chosen.output, draw)


if __name__ == "__main__":
    main()
