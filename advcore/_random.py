"""Random numbers that belong to a sample: drawn by counter, from (seed, sample, step, stream) alone.

A row does not depend on the other rows, on the number of threads or on the instruction-set level, and no random state
is kept. The kinds of draw (uniform, normal, sign, choice) never share numbers; two draws of one kind in the same step
of an algorithm take different streams. Generator: Philox4x32-10 (Salmon et al. 2011).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from advcore import _check, _core
from advcore._check import Array

_UNIFORM, _NORMAL, _SIGN = 0, 1, 2
_LARGEST_ROW = 2**33  # a row's counter has 32 bits, and makes two numbers at a time


def uniform(
    seed: int,
    sample_ids: Array,
    step: int,
    size: int,
    *,
    low: float = 0.0,
    high: float = 1.0,
    dtype: DTypeLike = np.float64,
    stream: int = 0,
) -> Array:
    """Draw uniform numbers: ``low + (high - low) u``, u in [0, 1) with 53 bits (high comes up by rounding only).

    Parameters
    ----------
    seed : int
        In [0, 2**64).
    sample_ids : int64 array, (N,)
        In [0, 2**48).
    step : int
        Of the algorithm, in [0, 2**32).
    size : int
        Numbers a sample.
    low, high : float
    dtype : float32 or float64
        float32 gets the same numbers, rounded.
    stream : int
        In [0, 4096): one for every purpose in a step.

    Returns
    -------
    array, (N, size)
    """
    low, high = _check.real("low", low), _check.real("high", high)
    return _draw(_UNIFORM, seed, sample_ids, step, size, low, high - low, dtype, stream)


def normal(
    seed: int,
    sample_ids: Array,
    step: int,
    size: int,
    *,
    mean: float = 0.0,
    std: float = 1.0,
    dtype: DTypeLike = np.float64,
    stream: int = 0,
) -> Array:
    """Draw normal numbers by Box and Muller's transform; arguments as uniform. Returns an array (N, size)."""
    mean, std = _check.real("mean", mean), _check.real("std", std, minimum=0)
    return _draw(_NORMAL, seed, sample_ids, step, size, mean, std, dtype, stream)


def sign(
    seed: int, sample_ids: Array, step: int, size: int, *, dtype: DTypeLike = np.float64, stream: int = 0
) -> Array:
    """Draw -1 or 1, alike probable; arguments as uniform. Returns an array (N, size)."""
    return _draw(_SIGN, seed, sample_ids, step, size, 0.0, 1.0, dtype, stream)


def choice(seed: int, sample_ids: Array, step: int, n: int, k: int, *, stream: int = 0) -> NDArray[np.int64]:
    """Choose k different coordinates of range(n) a sample, without replacement and in random order.

    Parameters
    ----------
    seed, sample_ids, step, stream
        As uniform.
    n : int
        Coordinates there are.
    k : int
        Coordinates to choose, in [0, n]; k = n gives a permutation.

    Returns
    -------
    int64 array, (N, k)
    """
    n = _check.integer("n", n, minimum=0, maximum=_LARGEST_ROW)
    k = _check.integer("k", k, minimum=0, maximum=n)
    ids, key = _samples(sample_ids), _key(seed, step, stream)
    out = _check.output(None, (len(ids), k), np.dtype(np.int64), ())
    _core.random_choice(out, ids, *key, n)
    return out


def _draw(
    kind: int,
    seed: int,
    sample_ids: Array,
    step: int,
    size: int,
    shift: float,
    scale: float,
    dtype: DTypeLike,
    stream: int,
) -> Array:
    ids, key = _samples(sample_ids), _key(seed, step, stream)
    size = _check.integer("size", size, minimum=0, maximum=_LARGEST_ROW)
    native: np.dtype[Any] = np.dtype(dtype)
    if native not in _check.FLOATS:
        raise TypeError(f"dtype must be float32 or float64, got {native}")
    out = _check.output(None, (len(ids), size), native, ())
    _core.random_numbers(out, ids, *key, kind, shift, scale)
    return out


def _samples(sample_ids: Array) -> NDArray[np.int64]:
    return _check.integers("sample_ids", sample_ids, shape=(None,), minimum=0, maximum=2**48 - 1)


def _key(seed: int, step: int, stream: int) -> tuple[int, int, int]:
    return (
        _check.integer("seed", seed, minimum=0, maximum=2**64 - 1),
        _check.integer("step", step, minimum=0, maximum=2**32 - 1),
        _check.integer("stream", stream, minimum=0, maximum=2**12 - 1),
    )
