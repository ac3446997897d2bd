"""Whether a search gains from the principal components of its reference, and which.

The distance of two points' first coordinates in an orthonormal basis, joined with the difference of what these leave
of their lengths, is never more than their own. Where some dozens of components reach most of what the points vary in,
as they do for images and a network's activations, this tells most pairs apart at a fraction of the arithmetic; where
points vary in all directions alike it would only cost. Results are the same bits with any basis and without one: what
is here is estimated from samples, and only time hangs on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from advcore._check import Array

SIZES = (16, 32, 64, 96, 128, 192, 256)  # components tried
SAMPLE, SAMPLE_ELEMENTS = 512, 2**22  # rows that the components come from, fewer of long ones
PROBES = 48  # rows that stand for queries
LEAST_WORK = 1e9  # cycles of a search without a basis: sampling takes some milliseconds
LEAST_DIMENSIONS = 48
LEAST_GAIN = 0.7  # of the time without
# Cycles, as in csrc/engine/knn.cpp: of a pair of images, of a candidate that is measured, of a coordinate's product.
PAIR, IMAGE, EXACT, FETCH, PROJECT = 0.5, 1 / 28, 1 / 4, 60, 1 / 14


@dataclass(frozen=True)
class Basis:
    """Components as columns, (D, M), and a bound on how far they are from orthonormal ones, in the spectral norm."""

    components: Array
    skew: float


def choose(reference: Array, queries: int, k: int) -> Basis | None:
    """Return a basis for so many queries of a reference, or None where it does not pay."""
    points, dimensions = reference.shape
    if dimensions < LEAST_DIMENSIONS or queries * points * (PAIR + dimensions * IMAGE) < LEAST_WORK:
        return None
    size = min(SAMPLE, SAMPLE_ELEMENTS // dimensions) + PROBES
    rows = reference[:: max(1, points // size)][:size]
    if len(rows) < 4 * PROBES:
        return None
    with np.errstate(all="ignore"):  # what overflows has no basis
        # A quarter of the rows tells points that vary in all directions alike.
        limit = min(len(rows), dimensions) / 6
        if not _spread(_gram(rows[::4] - rows[::4].mean(axis=0))) < 1.25 / (1 / limit + 3 / len(rows)):
            return None
        rows = rows - rows.mean(axis=0)
        chosen = np.arange(len(rows)) * PROBES // len(rows)  # every so many rows the next probe
        first = np.diff(chosen, prepend=-1) > 0
        probes, sample = rows[first], rows[~first]
        gram = _gram(sample)
        if not _spread(gram) < min(len(sample), dimensions) / 6:
            return None
    values, vectors = np.linalg.eigh(gram)
    values, vectors = values[::-1], vectors[:, ::-1]
    most = int(min(max(SIZES), np.count_nonzero(values > 1e-5 * values[0]), dimensions // 3))
    components = sample.T @ (vectors[:, :most] / np.sqrt(values[:most])).astype(rows.dtype)
    size = _best_size(probes, sample, components, (points, queries, k))
    return _orthonormal(components[:, :size]) if size else None


def _gram(rows: Array) -> Array:
    return (rows @ rows.T).astype(np.float64)


def _spread(gram: Array) -> float:
    """Say in how many directions rows vary, at least; NaN where they do not vary or overflow."""
    energy = float(np.trace(gram))
    return energy**2 / float(np.square(gram).sum()) if 0 < energy < np.inf else np.nan


def _orthonormal(components: Array) -> Basis | None:
    """Straighten components that roundings have bent, and say how straight they are."""
    exact = components.astype(np.float64)
    exact = np.linalg.solve(np.linalg.cholesky(exact.T @ exact), exact.T).T
    rounded = np.ascontiguousarray(exact, dtype=components.dtype)
    exact = rounded.astype(np.float64)
    skew = float(np.linalg.norm(exact.T @ exact - np.eye(exact.shape[1])))
    return Basis(rounded, 1.01 * skew + 1e-12) if skew < 1e-4 else None


def _best_size(probes: Array, sample: Array, components: Array, search: tuple[int, int, int]) -> int:
    """Return how many of the components to take, 0 for none: what is left to be measured is seen in the sample."""
    points, queries, k = search
    dimensions = len(components)
    own = np.square(probes).sum(axis=1), np.square(sample).sum(axis=1)
    squared = own[0][:, None] + own[1] - 2 * probes @ sample.T
    rank = min(len(sample), max(1, round(len(sample) * k / points)))
    farthest = np.partition(squared, rank - 1, axis=1)[:, rank - 1, None]
    best, size = LEAST_GAIN * (PAIR + dimensions * IMAGE), 0
    for m in [m for m in SIZES if m <= components.shape[1]]:
        p, s = probes @ components[:, :m], sample @ components[:, :m]
        lengths = np.square(p).sum(axis=1), np.square(s).sum(axis=1)
        rest = [np.sqrt(np.maximum(whole - length, 0)) for whole, length in zip(own, lengths, strict=True)]
        lower = lengths[0][:, None] + lengths[1] - 2 * p @ s.T + np.square(rest[0][:, None] - rest[1])
        candidates = float((lower <= farthest).mean())
        making = (points + queries) * dimensions * m * PROJECT / (points * queries)
        cost = PAIR + m * IMAGE + candidates * (dimensions * EXACT + FETCH) + making
        if cost < best:
            best, size = cost, m
    return size
