"""What a function that changes the samples of a training is told of a batch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advcore._check import Array


class Batch(NamedTuple):
    """The samples of one update, and where in the training it is.

    Attributes
    ----------
    x : array, (B, ...)
    y : int64 array, (B,), or array, (B, K)
        Labels, or what else the loss takes.
    samples : int64 array, (B,)
        The samples' places in the training data: random numbers that are keyed by them do not depend on the order.
    epoch : int
        From 1.
    share : float
        Of all updates, how many are done; in [0, 1).
    seed : int
        Of the training.
    """

    x: Array
    y: Array | NDArray[np.int64]
    samples: NDArray[np.int64]
    epoch: int
    share: float
    seed: int
