"""Checks of arrays, those that are given and those that results go to."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import _core
from advcore._check.objects import describe, sequence, shape_text
from advcore._memory import empty

Array = NDArray[Any]

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
COUNTS = {2: "two", 3: "three"}
MOST_AXES = 64  # NumPy's own limit
LARGEST_SIZE = 2**62  # bytes: products of extents beyond it cannot be allocated anyway


def array(
    name: str,
    value: object,
    *,
    axes: Sequence[str] | None = None,
    shape: Sequence[int | None] | None = None,
    dtype: np.dtype[Any] | None = None,
    min_ndim: int = 0,
    strided: bool = False,
) -> Array:
    """Return value as an aligned, native, C-contiguous float array (any strides if strided), or say what is wrong.

    ``axes`` names the axes, as in ("N", "C", "H", "W"); ``shape`` fixes extents (None: any); ``dtype`` is the type that
    another argument has already fixed.
    """
    least, most = (min_ndim, MOST_AXES) if axes is None else (len(axes), len(axes))
    if _core.is_plain(value, dtype, shape, least, most):  # the common case, and the quickest
        return value
    if not isinstance(value, np.ndarray) or isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} must be a NumPy array of float32 or float64, got {describe(value)}")
    native = value.dtype if value.dtype.isnative else value.dtype.newbyteorder("=")
    if native not in FLOATS:
        raise TypeError(f"{name} must be of type float32 or float64, got {value.dtype}")
    if dtype is not None and native != dtype:
        raise TypeError(f"{name} must be of type {dtype} like the other arrays, got {value.dtype}")
    if axes is not None and value.ndim != len(axes):
        raise ValueError(f"{name} must have shape {shape_text(axes)}, got {value.shape}")
    if value.ndim < min_ndim:
        raise ValueError(f"{name} must have at least {min_ndim} axes, got shape {value.shape}")
    if (
        shape is not None
        and value.shape != shape
        and (value.ndim != len(shape) or any(s is not None and s != v for s, v in zip(shape, value.shape, strict=True)))
    ):
        raise ValueError(f"{name} must have shape {shape_text(shape)}, got {value.shape}")
    flags = value.flags
    if flags.c_contiguous and flags.aligned and native is value.dtype and type(value) is np.ndarray:
        return value
    plain = np.asarray(value, dtype=native)
    if strided and plain.flags.aligned and all(s % plain.itemsize == 0 for s in plain.strides):
        return plain
    return np.require(plain, requirements=["C", "A"])


def returned(name: str, value: object) -> Array:
    """Return what a user's model gave as an array of floating-point numbers, or say what is wrong."""
    try:
        floats = np.asarray(value)
    except (ValueError, RuntimeError) as error:  # ragged lists; tensors that are part of a graph
        raise ValueError(f"{name} must be an array: {error}") from error
    if floats.dtype.kind != "f":
        raise TypeError(f"{name} must be an array of floating-point numbers, got {floats.dtype}")
    return floats


def in_place(name: str, value: object) -> None:
    """Refuse what a kernel cannot change where it lies: an array that array() would copy, or a read-only one."""
    if array(name, value) is not value:
        raise ValueError(f"{name} must be contiguous, aligned and native, to be changed in place")
    assert isinstance(value, np.ndarray)  # array() has refused anything else
    if not value.flags.writeable:
        raise ValueError(f"{name} must be writeable, got a read-only array")


def maybe_array(
    name: str,
    value: object,
    *,
    shape: Sequence[int | None] | None = None,
    dtype: np.dtype[Any] | None = None,
) -> Array | None:
    """Like array, but None stays None."""
    return None if value is None else array(name, value, shape=shape, dtype=dtype)


def float_dtype(name: str, value: object) -> np.dtype[Any]:
    """Return value as the native float32 or float64."""
    for dtype in FLOATS:
        if isinstance(value, (str, type, np.dtype)) and value in (dtype, dtype.type, dtype.name):
            return dtype
    raise TypeError(f"{name} must be float32 or float64, got {value!r}")


def finite(name: str, value: Array, sample: int | None = None) -> None:
    """Refuse NaN and infinities in an array from array(), naming the first sample (index along axis 0) with one.

    With ``sample`` given all of the array belongs to that one.
    """
    at = _core.first_nonfinite(value if value.flags.c_contiguous else np.ascontiguousarray(value))
    if at >= 0:
        sample = at // math.prod(value.shape[1:]) if sample is None else sample
        raise ValueError(f"{name} must be finite, got NaN or infinity in sample {sample}")


def not_nan(name: str, value: NDArray[np.float64], first: int = 0) -> None:
    """Refuse NaN in what a model made of inputs, (Q, L), naming the first input; `first` is the number of row 0."""
    (unknown,) = np.nonzero(np.isnan(value).any(axis=1))
    if len(unknown):
        raise ValueError(f"{name} must be numbers, got NaN for input {first + unknown[0]}: do the outputs overflow?")


def running(name: str, value: object, *, dtype: np.dtype[Any], channels: int, updated: bool) -> Array | None:
    """Return a running statistic of the channels as array() does, or None; one that is updated must be writeable."""
    if value is None:
        return None
    checked = array(name, value, dtype=dtype, shape=(channels,))
    assert isinstance(value, np.ndarray)  # array() has refused anything else
    if updated and not value.flags.writeable:
        raise ValueError(f"{name} must be writeable, got a read-only array")
    return checked


def not_negative(name: str, value: Array) -> None:
    """Refuse numbers below 0 in an array from array(); NaN is let through."""
    at = _core.first_negative(value)
    if at >= 0:
        raise ValueError(f"{name} must be at least 0, got {value.ravel()[at]:g} at index {at}")


def several(name: str, shape: Sequence[int], values: int) -> None:
    """Refuse an array of one value in each set that shares a mean and a variance."""
    if values == 1:
        raise ValueError(f"{name} must have more than 1 value a channel to normalise by, got shape {tuple(shape)}")


def integers(name: str, value: object, *, shape: Sequence[int | None], minimum: int, maximum: int) -> NDArray[np.int64]:
    """Return value as contiguous int64 with entries in [minimum, maximum]."""
    if isinstance(value, (list, tuple)):
        try:
            value = np.asarray(value) if len(value) else np.zeros(0, np.int64)
        except ValueError:  # ragged
            raise ValueError(f"{name} must have shape {shape_text(shape)}, got lists of different lengths") from None
    if not isinstance(value, np.ndarray) or isinstance(value, np.ma.MaskedArray) or value.dtype.kind not in "iu":
        got = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else describe(value)
        raise TypeError(f"{name} must be an array of integers, got {got}")
    if value.ndim != len(shape) or any(s is not None and s != v for s, v in zip(shape, value.shape, strict=True)):
        raise ValueError(f"{name} must have shape {shape_text(shape)}, got {value.shape}")
    outside = (value < minimum) | (value > maximum)
    if outside.any():
        where = int(np.argmax(outside.ravel()))
        raise ValueError(f"{name} must be in [{minimum}, {maximum}], got {value.ravel()[where]} at index {where}")
    return np.ascontiguousarray(value, dtype=np.int64)


def every_class(name: str, labels: NDArray[np.int64], classes: int) -> None:
    """Refuse labels in which a class is missing, naming the first."""
    missing = np.flatnonzero(np.bincount(labels, minlength=classes) == 0)
    if len(missing):
        raise ValueError(f"{name} must have a label of each of the {classes} classes, got none of class {missing[0]}")


def mask(name: str, value: object, shape: Sequence[int]) -> NDArray[np.bool_] | None:
    """Return value, a bool array that broadcasts to the shape, in that shape; None stays None."""
    if value is None:
        return None
    if not isinstance(value, np.ndarray) or value.dtype != np.bool_:
        got = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else describe(value)
        raise TypeError(f"{name} must be an array of bool, got {got}")
    try:
        return np.broadcast_to(value, tuple(shape))
    except ValueError:
        raise ValueError(f"{name} must broadcast to {shape_text(shape)}, got {value.shape}") from None


def index_array(name: str, value: object, shape: Sequence[int]) -> NDArray[np.int64]:
    """Return value as contiguous int64 of a shape; the kernel that uses the indices checks their range."""
    if not isinstance(value, np.ndarray) or isinstance(value, np.ma.MaskedArray) or value.dtype != np.int64:
        got = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else describe(value)
        raise TypeError(f"{name} must be an array of int64, got {got}")
    if value.shape != tuple(shape):
        raise ValueError(f"{name} must have shape {shape_text(shape)}, got {value.shape}")
    return np.require(value, dtype=np.int64, requirements=["C", "A"])


def inside(name: str, value: Array, limits: tuple[float, float]) -> None:
    """Refuse entries outside the limits (rounded to the array's type), naming the first sample that has one."""
    low, high = (value.dtype.type(limit) for limit in limits)
    outside = (value < low) | (value > high)
    if outside.any():
        where = np.unravel_index(int(np.argmax(outside)), value.shape)
        raise ValueError(
            f"{name} must be inside its bounds [{low:g}, {high:g}], got {value[where]:g} in sample {int(where[0])}"
        )


def outputs(out: object, count: int) -> tuple[Any, ...]:
    """Return the arrays that receive ``count`` results, or as many None; each is checked by output()."""
    if out is None:
        return (None,) * count
    members = sequence("out", out)
    if len(members) != count:
        raise ValueError(f"out must be {COUNTS[count]} arrays, got {len(members)} values")
    arrays = [member for member in members if isinstance(member, np.ndarray)]
    for a, b in itertools.combinations(arrays, 2):
        if np.may_share_memory(a, b):
            raise ValueError(f"out must be {COUNTS[count]} arrays that share no memory")
    return tuple(members)


def output(out: object, shape: Sequence[int], dtype: np.dtype[Any], inputs: Sequence[Array | None]) -> Array:
    """Return the array to compute into: ``out`` where possible, else a new one to be handed to deliver()."""
    if _core.can_receive(out, shape, dtype, inputs):
        return out
    size = math.prod(shape) * dtype.itemsize
    if size > LARGEST_SIZE:
        raise ValueError(f"the result must fit in memory, got shape {tuple(shape)} of {dtype}")
    if out is None:
        return empty(shape, dtype)
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be a NumPy array, got {describe(out)}")
    if out.dtype != dtype:
        raise TypeError(f"out must be of type {dtype}, got {out.dtype}")
    if out.shape != tuple(shape):
        raise ValueError(f"out must have shape {tuple(shape)}, got {out.shape}")
    if not out.flags.writeable:
        raise ValueError("out must be writeable, got a read-only array")
    flags = out.flags
    if not (type(out) is np.ndarray and flags.c_contiguous and flags.aligned):
        return empty(shape, dtype)
    if any(x is not None and np.may_share_memory(out, x) for x in inputs):
        return empty(shape, dtype)
    return out


def deliver(result: Array, out: object) -> Array:
    """Return ``out`` holding the result, or the result itself where no out was given."""
    if out is None or out is result:
        return result
    assert isinstance(out, np.ndarray)  # output() has refused anything else
    out[...] = result
    return out
