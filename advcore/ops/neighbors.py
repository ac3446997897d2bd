"""k nearest neighbours, and the local intrinsic dimensionality that their distances tell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advcore import _check, _core
from advcore._check import Array


def knn(
    queries: Array,
    reference: Array,
    k: int,
    *,
    exclude: NDArray[np.int64] | None = None,
    out: tuple[Array, NDArray[np.int64]] | None = None,
) -> tuple[Array, NDArray[np.int64]]:
    """Find the k nearest reference points of every query, by ``sqrt(sum_d (queries[q, d] - reference[r, d])**2)``.

    The search is exact, and distances come from differences, never from inner products: they are right for points that
    lie close together and far from the origin. Extra memory is a small multiple of the result.

    Parameters
    ----------
    queries : float32 or float64 array, (Q, D)
    reference : array, (R, D)
    k : int
        Neighbours, in [1, R], or [1, R - 1] where a query excludes a point.
    exclude : int64 array, (Q,), optional
        For every query the index of one reference point that must not come back (itself, say), -1 for none.
    out : pair of arrays, optional
        Receive the results.

    Returns
    -------
    distances : array, (Q, k)
        Ascending.
    indices : int64 array, (Q, k)
        Rows of the reference; of two at the same distance, the lower comes first.

    Raises
    ------
    TypeError
        If an array has the wrong type, or the types differ.
    ValueError
        If a shape does not fit, k or exclude is out of range, a sample has NaN or infinity, or the square of a
        distance to be returned is beyond the type (in float32, distances from 1.8e19).

    Notes
    -----
    Squared differences below the smallest number of the type vanish: in float32, those of differences below 1e-22.
    """
    queries, reference, exclude = _points(queries, reference, exclude)
    k = _neighbours(k, reference, exclude)
    return _search(queries, reference, k, exclude, out)


def lid(
    queries: Array,
    reference: Array,
    k: int,
    *,
    exclude: NDArray[np.int64] | None = None,
    out: Array | None = None,
) -> Array:
    """Estimate the local intrinsic dimensionality at every query: ``-(1/k sum_i log(r_i / r_k))**-1``.

    r_1 <= ... <= r_k are the distances of the query's k nearest reference points. The maximum-likelihood estimate of
    Amsaleg et al. (2015), as Ma et al. (2018, arXiv 1801.02613, equation 4) use it on batches of activations.

    Parameters
    ----------
    queries, reference, k, exclude
        As knn.
    out : array, optional
        Receives the result.

    Returns
    -------
    array, (Q,)
        0 where a distance is zero (a duplicate); infinity where all are equal and positive (always for k = 1).

    Raises
    ------
    TypeError, ValueError
        As knn.
    """
    queries, reference, exclude = _points(queries, reference, exclude)
    k = _neighbours(k, reference, exclude)
    result = _check.output(out, (len(queries),), queries.dtype, (queries, reference))
    distances, _ = _search(queries, reference, k, exclude, None)
    _core.lid(result, distances)
    return _check.deliver(result, out)


def check_reference(reference: Array) -> Array:
    """Return reference points that can be searched, or say what is wrong."""
    reference = _check.array("reference", reference, axes=("R", "D"))
    if len(reference) == 0:
        raise ValueError(f"reference must have at least one point, got shape {reference.shape}")
    _check.finite("reference", reference)
    return reference


def _points(
    queries: Array, reference: Array, exclude: NDArray[np.int64] | None
) -> tuple[Array, Array, NDArray[np.int64] | None]:
    queries = _check.array("queries", queries, axes=("Q", "D"))
    reference = _check.array("reference", reference, axes=("R", "D"), dtype=queries.dtype)
    if queries.shape[1] != reference.shape[1]:
        raise ValueError(
            f"queries and reference must have the same number of columns, got {queries.shape} and {reference.shape}"
        )
    _check.finite("queries", queries)
    reference = check_reference(reference)
    if exclude is not None:
        exclude = _check.integers("exclude", exclude, shape=(len(queries),), minimum=-1, maximum=len(reference) - 1)
    return queries, reference, exclude


def _neighbours(k: int, reference: Array, exclude: NDArray[np.int64] | None) -> int:
    excluded = exclude is not None and bool((exclude >= 0).any())
    k = _check.integer("k", k, minimum=1)
    left = len(reference) - excluded
    if k > left:
        points = "points once one is excluded" if excluded else "points"
        raise ValueError(f"k must be at most {left}, the number of reference {points}, got {k}")
    return k


def _search(
    queries: Array,
    reference: Array,
    k: int,
    exclude: NDArray[np.int64] | None,
    out: tuple[Array, NDArray[np.int64]] | None,
) -> tuple[Array, NDArray[np.int64]]:
    out_distances, out_indices = _check.outputs(out, 2)
    inputs = (queries, reference, exclude)
    distances = _check.output(out_distances, (len(queries), k), queries.dtype, inputs)
    indices = _check.output(out_indices, (len(queries), k), np.dtype(np.int64), inputs)
    _core.knn(distances, indices, queries, reference, exclude)
    if np.isinf(distances).any():
        row = int(np.argmax(np.isinf(distances).any(axis=1)))
        raise ValueError(
            f"queries and reference must have squared distances within {queries.dtype}, got larger: row {row}"
        )
    return _check.deliver(distances, out_distances), _check.deliver(indices, out_indices)
