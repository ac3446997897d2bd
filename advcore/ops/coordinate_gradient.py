"""Gradients along chosen coordinates by symmetric differences, of anything that can be called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from advcore import _check
from advcore._check import Array
from advcore._perturb import Perturbed

_BATCH_BYTES = 64 * 2**20
_Values = NDArray[np.float64]
_Objective = Callable[[_Values], _Values]
_WithValues = tuple[Array, float, _Values, _Values]


@overload
def coordinate_gradient(
    model: Any,
    x: Array,
    coordinates: NDArray[np.int64],
    *,
    objective: _Objective,
    h: float = ...,
    bounds: tuple[float, float] | None = ...,
    batch_size: int | None = ...,
    return_values: Literal[False] = ...,
    out: Array | None = ...,
) -> Array: ...
@overload
def coordinate_gradient(
    model: Any,
    x: Array,
    coordinates: NDArray[np.int64],
    *,
    objective: _Objective,
    h: float = ...,
    bounds: tuple[float, float] | None = ...,
    batch_size: int | None = ...,
    return_values: Literal[True],
    out: Array | None = ...,
) -> _WithValues: ...
def coordinate_gradient(
    model: Any,
    x: Array,
    coordinates: NDArray[np.int64],
    *,
    objective: _Objective,
    h: float = 1e-4,
    bounds: tuple[float, float] | None = None,
    batch_size: int | None = None,
    return_values: bool = False,
    out: Array | None = None,
) -> Array | _WithValues:
    """Estimate derivatives by symmetric differences: ``(f(x + h e_c) - f(x - h e_c)) / (2 h)`` for every coordinate c.

    f is the objective of the model's logits. The 2 m moved copies of x are built in C++ and go to the model in whole
    batches. Chen et al. (2017, arXiv 1708.03999, equation 6). Differs from the paper: the difference is divided by the
    distance of the two numbers that x's type really holds (in float32, x + 1e-4 is off by up to a tenth of a percent
    of h), and copies stay inside bounds where they are given.

    Parameters
    ----------
    model : callable or object with ``logits``
        Maps an array (B, ...) of x's type, a fresh one each time, to an array of float logits, (B, K).
    x : float32 or float64 array
        One sample, of any shape, without a batch axis.
    coordinates : int64 array, (m,)
        Flat indices into x.
    objective : callable
        Maps float64 logits, (B, K), to float64 values, (B,), one a row.
    h : float
        Step, greater than 0, in x's units.
    bounds : (low, high), optional
        The values that the model may be asked for: at a bound, x moves to one side only.
    batch_size : int, optional
        Largest number of rows that the model gets at once; unless given, what fits in 64 MiB.
    return_values : bool
        Whether the objective's values come back too. The model is then asked for x itself as well.
    out : array, (m,), optional
        Receives the gradient.

    Returns
    -------
    gradient : array, (m,)
        Of x's type.
    f0 : float
        f(x).
    f_plus, f_minus : float64 array, (m,)
        f(x + h e_c) and f(x - h e_c).

    Raises
    ------
    TypeError
        If an argument, or what the model or the objective returns, has the wrong type.
    ValueError
        If x is not finite or outside its bounds, a coordinate is out of range, h is too small for x's type, or the
        model or the objective returns the wrong shape, or NaN (or the objective an infinity).
    """
    ask = getattr(model, "logits", model)
    if not callable(ask):
        raise TypeError(f"model must be callable or have logits(x), got {type(model).__name__}")
    if not callable(objective):
        raise TypeError(f"objective must be callable, got {type(objective).__name__}")
    x = _check.array("x", x)[np.newaxis]
    _check.finite("x", x)
    coordinates = _check.integers("coordinates", coordinates, shape=(None,), minimum=0, maximum=x.size - 1)
    h = _check.real("h", h, above=0)
    if bounds is not None:
        bounds = _check.bounds("bounds", bounds)
        _check.inside("x", x, bounds)
    if batch_size is None:
        batch_size = max(1, _BATCH_BYTES // max(1, x.nbytes))
    batch_size = _check.integer("batch_size", batch_size, minimum=1)
    keep = _check.flag("return_values", return_values)
    count = len(coordinates)
    gradient = _check.output(out, (count,), x.dtype, (x, coordinates))

    moved = Perturbed(x, coordinates[np.newaxis], h, bounds, keep=keep)
    distances = moved.distances[0]
    if not (distances > 0).all():
        at = coordinates[int(np.argmin(distances))]
        raise ValueError(f"h must be large enough to move x in {x.dtype}, got {h:g} where x is {x.ravel()[at]:g}")
    values = np.empty(moved.rows)
    for first in range(0, moved.rows, batch_size):
        batch = moved.batch(first, first + batch_size)
        values[first : first + len(batch)] = _evaluate(ask, objective, batch, first)
    f_plus, f_minus = values[keep : keep + count], values[keep + count :]
    gradient[...] = (f_plus - f_minus) / distances
    gradient = _check.deliver(gradient, out)
    return (gradient, float(values[0]), f_plus, f_minus) if keep else gradient


def _evaluate(ask: Callable[[Array], Any], objective: _Objective, batch: Array, first: int) -> _Values:
    count = len(batch)
    logits = _returned("model", ask(batch), (count, None))
    _refuse("the model's logits must not be NaN", np.isnan(logits).any(axis=1), first)
    values = _returned("objective", objective(logits), (count,))
    _refuse("the objective's values must be finite", ~np.isfinite(values), first)
    return values


def _returned(name: str, value: object, shape: tuple[int | None, ...]) -> _Values:
    """Return what a user's function gave as float64, or say what is wrong with it."""
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        got = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
        raise TypeError(f"{name} must return a NumPy array of floats, got {got}")
    expected = f"({shape[0]}, K)" if len(shape) == 2 else f"({shape[0]},)"
    if value.ndim != len(shape) or len(value) != shape[0]:
        raise ValueError(f"{name} must return an array of shape {expected}, got {value.shape}")
    return value.astype(np.float64)


def _refuse(message: str, bad: Any, first: int) -> None:
    rows = (first + np.flatnonzero(bad)).tolist()
    if rows:
        listed = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
        raise ValueError(f"{message}, got {len(rows)} such rows: {listed}")
