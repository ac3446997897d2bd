"""Memory for results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import _core

LARGE = 128 << 10  # bytes; the system clears the pages of what is larger each time it hands it out


def empty(shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array that is not set to zero, a large one in memory that earlier results have left."""
    if math.prod(shape) * dtype.itemsize < LARGE:
        return np.empty(shape, dtype)
    try:
        return _core.new_array(shape, dtype)
    except MemoryError:
        return np.empty(shape, dtype)  # whose error says how much was asked for
