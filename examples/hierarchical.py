"""A tree of networks against a flat one: overall accuracy, measured and by the product rule.

Usage: python examples/hierarchical.py FOLDER --output OUT, FOLDER with MNIST's four IDX files.
With --quick it takes scikit-learn's 8 x 8 digits and no folder, in seconds.
Writes OUT/hierarchical.json, .md and .png.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from study import Report, arguments, load, percent

from advcore import models, nn

TREES = {
    "even or odd": ((0, 2, 4, 6, 8), (1, 3, 5, 7, 9)),
    "alike": ((0, 6), (1, 7), (2, 3, 5, 8), (4, 9)),
    "five pairs": ((0, 1), (2, 3), (4, 5), (6, 7), (8, 9)),
}


def main(given: list[str] | None = None) -> dict[str, Any]:
    """Run the study that the command line asks for and write what it found."""
    chosen = arguments(__doc__, given)
    digits, seed = load(chosen), chosen.seed
    epochs, rate, hidden = (10, 5e-3, 24) if chosen.quick else (3, 2e-3, 64)
    report = Report(
        "hierarchical",
        "Hierarchical classifiers",
        {"data": digits.name, "networks": f"mlp, {hidden} hidden units each", "epochs": epochs, "seed": seed}
        | {"optimizer": f"Adam, lr {rate}, cosine schedule"},
        "The source states the rule: the accuracy along a path is the product over its levels, overall the sum over "
        "leaves of P(leaf) times the product on its path. Here it meets trees of networks.",
    )

    def train(x: Any, y: Any, classes: int) -> nn.Network:
        network = models.mlp(digits.input_shape, classes, hidden=(hidden,), seed=seed)
        nn.fit(network, x, y, epochs=epochs, optimizer=nn.Adam(rate), schedule="cosine", seed=seed)
        return network

    x, y = digits.x_test, digits.y_test
    flat = report.timed("flat", train, digits.x_train, digits.y_train, digits.classes)
    share = np.bincount(y, minlength=digits.classes) / len(y)
    rows = [
        {"classifier": "flat", "networks": 1, "parameters": flat.parameter_count(), "measured": nn.accuracy(flat, x, y)}
    ]
    for name, groups in TREES.items():
        group = np.zeros(digits.classes, np.int64)
        for number, leaves in enumerate(groups):
            group[list(leaves)] = number
        root = report.timed(f"{name}: root", train, digits.x_train, group[digits.y_train], len(groups))
        below = []
        for number, leaves in enumerate(groups):
            own = np.flatnonzero(group[digits.y_train] == number)
            below.append(train(digits.x_train[own], np.searchsorted(leaves, digits.y_train[own]), len(leaves)))
        said = root.predict(x)
        answers = np.stack(
            [np.array(leaves)[network.predict(x)] for leaves, network in zip(groups, below, strict=True)]
        )
        measured = float((answers[said, np.arange(len(x))] == y).mean())
        first = np.array([(said == group[y])[y == leaf].mean() for leaf in range(digits.classes)])
        right = answers[group[y], np.arange(len(x))] == y  # of the network of the true group
        second = np.array([right[y == leaf].mean() for leaf in range(digits.classes)])
        given_first = np.array([right[(y == leaf) & (said == group[y])].mean() for leaf in range(digits.classes)])
        rows.append(
            {
                "classifier": name,
                "networks": 1 + len(groups),
                "parameters": sum(network.parameter_count() for network in (root, *below)),
                "measured": measured,
                "root": float((said == group[y]).mean()),
                "leaves, given the true group": float(right.mean()),
                "product rule": float(share @ (first * second)),
                "product of the averages": float((said == group[y]).mean() * right.mean()),
                "product, each level given the last": float(share @ (first * given_first)),
            }
        )
    for row in rows:
        row |= {key: percent(value) for key, value in row.items() if isinstance(value, float)}
    report.table("Accuracy on the test images, %", rows)
    gaps = ", ".join(f"{row['measured'] - row['product rule']:+.2f}" for row in rows[1:])
    report.finding(
        f"Trees against the product rule: {gaps} points. The rule takes levels as independent; where what is hard for "
        "the root is hard for the leaves too a tree loses fewer images than the product says. With each level's "
        "accuracy taken on what the last one got right the product is exact. Two levels of 80% each make "
        f"{percent(nn.hierarchical_accuracy([1.0], [[0.8, 0.8]]))}%, less than a flat classifier's 80%."
    )

    def draw(axes: Any) -> None:
        at = np.arange(len(rows))
        axes.bar(at - 0.2, [row["measured"] for row in rows], 0.4, label="measured")
        axes.bar(at[1:] + 0.2, [row["product rule"] for row in rows[1:]], 0.4, label="product rule")
        axes.set(ylim=(min(row["measured"] for row in rows) - 4, 100), ylabel="test accuracy, %")
        axes.set_xticks(at, [row["classifier"] for row in rows])
        axes.legend(loc="lower right")

    return report.write(chosen.output, draw)


if __name__ == "__main__":
    main()
