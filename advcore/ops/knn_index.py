"""A reference that is prepared once and searched many times."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from advcore import _check, _core, _files, _safetensors
from advcore._check import Array
from advcore.ops import _knn_basis, neighbors
from advcore.ops.neighbors import Estimator

FORMAT = "advcore.KnnIndex"
VERSION = "1"
EXPECTED_QUERIES, EXPECTED_NEIGHBOURS = 10_000, 20  # that a basis is chosen for


class KnnIndex:
    """Reference points prepared for repeated searches; the results are those of ``knn`` and ``lid``, bit for bit.

    Parameters
    ----------
    reference : float32 or float64 array, (R, D)
        Is copied: later changes to it do not reach the index.

    Attributes
    ----------
    reference : array, (R, D)
        The points, read-only.

    Raises
    ------
    TypeError
        If the reference is no array of float32 or float64.
    ValueError
        If it does not have shape (R, D), has no points, or has NaN or infinity (the row is named).
    """

    def __init__(self, reference: Array) -> None:
        points = neighbors.check_reference(reference).copy()
        points.flags.writeable = False
        self.reference = points
        basis = _knn_basis.choose(points, EXPECTED_QUERIES, EXPECTED_NEIGHBOURS)
        prepare = _core.PreparedReference32 if points.dtype == np.float32 else _core.PreparedReference64
        self._prepared = prepare(points, None, 0.0) if basis is None else prepare(points, basis.components, basis.skew)

    def search(
        self,
        queries: Array,
        k: int,
        *,
        exclude: NDArray[np.int64] | None = None,
        out: tuple[Array, NDArray[np.int64]] | None = None,
    ) -> tuple[Array, NDArray[np.int64]]:
        """Find the k nearest reference points of every query; arguments, results and errors are those of ``knn``."""
        queries, k, exclude = neighbors.check_queries(queries, self.reference, k, exclude)
        return neighbors.search(self._prepared.search, queries, self.reference, k, exclude, out)

    def lid(
        self,
        queries: Array,
        k: int,
        exclude: NDArray[np.int64] | None = None,
        *,
        estimator: Estimator = "mle",
        out: Array | None = None,
    ) -> Array:
        """Estimate the local intrinsic dimensionality at every query; arguments, result and errors are ``lid``'s."""
        queries, k, exclude = neighbors.check_queries(queries, self.reference, k, exclude)
        return neighbors.estimate(self._prepared.search, queries, self.reference, k, exclude, estimator, out)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to a file in the safetensors format, which appears whole or not at all.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        metadata = {"format": FORMAT, "version": VERSION}
        _files.write(_check.path("path", path), _safetensors.to_bytes({"reference": self.reference}, metadata))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> KnnIndex:
        """Read an index that ``save`` wrote; the file may be anyone's, nothing in it is executed.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is not the file of an index, or its points are not finite numbers of shape (R, D).
        """
        file = _check.path("path", path)
        try:
            arrays, metadata = _safetensors.read(file)
            if metadata.get("format") != FORMAT or list(arrays) != ["reference"]:
                raise ValueError(f"it must hold an {FORMAT}, got {metadata.get('format')!r} with {sorted(arrays)}")
            if metadata.get("version") != VERSION:
                raise ValueError(f"its version must be {VERSION}, got {metadata.get('version')!r}")
            return cls(arrays["reference"])
        except (ValueError, TypeError) as error:
            raise ValueError(f"cannot load an index from {file}: {error}") from error
