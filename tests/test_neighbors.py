"""k nearest neighbours and LID: exact against all differences in float64, ties, bits, and what is refused."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import advcore
from advcore import _core, ops


def brute(queries, reference, k, exclude=None):
    squared = np.square(queries[:, None].astype(np.float64) - reference[None].astype(np.float64)).sum(axis=2)
    if exclude is not None:
        squared[exclude >= 0, exclude[exclude >= 0]] = np.inf
    order = np.argsort(squared, axis=1, kind="stable")[:, :k]
    return np.sqrt(np.take_along_axis(squared, order, axis=1)), order


@st.composite
def grids(draw):
    """Points with small integer coordinates, whose distances are exact and often equal; far from the origin, too."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    q, r = draw(st.integers(0, 30)), draw(st.integers(1, 300))
    d = draw(st.sampled_from([1, 2, 3, 15, 16, 17, 255, 256, 257, 300]))
    k = draw(st.sampled_from([1, r, draw(st.integers(1, r))]))
    offset, spread = draw(st.sampled_from([0, 1000, -1000])), draw(st.integers(1, 4))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    columns = rng.random(d) < draw(st.sampled_from([0.1, 1.0]))  # the other columns are constant
    queries, reference = (offset + columns * rng.integers(0, spread, (n, d)) for n in (q, r))
    exclude = rng.integers(-1, r, q) if k < r and draw(st.booleans()) else None
    return queries.astype(dtype), reference.astype(dtype), k, exclude


@settings(max_examples=150, deadline=None)
@given(grids())
def test_exact_with_ties_by_lower_index(case):
    queries, reference, k, exclude = case
    distances, indices = ops.knn(queries, reference, k, exclude=exclude)
    want_distances, want_indices = brute(queries, reference, k, exclude)
    assert distances.dtype == queries.dtype
    assert indices.dtype == np.int64
    np.testing.assert_array_equal(indices, want_indices)
    np.testing.assert_allclose(distances, want_distances, rtol=np.finfo(queries.dtype).eps)


def test_near_duplicates_far_from_the_origin_keep_their_digits():
    rng = np.random.default_rng(0)
    reference = (1000 + rng.random((500, 64))).astype(np.float32)
    queries = (reference[:50] + rng.normal(0, 1e-3, (50, 64))).astype(np.float32)
    distances, indices = ops.knn(queries, reference, 3)
    want_distances, want_indices = brute(queries, reference, 3)
    np.testing.assert_array_equal(indices, want_indices)
    np.testing.assert_allclose(distances, want_distances, rtol=1e-6)


def test_long_vectors_and_many_points():
    rng = np.random.default_rng(1)
    for q, r, d, k in ((5, 40, 12544, 40), (3, 9000, 7, 9000), (1001, 1500, 10, 65)):
        queries, reference = rng.normal(size=(q, d)), rng.normal(size=(r, d))
        distances, indices = ops.knn(queries, reference, k)
        want_distances, want_indices = brute(queries, reference, k)
        np.testing.assert_array_equal(indices, want_indices)
        np.testing.assert_allclose(distances, want_distances, rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_depend_on_the_pair_alone(dtype):
    rng = np.random.default_rng(2)
    queries, reference = rng.normal(size=(700, 300)).astype(dtype), rng.normal(size=(1300, 300)).astype(dtype)
    before = advcore.get_num_threads()
    distances, indices = ops.knn(queries, reference, 30)
    try:
        for threads in (1, 2, 3, 7):
            advcore.set_num_threads(threads)
            for rows in ([5], [699, 0, 5], rng.permutation(700)):
                got_distances, got_indices = ops.knn(queries[rows], reference, 30)
                np.testing.assert_array_equal(got_distances, distances[rows])
                np.testing.assert_array_equal(got_indices, indices[rows])
                np.testing.assert_array_equal(
                    ops.lid(queries[rows], reference, 30), ops.lid(queries, reference, 30)[rows]
                )
    finally:
        advcore.set_num_threads(before)
    order = rng.permutation(1300)  # nor on where a point lies in the reference
    got_distances, got_indices = ops.knn(queries, reference[order], 30)
    np.testing.assert_array_equal(got_distances, distances)
    np.testing.assert_array_equal(order[got_indices], indices)


def test_levels_with_fused_multiply_add_give_the_same_bits():
    rng = np.random.default_rng(3)
    queries, reference = rng.normal(size=(33, 270)).astype(np.float32), rng.normal(size=(150, 270)).astype(np.float32)
    by_choice = ops.knn(queries, reference, 7)
    before = _core.level()
    try:
        for level in [name for name in _core.available_levels() if name != "baseline"]:
            _core._set_level(level)
            for got, want in zip(ops.knn(queries, reference, 7), by_choice, strict=True):
                np.testing.assert_array_equal(got, want)
    finally:
        _core._set_level(before)


def test_no_dimensions_and_no_queries():
    distances, indices = ops.knn(np.zeros((2, 0)), np.zeros((3, 0)), 2)
    np.testing.assert_array_equal(distances, np.zeros((2, 2)))
    np.testing.assert_array_equal(indices, [[0, 1], [0, 1]])
    distances, indices = ops.knn(np.zeros((0, 4)), np.zeros((3, 4)), 2)
    assert distances.shape == indices.shape == (0, 2)
    assert ops.lid(np.zeros((0, 4)), np.zeros((3, 4)), 2).shape == (0,)


def test_out_receives_the_results():
    rng = np.random.default_rng(4)
    queries, reference = rng.normal(size=(5, 3)), rng.normal(size=(8, 3))
    want = ops.knn(queries, reference, 2)
    for out in (
        (np.empty((5, 2)), np.empty((5, 2), np.int64)),
        (np.empty((2, 5)).T, np.empty((5, 4), np.int64)[:, ::2]),
    ):
        got = ops.knn(queries, reference, 2, out=out)
        assert got[0] is out[0]
        assert got[1] is out[1]
        np.testing.assert_array_equal(out[0], want[0])
        np.testing.assert_array_equal(out[1], want[1])
    out = queries[:, 0]
    want = ops.lid(queries, reference, 3)
    assert ops.lid(queries, reference, 3, out=out) is out
    np.testing.assert_array_equal(out, want)


def test_lid_worked_example():
    distances = np.array([1.0, 2.0, 4.0])
    estimate = ops.lid(np.zeros((1, 1)), distances[:, None], 3)
    np.testing.assert_allclose(estimate, [1 / math.log(2)], rtol=1e-15)  # (log(1/4) + log(1/2)) / 3 = -log 2
    assert round(float(estimate[0]), 6) == 1.442695


def test_lid_of_duplicates_and_of_equal_distances():
    reference = np.array([[0.0], [1.0], [-1.0], [1.0]])
    origin = np.zeros((1, 1))
    assert ops.lid(origin, reference, 3) == 0
    assert ops.lid(origin, reference[:1], 1) == 0
    assert ops.lid(origin, reference, 3, exclude=np.array([0])) == np.inf
    assert ops.lid(origin + 5, reference, 1) == np.inf


def test_lid_finds_the_dimension_of_a_plane():
    rng = np.random.default_rng(5)
    for dimension in (1, 2, 5):
        points = rng.random((20_000, dimension)) @ np.linalg.qr(rng.normal(size=(30, dimension)))[0].T
        assert ops.lid(points[:200], points, 100, exclude=np.arange(200)).mean() == pytest.approx(dimension, rel=0.15)


Q, R = np.zeros((2, 3)), np.zeros((5, 3))
BAD = Q.copy()
BAD[1, 2] = np.nan
INFINITE = np.zeros((70_000, 3))
INFINITE[69_999, 0] = -np.inf
ERRORS = [
    (lambda op: op(Q, R, 0), ValueError, "k must be at least 1, got 0"),
    (lambda op: op(Q, R, 6), ValueError, "k must be at most 5, the number of reference points, got 6"),
    (
        lambda op: op(Q, R, 5, exclude=np.array([0, -1])),
        ValueError,
        "k must be at most 4, .* once one is excluded, got 5",
    ),
    (lambda op: op(Q, R, 2.0), TypeError, "k must be an integer, got float"),
    (lambda op: op(Q, R[:0], 1), ValueError, "reference must have at least one point"),
    (lambda op: op(Q, R[:, :2], 1), ValueError, r"same number of columns, got \(2, 3\) and \(5, 2\)"),
    (lambda op: op(Q[0], R, 1), ValueError, r"queries must have shape \(Q, D\), got \(3,\)"),
    (lambda op: op(Q, R.astype(np.float32), 1), TypeError, "reference must be of type float64 like the other arrays"),
    (lambda op: op(Q.astype(int), R, 1), TypeError, "queries must be of type float32 or float64, got int64"),
    (lambda op: op(Q.tolist(), R, 1), TypeError, "queries must be a NumPy array"),
    (lambda op: op(BAD, R, 1), ValueError, "queries must be finite, got NaN or infinity in sample 1"),
    (lambda op: op(Q, INFINITE, 1), ValueError, "reference must be finite, got NaN or infinity in sample 69999"),
    (lambda op: op(Q, R, 1, exclude=np.array([0, 5])), ValueError, r"exclude must be in \[-1, 4\], got 5 at index 1"),
    (lambda op: op(Q, R, 1, exclude=np.array([-2, 0])), ValueError, r"exclude must be in \[-1, 4\], got -2 at index 0"),
    (lambda op: op(Q, R, 1, exclude=np.array([0])), ValueError, r"exclude must have shape \(2,\), got \(1,\)"),
    (lambda op: op(Q, R, 1, exclude=np.array([0.0, 1.0])), TypeError, "exclude must be an array of integers"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS, ids=[str(i) for i in range(len(ERRORS))])
@pytest.mark.parametrize("op", [ops.knn, ops.lid], ids=["knn", "lid"])
def test_errors(op, call, error, message):
    with pytest.raises(error, match=message):
        call(op)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_found_among_few_points(value, threads):
    rng = np.random.default_rng(0)
    clean = [rng.normal(size=(n, 700)).astype(np.float32) for n in (31, 40)]
    before = advcore.get_num_threads()
    advcore.set_num_threads(threads)
    try:
        for which, name in enumerate(("queries", "reference")):
            for row, column in ((0, 0), (17, 511), (30, 512), (len(clean[which]) - 1, 699)):
                arrays = [x.copy() for x in clean]
                arrays[which][row, column] = value
                for op in (ops.knn, ops.lid):
                    with pytest.raises(
                        ValueError, match=f"{name} must be finite, got NaN or infinity in sample {row}$"
                    ):
                        op(*arrays, 5)
                if name == "queries":
                    with pytest.raises(ValueError, match=f"queries must be finite.* in sample {row}$"):
                        ops.KnnIndex(arrays[1]).search(arrays[0], 5)
    finally:
        advcore.set_num_threads(before)
    with pytest.raises(ValueError, match="reference must be finite"):
        ops.knn(clean[0][:0], arrays[1], 5)
    out = np.full((31, 5), 7, np.float32), np.full((31, 5), 7, np.int64)
    for wrong in ((np.full_like(clean[0], value), clean[1]), (clean[0], arrays[1])):
        with pytest.raises(ValueError, match="must be finite"):
            ops.knn(*wrong, 5, out=out)
    largest = np.full((31, 700), 3e38, np.float32)
    with pytest.raises(ValueError, match="must have distances within float32"):
        ops.knn(largest, -largest, 5, out=out)
    assert (out[0] == 7).all()
    assert (out[1] == 7).all()


@pytest.mark.parametrize("size", [1e-44, 1e-30, 1e18, 1e37])
def test_few_points_of_any_size(size):
    """Their squares are beyond float32, or its sums with the mean are, and all are found."""
    rng = np.random.default_rng(1)
    queries, reference = ((size * rng.normal(size=(n, 50))).astype(np.float32) for n in (12, 100))
    queries[:4] = reference[:4]
    distances, indices = ops.knn(queries, reference, 9)
    every = np.sqrt(np.square(queries[:, None].astype(np.float64) - reference).sum(axis=2))
    np.testing.assert_array_equal(indices, np.argsort(every, axis=1, kind="stable")[:, :9])
    np.testing.assert_allclose(
        distances, np.sort(every, axis=1)[:, :9], rtol=1e-6, atol=np.finfo(np.float32).smallest_subnormal
    )


def test_out_errors():
    with pytest.raises(TypeError, match="out must be a list or tuple"):
        ops.knn(Q, R, 1, out=np.empty((2, 1)))
    with pytest.raises(ValueError, match=r"out must have shape \(2, 1\), got \(1, 1\)"):
        ops.knn(Q, R, 1, out=(np.empty((2, 1)), np.empty((1, 1), np.int64)))
    with pytest.raises(TypeError, match="out must be of type int64, got float64"):
        ops.knn(Q, R, 1, out=(np.empty((2, 1)), np.empty((2, 1))))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_position_of_a_nan_is_found(dtype):
    data = np.random.default_rng(0).normal(size=2**16 + 40).astype(dtype)
    assert _core.first_nonfinite(data) == -1
    positions = [*range(70), *range(2**16 - 3, 2**16 + 40)]
    for at, bad in itertools.product(positions, (np.nan, np.inf, -np.inf)):
        spoiled = data.copy()
        spoiled[at], spoiled[-1] = bad, np.nan
        assert _core.first_nonfinite(spoiled) == at
    assert _core.first_nonfinite(np.full(200, np.finfo(dtype).max, dtype)) == -1
    assert _core.first_nonfinite(np.zeros(0, dtype)) == -1
