"""Batch normalisation: a channel's statistics over all samples, or running ones; and its gradients."""

from __future__ import annotations

from typing import Literal, overload

import numpy as np

from advcore import _check, _core
from advcore._check import Array
from advcore.ops import _norm
from advcore.ops._norm import Grads, Stats


@overload
def batch_norm(
    input: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    return_stats: Literal[False] = False,
    out: Array | None = None,
) -> Array: ...


@overload
def batch_norm(
    input: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    return_stats: Literal[True],
    out: Array | None = None,
) -> tuple[Array, Stats]: ...


def batch_norm(
    input: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    return_stats: bool = False,
    out: Array | None = None,
) -> Array | tuple[Array, Stats]:
    """Normalise each channel: ``out[n, c] = (input[n, c] - mean[c]) / sqrt(var[c] + eps) * weight[c] + bias[c]``.

    In training mean and variance (the biased one) are those of the channel over all samples and positions, and the
    running statistics are updated: ``running = (1 - momentum) running + momentum new``, the new variance unbiased. A
    batch of no samples leaves them as they are. Else the running statistics normalise, each sample by itself.

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167, algorithms 1 and 2.

    Parameters
    ----------
    input : float32 or float64 array, (N, C) or (N, C, ...)
    running_mean, running_var : array of the same type, (C,), or None
        Written in training; needed otherwise. running_var is at least 0.
    weight, bias : array, (C,), optional
        Ones and zeros unless given.
    training : bool
        Whether the batch's own statistics normalise.
    momentum : float
        The weight of the new statistics, in [0, 1].
    eps : float
        Added to the variance, positive.
    return_stats : bool
        Return what normalised, too: batch_norm_grad in training takes it as ``stats``.
    out : array, optional
        Receives the result.

    Returns
    -------
    array, the input's shape
        With return_stats a pair of it and of (mean, ``1 / sqrt(var + eps)``), each (C,).

    Raises
    ------
    TypeError
        If an array is of the wrong type, or types differ.
    ValueError
        If a shape does not fit, eps or momentum is out of range, running_var is negative, a running statistic is
        missing or read-only where it is needed, or training meets one value a channel.
    """
    input = _check.array("input", input, min_ndim=2)
    layout = _norm.of_channels(input.shape)
    momentum = _check.real("momentum", momentum, minimum=0.0, maximum=1.0)
    if _check.flag("training", training):
        _check.several("input", input.shape, layout.folded[0] * layout.folded[2])
        running = _norm.Running(running_mean, running_var, momentum)
        return _norm.forward(input, layout, weight, bias, eps, return_stats, out, running)
    factor = _norm.affine("weight", weight, layout.affine, input.dtype)
    shift = _norm.affine("bias", bias, layout.affine, input.dtype)
    mean, variance = fixed_stats(running_mean, running_var, input)
    smallest = _check.real("eps", eps, above=0.0)
    return_stats = _check.flag("return_stats", return_stats)
    result = _check.output(out, input.shape, input.dtype, (input, mean, variance, factor, shift))
    _core.normalize_fixed(result, input, mean, variance, factor, shift, layout.folded, smallest)
    result = _check.deliver(result, out)
    return (result, (mean.copy(), _rstd(variance, smallest))) if return_stats else result


def batch_norm_grad(
    grad_output: Array,
    input: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None = None,
    training: bool = False,
    eps: float = 1e-5,
    *,
    stats: Stats | None = None,
    need_parameters: bool = True,
    out: tuple[Array | None, Array | None, Array | None] | None = None,
) -> Grads:
    """Return the gradients of batch_norm for its input, weight and bias.

    With ``x^ = (input - mean) rstd`` the bias's is ``sum grad_output`` over a channel, the weight's
    ``sum grad_output x^``, the input's ``weight rstd (grad_output - mean(grad_output) - x^ mean(grad_output x^))``, and
    ``weight rstd grad_output`` where running statistics normalise.

    Parameters
    ----------
    grad_output : float32 or float64 array, (N, C) or (N, C, ...)
    input : array, the same shape
        The input of the forward pass.
    running_mean, running_var : array, (C,), or None
        Needed, and used, unless training.
    weight : array, (C,), optional
        Ones unless given.
    training : bool
        As in the forward pass.
    eps : float
        As in the forward pass.
    stats : pair of arrays, (C,), optional
        What the forward pass in training returned with return_stats; computed again where it is not given.
    need_parameters : bool
        Whether the weight's and the bias's gradients are needed.
    out : three arrays, or None for some, optional
        Receive the gradients.

    Returns
    -------
    grad_input : array, the input's shape
    grad_weight, grad_bias : array, (C,), or None without need_parameters

    Raises
    ------
    TypeError, ValueError
        As batch_norm, and if grad_output or stats do not have their shapes.
    """
    input = _check.array("input", input, min_ndim=2)
    layout = _norm.of_channels(input.shape)
    if _check.flag("training", training):
        _check.several("input", input.shape, layout.folded[0] * layout.folded[2])
        return _norm.backward(grad_output, input, layout, weight, eps, stats, need_parameters, out)
    grad = _check.array("grad_output", grad_output, dtype=input.dtype, shape=input.shape)
    factor = _norm.affine("weight", weight, layout.affine, input.dtype)
    mean, variance = fixed_stats(running_mean, running_var, input)
    smallest = _check.real("eps", eps, above=0.0)
    results = _norm.grads_to_fill(grad, input, factor, layout.affine, need_parameters, out)
    if results[1] is not None:
        _core.normalize_grad(*results, grad, input, factor, mean, variance, layout.folded, 0, smallest)
        return _norm.delivered(results, out)
    _core.normalize_fixed(results[0], grad, None, variance, factor, None, layout.folded, smallest)
    return _norm.delivered(results, out)


def fixed_stats(running_mean: object, running_var: object, input: Array) -> Stats:
    """Return the running statistics that normalise."""
    arrays = []
    for name, value in (("running_mean", running_mean), ("running_var", running_var)):
        array = _check.running(name, value, dtype=input.dtype, channels=input.shape[1], updated=False)
        if array is None:
            raise ValueError(f"{name} must be given where the input's own statistics do not normalise, got None")
        arrays.append(array)
    _check.not_negative("running_var", arrays[1])
    return arrays[0], arrays[1]


def _rstd(variance: Array, eps: float) -> Array:
    rstd: Array = (1 / np.sqrt(variance.astype(np.float64) + eps)).astype(variance.dtype)
    return rstd
