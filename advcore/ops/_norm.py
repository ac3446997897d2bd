"""What the normalisations share: folding to (samples, channels, plane), statistics and the calls of the kernels."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from advcore import _check, _core
from advcore._check import Array

Stats = tuple[Array, Array]
Grads = tuple[Array, Array | None, Array | None]
Shape = tuple[int, ...]


class Layout(NamedTuple):
    """How the kernels see an array, and what shares a mean and a variance in it."""

    folded: tuple[int, int, int]  # (samples, channels, plane)
    groups: int  # of a sample's channels; 0: a channel of all samples
    stats: Shape  # the shape of mean and rstd
    affine: Shape  # the shape of weight and bias


def fold(shape: Shape) -> tuple[int, int, int]:
    """Return (N, C, *) as (N, C, numbers of a plane)."""
    return shape[0], shape[1], math.prod(shape[2:])


@lru_cache(maxsize=1024)  # as in the other layouts, a good part of a call on a small input
def of_channels(shape: Shape) -> Layout:
    """Return the layout in which a channel of all samples is normalised."""
    return Layout(fold(shape), 0, shape[1:2], shape[1:2])


def affine(name: str, value: object, shape: Shape, dtype: np.dtype[Any]) -> Array | None:
    """Return a weight or bias, or None."""
    return None if value is None else _check.array(name, value, dtype=dtype, shape=shape)


class Running(NamedTuple):
    """Running statistics that a call updates: the caller's arrays, and how."""

    mean: Any = None
    variance: Any = None
    momentum: float = 0.0


def forward(
    input: Array,
    layout: Layout,
    weight: object,
    bias: object,
    eps: object,
    return_stats: object,
    out: Array | None,
    running: Running | None = None,
) -> Array | tuple[Array, Stats]:
    """Normalise by the input's own statistics."""
    factor = affine("weight", weight, layout.affine, input.dtype)
    shift = affine("bias", bias, layout.affine, input.dtype)
    smallest = _check.real("eps", eps, above=0.0)
    return_stats = _check.flag("return_stats", return_stats)
    result = _check.output(out, input.shape, input.dtype, (input, factor, shift))
    mean = rstd = own_mean = own_variance = None
    if running is not None:
        channels, dtype = layout.folded[1], input.dtype
        own_mean = _check.running("running_mean", running.mean, dtype=dtype, channels=channels, updated=True)
        own_variance = _check.running("running_var", running.variance, dtype=dtype, channels=channels, updated=True)
        if own_variance is not None:
            _check.not_negative("running_var", own_variance)
    if return_stats or own_mean is not None or own_variance is not None:
        mean, rstd = np.empty(layout.stats, input.dtype), np.empty(layout.stats, input.dtype)
    momentum = 0.0 if running is None else running.momentum
    _core.normalize(
        result,
        mean,
        rstd,
        input,
        factor,
        shift,
        layout.folded,
        layout.groups,
        smallest,
        own_mean,
        own_variance,
        momentum,
    )
    if running is not None:
        if own_mean is not None:
            _check.deliver(own_mean, running.mean)
        if own_variance is not None:
            _check.deliver(own_variance, running.variance)
    result = _check.deliver(result, out)
    if not return_stats or mean is None or rstd is None:  # they are there where they are asked for
        return result
    return result, (mean, rstd)


def backward(
    grad_output: object,
    input: Array,
    layout: Layout,
    weight: object,
    eps: object,
    stats: object,
    need_parameters: object,
    out: object,
) -> Grads:
    """Return the gradients of forward() for the input, the weight and the bias."""
    grad = _check.array("grad_output", grad_output, dtype=input.dtype, shape=input.shape)
    factor = affine("weight", weight, layout.affine, input.dtype)
    smallest = _check.real("eps", eps, above=0.0)
    results = grads_to_fill(grad, input, factor, layout.affine, need_parameters, out)
    if stats is None:
        mean, rstd = np.empty(layout.stats, input.dtype), np.empty(layout.stats, input.dtype)
        scratch = results[0]  # overwritten below
        folded, groups = layout.folded, layout.groups
        _core.normalize(scratch, mean, rstd, input, None, None, folded, groups, smallest, None, None, 0.0)
    else:
        members = _check.pair("stats", stats)
        mean = _check.array("stats[0]", members[0], dtype=input.dtype, shape=layout.stats)
        rstd = _check.array("stats[1]", members[1], dtype=input.dtype, shape=layout.stats)
    folded, groups = layout.folded, layout.groups
    _core.normalize_grad(*results, grad, input, factor, mean, rstd, folded, groups, None)
    return delivered(results, out)


def grads_to_fill(
    grad: Array, input: Array, weight: Array | None, affine: Shape, need_parameters: object, out: object
) -> Grads:
    """Return the arrays to compute gradients into; None for the parameters where they are not needed."""
    of_input, of_weight, of_bias = _check.outputs(out, 3)
    arrays = (grad, input, weight)
    below = _check.output(of_input, input.shape, input.dtype, arrays)
    if not _check.flag("need_parameters", need_parameters):
        return below, None, None
    shapes = (affine, input.dtype, arrays)
    return below, _check.output(of_weight, *shapes), _check.output(of_bias, *shapes)


def delivered(results: Grads, out: object) -> Grads:
    """Return what out holds, where it is given."""
    if out is None:
        return results
    assert isinstance(out, (tuple, list))  # grads_to_fill() has refused anything else
    of_input, of_weight, of_bias = out
    below, own_weight, own_bias = results
    return (
        _check.deliver(below, of_input),
        None if own_weight is None else _check.deliver(own_weight, of_weight),
        None if own_bias is None else _check.deliver(own_bias, of_bias),
    )
