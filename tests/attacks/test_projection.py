"""Projection: never out of box or budget on the numbers as stored, and no change to what is inside."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from advcore.attacks._projection import Region

BOX = (-2.0, 3.0)


def lengths(region, x, norm):
    difference = x.astype(np.float64) - region.origin.astype(np.float64)
    flat = difference.reshape(len(x), -1)
    if norm == "l1":
        return np.abs(flat).sum(axis=1)
    return np.abs(flat).max(axis=1) if norm == "linf" else np.sqrt((flat**2).sum(axis=1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_budget_and_box_hold_and_projecting_again_changes_nothing(dtype, norm, data):
    width = 32 if dtype is np.float32 else 64
    inside = st.floats(*BOX, width=width)
    origin = data.draw(arrays(dtype, (2, 3, 2), elements=inside))
    x = data.draw(arrays(dtype, (2, 3, 2), elements=st.floats(-1e6, 1e6, width=width) | inside))
    eps = data.draw(st.floats(0, 10) | st.sampled_from([0.0, 1e-300, 1e-9, 1e-7, 8 / 255, 0.3]))
    region = Region(origin, BOX, norm, eps)
    index = np.arange(2)
    projected = region.project(x, index)
    assert projected.dtype == dtype
    assert ((projected >= BOX[0]) & (projected <= BOX[1])).all()
    assert (lengths(region, projected, norm) <= eps).all()
    np.testing.assert_array_equal(region.project(projected, index), projected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_linf_reaches_the_budget(dtype):
    rng = np.random.default_rng(0)
    origin = rng.uniform(0.3, 0.6, (4, 50)).astype(dtype)
    region = Region(origin, (0.0, 1.0), "linf", 0.2)
    projected = region.project(origin + np.where(rng.random((4, 50)) < 0.5, 1, -1).astype(dtype), np.arange(4))
    np.testing.assert_allclose(np.abs(projected - origin), 0.2, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_l2_pulls_straight_to_the_sphere(dtype):
    rng = np.random.default_rng(1)
    origin = rng.uniform(0.3, 0.6, (4, 50)).astype(dtype)
    far = origin + rng.uniform(-0.2, 0.2, (4, 50)).astype(dtype)
    projected = Region(origin, (0.0, 1.0), "l2", 0.5).project(far, np.arange(4))
    step, full = (projected - origin).astype(np.float64), (far - origin).astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(step, axis=1), 0.5, rtol=10 * np.finfo(dtype).eps)
    cosine = (step * full).sum(axis=1) / np.linalg.norm(step, axis=1) / np.linalg.norm(full, axis=1)
    np.testing.assert_allclose(cosine, 1, rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_l2_ends_at_the_nearest_point_of_ball_and_box(data):
    """Against bisection for the share of the way, clipped, that is as long as the budget."""
    seed, size = data.draw(st.integers(0, 2**32)), data.draw(st.integers(0, 70))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    eps = data.draw(st.sampled_from([0.0, 1e-300, 1e-8, 0.1, 1.0, 3.0, 1e300]))
    rng = np.random.default_rng(seed)
    origin = rng.choice([0.0, 1.0, 0.5, 0.3, 0.999], (4, size)).astype(dtype)
    mask = rng.random((4, size)) < data.draw(st.sampled_from([0.5, 1.0]))
    far = (origin + data.draw(st.sampled_from([1e-3, 0.1, 100.0])) * rng.standard_normal((4, size))).astype(dtype)
    region, index = Region(origin, (0.0, 1.0), "l2", eps, mask), np.array([2, 0, 3])
    projected = region.project(far[index], index)
    assert (np.linalg.norm(projected.astype(np.float64) - origin[index], axis=1) <= eps).all()
    assert (region.project(projected, index) == projected).all()

    centre = origin[index].astype(np.float64)
    way = np.where(mask[index], far[index].astype(np.float64) - centre, 0.0)

    def moved(share):
        return np.clip(centre + share[:, np.newaxis] * way, 0.0, 1.0)

    low, high = np.zeros(3), np.ones(3)
    for _ in range(80):
        middle = (low + high) / 2
        inside = np.linalg.norm(moved(middle) - centre, axis=1) <= eps
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    np.testing.assert_allclose(projected, moved(np.where(high == 1, 1.0, low)), atol=max(np.finfo(dtype).eps, 1e-11))


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_the_order_of_axes_in_memory_changes_nothing(norm):
    origin = np.random.default_rng(0).random((3, 4, 5, 2), np.float32)
    far = origin + np.random.default_rng(1).standard_normal(origin.shape).astype(np.float32)
    region, index = Region(origin, (0.0, 1.0), norm, 0.1), np.arange(3)
    expected = region.project(far, index)
    nhwc = np.ascontiguousarray(far.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    for view in (np.asfortranarray(far), nhwc):
        np.testing.assert_array_equal(region.project(view, index), expected)


def test_rows_belong_to_the_origins_that_the_index_names():
    origin = np.arange(4.0).reshape(4, 1)
    region = Region(origin, (-10.0, 10.0), "linf", 0.25)
    moved = region.project(np.full((3, 1), 9.0), np.array([3, 0, 2]))
    np.testing.assert_array_equal(moved, [[3.25], [0.25], [2.25]])


def test_without_a_norm_only_the_box_holds():
    region = Region(np.zeros((1, 2)), (0.0, 1.0))
    np.testing.assert_array_equal(region.project(np.array([[-3.0, 0.7]]), np.array([0])), [[0.0, 0.7]])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_l1_takes_the_nearest_point_of_ball_and_box(data):
    """All entries shrink by one amount, found here by bisection, and none goes beyond the box."""
    origin = data.draw(arrays(np.float64, (1, 5), elements=st.floats(*BOX)))
    x = data.draw(arrays(np.float64, (1, 5), elements=st.floats(-6, 6)))
    eps = data.draw(st.floats(1e-3, 4))
    step, room = x - origin, np.where(x > origin, BOX[1] - origin, origin - BOX[0])

    def point(amount):
        return np.clip(np.abs(step) - amount, 0, room)

    low, high = 0.0, float(np.abs(step).max())
    if point(0.0).sum() > eps:
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if point(middle).sum() > eps else (low, middle)
    projected = Region(origin, BOX, "l1", eps).project(x, np.arange(1))
    np.testing.assert_allclose(projected, origin + np.sign(step) * point(low), atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("norm", [None, "linf", "l2"])
def test_rounding_to_the_grid_keeps_the_bits_of_what_stays(dtype, norm):
    """Pixels that were scaled otherwise differ from the grid's points in the last bit: that is no change to an entry."""
    rng = np.random.default_rng(0)
    levels = rng.integers(20, 236, (3, 200))
    origin = np.nextafter((-1 + levels / 255 * 2).astype(dtype), dtype(0))
    mask = np.ones((3, 200), np.bool_)
    mask[:, :100] = False
    region = Region(origin, (-1.0, 1.0), norm, 8.0 if norm == "l2" else 16.5 / 255, mask, 255)
    index = np.arange(3)
    np.testing.assert_array_equal(region.quantized(origin, index), origin)
    moved = origin.copy()
    moved[:, 90:110] += dtype(5.0 / 255)  # two and a half steps, but for what the mask undoes
    moved[:, 110:] += dtype(0.8 / 255)  # less than half a step
    rounded = region.quantized(region.project(moved, index), index)
    changed = rounded != origin
    assert changed[:, 100:110].all()
    assert not changed[:, :100].any()
    assert not changed[:, 110:].any()


def test_rounding_within_a_small_budget_keeps_them_too():
    """Where rounding to the nearest point leaves the budget, what is rounded back to the origin is the origin."""
    origin = np.arange(0, 255, 5).astype(np.float32).reshape(1, -1) / np.float32(255) * np.float32(2) - np.float32(1)
    region = Region(origin, (-1.0, 1.0), "linf", 1.4 / 255, None, 255)
    rounded = region.quantized(region.project(origin + np.float32(1.2 / 255), np.arange(1)), np.arange(1))
    np.testing.assert_array_equal(rounded, origin)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 5, 7)])
def test_steps_by_sign_are_projected_sums(dtype, shape):
    rng = np.random.default_rng(0)
    origin = rng.uniform(*BOX, (6, *shape)).astype(dtype)
    mask = rng.random((6, *shape)) < 0.8
    for region in (Region(origin, BOX, "linf", 0.3), Region(origin, BOX, "linf", 0.7, mask)):
        index = np.array([4, 0, 5])
        before, ascent = (rng.standard_normal((3, *shape)).astype(dtype) for _ in range(2))
        ascent[ascent > 1] = 0
        x, before = region.project(origin[index] + before, index), region.project(origin[index] - before, index)
        sizes = np.array([0.1, 0.4, 2.0]).astype(dtype)
        each = sizes.reshape(-1, *[1] * len(shape))
        ahead = region.project(x + each * np.sign(ascent), index)
        np.testing.assert_array_equal(region.signed_step(x, ascent, sizes, index), ahead)
        moved = (ahead - x) * dtype(0.75) + (x - before) * dtype(0.25)
        want = region.project(moved + x, index)
        np.testing.assert_array_equal(region.signed_step(x, ascent, sizes, index, before, 0.75), want)
        half = region.project(x + dtype(0.5) * np.sign(ascent), index)
        np.testing.assert_array_equal(region.signed_step(x, ascent, 0.5, index), half)
