"""Elementary functions to the last bits, the same bits in every lane, axes of softmax, and what errors say."""

import math
import re

import numpy as np
import pytest
import torch

from advcore import _core, ops

X = np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)

# name: (function, its float64 value, units in the last place)
FUNCTIONS = {
    "sigmoid": (ops.sigmoid, torch.sigmoid, 3),
    "tanh": (ops.tanh, torch.tanh, 3),
    "gelu": (ops.gelu, lambda x: x / 2 * torch.erfc(-x / math.sqrt(2)), 8),
}


@pytest.fixture(params=_core.available_levels())
def level(request):
    before = _core.level()
    _core._set_level(request.param)
    yield request.param
    _core._set_level(before)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float32_is_right_to_the_last_bits_from_tiny_to_huge(name, level):
    function, exact, units = FUNCTIONS[name]
    magnitudes = np.concatenate([np.geomspace(1e-45, 1e38, 40_000), np.linspace(0, 16, 100_000)])
    x = np.concatenate([magnitudes, -magnitudes]).astype(np.float32)
    if name == "gelu":
        x = x[x > -12.5]  # below, the distribution function itself is denormal
    want = exact(torch.from_numpy(x.astype(np.float64))).numpy()
    spacing = np.spacing(np.abs(want).astype(np.float32)).astype(np.float64)
    assert np.max(np.abs(function(x) - want) / spacing) <= units


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float64_agrees_with_pytorch_in_relative_terms(name, level):
    function, exact, _ = FUNCTIONS[name]
    x = np.concatenate([np.linspace(-5, 30, 35_001), np.geomspace(1e-300, 1, 1000)])  # PyTorch's tail is off below
    np.testing.assert_allclose(function(x), exact(torch.from_numpy(x)), rtol=40 * np.finfo(np.float64).eps)


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_float64_gates_are_right_to_the_last_bits_from_tiny_to_huge(name, level):
    if np.finfo(np.longdouble).nmant < 63:
        pytest.skip("needs numbers longer than float64")
    magnitudes = np.concatenate([np.geomspace(5e-324, 1e308, 40_000), np.linspace(0, 40, 100_000), np.linspace(0, 745)])
    x = np.concatenate([magnitudes, -magnitudes])
    long = x.astype(np.longdouble)
    with np.errstate(over="ignore"):
        want = np.tanh(long) if name == "tanh" else 1 / (1 + np.exp(-long))
    spacing = np.spacing(np.abs(want).astype(np.float64)).astype(np.longdouble)
    assert np.max(np.abs(FUNCTIONS[name][0](x) - want) / spacing) <= 4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gates_saturate_and_keep_nan(dtype, level):
    x = np.array([-np.inf, -1e4, 1e4, np.inf, np.nan, -0.0, 0.0], dtype)
    np.testing.assert_array_equal(ops.sigmoid(x), np.array([0, 0, 1, 1, np.nan, 0.5, 0.5], dtype))
    tanh = ops.tanh(x)
    np.testing.assert_array_equal(tanh, np.array([-1, -1, 1, 1, np.nan, 0, 0], dtype))
    np.testing.assert_array_equal(np.signbit(tanh[5:]), [True, False])


def test_softmax_in_float64_is_exact_for_closed_forms(level):
    n = 1000
    np.testing.assert_allclose(ops.softmax(np.zeros((2, n))), np.full((2, n), 1 / n), rtol=1e-15)
    np.testing.assert_allclose(ops.log_softmax(np.zeros((n, 2)), 0), np.full((n, 2), -math.log(n)), rtol=1e-15)
    powers = np.log(np.arange(1.0, 11.0))
    np.testing.assert_allclose(ops.softmax(powers + 1e4), np.arange(1, 11) / 55, rtol=3e-12)
    np.testing.assert_allclose(ops.log_softmax(np.array([0.0, -1000.0])), [0.0, -1000.0], rtol=1e-15)
    np.testing.assert_array_equal(ops.log_softmax(np.array([0.0, -np.inf])), [0.0, -np.inf])


@pytest.mark.parametrize("function", [ops.relu, ops.sigmoid, ops.tanh, ops.gelu, lambda x: ops.gelu(x, "tanh")])
def test_an_element_has_the_same_bits_wherever_it_lies(function, level):
    x = np.random.default_rng(0).standard_normal(70).astype(np.float32) * 5
    want = function(x)
    for start in (1, 3, 8):
        np.testing.assert_array_equal(function(x[start:]), want[start:])
    np.testing.assert_array_equal([function(x[i : i + 1])[0] for i in range(70)], want)


@pytest.mark.parametrize("function", [ops.softmax, ops.log_softmax])
@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -3])
def test_softmax_takes_any_axis_and_any_batch(function, axis):
    x = np.random.default_rng(0).standard_normal((3, 5, 4, 19))
    want = getattr(torch, function.__name__)(torch.from_numpy(x), axis)
    together = function(x, axis)
    np.testing.assert_allclose(together, want, rtol=1e-13)
    if axis not in (0, -4):
        for i in range(3):
            np.testing.assert_array_equal(function(x[i : i + 1], axis)[0], together[i])


@pytest.mark.parametrize(
    ("forward", "backward", "from_output"),
    [
        (ops.sigmoid, ops.sigmoid_grad, True),
        (ops.tanh, ops.tanh_grad, True),
        (ops.gelu, ops.gelu_grad, False),
        (lambda x: ops.gelu(x, "tanh"), lambda g, x: ops.gelu_grad(g, x, "tanh"), False),
        (ops.relu, ops.relu_grad, False),
        (ops.softmax, ops.softmax_grad, True),
        (ops.log_softmax, ops.log_softmax_grad, True),
    ],
)
def test_gradients_agree_with_differences(forward, backward, from_output):
    rng = np.random.default_rng(0)
    x, grad, direction = rng.standard_normal((3, 4, 7))
    h = 1e-6
    difference = np.sum(grad * (forward(x + h * direction) - forward(x - h * direction))) / (2 * h)
    gradient = backward(grad, forward(x) if from_output else x)
    assert abs(np.sum(gradient * direction) - difference) < 1e-8


def test_relu_keeps_nan_and_its_gradient_at_0_is_0():
    np.testing.assert_array_equal(ops.relu(np.array([np.nan, -1.0, 0.0, 2.0])), [np.nan, 0.0, 0.0, 2.0])
    np.testing.assert_array_equal(ops.relu_grad(np.ones(3), np.array([0.0, -0.0, 1e-300])), [0.0, 0.0, 1.0])


def test_out_receives_the_result():
    out = np.empty_like(X)
    assert ops.tanh(X, out=out) is out
    np.testing.assert_array_equal(out, ops.tanh(X))
    x = X.copy()
    assert ops.softmax(x, out=x) is x
    np.testing.assert_array_equal(x, ops.softmax(X))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: ops.relu([1.0]), TypeError, "input must be a NumPy array of float32 or float64, got list"),
        (lambda: ops.tanh(X.astype(np.float16)), TypeError, "input must be of type float32 or float64, got float16"),
        (lambda: ops.gelu(X, "erf"), ValueError, "approximate must be 'none' or 'tanh', got 'erf'"),
        (lambda: ops.gelu_grad(X, X[:2]), ValueError, "input must have shape (3, 4), got (2, 4)"),
        (lambda: ops.sigmoid_grad(X, X.astype(np.float64)), TypeError, "output must be of type float32 like"),
        (lambda: ops.softmax(X, 2), ValueError, "axis must be at most 1, got 2"),
        (lambda: ops.softmax(X, -3), ValueError, "axis must be at least -2, got -3"),
        (lambda: ops.log_softmax(X, 0.0), TypeError, "axis must be an integer, got float 0.0"),
        (lambda: ops.softmax(np.float32(1) * np.ones(())), TypeError, "input must be a NumPy array"),
        (lambda: ops.softmax(np.ones(())), ValueError, "input must have at least 1 axes, got shape ()"),
        (lambda: ops.softmax_grad(X, X.T), ValueError, "output must have shape (3, 4), got (4, 3)"),
        (lambda: ops.sigmoid(X, out=np.empty((4, 3), np.float32)), ValueError, "out must have shape (3, 4)"),
    ],
)
def test_wrong_calls_say_what_was_expected_and_what_came(call, error, text):
    with pytest.raises(error, match=re.escape(text)):
        call()
