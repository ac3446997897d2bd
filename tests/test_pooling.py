"""Pooling beyond the cases of the reference: random windows, huge arguments, batches, out=, and what errors say."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from advcore import ops

X = np.arange(2 * 3 * 6 * 7, dtype=np.float32).reshape(2, 3, 6, 7)
Y = ops.max_pool2d(X, 2)


def random_windows(rng):
    size = rng.integers(1, 40, 2)
    kernel = rng.integers(1, 6, 2)
    windows = {
        "kernel_size": tuple(map(int, kernel)),
        "stride": tuple(map(int, rng.integers(1, 5, 2))),
        "padding": tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel),
        "ceil_mode": bool(rng.integers(2)),
    }
    return tuple(map(int, size)), windows


@pytest.mark.parametrize("seed", range(150))
def test_random_windows_agree_with_pytorch(seed):
    rng = np.random.default_rng(seed)
    size, windows = random_windows(rng)
    dilation = tuple(map(int, rng.integers(1, 4, 2)))
    include = bool(rng.integers(2))
    x = rng.integers(-3, 4, (2, 2, *size)).astype(np.float64)
    tensor = torch.from_numpy(x)

    try:
        want, places = F.max_pool2d(tensor, **windows, dilation=dilation, return_indices=True)
    except RuntimeError:
        with pytest.raises(ValueError, match="padded input"):
            ops.max_pool2d(x, **windows, dilation=dilation)
    else:
        got, indices = ops.max_pool2d(x, **windows, dilation=dilation, return_indices=True)
        np.testing.assert_array_equal(got, want)
        np.testing.assert_array_equal(got, ops.max_pool2d(x, **windows, dilation=dilation))
        inside = np.isfinite(got)  # for a window without elements torch gives an index beyond the plane
        np.testing.assert_array_equal(indices[inside], places.numpy()[inside])
        assert (indices[~inside] == -1).all()
        grad = rng.standard_normal(got.shape)
        gradient = ops.max_pool2d_grad(grad, x, **windows, dilation=dilation)
        want_gradient = np.zeros((4, size[0] * size[1]))
        for plane, (ids, values) in enumerate(zip(indices.reshape(4, -1), grad.reshape(4, -1), strict=True)):
            np.add.at(want_gradient[plane], ids[ids >= 0], values[ids >= 0])
        np.testing.assert_array_equal(gradient.reshape(4, -1), want_gradient)
        again = ops.max_pool2d_grad(grad, x, **windows, dilation=dilation, indices=indices)
        np.testing.assert_array_equal(again, gradient)

    try:
        want = F.avg_pool2d(tensor.requires_grad_(), **windows, count_include_pad=include)
    except RuntimeError:
        with pytest.raises(ValueError, match="padded input"):
            ops.avg_pool2d(x, **windows, count_include_pad=include)
        return
    np.testing.assert_allclose(ops.avg_pool2d(x, **windows, count_include_pad=include), want.detach(), atol=1e-14)
    grad = rng.standard_normal(want.shape)
    (want_gradient,) = torch.autograd.grad(want, tensor, torch.from_numpy(grad))
    gradient = ops.avg_pool2d_grad(grad, x.shape, **windows, count_include_pad=include)
    np.testing.assert_allclose(gradient, want_gradient, atol=1e-14)


@pytest.mark.parametrize("shape", [(1, 2, 1, 150_000), (1, 1, 3, 70_001)])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [((1, 7), 3, (0, 2)), ((1, 69_000), (1, 500), (0, 30_000))])
def test_rows_longer_than_the_buffers(shape, kernel, stride, padding):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape)
    tensor = torch.from_numpy(x).requires_grad_()
    want, places = F.max_pool2d(tensor, kernel, stride, padding, return_indices=True)
    got, indices = ops.max_pool2d(x, kernel, stride, padding, return_indices=True)
    np.testing.assert_array_equal(got, want.detach())
    np.testing.assert_array_equal(got, ops.max_pool2d(x, kernel, stride, padding))
    np.testing.assert_array_equal(indices, places)
    grad = rng.standard_normal(got.shape)
    (gradient,) = torch.autograd.grad(want, tensor, torch.from_numpy(grad))
    np.testing.assert_allclose(ops.max_pool2d_grad(grad, x, kernel, stride, padding), gradient, atol=1e-12)
    want = F.avg_pool2d(tensor, kernel, stride, padding)
    np.testing.assert_allclose(ops.avg_pool2d(x, kernel, stride, padding), want.detach(), atol=1e-12)
    (gradient,) = torch.autograd.grad(want, tensor, torch.from_numpy(grad))
    np.testing.assert_allclose(ops.avg_pool2d_grad(grad, x.shape, kernel, stride, padding), gradient, atol=1e-12)
    want = F.adaptive_avg_pool2d(tensor, (1, 2))
    np.testing.assert_allclose(ops.adaptive_avg_pool2d(x, (1, 2)), want.detach(), atol=1e-12)


def test_huge_windows_are_cut_to_the_plane():
    x = np.arange(6.0).reshape(1, 2, 3)
    huge = 2**31 - 1
    assert ops.max_pool2d(x, huge, huge, huge // 2).tolist() == [[[5.0]]]
    assert ops.max_pool2d(x, 1, huge).tolist() == [[[0.0]]]
    assert ops.max_pool2d(x, (1, 2), dilation=(huge, 2)).tolist() == [[[2.0], [5.0]]]
    assert ops.avg_pool2d(x, huge, huge, huge // 2, count_include_pad=False).tolist() == [[[2.5]]]
    gradient = ops.avg_pool2d_grad(np.ones((1, 1, 1)), x.shape, huge, huge, huge // 2, count_include_pad=False)
    np.testing.assert_allclose(gradient, np.full((1, 2, 3), 1 / 6))


def test_a_window_without_elements():
    x = np.ones((1, 1, 1))
    got, indices = ops.max_pool2d(x, 2, 1, 1, 2, return_indices=True)
    assert got.tolist() == [[[-np.inf]]]
    assert indices.tolist() == [[[-1]]]
    assert ops.max_pool2d_grad(x, x, 2, 1, 1, 2).tolist() == [[[0.0]]]
    assert ops.max_pool2d_grad(x, x, 2, 1, 1, 2, indices=indices).tolist() == [[[0.0]]]


def test_average_of_a_million_elements_stays_accurate():
    x = np.full((1, 1000, 1000), 0.1, np.float32)
    x[0, 0, 0] = 3.0
    want = x.astype(np.float64).mean()
    for got in (ops.avg_pool2d(x, 1000), ops.adaptive_avg_pool2d(x, 1), ops.avg_pool2d(x, (1000, 999))[..., :1]):
        np.testing.assert_allclose(got, want, rtol=4e-6)


@pytest.mark.parametrize(
    "pool",
    [
        lambda x: ops.max_pool2d(x, 3, 2, 1),
        lambda x: ops.max_pool2d(x, 2, return_indices=True)[1],
        lambda x: ops.max_pool2d_grad(ops.max_pool2d(x, 3, 2, 1), x, 3, 2, 1),
        lambda x: ops.avg_pool2d(x, 3, 1, 1),
        lambda x: ops.avg_pool2d(x, (9, 11)),
        lambda x: ops.avg_pool2d_grad(x, (len(x), 5, 18, 22), 2),
        lambda x: ops.adaptive_avg_pool2d(x, 4),
        lambda x: ops.adaptive_avg_pool2d_grad(x, (len(x), 5, 20, 13)),
    ],
)
def test_a_sample_alone_gives_the_bits_it_has_in_a_batch(pool):
    x = np.random.default_rng(0).standard_normal((7, 5, 9, 11)).astype(np.float32)
    together = pool(x)
    for i in range(len(x)):
        np.testing.assert_array_equal(pool(x[i : i + 1])[0], together[i])


def test_out_receives_the_result():
    out = np.empty((2, 3, 3, 3), np.float32)
    assert ops.max_pool2d(X, 2, out=out) is out
    np.testing.assert_array_equal(out, Y)
    wide = np.zeros((2, 3, 3, 6), np.float32)[..., ::2]
    assert ops.avg_pool2d(X, 2, out=wide) is wide
    np.testing.assert_array_equal(wide, ops.avg_pool2d(X, 2))
    x = X.copy()
    np.testing.assert_array_equal(ops.avg_pool2d(x, 1, out=x), X)
    np.testing.assert_array_equal(ops.max_pool2d(X[0], 2), Y[0])


def test_coverage():
    assert ops.pool_coverage(200, 2, 4) == ((50, 50), 10000)
    assert ops.pool_coverage((7, 5), 3, 2, 1) == ((4, 3), 35)
    assert ops.pool_coverage(9, 2, 3, 0, 2) == ((3, 3), 36)
    assert ops.pool_coverage(5, 2, ceil_mode=True) == ((3, 3), 25)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("width", [4, 16, 22])
def test_indices_outside_their_windows_are_scattered_to(width: int, dtype: type) -> None:
    """Windows of 2 x 2 side by side have a fast path, which must leave what it cannot do to the slow one."""
    rng = np.random.default_rng(width)
    x = rng.standard_normal((3, 2, 6, width)).astype(dtype)
    grad = rng.standard_normal((3, 2, 3, width // 2)).astype(dtype)
    _, indices = ops.max_pool2d(x, 2, return_indices=True)
    for changed in (None, (0, 0, 2, 1), (2, 1, 0, width // 2 - 1)):
        if changed:
            indices[changed] = 5 * width + 1 if changed[2] == 0 else -1
        want = np.zeros(x.shape, dtype).reshape(6, -1)
        for plane, ids, values in zip(want, indices.reshape(6, -1), grad.reshape(6, -1), strict=True):
            np.add.at(plane, ids[ids >= 0], values[ids >= 0])
        np.testing.assert_array_equal(ops.max_pool2d_grad(grad, x, 2, indices=indices), want.reshape(x.shape))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: ops.max_pool2d([[1.0]], 2), TypeError, "input must be a NumPy array"),
        (lambda: ops.max_pool2d(X[0, 0], 2), ValueError, "input must have shape (N, C, H, W) or (C, H, W), got (6, 7)"),
        (lambda: ops.max_pool2d(X[:, :, :0], 2), ValueError, "input must have planes of 1 to"),
        (lambda: ops.max_pool2d(X, 0), ValueError, "kernel_size must be at least 1, got 0"),
        (lambda: ops.max_pool2d(X, (2, 2, 2)), ValueError, "kernel_size must be an integer or a pair"),
        (lambda: ops.max_pool2d(X, 2.0), TypeError, "kernel_size must be an integer, got float 2.0"),
        (lambda: ops.max_pool2d(X, 2**31), ValueError, "kernel_size must be at most 2147483647"),
        (lambda: ops.max_pool2d(X, 2, 0), ValueError, "stride must be at least 1, got 0"),
        (lambda: ops.max_pool2d(X, 2, -1), ValueError, "stride must be at least 1, got -1"),
        (lambda: ops.max_pool2d(X, 2, padding=-1), ValueError, "padding must be at least 0, got -1"),
        (
            lambda: ops.max_pool2d(X, (4, 2), padding=(2, 2)),
            ValueError,
            "padding must be at most half of kernel_size (4, 2), got (2, 2)",
        ),
        (lambda: ops.max_pool2d(X, 2, dilation=0), ValueError, "dilation must be at least 1, got 0"),
        (lambda: ops.max_pool2d(X, 2, ceil_mode=1), TypeError, "ceil_mode must be True or False, got int 1"),
        (lambda: ops.max_pool2d(X, 2, return_indices=None), TypeError, "return_indices must be True or False"),
        (
            lambda: ops.max_pool2d(X, (7, 2)),
            ValueError,
            "kernel_size must reach over at most the padded input (6, 7), got a window of (7, 2)",
        ),
        (lambda: ops.max_pool2d(X, 4, dilation=2), ValueError, "got a window of (7, 7)"),
        (lambda: ops.max_pool2d(X, 2, out=np.empty((2, 3, 3, 4), np.float32)), ValueError, "out must have shape"),
        (lambda: ops.max_pool2d_grad(X, X, 2), ValueError, "grad_output must have shape (2, 3, 3, 3)"),
        (lambda: ops.max_pool2d_grad(Y.astype(np.float64), X, 2), TypeError, "grad_output must be of type float32"),
        (lambda: ops.max_pool2d_grad(Y, X, 2, indices=Y), TypeError, "indices must be an array of int64"),
        (
            lambda: ops.max_pool2d_grad(Y, X, 2, indices=np.zeros((2, 3, 3, 4), np.int64)),
            ValueError,
            "indices must have shape (2, 3, 3, 3)",
        ),
        (
            lambda: ops.max_pool2d_grad(Y, X, 2, indices=np.full(Y.shape, 42)),
            ValueError,
            "indices must be in [-1, 41], got one outside",
        ),
        (lambda: ops.max_pool2d_grad(Y, X, 2, indices=np.full(Y.shape, -2)), ValueError, "indices must be in [-1, 41]"),
        (lambda: ops.avg_pool2d(X, 2, count_include_pad="yes"), TypeError, "count_include_pad must be True or False"),
        (lambda: ops.avg_pool2d_grad(Y, X.shape, 3), ValueError, "grad_output must have shape (2, 3, 2, 2)"),
        (lambda: ops.avg_pool2d_grad(Y, (2, 3, 6), 2), ValueError, "grad_output must have shape"),
        (lambda: ops.avg_pool2d_grad(Y, 6, 2), TypeError, "input_size must be a tuple of integers, got int 6"),
        (lambda: ops.avg_pool2d_grad(Y, (6, 7), 2), ValueError, "input_size must have shape (N, C, H, W) or (C, H, W)"),
        (lambda: ops.adaptive_avg_pool2d(X, -1), ValueError, "output_size[0] must be at least 0, got -1"),
        (lambda: ops.adaptive_avg_pool2d(X, (1, 2, 3)), ValueError, "output_size must be an integer or a pair"),
        (lambda: ops.adaptive_avg_pool2d(X, 2**31), ValueError, "output_size[0] must be at most"),
        (lambda: ops.adaptive_avg_pool2d_grad(Y, (2, 4, 6, 7)), ValueError, "grad_output must have shape (2, 4, any"),
        (lambda: ops.pool_coverage(0, 2), ValueError, "input_size must be at least 1, got 0"),
    ],
)
def test_wrong_calls_say_what_was_expected_and_what_came(call, error, text):
    with pytest.raises(error, match=re.escape(text)):
        call()
