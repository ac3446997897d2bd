"""The radial-basis network with rejection."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from advcore import _check
from advcore.models.mlp import hidden_layers
from advcore.nn import Linear, NegativeDistance, Network, Sequential


def rbf_network(
    input_shape: Sequence[int] = (1, 28, 28),
    classes: int = 10,
    *,
    hidden: Sequence[int] = (150,),
    units: int = 10,
    p: float = 2.0,
    activation: str = "gelu",
    seed: int = 0,
    dtype: DTypeLike = np.float32,
) -> Network:
    """Build ``-d_k = -||A_k f(x) + b_k||_p^p``: features f by a perceptron, then each class's distance, negative.

    The largest logit is the nearest class. Train it with ``loss=nn.losses.RBFLoss(lambda_)``;
    ``defenses.Rejecting`` refuses inputs that are far from every class.

    Parameters
    ----------
    input_shape : sequence of int
        Of a sample.
    classes : int
        Distances.
    hidden : sequence of int
        Units of each hidden layer of f.
    units : int
        Rows of each A_k, at least 1.
    p : float
        Power of the distance, at least 1.
    activation : "gelu", "relu", "sigmoid" or "tanh"
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

    References
    ----------
    Habibzadeh, Hosseini, Sra: Deep RBF networks with rejection. arXiv 1812.03190 (2018).
    """
    shape = _check.sizes("input_shape", input_shape, minimum=1)
    classes, units = _check.integer("classes", classes, minimum=1), _check.integer("units", units, minimum=1)
    layers = hidden_layers(shape, hidden, activation, 0.0)
    features = hidden[-1] if hidden else math.prod(shape)
    return Sequential(*layers, Linear(features, classes * units), NegativeDistance(classes, p), seed=seed, dtype=dtype)
