"""The search where a filter goes first: the sets of float64, whatever the data do to the filter, and the same bits."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import advcore
from advcore import _core, ops
from advcore.ops import _knn_basis

# Sizes for which the filter of images pays, that of sums (at most 128 points), and none.
SIZES = [(60, 400, 64), (200, 2000, 10), (60, 400, 785), (30, 300, 2100), (25, 200, 5000), (7, 60, 1)]
SIZES += [(130, 100, 300), (41, 128, 785), (250, 33, 1024)]


def brute(queries, reference):
    queries, reference = queries.astype(np.float64), reference.astype(np.float64)
    return np.stack([np.sqrt(np.square(query - reference).sum(axis=1)) for query in queries])


def assert_exact(queries, reference, k, found, exclude=None):
    """The neighbours are float64's, but for those whose distances are equal within its rounding."""
    distances, indices = found
    every = brute(queries, reference)
    if exclude is not None:
        every[exclude >= 0, exclude[exclude >= 0]] = np.inf
    want = np.sort(every, axis=1)[:, :k]
    assert all(len(set(row)) == k for row in indices.tolist())
    np.testing.assert_allclose(np.take_along_axis(every, indices, axis=1), want, rtol=1e-13 * queries.shape[1] ** 0.5)
    type_ = np.finfo(distances.dtype)
    few = reference.shape[0] <= 128 and reference.shape[1] >= 32  # sums in float32, as far as these tell points apart
    narrow = 1e-6 if few else 1.2e-7
    np.testing.assert_allclose(
        distances, want, rtol=narrow if type_.bits == 32 else 1e-12, atol=type_.smallest_subnormal
    )


def normal(rng, q, r, d):
    return rng.normal(size=(q, d)), rng.normal(size=(r, d))


def shifted(rng, q, r, d):
    return tuple(1000 + rng.random((n, d)) for n in (q, r))


def near_duplicates(rng, q, r, d):
    reference = 1000 + rng.random((r, d))
    return reference[rng.integers(0, r, q)] + rng.normal(0, 1e-3, (q, d)), reference


def duplicates(rng, q, r, d):
    reference = rng.normal(size=(1 + r // 5, d))[rng.integers(0, 1 + r // 5, r)]
    return reference[rng.integers(0, r, q)], reference


def constant_columns(rng, q, r, d):
    queries, reference = normal(rng, q, r, d)
    constant = rng.random(d) < 0.9
    queries[:, constant] = reference[:, constant] = 1e4
    return queries, reference


def tight_clusters(rng, q, r, d):
    centers = rng.normal(size=(4, d))
    return tuple(centers[rng.integers(0, 4, n)] + rng.normal(0, 1e-5, (n, d)) for n in (q, r))


def outliers(rng, q, r, d):
    queries, reference = normal(rng, q, r, d)
    reference[::37] *= 1e6
    queries[::5] *= 1e8
    return queries, reference


def far_queries(rng, q, r, d):
    queries, reference = normal(rng, q, r, d)
    return queries + 1e4, reference


def few_directions(rng, q, r, d):
    basis = rng.normal(size=(3, d))
    return tuple(rng.normal(size=(n, 3)) @ basis + rng.normal(0, 0.01, (n, d)) for n in (q, r))


def large(rng, q, r, d):
    return tuple(1e18 * x for x in normal(rng, q, r, d))


def tiny(rng, q, r, d):
    return tuple(1e-22 * x for x in normal(rng, q, r, d))


def subnormal(rng, q, r, d):
    return tuple(1e-42 * x for x in normal(rng, q, r, d))


def all_equal(rng, q, r, d):
    return np.full((q, d), 2.5), np.full((r, d), 2.5)


DATA = [normal, shifted, near_duplicates, duplicates, constant_columns, tight_clusters, outliers, far_queries]
DATA += [few_directions, large, tiny, subnormal, all_equal]


@pytest.mark.parametrize("make", DATA, ids=lambda make: make.__name__)
@settings(max_examples=6, deadline=None)
@given(st.data())
def test_sets_are_those_of_float64(make, data):
    q, r, d = data.draw(st.sampled_from(SIZES))
    k = data.draw(st.sampled_from([1, 2, 9, r // 8, r - 1, r]))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    queries, reference = (x.astype(dtype) for x in make(rng, q, r, d))
    exclude = rng.integers(-1, r, q) if k < r and data.draw(st.booleans()) else None
    found = ops.knn(queries, reference, k, exclude=exclude)
    assert_exact(queries, reference, k, found, exclude)
    if make is all_equal:
        for row, own in zip(found[1], exclude if exclude is not None else [-1] * q, strict=True):
            assert row.tolist() == [i for i in range(r) if i != own][:k]
    again = ops.KnnIndex(reference).search(queries, k, exclude=exclude)
    for ours, theirs in zip(found, again, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=30, deadline=None)
@given(st.data())
def test_few_points_among_themselves_have_the_bits_of_others(dtype, data):
    """Half of the pairs are found by the other half, where the queries lie in the memory of the reference."""
    count = data.draw(st.integers(1, 128))
    first = data.draw(st.integers(0, count - 1))
    last, k = data.draw(st.integers(first + 1, count)), data.draw(st.integers(1, count))
    points = np.random.default_rng(count).normal(size=(count, 75)).astype(dtype)
    points[count // 2 :] += 3 * (points[: count - count // 2] > 1)
    before = advcore.get_num_threads()
    try:
        for threads in (1, 3):
            advcore.set_num_threads(threads)
            own, other = ops.knn(points[first:last], points, k), ops.knn(points[first:last].copy(), points, k)
            for ours, theirs in zip(own, other, strict=True):
                np.testing.assert_array_equal(ours, theirs)
    finally:
        advcore.set_num_threads(before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_few_points_are_in_the_order_of_float64_within_the_rounding_of_float32(dtype):
    """The same terms in another order: their sums differ in float32, and are equal in float64, or nearly so."""
    rng = np.random.default_rng(0)
    steps = rng.integers(1, 4000, 500) / 4096
    queries = rng.integers(0, 100, (20, 500)).astype(dtype)
    shuffled = np.stack([rng.permutation(steps) for _ in range(60)])
    reference = np.concatenate([queries[3] + shuffled, queries[3] + shuffled + 1 / 1024 * (np.arange(500) == 7)])
    reference = reference[rng.permutation(120)].astype(dtype)
    for k in (1, 15, 60, 119, 120):
        _, indices = ops.knn(queries, reference, k)
        want = np.argsort(np.square(queries[3].astype(np.float64) - reference).sum(axis=1), kind="stable")[:k]
        np.testing.assert_array_equal(indices[3], want)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", [normal, shifted, outliers, few_directions, tight_clusters], ids=lambda m: m.__name__)
def test_a_basis_changes_no_bit(make, dtype):
    rng = np.random.default_rng(0)
    queries, reference = (x.astype(dtype) for x in make(rng, 150, 1500, 70))
    want = ops.knn(queries, reference, 12)
    assert_exact(queries, reference, 12, want)
    prepare = _core.PreparedReference32 if dtype == np.float32 else _core.PreparedReference64
    for components in (1, 16, 45):
        basis = np.linalg.qr(rng.normal(size=(70, components)))[0].astype(dtype)
        skew = np.linalg.norm(basis.T.astype(np.float64) @ basis - np.eye(components)) + 1e-12
        once, prepared = [tuple(np.empty_like(x) for x in want) for _ in range(2)]
        _core.knn(*once, queries, reference, None, basis, skew)
        prepare(reference, basis, skew).search(*prepared, queries, None)
        for ours, theirs in zip((*once, *prepared), (*want, *want), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_a_basis_is_taken_where_points_vary_in_few_directions_alone(monkeypatch):
    rng = np.random.default_rng(1)
    falling = rng.normal(size=(4000, 300)) * 0.93 ** np.arange(300)
    rotated = (falling @ np.linalg.qr(rng.normal(size=(300, 300)))[0]).astype(np.float32)
    monkeypatch.setattr(_knn_basis, "LEAST_WORK", 0)
    basis = _knn_basis.choose(rotated, 10_000, 10)
    assert 16 <= basis.components.shape[1] <= 100
    found = ops.knn(rotated[:300], rotated, 10)
    monkeypatch.undo()
    for ours, theirs in zip(found, ops.knn(rotated[:300], rotated, 10), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    alike = rng.normal(size=(4000, 300)).astype(np.float32)
    assert _knn_basis.choose(alike, 10**6, 10) is None
    assert _knn_basis.choose(np.zeros((4000, 300)), 10**6, 10) is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("points", "dimensions"), [(2000, 200), (100, 789)])
def test_bits_for_any_threads_batch_and_order(points, dimensions, dtype):
    rng = np.random.default_rng(2)
    queries, reference = (rng.normal(size=(n, dimensions)).astype(dtype) for n in (500, points))
    exclude = rng.integers(-1, points, 500)
    want = ops.knn(queries, reference, 15, exclude=exclude)
    assert_exact(queries, reference, 15, want, exclude)
    index = ops.KnnIndex(reference)
    before = advcore.get_num_threads()
    try:
        for threads, rows in itertools.product(
            (1, 2, 5), ([3], slice(0, 4), slice(0, 40), rng.permutation(500), slice(None))
        ):
            advcore.set_num_threads(threads)
            for found in (
                ops.knn(queries[rows], reference, 15, exclude=exclude[rows]),
                index.search(queries[rows], 15, exclude=exclude[rows]),
            ):
                for ours, theirs in zip(found, want, strict=True):
                    np.testing.assert_array_equal(ours, theirs[rows])
    finally:
        advcore.set_num_threads(before)


def test_levels_search_alike():
    rng = np.random.default_rng(3)
    queries, reference = (rng.integers(0, 9, (n, 90)).astype(np.float32) for n in (130, 1500))  # exact everywhere
    want = ops.knn(queries, reference, 20)
    before = _core.level()
    try:
        for level in _core.available_levels():
            _core._set_level(level)
            for found in (ops.knn(queries, reference, 20), ops.KnnIndex(reference).search(queries, 20)):
                for ours, theirs in zip(found, want, strict=True):
                    np.testing.assert_array_equal(ours, theirs)
    finally:
        _core._set_level(before)
