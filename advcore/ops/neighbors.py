"""k nearest neighbours, and the local intrinsic dimensionality that their distances tell."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from advcore import _check, _core
from advcore._check import Array
from advcore.ops import _knn_basis

Estimator = Literal["mle", "mom"]
ESTIMATORS: tuple[Estimator, ...] = ("mle", "mom")
Indices = NDArray[np.int64]
Search = Callable[[Array, Indices, Array, Indices | None], None]  # distances, indices, queries, exclude


def knn(
    queries: Array,
    reference: Array,
    k: int,
    *,
    exclude: Indices | None = None,
    out: tuple[Array, Indices] | None = None,
) -> tuple[Array, Indices]:
    """Find the k nearest reference points of every query, by ``sqrt(sum_d (queries[q, d] - reference[r, d])**2)``.

    The search is exact: neighbours are ordered by sums of squared differences in float64, whatever the type, and the
    distances are their roots, rounded once. So they are right for points that lie close together and far from the
    origin. (Of at most 128 points in float32 what the order does not need is found in float32, and distances are right
    to a millionth.) Extra memory is a small multiple of the result and some tens of MiB. To search one reference again
    and again, prepare it once: ``KnnIndex``.

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
        If a shape does not fit, k or exclude is out of range, a sample has NaN or infinity, or a distance to be
        returned is beyond the type (in float64, its square).

    Notes
    -----
    Squared differences below the smallest number of float64 vanish: those of differences below 1e-162.
    """
    queries, reference, k, exclude = _checked(queries, reference, k, exclude)
    return search(_once(reference), queries, reference, k, exclude, out)


def lid(
    queries: Array,
    reference: Array,
    k: int,
    *,
    exclude: Indices | None = None,
    estimator: Estimator = "mle",
    out: Array | None = None,
) -> Array:
    """Estimate the local intrinsic dimensionality at every query: ``-(1/k sum_i log(r_i / r_k))**-1``.

    r_1 <= ... <= r_k are the distances of the query's k nearest reference points. The maximum-likelihood estimate of
    Amsaleg et al. (2015), as Ma et al. (2018, arXiv 1801.02613, equation 4) use it on batches of activations.

    Parameters
    ----------
    queries, reference, k, exclude
        As knn.
    estimator : {"mle", "mom"}
        Maximum likelihood, or the method of moments (Amsaleg et al. 2018): ``m / (r_k - m)`` with
        ``m = 1/k sum_i r_i``, as scikit-dimension's ``MOM`` has it.
    out : array, optional
        Receives the result.

    Returns
    -------
    array, (Q,)
        0 where a distance is zero (a duplicate; of "mom", where all are); infinity where all are equal and positive
        (always for k = 1).

    Raises
    ------
    TypeError, ValueError
        As knn; ValueError for an unknown estimator.
    """
    queries, reference, k, exclude = _checked(queries, reference, k, exclude)
    return estimate(_once(reference), queries, reference, k, exclude, estimator, out)


def two_nn(points: Array, *, discard_fraction: float = 0.1) -> float:
    """Estimate the intrinsic dimension of a set of points from the distances r_1, r_2 of each one's two neighbours.

    With mu = r_2 / r_1 in ascending order and F_i = i / N (i from 1), the dimension is the slope of the line through
    the origin that is fitted to ``-log(1 - F_i)`` over ``log mu_i`` by least squares, without the largest mu: TwoNN,
    Facco et al. (2017, doi 10.1038/s41598-017-11873-y), as ``TwoNN`` of scikit-dimension 0.5 has it.

    Parameters
    ----------
    points : float32 or float64 array, (N, D)
    discard_fraction : float
        Share of the points, those of the largest mu, that is left out; in (0, 1).

    Returns
    -------
    float
        Infinity where every r_1 and r_2 are equal.

    Raises
    ------
    TypeError
        If the points are no array of float32 or float64.
    ValueError
        If the shape is not (N, D) with N >= 3, a sample has NaN or infinity, or the fraction is out of range or leaves
        fewer than two points.

    Notes
    -----
    Differs from the paper: the mu of a point with a duplicate has no value, and N counts the points without one.
    """
    points = check_reference(points, "points")
    discard_fraction = _check.real("discard_fraction", discard_fraction, above=0.0, below=1.0)
    if len(points) < 3:
        raise ValueError(f"points must be at least 3, got shape {points.shape}")
    distances, _ = knn(points, points, 2, exclude=np.arange(len(points)))
    first, second = distances[distances[:, 0] > 0].astype(np.float64).T
    count = int(len(first) * (1 - discard_fraction))
    if count < 2:
        raise ValueError(f"points must leave at least 2 without duplicates and those discarded, got {count}")
    logs = np.log(np.sort(second / first)[:count])
    heights = -np.log1p(-np.arange(1, count + 1) / len(first))
    squares = float(logs @ logs)
    return float(logs @ heights) / squares if squares > 0 else math.inf


def check_reference(reference: Array, name: str = "reference", *, finite: bool = True) -> Array:
    """Return reference points that can be searched, or say what is wrong; but for ``finite``."""
    reference = _check.array(name, reference, axes=("R", "D"))
    if len(reference) == 0:
        raise ValueError(f"{name} must have at least one point, got shape {reference.shape}")
    if finite:
        _check.finite(name, reference)
    return reference


def tells_nonfinite(queries: Array, reference: Array) -> bool:
    """Say whether the search can be left to find what is not finite: reading all of it first takes a tenth longer."""
    return len(queries) > 0 and _core.knn_tells_nonfinite(reference)


def check_queries(
    queries: Array, reference: Array, k: int, exclude: Indices | None
) -> tuple[Array, int, Indices | None]:
    """Return what is asked of a reference, or say what is wrong."""
    queries = _check.array("queries", queries, axes=("Q", "D"), dtype=reference.dtype)
    if queries.shape[1] != reference.shape[1]:
        raise ValueError(
            f"queries and reference must have the same number of columns, got {queries.shape} and {reference.shape}"
        )
    if not tells_nonfinite(queries, reference):
        _check.finite("queries", queries)
    left = len(reference)
    if exclude is not None:
        exclude = _check.integers("exclude", exclude, shape=(len(queries),), minimum=-1, maximum=len(reference) - 1)
        left -= bool((exclude >= 0).any())
    k = _check.integer("k", k, minimum=1)
    if k > left:
        points = "points once one is excluded" if left < len(reference) else "points"
        raise ValueError(f"k must be at most {left}, the number of reference {points}, got {k}")
    return queries, k, exclude


def search(
    run: Search,
    queries: Array,
    reference: Array,
    k: int,
    exclude: Indices | None,
    out: tuple[Array, Indices] | None,
) -> tuple[Array, Indices]:
    """Run a search on checked arguments."""
    out_distances, out_indices = _check.outputs(out, 2)
    inputs = (queries, reference, exclude)
    distances = _check.output(out_distances, (len(queries), k), queries.dtype, inputs)
    indices = _check.output(out_indices, (len(queries), k), np.dtype(np.int64), inputs)
    if out is not None:  # it stays as it was where the search finds what is refused
        distances, indices = np.empty_like(distances), np.empty_like(indices)
    run(distances, indices, queries, exclude)
    if np.isinf(distances[:, -1]).any():
        _check.finite("queries", queries)
        _check.finite("reference", reference)
        row = int(np.argmax(np.isinf(distances[:, -1])))
        raise ValueError(f"queries and reference must have distances within {queries.dtype}, got larger: row {row}")
    return _check.deliver(distances, out_distances), _check.deliver(indices, out_indices)


def estimate(
    run: Search,
    queries: Array,
    reference: Array,
    k: int,
    exclude: Indices | None,
    estimator: Estimator,
    out: Array | None,
) -> Array:
    """Run a search on checked arguments and estimate dimensions."""
    _check.choice("estimator", estimator, ESTIMATORS)
    result = _check.output(out, (len(queries),), queries.dtype, (queries, reference))
    distances, _ = search(run, queries, reference, k, exclude, None)
    if estimator == "mle":
        _core.lid(result, distances)
    else:
        farthest = distances[:, -1].astype(np.float64)
        mean = distances.mean(axis=1, dtype=np.float64)
        apart = np.where(distances[:, 0] < distances[:, -1], np.maximum(farthest - mean, 0), 0)  # the mean is rounded
        with np.errstate(divide="ignore", invalid="ignore"):
            result[...] = np.where(farthest > 0, mean / apart, 0)
    return _check.deliver(result, out)


def _checked(
    queries: Array, reference: Array, k: int, exclude: Indices | None
) -> tuple[Array, Array, int, Indices | None]:
    queries = _check.array("queries", queries, axes=("Q", "D"))
    _check.array("reference", reference, axes=("R", "D"), dtype=queries.dtype)
    reference = check_reference(reference, finite=False)
    _, k, exclude = check_queries(queries, reference, k, exclude)
    if not tells_nonfinite(queries, reference):
        _check.finite("reference", reference)
    return queries, reference, k, exclude


def _once(reference: Array) -> Search:
    """Return the search of a reference that is not prepared."""

    def run(distances: Array, indices: Indices, queries: Array, exclude: Indices | None) -> None:
        basis = _knn_basis.choose(reference, len(queries), indices.shape[1])
        if basis is None:
            _core.knn(distances, indices, queries, reference, exclude, None, 0.0)
        else:
            _core.knn(distances, indices, queries, reference, exclude, basis.components, basis.skew)

    return run
