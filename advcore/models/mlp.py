"""Multi-layer perceptron."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from advcore import _check
from advcore.nn import GELU, Dropout, Flatten, Layer, Linear, Network, ReLU, Sequential, Sigmoid, Tanh

_ACTIVATIONS: dict[str, type[Layer]] = {"relu": ReLU, "gelu": GELU, "sigmoid": Sigmoid, "tanh": Tanh}


def mlp(
    input_shape: Sequence[int] = (1, 28, 28),
    classes: int = 10,
    *,
    hidden: Sequence[int] = (200, 200),
    activation: str = "relu",
    dropout: float = 0.0,
    seed: int = 0,
    dtype: DTypeLike = np.float32,
) -> Network:
    """Build linear layers with an activation between them, on the flattened input.

    Parameters
    ----------
    input_shape : sequence of int
        Of a sample.
    classes : int
        Logits.
    hidden : sequence of int
        Units of each hidden layer; none makes a linear classifier.
    activation : "relu", "gelu", "sigmoid" or "tanh"
    dropout : float
        In [0, 1), after each hidden activation; 0 leaves the layers out.
    seed : int
        Of the parameters.
    dtype : float32 or float64

    Returns
    -------
    Network

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type or out of range.
    """
    shape = _check.sizes("input_shape", input_shape, minimum=1)
    layers = hidden_layers(shape, hidden, activation, dropout)
    features = hidden[-1] if hidden else math.prod(shape)
    return Sequential(*layers, Linear(features, classes), seed=seed, dtype=dtype)


def hidden_layers(shape: Sequence[int], hidden: Sequence[int], activation: str, dropout: float) -> list[Layer]:
    """Return the layers below a perceptron's last one; arguments as mlp's."""
    make = _ACTIVATIONS[_check.choice("activation", activation, tuple(_ACTIVATIONS))]
    layers: list[Layer] = [Flatten()]
    features = math.prod(shape)
    for units in hidden:
        layers += [Linear(features, units), make()]
        if dropout:
            layers.append(Dropout(dropout))
        features = units
    return layers
