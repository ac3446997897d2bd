"""The convolutional networks that Carlini and Wagner attacked on MNIST and CIFAR-10."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from advcore import _check
from advcore.models._shapes import flat_size
from advcore.nn import Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, Network, ReLU, Sequential


def carlini_mnist(
    input_shape: Sequence[int] = (1, 28, 28),
    classes: int = 10,
    *,
    dropout: float = 0.5,
    seed: int = 0,
    dtype: DTypeLike = np.float32,
) -> Network:
    """Build conv 3x3 32, 32, pool, 64, 64, pool, linear 200, 200 and the logits, with ReLU after each.

    Parameters
    ----------
    input_shape : (C, H, W)
        With H and W at least 16.
    classes : int
        Logits.
    dropout : float
        In [0, 1), after the first linear layer; 0 leaves the layer out.
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
    Carlini, Wagner: Towards evaluating the robustness of neural networks. IEEE S&P 2017, table 1.
    """
    return _build(32, 200, input_shape, classes, dropout, seed, dtype)


def carlini_cifar(
    input_shape: Sequence[int] = (3, 32, 32),
    classes: int = 10,
    *,
    dropout: float = 0.5,
    seed: int = 0,
    dtype: DTypeLike = np.float32,
) -> Network:
    """Build conv 3x3 64, 64, pool, 128, 128, pool, linear 256, 256 and the logits, with ReLU after each.

    Parameters, errors and reference as carlini_mnist.
    """
    return _build(64, 256, input_shape, classes, dropout, seed, dtype)


def _build(
    maps: int, units: int, input_shape: Sequence[int], classes: int, dropout: float, seed: int, dtype: DTypeLike
) -> Network:
    channels, _, _ = _check.sizes("input_shape", input_shape, axes=("C", "H", "W"), minimum=1)
    features: list[Layer] = [
        *(Conv2d(channels, maps, 3), ReLU(), Conv2d(maps, maps, 3), ReLU(), MaxPool2d(2)),
        *(Conv2d(maps, 2 * maps, 3), ReLU(), Conv2d(2 * maps, 2 * maps, 3), ReLU(), MaxPool2d(2), Flatten()),
    ]
    head = [Linear(flat_size(features, input_shape), units), ReLU(), *([Dropout(dropout)] if dropout else [])]
    return Sequential(*features, *head, Linear(units, units), ReLU(), Linear(units, classes), seed=seed, dtype=dtype)
