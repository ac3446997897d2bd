"""A small convolutional network for small images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from advcore import _check
from advcore.models._shapes import flat_size
from advcore.nn import Conv2d, Flatten, Layer, Linear, MaxPool2d, Network, ReLU, Sequential


def small_cnn(
    input_shape: Sequence[int] = (1, 8, 8), classes: int = 10, *, seed: int = 0, dtype: DTypeLike = np.float32
) -> Network:
    """Build conv 3x3 16, conv 3x3 32 (both padded by 1), pool, linear 64 and the logits, with ReLU after each.

    Parameters
    ----------
    input_shape : (C, H, W)
        With H and W at least 2.
    classes : int
        Logits.
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
    channels, _, _ = _check.sizes("input_shape", input_shape, axes=("C", "H", "W"), minimum=1)
    features: list[Layer] = [
        *(Conv2d(channels, 16, 3, padding=1), ReLU(), Conv2d(16, 32, 3, padding=1), ReLU()),
        *(MaxPool2d(2), Flatten()),
    ]
    head = [Linear(flat_size(features, input_shape), 64), ReLU(), Linear(64, classes)]
    return Sequential(*features, *head, seed=seed, dtype=dtype)
