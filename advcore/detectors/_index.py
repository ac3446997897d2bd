"""A reference that is searched again and again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advcore import ops
from advcore._check import Array


class KnnIndex:
    """The neighbours of queries among reference points, (R, D)."""

    def __init__(self, reference: Array) -> None:
        self.reference = reference

    def search(
        self, queries: Array, k: int, *, exclude: NDArray[np.int64] | None = None
    ) -> tuple[Array, NDArray[np.int64]]:
        """See ops.knn."""
        return ops.knn(queries, self.reference, k, exclude=exclude)

    def lid(self, queries: Array, k: int, *, exclude: NDArray[np.int64] | None = None) -> Array:
        """See ops.lid."""
        return ops.lid(queries, self.reference, k, exclude=exclude)
