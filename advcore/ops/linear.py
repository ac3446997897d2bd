"""Matrix product and the linear layer with its gradients."""

from __future__ import annotations

import math

import numpy as np

from advcore import _check, _core
from advcore._check import Array

ACTIVATIONS = {None: 0, "relu": 1, "gelu": 2}


def matmul(a: Array, b: Array, *, out: Array | None = None) -> Array:
    """Multiply matrices: ``out[..., m, n] = sum_k a[..., m, k] b[..., k, n]``.

    Parameters
    ----------
    a : float32 or float64 array, (..., M, K) or (K,)
    b : float32 or float64 array, (..., K, N) or (K,)
        Leading axes broadcast; a vector is a row on the left and a column on the right, and its axis is dropped.
    out : array, optional
        Receives the result.

    Returns
    -------
    array, (..., M, N)

    Raises
    ------
    TypeError
        If a or b is not an array of float32 or float64, or their types differ.
    ValueError
        If the shapes do not fit.
    """
    a = _check.array("a", a, min_ndim=1, strided=True)
    b = _check.array("b", b, min_ndim=1, strided=True, dtype=a.dtype)
    left = a[np.newaxis, :] if a.ndim == 1 else a
    right = b[:, np.newaxis] if b.ndim == 1 else b
    if left.shape[-1] != right.shape[-2]:
        raise ValueError(f"b must have {left.shape[-1]} rows to be multiplied by a of shape {a.shape}, got {b.shape}")
    plain = left.ndim == right.ndim == 2  # the common case, and the quickest
    try:
        batch = () if plain else np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    except ValueError:
        raise ValueError(f"a and b must have leading axes that broadcast, got {a.shape} and {b.shape}") from None
    rows, cols = left.shape[-2], right.shape[-1]
    shape = batch + (() if a.ndim == 1 else (rows,)) + (() if b.ndim == 1 else (cols,))
    result = _check.output(out, shape, a.dtype, (a, b))
    count = math.prod(batch)
    if plain:
        _core.matmul(result.reshape(1, rows, cols), left[np.newaxis], right[np.newaxis])
        return _check.deliver(result, out)
    _core.matmul(
        result.reshape(count, rows, cols),
        np.broadcast_to(left, batch + left.shape[-2:]).reshape(count, rows, left.shape[-1]),
        np.broadcast_to(right, batch + right.shape[-2:]).reshape(count, right.shape[-2], cols),
    )
    return _check.deliver(result, out)


def linear(
    input: Array, weight: Array, bias: Array | None = None, *, activation: str | None = None, out: Array | None = None
) -> Array:
    """Apply a linear layer: ``out[..., o] = activation(sum_i input[..., i] weight[o, i] + bias[o])``.

    Parameters
    ----------
    input : float32 or float64 array, (..., in_features)
    weight : array, (out_features, in_features)
    bias : array, (out_features,), optional
    activation : None, "relu" or "gelu"
        Applied while the result is still in registers.
    out : array, optional
        Receives the result.

    Returns
    -------
    array, (..., out_features)

    Raises
    ------
    TypeError
        If an array is not float32 or float64, or types differ.
    ValueError
        If a shape does not fit or the activation is unknown.
    """
    input = _check.array("input", input, min_ndim=1)
    weight = _check.array("weight", weight, dtype=input.dtype, shape=(None, input.shape[-1]))
    bias = _check.maybe_array("bias", bias, dtype=input.dtype, shape=(weight.shape[0],))
    activation = _check.choice("activation", activation, tuple(ACTIVATIONS))
    shape = (*input.shape[:-1], weight.shape[0])
    result = _check.output(out, shape, input.dtype, (input, weight, bias))
    _core.linear(_rows(result), _rows(input), weight, bias, ACTIVATIONS[activation])
    return _check.deliver(result, out)


def linear_input_grad(grad_output: Array, weight: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of linear for its input: ``sum_o grad_output[..., o] weight[o, i]``.

    Parameters
    ----------
    grad_output : float32 or float64 array, (..., out_features)
    weight : array, (out_features, in_features)
    out : array, optional
        Receives the result.

    Returns
    -------
    array, (..., in_features)

    Raises
    ------
    TypeError, ValueError
        As linear.
    """
    grad_output = _check.array("grad_output", grad_output, min_ndim=1)
    weight = _check.array("weight", weight, dtype=grad_output.dtype, shape=(grad_output.shape[-1], None))
    shape = (*grad_output.shape[:-1], weight.shape[1])
    result = _check.output(out, shape, grad_output.dtype, (grad_output, weight))
    _core.linear_input_grad(_rows(result), _rows(grad_output), weight)
    return _check.deliver(result, out)


def linear_weight_grad(grad_output: Array, input: Array, *, out: Array | None = None) -> Array:
    """Return the gradient of linear for its weight: ``sum_n grad_output[n, o] input[n, i]``.

    The terms are added in the order of the samples. The bias's gradient is grad_output's sum over its leading axes.

    Parameters
    ----------
    grad_output : float32 or float64 array, (..., out_features)
    input : array, (..., in_features)
        With the same leading axes.
    out : array, optional
        Receives the result.

    Returns
    -------
    array, (out_features, in_features)

    Raises
    ------
    TypeError, ValueError
        As linear.
    """
    grad_output = _check.array("grad_output", grad_output, min_ndim=1)
    input = _check.array("input", input, dtype=grad_output.dtype, shape=(*grad_output.shape[:-1], None))
    result = _check.output(out, (grad_output.shape[-1], input.shape[-1]), input.dtype, (grad_output, input))
    _core.linear_weight_grad(result, _rows(grad_output), _rows(input))
    return _check.deliver(result, out)


def _rows(x: Array) -> Array:
    """Fold all leading axes into one, empty arrays included."""
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
