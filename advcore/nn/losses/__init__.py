"""Losses: functions (prediction, target) -> (each sample's loss, its gradient for the prediction)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from advcore import _check
from advcore._check import Array
from advcore.nn.losses.binary import log, perceptron, zero_one
from advcore.nn.losses.capped import Capped
from advcore.nn.losses.classification import cross_entropy, margin, multiclass_hinge, row_sums
from advcore.nn.losses.rbf import RBFLoss, noise_class_loss, rbf_metric_loss, soft_ml_loss
from advcore.nn.losses.regression import absolute, epsilon_insensitive, huber, log_cosh, squared

Loss = Callable[[Array, Any], tuple[Array, Array]]

CLASSIFICATION: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "multiclass_hinge": multiclass_hinge,
    "margin": margin,
}
REGRESSION: dict[str, Loss] = {
    "squared": squared,
    "absolute": absolute,
    "huber": huber,
    "epsilon_insensitive": epsilon_insensitive,
    "log_cosh": log_cosh,
}
BINARY: dict[str, Loss] = {"perceptron": perceptron, "log": log, "zero_one": zero_one}


def by_sample(loss: Loss) -> Loss:
    """Return the loss of whole rows, (N, K), of a loss of single numbers: the sum over the row."""

    @functools.wraps(loss)
    def summed(prediction: Array, target: object) -> tuple[Array, Array]:
        values, gradient = loss(prediction, target)
        return row_sums(values.reshape(len(values), math.prod(values.shape[1:]))), gradient

    return summed


# What a network can be trained with by name: a loss a sample, (N,), of its row of outputs.
LOSSES: dict[str, Loss] = CLASSIFICATION | {name: by_sample(loss) for name, loss in (REGRESSION | BINARY).items()}


def loss_function(loss: str | Loss) -> Loss:
    """Return the loss of a name in LOSSES, or the function itself."""
    return loss if callable(loss) else LOSSES[_check.choice("loss", loss, tuple(LOSSES))]


__all__ = [
    "BINARY",
    "CLASSIFICATION",
    "LOSSES",
    "REGRESSION",
    "Capped",
    "Loss",
    "RBFLoss",
    "absolute",
    "by_sample",
    "cross_entropy",
    "epsilon_insensitive",
    "huber",
    "log",
    "log_cosh",
    "loss_function",
    "margin",
    "multiclass_hinge",
    "noise_class_loss",
    "perceptron",
    "rbf_metric_loss",
    "soft_ml_loss",
    "squared",
    "zero_one",
]
