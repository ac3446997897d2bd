"""Activations, element by element or along one axis, and their gradients."""

from __future__ import annotations

import math
from collections.abc import Callable

from advcore import _check, _core
from advcore._check import Array


def relu(input: Array, *, out: Array | None = None) -> Array:
    """Rectify: ``max(input, 0)``; NaN stays NaN.

    Parameters
    ----------
    input : float32 or float64 array, any shape
    out : array, optional
        Receives the result.

    Returns
    -------
    array, the input's shape

    Raises
    ------
    TypeError
        If input is not an array of float32 or float64.
    ValueError
        If out does not fit.
    """
    return _map(_core.relu, input, out)


def sigmoid(input: Array, *, out: Array | None = None) -> Array:
    """Apply the logistic function: ``1 / (1 + exp(-input))``.

    Parameters
    ----------
    input : float32 or float64 array, any shape
    out : array, optional
        Receives the result.

    Returns
    -------
    array, the input's shape

    Raises
    ------
    TypeError, ValueError
        As relu.
    """
    return _map(_core.sigmoid, input, out)


def tanh(input: Array, *, out: Array | None = None) -> Array:
    """Apply the hyperbolic tangent.

    Parameters
    ----------
    input : float32 or float64 array, any shape
    out : array, optional
        Receives the result.

    Returns
    -------
    array, the input's shape

    Raises
    ------
    TypeError, ValueError
        As relu.
    """
    return _map(_core.tanh, input, out)


def gelu(input: Array, approximate: str = "none", *, out: Array | None = None) -> Array:
    """Apply the Gaussian error linear unit: ``x Phi(x)``, Phi the standard normal distribution function.

    Source: Hendrycks and Gimpel 2016, arXiv:1606.08415.

    Parameters
    ----------
    input : float32 or float64 array, any shape
    approximate : "none" or "tanh"
        "tanh" computes ``x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))``.
    out : array, optional
        Receives the result.

    Returns
    -------
    array, the input's shape

    Raises
    ------
    TypeError
        If input is not an array of float32 or float64.
    ValueError
        If approximate is unknown or out does not fit.
    """
    tanh_form = _check.choice("approximate", approximate, ("none", "tanh")) == "tanh"
    return _map(_core.gelu_tanh if tanh_form else _core.gelu, input, out)


def relu_grad(grad_output: Array, input: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of relu for its input: grad_output where input is positive (or NaN), else 0.

    Parameters
    ----------
    grad_output : float32 or float64 array, any shape
    input : array, the same shape
    out : array, optional
        Receives the result.

    Returns
    -------
    array, the same shape

    Raises
    ------
    TypeError
        If an array is not float32 or float64, or types differ.
    ValueError
        If shapes differ.
    """
    return _map_grad(_core.relu_grad, grad_output, "input", input, out)


def sigmoid_grad(grad_output: Array, output: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of sigmoid for its input: ``grad_output output (1 - output)``.

    Parameters
    ----------
    grad_output : float32 or float64 array, any shape
    output : array, the same shape
        What sigmoid returned.
    out : array, optional
        Receives the result.

    Returns
    -------
    array, the same shape

    Raises
    ------
    TypeError, ValueError
        As relu_grad.
    """
    return _map_grad(_core.sigmoid_grad, grad_output, "output", output, out)


def tanh_grad(grad_output: Array, output: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of tanh for its input: ``grad_output (1 - output^2)``.

    Parameters
    ----------
    grad_output : float32 or float64 array, any shape
    output : array, the same shape
        What tanh returned.
    out : array, optional
        Receives the result.

    Returns
    -------
    array, the same shape

    Raises
    ------
    TypeError, ValueError
        As relu_grad.
    """
    return _map_grad(_core.tanh_grad, grad_output, "output", output, out)


def gelu_grad(grad_output: Array, input: Array, approximate: str = "none", *, out: Array | None = None) -> Array:
    """Return the gradient of gelu for its input: ``grad_output (Phi(x) + x phi(x))``, or that of the tanh form.

    Parameters
    ----------
    grad_output : float32 or float64 array, any shape
    input : array, the same shape
    approximate : "none" or "tanh"
        The form of gelu.
    out : array, optional
        Receives the result.

    Returns
    -------
    array, the same shape

    Raises
    ------
    TypeError
        If an array is not float32 or float64, or types differ.
    ValueError
        If shapes differ or approximate is unknown.
    """
    tanh_form = _check.choice("approximate", approximate, ("none", "tanh")) == "tanh"
    return _map_grad(_core.gelu_tanh_grad if tanh_form else _core.gelu_grad, grad_output, "input", input, out)


def softmax(input: Array, axis: int = -1, *, out: Array | None = None) -> Array:
    """Normalise exponentials along an axis: ``exp(x_i) / sum_j exp(x_j)``, safe from overflow.

    Parameters
    ----------
    input : float32 or float64 array, any shape with at least one axis
    axis : int
        The axis of the sum.
    out : array, optional
        Receives the result.

    Returns
    -------
    array, the input's shape

    Raises
    ------
    TypeError
        If input is not an array of float32 or float64, or axis is not an integer.
    ValueError
        If axis is not one of the input's.
    """
    return _softmax(input, axis, out, log=False)


def log_softmax(input: Array, axis: int = -1, *, out: Array | None = None) -> Array:
    """Return the logarithm of softmax, ``x_i - log sum_j exp(x_j)``, accurate where softmax underflows.

    Parameters
    ----------
    input : float32 or float64 array, any shape with at least one axis
    axis : int
        The axis of the sum.
    out : array, optional
        Receives the result.

    Returns
    -------
    array, the input's shape

    Raises
    ------
    TypeError, ValueError
        As softmax.
    """
    return _softmax(input, axis, out, log=True)


def softmax_grad(grad_output: Array, output: Array, axis: int = -1, *, out: Array | None = None) -> Array:
    """Return the gradient of softmax for its input: ``y_i (g_i - sum_j g_j y_j)``.

    Parameters
    ----------
    grad_output : float32 or float64 array, any shape with at least one axis
    output : array, the same shape
        What softmax returned.
    axis : int
        The axis of the sum.
    out : array, optional
        Receives the result.

    Returns
    -------
    array, the same shape

    Raises
    ------
    TypeError
        If an array is not float32 or float64, types differ, or axis is not an integer.
    ValueError
        If shapes differ or axis is not one of the arrays'.
    """
    return _softmax_grad(grad_output, output, axis, out, log=False)


def log_softmax_grad(grad_output: Array, output: Array, axis: int = -1, *, out: Array | None = None) -> Array:
    """Return the gradient of log_softmax for its input: ``g_i - exp(y_i) sum_j g_j``.

    Parameters
    ----------
    grad_output : float32 or float64 array, any shape with at least one axis
    output : array, the same shape
        What log_softmax returned.
    axis : int
        The axis of the sum.
    out : array, optional
        Receives the result.

    Returns
    -------
    array, the same shape

    Raises
    ------
    TypeError, ValueError
        As softmax_grad.
    """
    return _softmax_grad(grad_output, output, axis, out, log=True)


def _map(kernel: Callable[[Array, Array], None], input: Array, out: Array | None) -> Array:
    input = _check.array("input", input)
    result = _check.output(out, input.shape, input.dtype, (input,))
    kernel(result, input)
    return _check.deliver(result, out)


def _map_grad(
    kernel: Callable[[Array, Array, Array], None], grad_output: Array, name: str, value: Array, out: Array | None
) -> Array:
    grad_output = _check.array("grad_output", grad_output)
    value = _check.array(name, value, dtype=grad_output.dtype, shape=grad_output.shape)
    result = _check.output(out, value.shape, value.dtype, (grad_output, value))
    kernel(result, grad_output, value)
    return _check.deliver(result, out)


def _softmax(input: Array, axis: int, out: Array | None, *, log: bool) -> Array:
    input = _check.array("input", input, min_ndim=1)
    axis = _check.axis("axis", axis, input.ndim)
    result = _check.output(out, input.shape, input.dtype, (input,))
    _core.softmax(_around(result, axis), _around(input, axis), log)
    return _check.deliver(result, out)


def _softmax_grad(grad_output: Array, output: Array, axis: int, out: Array | None, *, log: bool) -> Array:
    grad_output = _check.array("grad_output", grad_output, min_ndim=1)
    output = _check.array("output", output, dtype=grad_output.dtype, shape=grad_output.shape)
    axis = _check.axis("axis", axis, output.ndim)
    result = _check.output(out, output.shape, output.dtype, (grad_output, output))
    _core.softmax_grad(_around(result, axis), _around(grad_output, axis), _around(output, axis), log)
    return _check.deliver(result, out)


def _around(x: Array, axis: int) -> Array:
    """View x as (outer, length, inner) around an axis."""
    return x.reshape(math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :]))
