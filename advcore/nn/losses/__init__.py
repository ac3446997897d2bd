"""Losses: functions (prediction, target) -> (each sample's loss, its gradient for the prediction)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from advcore import _check
from advcore._check import Array
from advcore.nn.losses.binary import log, perceptron, zero_one
from advcore.nn.losses.classification import cross_entropy, margin, multiclass_hinge
from advcore.nn.losses.rbf import noise_class_loss, rbf_metric_loss
from advcore.nn.losses.regression import absolute, epsilon_insensitive, huber, log_cosh, squared

Loss = Callable[[Array, Any], tuple[Array, Array]]

LOSSES: dict[str, Loss] = {
    "cross_entropy": cross_entropy,
    "multiclass_hinge": multiclass_hinge,
    "margin": margin,
}


def loss_function(loss: str | Loss) -> Loss:
    """Return the loss of a name in LOSSES, or the function itself."""
    return loss if callable(loss) else LOSSES[_check.choice("loss", loss, tuple(LOSSES))]


__all__ = [
    "LOSSES",
    "Loss",
    "absolute",
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
    "squared",
    "zero_one",
]
