"""Checks of numbers and of tuples of them."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from advcore._check.objects import describe, shape_text


def integer(name: str, value: object, *, minimum: int, maximum: int = 2**62) -> int:
    """Return value as an int in [minimum, maximum]."""
    if type(value) is int and minimum <= value <= maximum:
        return value
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, got {describe(value)}")
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # any object; the error is ours
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {describe(value)}") from None
    if not minimum <= number <= maximum:
        limit = f"at least {minimum}" if number < minimum else f"at most {maximum}"
        raise ValueError(f"{name} must be {limit}, got {number}")
    return number


def axis(name: str, value: object, ndim: int) -> int:
    """Return an axis of an array of ndim axes, counted from the front."""
    return integer(name, value, minimum=-ndim, maximum=ndim - 1) % ndim


def integer_pair(name: str, value: object, *, minimum: int, maximum: int = 2**62) -> tuple[int, int]:
    """Return an integer, or a pair of them, as a pair (height, width)."""
    if isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise ValueError(f"{name} must be an integer or a pair, got {len(value)} values: {value!r}")
        first, second = (integer(f"{name}[{i}]", v, minimum=minimum, maximum=maximum) for i, v in enumerate(value))
        return first, second
    number = integer(name, value, minimum=minimum, maximum=maximum)
    return number, number


def sizes(name: str, value: object, *, axes: Sequence[str] | None = None, minimum: int = 0) -> tuple[int, ...]:
    """Return the extents of an array as integers, one for each of the axes where they are named."""
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{name} must be a tuple {shape_text(axes) if axes else 'of integers'}, got {describe(value)}")
    if axes is not None and len(value) != len(axes):
        raise ValueError(f"{name} must be {shape_text(axes)}, got {tuple(value)!r}")
    return tuple(integer(f"{name}[{i}]", extent, minimum=minimum) for i, extent in enumerate(value))


def trailing(name: str, value: object, shape: Sequence[int]) -> tuple[int, ...]:
    """Return value, an integer or a tuple, if an array's last axes have those extents."""
    extents = sizes(name, value) if isinstance(value, (tuple, list)) else (integer(name, value, minimum=0),)
    if not extents:
        raise ValueError(f"{name} must have at least 1 axis, got ()")
    if tuple(shape[-len(extents) :]) != extents:
        raise ValueError(f"{name} must be the input's last axes, got {extents} for an input of shape {tuple(shape)}")
    return extents


def divisor(name: str, value: object, of: str, total: int) -> int:
    """Return value as a positive integer that divides the total."""
    number = integer(name, value, minimum=1)
    if total % number:
        raise ValueError(f"{name} must divide {of} {total}, got {number}")
    return number


def real(
    name: str,
    value: object,
    *,
    minimum: float = -math.inf,
    maximum: float = math.inf,
    above: float = -math.inf,
    below: float = math.inf,
) -> float:
    """Return value as a finite float in [minimum, maximum], greater than ``above`` and less than ``below``."""
    if type(value) is float and minimum <= value <= maximum and above < value < below:
        return value
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, got {describe(value)}")
    try:
        number = float(value)
    except OverflowError:  # an integer of more than 308 digits
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}")
    if number <= above:
        raise ValueError(f"{name} must be greater than {above:g}, got {number:g}")
    if number >= below:
        raise ValueError(f"{name} must be less than {below:g}, got {number:g}")
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum:g}, got {number:g}")
    if number > maximum:
        raise ValueError(f"{name} must be at most {maximum:g}, got {number:g}")
    return number


def reals(name: str, value: object, **limits: float) -> tuple[float, ...]:
    """Return a number, or a sequence of numbers that is not empty, as a tuple; ``limits`` as real's."""
    values = list(value) if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str) else [value]
    if not values:
        raise ValueError(f"{name} must not be empty")
    return tuple(real(f"{name}[{i}]" if len(values) > 1 else name, v, **limits) for i, v in enumerate(values))


def bounds(name: str, value: object, dtype: np.dtype[Any] | None = None) -> tuple[float, float]:
    """Return value as a pair (low, high) of finite numbers, low below high, no farther apart than a type can hold."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{name} must be a pair (low, high), got {describe(value)}")
    low, high = real(f"{name}[0]", value[0]), real(f"{name}[1]", value[1])
    if low >= high:
        raise ValueError(f"{name} must be a pair (low, high) with low below high, got ({low:g}, {high:g})")
    if dtype is not None and max(-low, high, high - low) > (largest := float(np.finfo(dtype).max)):
        raise ValueError(
            f"{name} must be no farther apart than {largest:.3g}, which {dtype} can hold, got ({low:g}, {high:g})"
        )
    return low, high
