"""LeNet-5 as it is built today."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from advcore import _check
from advcore.models._shapes import flat_size
from advcore.nn import Conv2d, Flatten, Layer, Linear, MaxPool2d, Network, ReLU, Sequential


def lenet(
    input_shape: Sequence[int] = (1, 28, 28), classes: int = 10, *, seed: int = 0, dtype: DTypeLike = np.float32
) -> Network:
    """Build conv 5x5 6 (padded by 2), pool, conv 5x5 16, pool, linear 120, 84 and the logits, with ReLU after each.

    Differs from the paper: ReLU for tanh, max pooling for trained averaging, every map connected to every map, and
    logits of a linear layer for radial basis units.

    Parameters
    ----------
    input_shape : (C, H, W)
        With H and W at least 12.
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

    References
    ----------
    LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition. Proc. IEEE 86 (1998).
    """
    channels, _, _ = _check.sizes("input_shape", input_shape, axes=("C", "H", "W"), minimum=1)
    features: list[Layer] = [
        *(Conv2d(channels, 6, 5, padding=2), ReLU(), MaxPool2d(2)),
        *(Conv2d(6, 16, 5), ReLU(), MaxPool2d(2), Flatten()),
    ]
    head = [Linear(flat_size(features, input_shape), 120), ReLU(), Linear(120, 84), ReLU(), Linear(84, classes)]
    return Sequential(*features, *head, seed=seed, dtype=dtype)
