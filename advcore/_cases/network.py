"""Whole networks at work: logits, input gradients, steps of training and an attack. They are timed, and weighed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from advcore._cases.case import Case

OPERATIONS = ("logits", "loss_gradient", "training_step", "pgd")
RMS = 0.03  # of float32's errors through all layers; a layer that is left out or another loss makes it about 1
DIGIT, SMALL, IMAGE = (1, 28, 28), (3, 32, 32), (3, 224, 224)
# Adam's first step is the gradient over its magnitude plus eps: a small eps would amplify rounding errors without end.
ADAM: dict[str, Any] = {"optimizer": "adam", "lr": 1e-3, "eps": 1e-5}
SGD: dict[str, Any] = {"optimizer": "sgd", "lr": 1e-2}


def network_case(
    op: str,
    model: str,
    shape: Sequence[int],
    samples: int,
    *,
    classes: int = 10,
    build: dict[str, Any] | None = None,
    **options: Any,
) -> Case:
    """Return a case whose inputs are a network of ``advcore.models``, images x in [0, 1] and labels y."""

    def make(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
        from advcore import models

        network = getattr(models, model)(shape, classes, dtype=dtype, **(build or {}))
        x = rng.random((samples, *shape)).astype(dtype)
        attacked = op == "pgd"  # of labels that are wrong already it would keep the images
        return {"network": network, "x": x, "y": network.predict(x) if attacked else rng.integers(0, classes, samples)}

    label = f"{model},{'x'.join(map(str, shape))},b{samples}"
    return Case(op, {}, options, make=make, bench=True, label=label, weighed=True, rms=RMS)


CASES = [
    *(network_case("logits", "carlini_mnist", DIGIT, samples) for samples in (1, 16, 128, 512)),
    *(
        network_case("logits", model, IMAGE, samples, classes=1000)
        for model in ("vgg16", "resnet18", "resnet50", "alexnet")
        for samples in (1, 8)
    ),
    *(network_case("loss_gradient", "carlini_mnist", DIGIT, samples) for samples in (1, 16, 128)),
    network_case("loss_gradient", "resnet18", SMALL, 32),
    network_case("training_step", "carlini_mnist", DIGIT, 128, build={"dropout": 0.0}, **ADAM),  # masks would differ
    network_case("training_step", "resnet18", SMALL, 64, **SGD),
    network_case("training_step", "lstm_classifier", DIGIT, 128, build={"hidden_size": 128}, **ADAM),
    network_case("training_step", "gru_classifier", DIGIT, 128, build={"hidden_size": 128}, **ADAM),
    network_case("pgd", "carlini_mnist", DIGIT, 128, eps=0.3, steps=40, step_size=0.01),
]
