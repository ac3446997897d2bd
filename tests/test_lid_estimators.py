"""Estimators of intrinsic dimension against their formulas, written down once more, and dimensions that are known."""

import math

import numpy as np
import pytest

from advcore import ops


def distances_to(queries, reference):
    return np.sqrt(np.square(queries[:, None].astype(np.float64) - reference).sum(axis=2))


def manifold(dimension, points=1500):
    rng = np.random.default_rng(dimension)
    return rng.random((points, dimension)) @ np.linalg.qr(rng.normal(size=(20, dimension)))[0].T


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_method_of_moments(dtype):
    rng = np.random.default_rng(0)
    queries, reference = rng.normal(size=(30, 5)).astype(dtype), rng.normal(size=(90, 5)).astype(dtype)
    nearest = np.sort(distances_to(queries, reference), axis=1)[:, :12]
    want = [-np.mean(row) / (np.mean(row) - row[-1]) for row in nearest]
    got = ops.lid(queries, reference, 12, estimator="mom")
    assert got.dtype == dtype
    np.testing.assert_allclose(got, want, rtol=1e-5 if dtype == np.float32 else 1e-12)
    np.testing.assert_array_equal(ops.KnnIndex(reference).lid(queries, 12, estimator="mom"), got)


def test_method_of_moments_at_its_ends():
    points = np.array([[0.0], [1.0], [-1.0], [1.0]])
    origin = np.zeros((1, 1))
    assert ops.lid(origin, points, 1, estimator="mom") == 0
    assert ops.lid(origin, points, 3, exclude=np.array([0]), estimator="mom") == math.inf
    assert ops.lid(origin, points, 2, estimator="mom") == 1  # 0 and 1: m = 1/2


@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.37])
def test_two_nn(fraction):
    points = manifold(3, 200)
    every = distances_to(points, points)
    nearest = np.sort(every, axis=1)
    mu = np.sort(nearest[:, 2] / nearest[:, 1])[: int(200 * (1 - fraction))]
    x, y = np.log(mu), -np.log(1 - np.arange(1, len(mu) + 1) / 200)
    want = np.linalg.lstsq(x[:, None], y, rcond=None)[0][0]
    np.testing.assert_allclose(ops.two_nn(points, discard_fraction=fraction), want, rtol=1e-9)


def test_two_nn_leaves_duplicates_out():
    points = manifold(2, 400)
    points[350:] = points[:50]
    nearest = np.sort(distances_to(points, points), axis=1)[50:350]
    x, y = np.log(np.sort(nearest[:, 2] / nearest[:, 1])[:270]), -np.log(1 - np.arange(1, 271) / 300)
    np.testing.assert_allclose(ops.two_nn(points), (x @ y) / (x @ x), rtol=1e-9)
    assert ops.two_nn(np.arange(10.0)[:, None], discard_fraction=0.5) == math.inf


@pytest.mark.parametrize("dimension", [1, 2, 4])
def test_dimensions_that_are_known(dimension):
    points = manifold(dimension)
    assert ops.two_nn(points) == pytest.approx(dimension, rel=0.12)
    own = np.arange(len(points))
    for estimator in ("mle", "mom"):
        estimates = ops.lid(points, points, 50, exclude=own, estimator=estimator)
        assert estimates.mean() == pytest.approx(dimension, rel=0.2)


def test_what_is_refused():
    for call, error, text in (
        (lambda: ops.two_nn(np.zeros((2, 3))), ValueError, "points must be at least 3"),
        (lambda: ops.two_nn(np.zeros((9, 3))), ValueError, "points must leave at least 2"),
        (lambda: ops.two_nn(np.full((9, 3), np.nan)), ValueError, "must be finite"),
        (lambda: ops.two_nn(np.eye(9), discard_fraction=1.0), ValueError, "discard_fraction must be less than 1"),
        (lambda: ops.two_nn(np.eye(9), discard_fraction=0.0), ValueError, "discard_fraction must be greater than 0"),
        (lambda: ops.two_nn([[1.0]]), TypeError, "must be a NumPy array"),
        (lambda: ops.lid(np.eye(3), np.eye(3), 2, estimator="median"), ValueError, "estimator must be"),
    ):
        with pytest.raises(error, match=text):
            call()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_distances_fit_every_dimension_however_the_mean_is_rounded(dtype):
    for value in np.random.default_rng(0).random(200):
        for k in (3, 7):
            points = (np.eye(k) * value).astype(dtype)
            assert ops.lid(np.zeros((1, k), dtype), points, k, estimator="mom") == np.inf
