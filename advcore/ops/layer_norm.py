"""Layer normalisation: the statistics of each sample's trailing axes; and its gradients."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal, overload

from advcore import _check
from advcore._check import Array
from advcore.ops import _norm
from advcore.ops._norm import Grads, Layout, Stats


@overload
def layer_norm(
    input: Array,
    normalized_shape: int | tuple[int, ...],
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    *,
    return_stats: Literal[False] = False,
    out: Array | None = None,
) -> Array: ...


@overload
def layer_norm(
    input: Array,
    normalized_shape: int | tuple[int, ...],
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    *,
    return_stats: Literal[True],
    out: Array | None = None,
) -> tuple[Array, Stats]: ...


def layer_norm(
    input: Array,
    normalized_shape: int | tuple[int, ...],
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    *,
    return_stats: bool = False,
    out: Array | None = None,
) -> Array | tuple[Array, Stats]:
    """Normalise over the trailing axes: ``out = (input - mean) / sqrt(var + eps) * weight + bias``, var the biased one.

    Source: Ba, Kiros and Hinton 2016, arXiv:1607.06450, equation 4.

    Parameters
    ----------
    input : float32 or float64 array, (..., *normalized_shape)
    normalized_shape : int or tuple of int
        The axes that share a mean and a variance.
    weight, bias : array of the same type, normalized_shape, optional
        Ones and zeros unless given.
    eps : float
        Added to the variance, positive.
    return_stats : bool
        Return what normalised, too: layer_norm_grad takes it as ``stats``.
    out : array, optional
        Receives the result.

    Returns
    -------
    array, the input's shape
        With return_stats a pair of it and of (mean, ``1 / sqrt(var + eps)``), each of the leading axes (...).

    Raises
    ------
    TypeError
        If an array is of the wrong type, or types differ.
    ValueError
        If a shape does not fit or eps is not positive.
    """
    input = _check.array("input", input)
    return _norm.forward(input, _layout(input, normalized_shape), weight, bias, eps, return_stats, out)


def layer_norm_grad(
    grad_output: Array,
    input: Array,
    normalized_shape: int | tuple[int, ...],
    weight: Array | None = None,
    eps: float = 1e-5,
    *,
    stats: Stats | None = None,
    need_parameters: bool = True,
    out: tuple[Array | None, Array | None, Array | None] | None = None,
) -> Grads:
    """Return the gradients of layer_norm for its input, weight and bias.

    With ``x^ = (input - mean) rstd`` and ``g = weight grad_output`` the input's is
    ``rstd (g - mean(g) - x^ mean(g x^))``; the weight's is ``sum grad_output x^`` over the leading axes, the bias's
    ``sum grad_output``.

    Parameters
    ----------
    grad_output : float32 or float64 array, (..., *normalized_shape)
    input : array, the same shape
        The input of the forward pass.
    normalized_shape, weight, eps
        As in the forward pass.
    stats : pair of arrays, (...), optional
        What the forward pass returned with return_stats; computed again where it is not given.
    need_parameters : bool
        Whether the weight's and the bias's gradients are needed.
    out : three arrays, or None for some, optional
        Receive the gradients.

    Returns
    -------
    grad_input : array, the input's shape
    grad_weight, grad_bias : array, normalized_shape, or None without need_parameters

    Raises
    ------
    TypeError, ValueError
        As layer_norm, and if grad_output or stats do not have their shapes.
    """
    input = _check.array("input", input)
    layout = _layout(input, normalized_shape)
    return _norm.backward(grad_output, input, layout, weight, eps, stats, need_parameters, out)


def _layout(input: Array, normalized_shape: object) -> Layout:
    """Take the normalised numbers for a sample's channels, all in one group."""
    return _of_axes(input.shape, _check.trailing("normalized_shape", normalized_shape, input.shape))


@lru_cache(maxsize=1024)
def _of_axes(shape: tuple[int, ...], normalized: tuple[int, ...]) -> Layout:
    leading = shape[: len(shape) - len(normalized)]
    return Layout((math.prod(leading), math.prod(normalized), 1), 1, leading, normalized)
