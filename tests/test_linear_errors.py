"""What linear and matmul say when they are called wrongly, and the odd arrays that they take."""

import re

import numpy as np
import pytest

from advcore import ops

X = np.ones((4, 5), np.float32)
W = np.ones((3, 5), np.float32)
B = np.ones(3, np.float32)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: ops.linear([[1.0]], W), TypeError, "input must be a NumPy array of float32 or float64, got list"),
        (
            lambda: ops.linear(X.astype(np.float16), W),
            TypeError,
            "input must be of type float32 or float64, got float16",
        ),
        (
            lambda: ops.linear(X.astype(complex), W),
            TypeError,
            "input must be of type float32 or float64, got complex128",
        ),
        (lambda: ops.linear(X.astype(object), W), TypeError, "input must be of type float32 or float64, got object"),
        (lambda: ops.linear(X > 0, W), TypeError, "input must be of type float32 or float64, got bool"),
        (lambda: ops.linear(np.ma.masked_less(X, 0), W), TypeError, "input must be a NumPy array"),
        (
            lambda: ops.linear(X, W.astype(np.float64)),
            TypeError,
            "weight must be of type float32 like the other arrays",
        ),
        (lambda: ops.linear(X, W[:, :4]), ValueError, "weight must have shape (any, 5), got (3, 4)"),
        (lambda: ops.linear(X, W[0]), ValueError, "weight must have shape (any, 5), got (5,)"),
        (lambda: ops.linear(X, W, B[:2]), ValueError, "bias must have shape (3,), got (2,)"),
        (lambda: ops.linear(np.float32(1) * np.ones((), np.float32), W), TypeError, "input must be a NumPy array"),
        (
            lambda: ops.linear(X, W, activation="swish"),
            ValueError,
            "activation must be None, 'relu' or 'gelu', got 'swish'",
        ),
        (lambda: ops.linear(X, W, out=[1]), TypeError, "out must be a NumPy array, got list"),
        (lambda: ops.linear(X, W, out=np.empty((4, 3))), TypeError, "out must be of type float32, got float64"),
        (
            lambda: ops.linear(X, W, out=np.empty((3, 4), np.float32)),
            ValueError,
            "out must have shape (4, 3), got (3, 4)",
        ),
        (lambda: ops.matmul(X, X), ValueError, "b must have 5 rows to be multiplied by a of shape (4, 5), got (4, 5)"),
        (lambda: ops.matmul(np.ones((2, 4, 5)), np.ones((3, 5, 4))), ValueError, "leading axes that broadcast"),
        (lambda: ops.linear_input_grad(X, W), ValueError, "weight must have shape (5, any), got (3, 5)"),
        (lambda: ops.linear_weight_grad(X, X[:3]), ValueError, "input must have shape (4, any), got (3, 5)"),
    ],
)
def test_wrong_calls_say_what_was_expected_and_what_came(call, error, text):
    with pytest.raises(error, match=re.escape(text)):
        call()


def test_a_read_only_out_is_refused():
    out = np.empty((4, 3), np.float32)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out must be writeable"):
        ops.linear(X, W, out=out)


def test_a_result_beyond_memory_is_refused_before_it_is_computed():
    huge = np.broadcast_to(np.float32(1), (2**33, 1))
    with pytest.raises(ValueError, match="must fit in memory"):
        ops.matmul(huge, huge.T)


@pytest.mark.parametrize(
    "odd",
    [
        lambda x: np.asfortranarray(x),
        lambda x: x[::-1, ::-1],
        lambda x: np.broadcast_to(x[:1], x.shape),
        lambda x: x.astype(x.dtype.newbyteorder(">")),
        lambda x: np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape),
        lambda x: x.view(np.memmap),
    ],
    ids=["fortran", "negative-strides", "zero-strides", "big-endian", "unaligned-read-only", "subclass"],
)
def test_arrays_of_any_layout_are_taken(odd):
    rng = np.random.default_rng(0)
    x = odd(rng.standard_normal((4, 5)).astype(np.float32))
    w = odd(rng.standard_normal((3, 5)).astype(np.float32))
    expected = np.asarray(x, np.float64) @ np.asarray(w, np.float64).T
    for result in (ops.linear(x, w), ops.matmul(x, w.T)):
        assert type(result) is np.ndarray
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_out_receives_the_result_whatever_its_layout():
    for out in (np.empty((4, 3), np.float32), np.full((3, 4), np.nan, np.float32).T, np.empty((8, 3), np.float32)[::2]):
        assert ops.linear(X, W, B, out=out) is out
        np.testing.assert_array_equal(out, ops.linear(X, W, B))


def test_out_may_overlap_an_input():
    x = np.random.default_rng(0).standard_normal((5, 5)).astype(np.float32)
    expected = ops.linear(x, x)
    assert ops.linear(x, x, out=x) is x
    np.testing.assert_array_equal(x, expected)


def test_nan_and_infinity_stay_in_their_row():
    x = X.copy()
    x[1, 2], x[2, 2] = np.nan, np.inf
    result = ops.linear(x, W)
    assert np.isnan(result[1]).all()
    assert np.isposinf(result[2]).all()
    np.testing.assert_array_equal(result[[0, 3]], ops.linear(X, W)[[0, 3]])


def test_a_row_gives_the_same_bits_alone_and_in_any_batch():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((70, 700)).astype(np.float32)
    w = rng.standard_normal((40, 700)).astype(np.float32)
    whole = ops.linear(x, w, activation="relu")
    for i in (0, 13, 69):
        np.testing.assert_array_equal(ops.linear(x[i : i + 1], w, activation="relu")[0], whole[i])
    np.testing.assert_array_equal(ops.linear(x[20:41], w, activation="relu"), whole[20:41])
