"""The small convolutional network that provable and fast adversarial training use on MNIST."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from advcore import _check
from advcore.models._shapes import flat_size
from advcore.nn import Conv2d, Flatten, Layer, Linear, Network, ReLU, Sequential


def wong_mnist(
    input_shape: Sequence[int] = (1, 28, 28), classes: int = 10, *, seed: int = 0, dtype: DTypeLike = np.float32
) -> Network:
    """Build conv 4x4 16 and conv 4x4 32, both of stride 2 and padded by 1, linear 100 and the logits, ReLU after each.

    Parameters
    ----------
    input_shape : (C, H, W)
        With H and W at least 4.
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
    Wong, Kolter: Provable defenses against adversarial examples via the convex outer adversarial polytope. ICML 2018.
    """
    channels, _, _ = _check.sizes("input_shape", input_shape, axes=("C", "H", "W"), minimum=1)
    features: list[Layer] = [
        *(Conv2d(channels, 16, 4, stride=2, padding=1), ReLU()),
        *(Conv2d(16, 32, 4, stride=2, padding=1), ReLU(), Flatten()),
    ]
    head = [Linear(flat_size(features, input_shape), 100), ReLU(), Linear(100, classes)]
    return Sequential(*features, *head, seed=seed, dtype=dtype)
