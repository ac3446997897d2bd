"""GRU and LSTM read MNIST's digits row by row: 28 steps of 28 pixels, 128 units, three epochs.

Usage: python examples/sequence_learning.py FOLDER --output OUT, FOLDER with MNIST's four IDX files.
With --quick it reads scikit-learn's 8 x 8 digits, a few units and no folder, in seconds.
Writes OUT/sequence_learning.json and OUT/sequence_learning.png.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

import advcore
from advcore import data, models, nn

CLASSIFIERS = {"GRU": models.gru_classifier, "LSTM": models.lstm_classifier}


def study(folder: str | None, *, hidden: int, epochs: int, batch_size: int, lr: float, seed: int) -> dict[str, Any]:
    """Train both classifiers and return the settings and each one's epochs."""
    digits = data.digits() if folder is None else data.idx(folder)
    settings = {"data": digits.name, "training_samples": len(digits.x_train), "hidden": hidden, "epochs": epochs}
    settings |= {"batch_size": batch_size, "optimizer": f"Adam, lr {lr}, cosine schedule", "seed": seed}
    results: dict[str, Any] = {"settings": settings | {"threads": advcore.get_num_threads()}, "models": {}}
    for name, build in CLASSIFIERS.items():
        network = build(digits.input_shape, digits.classes, hidden_size=hidden, seed=seed)
        history = nn.fit(
            network,
            digits.x_train,
            digits.y_train,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=nn.Adam(lr),
            schedule="cosine",
            seed=seed,
            validation=(digits.x_test, digits.y_test),
            callback=lambda epoch, name=name: print(name, epoch, flush=True),
        )
        results["models"][name] = {
            "loss": [epoch.loss for epoch in history.epochs],
            "test_accuracy": [epoch.validation_accuracy for epoch in history.epochs],
            "seconds": history.seconds,
            "parameters": network.parameter_count(),
        }
    return results


def plot(results: dict[str, Any], path: Path) -> None:
    """Draw the test accuracy after every epoch."""
    figure, axes = plt.subplots(figsize=(5, 3.5), layout="constrained")
    for name, measured in results["models"].items():
        accuracy = [100 * share for share in measured["test_accuracy"]]
        axes.plot(range(1, len(accuracy) + 1), accuracy, marker="o", label=name)
    axes.set(xlabel="epoch", ylabel="test accuracy, %", xticks=range(1, len(accuracy) + 1))
    axes.legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Run the study that the command line asks for and write what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", help="with MNIST's four IDX files")
    parser.add_argument("--output", type=Path, required=True, help="folder for the results")
    parser.add_argument("--quick", action="store_true", help="scikit-learn's digits and few units, in seconds")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    if (chosen.folder is None) != chosen.quick:
        parser.error("give the folder with MNIST's files, or --quick")
    sizes = {"hidden": 16, "epochs": 8, "batch_size": 32, "lr": 1e-2} if chosen.quick else {}
    sizes = {"hidden": 128, "epochs": 3, "batch_size": 64, "lr": 3e-3} | sizes
    results = study(chosen.folder, **sizes, seed=chosen.seed)
    chosen.output.mkdir(parents=True, exist_ok=True)
    (chosen.output / "sequence_learning.json").write_text(json.dumps(results, indent=1) + "\n")
    plot(results, chosen.output / "sequence_learning.png")
    return results


if __name__ == "__main__":
    main()
