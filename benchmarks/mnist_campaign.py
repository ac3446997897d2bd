"""The campaign on MNIST behind docs/campaigns.md: train, attack by PGD and ZOO, detect by LID. About ten minutes.

Usage: python benchmarks/mnist_campaign.py FOLDER, the folder with MNIST's four IDX files.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

import advcore
from advcore import attacks, data, detectors, evaluation, models, nn


def campaign(
    folder: str, *, train: int = 60_000, epochs: int = 2, images: int = 1000, digits: int = 100
) -> dict[str, float]:
    """Return what the campaign measured; shares are of all images, times in seconds."""
    mnist = data.idx(folder)
    network = models.carlini_mnist(seed=0)
    start = time.perf_counter()
    nn.fit(
        network,
        mnist.x_train[:train],
        mnist.y_train[:train],
        epochs=epochs,
        schedule="cosine",
        seed=0,
        progress=sys.stderr.isatty(),
    )
    measured = {"training_seconds": time.perf_counter() - start}
    right = network.predict(mnist.x_test) == mnist.y_test
    measured["clean_accuracy"] = float(right.mean())
    print(measured, flush=True)

    x, y = mnist.x_test[:images], mnist.y_test[:images]
    pgd = attacks.pgd(network, x, y, eps=0.3, steps=40, step_size=0.01, seed=0)
    measured |= {"pgd_accuracy_left": float(1 - pgd.success.mean()), "pgd_seconds": pgd.seconds}

    judged = evaluation.evaluate_detector(
        detectors.LID(network, mnist.x_train[:images], k=20), network, x, y, pgd.examples
    )
    measured |= {"lid_auc": judged.auc, "lid_detection_at_5_percent": judged.detection_rate}
    print(measured, flush=True)

    first = np.flatnonzero(right)[:digits]
    zoo = attacks.zoo(
        network,
        mnist.x_test[first],
        mnist.y_test[first],
        c=10.0,
        steps=1000,
        coordinates=128,
        stop_at_first_success=True,
    )
    fooled = zoo.success
    return measured | {
        "zoo_digits": digits,
        "zoo_fooled": int(fooled.sum()),
        "zoo_mean_l2": float(zoo.distances["l2"][fooled].mean()),
        "zoo_largest_l2": float(zoo.distances["l2"][fooled].max()),
        "zoo_mean_queries": float(zoo.queries.mean()),
        "zoo_seconds": zoo.seconds,
    }


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(json.dumps(campaign(sys.argv[1]) | {"threads": advcore.get_num_threads()}, indent=1))
