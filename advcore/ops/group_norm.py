"""Group normalisation: the statistics of each sample's groups of channels; and its gradients."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, overload

from advcore import _check
from advcore._check import Array
from advcore.ops import _norm
from advcore.ops._norm import Grads, Layout, Stats


@overload
def group_norm(
    input: Array,
    num_groups: int,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    *,
    return_stats: Literal[False] = False,
    out: Array | None = None,
) -> Array: ...


@overload
def group_norm(
    input: Array,
    num_groups: int,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    *,
    return_stats: Literal[True],
    out: Array | None = None,
) -> tuple[Array, Stats]: ...


def group_norm(
    input: Array,
    num_groups: int,
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
    *,
    return_stats: bool = False,
    out: Array | None = None,
) -> Array | tuple[Array, Stats]:
    """Normalise each group of a sample's channels: ``out = (input - mean) / sqrt(var + eps) * weight[c] + bias[c]``.

    Group g has the channels from ``g C / num_groups`` on; mean and variance (the biased one) are over them and all
    their positions.

    Source: Wu and He 2018, arXiv:1803.08494, equations 1, 2, 6 and 7.

    Parameters
    ----------
    input : float32 or float64 array, (N, C) or (N, C, ...)
    num_groups : int
        Divides C.
    weight, bias : array of the same type, (C,), optional
        Ones and zeros unless given.
    eps : float
        Added to the variance, positive.
    return_stats : bool
        Return what normalised, too: group_norm_grad takes it as ``stats``.
    out : array, optional
        Receives the result.

    Returns
    -------
    array, the input's shape
        With return_stats a pair of it and of (mean, ``1 / sqrt(var + eps)``), each (N, num_groups).

    Raises
    ------
    TypeError
        If an array is of the wrong type, or types differ.
    ValueError
        If a shape does not fit, num_groups does not divide C or eps is not positive.
    """
    input = _check.array("input", input, min_ndim=2)
    return _norm.forward(input, _layout(input, num_groups), weight, bias, eps, return_stats, out)


def group_norm_grad(
    grad_output: Array,
    input: Array,
    num_groups: int,
    weight: Array | None = None,
    eps: float = 1e-5,
    *,
    stats: Stats | None = None,
    need_parameters: bool = True,
    out: tuple[Array | None, Array | None, Array | None] | None = None,
) -> Grads:
    """Return the gradients of group_norm for its input, weight and bias.

    With ``x^ = (input - mean) rstd`` and ``g = weight grad_output`` the input's is
    ``rstd (g - mean(g) - x^ mean(g x^))``, the means over a group; the weight's is ``sum grad_output x^`` over samples
    and positions, the bias's ``sum grad_output``.

    Parameters
    ----------
    grad_output : float32 or float64 array, (N, C) or (N, C, ...)
    input : array, the same shape
        The input of the forward pass.
    num_groups, weight, eps
        As in the forward pass.
    stats : pair of arrays, (N, num_groups), optional
        What the forward pass returned with return_stats; computed again where it is not given.
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
        As group_norm, and if grad_output or stats do not have their shapes.
    """
    input = _check.array("input", input, min_ndim=2)
    layout = _layout(input, num_groups)
    return _norm.backward(grad_output, input, layout, weight, eps, stats, need_parameters, out)


def _layout(input: Array, num_groups: object) -> Layout:
    return _of_groups(input.shape, _check.divisor("num_groups", num_groups, "the number of channels", input.shape[1]))


@lru_cache(maxsize=1024)
def _of_groups(shape: tuple[int, ...], groups: int) -> Layout:
    return Layout(_norm.fold(shape), groups, (shape[0], groups), shape[1:2])
