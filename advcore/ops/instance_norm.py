"""Instance normalisation: the statistics of each channel of each sample; and its gradients."""

from __future__ import annotations

from typing import Literal, overload

from advcore import _check
from advcore._check import Array
from advcore.ops import _norm
from advcore.ops._norm import Grads, Layout, Stats
from advcore.ops.batch_norm import batch_norm, batch_norm_grad


@overload
def instance_norm(
    input: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    return_stats: Literal[False] = False,
    out: Array | None = None,
) -> Array: ...


@overload
def instance_norm(
    input: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    return_stats: Literal[True],
    out: Array | None = None,
) -> tuple[Array, Stats]: ...


def instance_norm(
    input: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    return_stats: bool = False,
    out: Array | None = None,
) -> Array | tuple[Array, Stats]:
    """Normalise each channel of each sample: ``out = (input - mean) / sqrt(var + eps) * weight[c] + bias[c]``.

    Source: Ulyanov, Vedaldi and Lempitsky 2016, arXiv:1607.08022.

    Parameters
    ----------
    input : float32 or float64 array, (N, C, ...)
    running_mean, running_var : array of the same type, (C,), optional
        With use_input_stats they are updated where they are given: ``running = (1 - momentum) running + momentum new``,
        the new ones the means over the samples (the variance unbiased). Without, they normalise.
    weight, bias : array, (C,), optional
        Ones and zeros unless given.
    use_input_stats : bool
        Whether the instances' own statistics normalise.
    momentum : float
        The weight of the new statistics, in [0, 1].
    eps : float
        Added to the variance, positive.
    return_stats : bool
        Return what normalised, too: instance_norm_grad takes it as ``stats``.
    out : array, optional
        Receives the result.

    Returns
    -------
    array, the input's shape
        With return_stats a pair of it and of (mean, ``1 / sqrt(var + eps)``), each (N, C); (C,) of running statistics.

    Raises
    ------
    TypeError, ValueError
        As batch_norm, and if an instance with statistics of its own has one value.
    """
    input = _check.array("input", input, min_ndim=3)
    if not _check.flag("use_input_stats", use_input_stats):
        running = (running_mean, running_var, weight, bias, False, momentum, eps)
        return batch_norm(input, *running, return_stats=return_stats, out=out)  # type: ignore[call-overload,no-any-return]
    momentum = _check.real("momentum", momentum, minimum=0.0, maximum=1.0)
    updated = _norm.Running(running_mean, running_var, momentum)
    return _norm.forward(input, _instances(input), weight, bias, eps, return_stats, out, updated)


def instance_norm_grad(
    grad_output: Array,
    input: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: Array | None = None,
    use_input_stats: bool = True,
    eps: float = 1e-5,
    *,
    stats: Stats | None = None,
    need_parameters: bool = True,
    out: tuple[Array | None, Array | None, Array | None] | None = None,
) -> Grads:
    """Return the gradients of instance_norm for its input, weight and bias: group_norm's, each channel a group.

    Parameters
    ----------
    grad_output : float32 or float64 array, (N, C, ...)
    input : array, the same shape
        The input of the forward pass.
    running_mean, running_var : array, (C,), optional
        Needed, and used, unless use_input_stats.
    weight, use_input_stats, eps
        As in the forward pass.
    stats : pair of arrays, (N, C), optional
        What the forward pass with use_input_stats returned; computed again where it is not given.
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
        As instance_norm, and if grad_output does not have the input's shape.
    """
    input = _check.array("input", input, min_ndim=3)
    if not _check.flag("use_input_stats", use_input_stats):
        fixed = (running_mean, running_var, weight, False, eps)
        return batch_norm_grad(grad_output, input, *fixed, need_parameters=need_parameters, out=out)
    return _norm.backward(grad_output, input, _instances(input), weight, eps, stats, need_parameters, out)


def _instances(input: Array) -> Layout:
    layout = Layout(_norm.fold(input.shape), input.shape[1], input.shape[:2], input.shape[1:2])
    _check.several("input", input.shape, layout.folded[2])
    return layout
