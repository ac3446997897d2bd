"""What every loader returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Dataset:
    """Images and labels, for training and for testing.

    Attributes
    ----------
    x_train, x_test : float32 array, (N, C, H, W)
        In [0, 1].
    y_train, y_test : int64 array, (N,)
        In [0, classes).
    name : str
        For reports.
    classes : int
        Number of classes.
    """

    x_train: NDArray[np.float32]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.float32]
    y_test: NDArray[np.int64]
    name: str
    classes: int

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Return the shape of one image, (C, H, W)."""
        return self.x_train.shape[1:]
