"""Gradients along chosen coordinates by symmetric differences, of anything that can be called."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from advcore import _check
from advcore._check import Array
from advcore._perturb import Perturbed

_BATCH_BYTES = 64 * 2**20
_ROUNDING = 1e-5  # of the largest logit: what an answer may differ by when another batch is around it
_Values = NDArray[np.float64]
_Objective = Callable[[_Values], _Values]
_WithValues = tuple[Array, float, _Values, _Values]


class PartialGradient(NamedTuple):
    """What was known when a model failed, NaN where nothing was: the attribute ``partial`` of the exception.

    ``gradient``, ``f_plus`` and ``f_minus`` are float64 arrays, (m,); ``f0`` is f(x), if it was to be asked;
    ``answered`` counts the rows that the model has answered.
    """

    gradient: _Values
    f0: float
    f_plus: _Values
    f_minus: _Values
    answered: int


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
    verify: bool = ...,
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
    verify: bool = ...,
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
    verify: bool = False,
    return_values: bool = False,
    out: Array | None = None,
) -> Array | _WithValues:
    """Estimate derivatives by symmetric differences: ``(f(x + h e_c) - f(x - h e_c)) / (2 h)`` for every coordinate c.

    f is the objective of the model's logits. For a callable the 2 m moved copies of x are built in C++ and go to the
    model in whole batches. For an ``advcore.nn.Network`` they are never built: the change of one coordinate is followed
    through the layers, as far as it reaches, and added to the logits of x in float64 (docs/coordinate_gradients.md);
    that simulates an attacker who asks for 2 m scores. Chen et al. (2017, arXiv 1708.03999, equation 6). Differs from
    the paper: the difference is divided by the distance of the two numbers that x's type really holds (in float32,
    x + 1e-4 is off by up to a tenth of a percent of h), and copies stay inside bounds where they are given.

    Parameters
    ----------
    model : Network, callable or object with ``logits``
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
        Largest number of rows that the model (of a Network: the objective) gets at once; unless given, what fits in
        64 MiB.
    verify : bool
        Ask for the first row once more, at the end: a model that answers otherwise, by more than 1e-5 of the largest
        logit, is refused. One query more; a Network is not asked, it always gives the same bits.
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
        model or the objective returns the wrong shape, or NaN (or the objective an infinity), or changes its answer.

    Notes
    -----
    Whatever is raised while the model is being asked, its own exceptions too, has an attribute ``partial`` with what
    was known by then (``PartialGradient``) and a note that names the coordinates of the batch.
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
    verify = _check.flag("verify", verify)
    gradient = _check.output(out, (len(coordinates),), x.dtype, (x, coordinates))

    moved = Perturbed(x, coordinates[np.newaxis], h, bounds, keep=keep)
    distances = moved.distances[0]
    if not (distances > 0).all():
        at = coordinates[int(np.argmin(distances))]
        raise ValueError(f"h must be large enough to move x in {x.dtype}, got {h:g} where x is {x.ravel()[at]:g}")
    rows = _Rows(objective, coordinates, distances, keep)
    if hasattr(type(model), "coordinate_values"):
        answers = model.coordinate_values(x, coordinates[np.newaxis], h, bounds)
        base = answers.base if keep else answers.base[:0]
        logits = np.concatenate([base, answers.plus[0], answers.minus[0]])
        rows.ask(lambda first, last: logits[first:last], batch_size)
    else:
        rows.ask(lambda first, last: ask(moved.batch(first, last)), batch_size)
        if verify and len(coordinates):
            rows.ask_again(lambda: ask(moved.batch(0, 1)))
    partial = rows.partial()
    gradient[...] = partial.gradient
    gradient = _check.deliver(gradient, out)
    return (gradient, partial.f0, partial.f_plus, partial.f_minus) if keep else gradient


class _Rows:
    """The objective's values of x (if ``keep``), of the copies moved up and of those moved down, as far as asked."""

    def __init__(self, objective: _Objective, coordinates: NDArray[np.int64], distances: _Values, keep: bool) -> None:
        self._objective, self._coordinates, self._distances, self._keep = objective, coordinates, distances, keep
        self._values = np.full(2 * len(coordinates) + keep, np.nan)
        self._answered = 0
        self._first_logits: _Values | None = None

    def ask(self, logits: Callable[[int, int], Any], batch_size: int) -> None:
        """Evaluate all rows, in batches."""
        for first in range(0, len(self._values), batch_size):
            last = min(first + batch_size, len(self._values))
            try:
                self._evaluate(logits(first, last), first, last - first)
            except (Exception, KeyboardInterrupt) as error:
                self._annotate(error, f"rows {first} to {last - 1}: {self._named(first)} to {self._named(last - 1)}")
                raise

    def ask_again(self, logits: Callable[[], Any]) -> None:
        """Refuse a model that answers the first row otherwise than before."""
        try:
            again = _returned("model", logits(), (1, self._columns))[0]
            before = again if self._first_logits is None else self._first_logits
            change = abs(again - before).max()
            if not change <= _ROUNDING * abs(before).max():
                raise ValueError(
                    f"model must give the same logits for the same input, got a change by {change:g} for "
                    f"{self._named(0)}: it is random, and differences along coordinates would be noise"
                )
        except (Exception, KeyboardInterrupt) as error:
            self._annotate(error, f"row 0 again: {self._named(0)}")
            raise

    def partial(self) -> PartialGradient:
        """Return what is known."""
        count = len(self._coordinates)
        plus, minus = self._values[self._keep : self._keep + count], self._values[self._keep + count :]
        f0 = float(self._values[0]) if self._keep else float("nan")
        return PartialGradient((plus - minus) / self._distances, f0, plus, minus, self._answered)

    @property
    def _columns(self) -> int | None:
        """The number of logits a row, once it is known."""
        return None if self._first_logits is None else len(self._first_logits)

    def _evaluate(self, answer: Any, first: int, count: int) -> None:
        """Keep the values of the rows that have one, then refuse the others."""
        logits = _returned("model", answer, (count, self._columns))
        self._answered += count
        if first == 0 and count:
            self._first_logits = logits[0].copy()
        numbers, values = ~np.isnan(logits).any(axis=1), np.zeros(count)
        if numbers.any():
            values[numbers] = _returned("objective", self._objective(logits[numbers]), (int(numbers.sum()),))
        finite = np.isfinite(values)
        self._values[first : first + count] = np.where(numbers & finite, values, np.nan)
        self._refuse("the model's logits must not be NaN", ~numbers, first)
        self._refuse("the objective's values must be finite", ~finite, first)

    def _named(self, row: int) -> str:
        if row < self._keep:
            return "x itself"
        side, at = divmod(row - self._keep, len(self._coordinates))
        return f"coordinate {self._coordinates[at]} moved {'down' if side else 'up'}"

    def _refuse(self, message: str, bad: Any, first: int) -> None:
        rows = (first + np.flatnonzero(bad)).tolist()
        if rows:
            listed = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
            raise ValueError(f"{message}, got {len(rows)} such rows: {listed} (the first is {self._named(rows[0])})")

    def _annotate(self, error: BaseException, batch: str) -> None:
        error.add_note(
            f"coordinate_gradient was at {batch}; {self._answered} of {len(self._values)} rows had been answered, "
            "what is known is in the exception's attribute partial"
        )
        with suppress(AttributeError):  # of classes that allow no attributes
            error.partial = self.partial()  # type: ignore[attr-defined]  # any exception may carry it


def _returned(name: str, value: object, shape: tuple[int | None, ...]) -> _Values:
    """Return what a user's function gave as float64, or say what is wrong with it."""
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        got = f"an array of {value.dtype}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
        raise TypeError(f"{name} must return a NumPy array of floats, got {got}")
    expected = f"({shape[0]}, {shape[1] or 'K'})" if len(shape) == 2 else f"({shape[0]},)"
    if value.ndim != len(shape) or any(size not in (None, got) for size, got in zip(shape, value.shape, strict=True)):
        raise ValueError(f"{name} must return an array of shape {expected}, got {value.shape}")
    return value.astype(np.float64)
