"""The border between attack and model: every call is counted, a sample at a time, and what comes back is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from advcore import _check
from advcore._check import Array
from advcore._perturb import Perturbed
from advcore.attacks._access import Access
from advcore.attacks._losses import Logits
from advcore.attacks._monitor import Monitor, Stopped

Index = NDArray[np.int64]
Cotangents = Callable[[Logits, slice], NDArray[np.float64]]
Limit = int | Index | None
_UNLIMITED = 2**62
NAMED = 8  # samples in a message
_OWN = "the attacker's own input"  # counted from 0, in the order in which they are asked about


class Moved(NamedTuple):
    """Logits with coordinates moved up and down, (B, m, K), and how far they moved, (B, m)."""

    plus: Logits
    minus: Logits
    up: NDArray[np.float64]
    down: NDArray[np.float64]


class Ledger:
    """Runs a model in batches of at most ``batch_size`` rows and books each row on the sample that owns it.

    Parameters
    ----------
    labels : int64 array, (N,)
        True classes.
    max_queries, max_evaluations : int or int64 array (N,), optional
        Per sample; a call that would exceed one raises Stopped.

    Attributes
    ----------
    queries, gradients, verification : int64 array, (N,)
        As in AttackResult.
    shared : int
        Queries for all samples together.
    gradient_errors, averages : float64 array, (N,)
        Sums of the relative standard errors of averaged gradients, and how many there were.
    """

    def __init__(
        self,
        access: Access,
        labels: Index,
        batch_size: int,
        monitor: Monitor,
        max_queries: Limit = None,
        max_evaluations: Limit = None,
    ) -> None:
        self.access, self.batch_size, self.monitor = access, batch_size, monitor
        self.max_queries, self.max_evaluations = max_queries, max_evaluations
        self.classes: int | None = None
        self.labels = labels
        self.queries, self.gradients, self.verification = (np.zeros(len(labels), np.int64) for _ in range(3))
        self.shared = 0
        self.gradient_errors, self.averages = (np.zeros(len(labels)) for _ in range(2))

    def logits(self, x: Array, owners: Index) -> Logits:
        """Return the logits of x in float64, (B, K); row i is asked for by sample owners[i]."""
        self._book(owners, self.access.queries, 0)
        return self._forward(self.access, _given(self.access, x), owners, self.queries, self._tick)

    @property
    def queries_again(self) -> int:
        """The rows of logits that cost as much as one of ``logits_again``."""
        return -(-self.access.judge.queries // self.access.queries)

    def logits_again(self, x: Array, owners: Index) -> Logits:
        """Like logits, from the model that will judge, which averages nothing."""
        judge = self.access.judge
        self._book(owners, judge.queries, 0)
        return self._forward(judge, _given(judge, x), owners, self.queries, self._tick)

    def verify(self, x: Array, owners: Index) -> Logits:
        """Like logits, but booked as verification."""
        judge = self.access.judge
        np.add.at(self.verification, owners, judge.queries)
        return self._forward(judge, _given(judge, x), owners, self.verification, lambda: None)

    def shared_logits(self, x: Array) -> Logits:
        """Like logits, for all samples together: booked on the account that they share."""
        logits, before = [], self.shared // self.access.queries
        for rows in self._batches(len(x)):
            self.shared += len(x[rows]) * self.access.queries
            numbers = before + np.arange(rows.start, rows.stop)
            with _naming(numbers, _OWN):
                values = self._valid(self.access.logits(x[rows].copy()), numbers, _OWN)
            logits.append(values[:, :-1] if self.access.rejects else values)
            self._tick()
        return np.concatenate(logits)

    def gradients_of(self, x: Array, owners: Index, cotangents: Cotangents, count: int = 1) -> tuple[Logits, Array]:
        """Return logits, (B, K), and ``count`` gradients a row, (B, count, ...), which may be non-finite.

        ``cotangents(logits, rows)`` gets the float64 logits of x[rows] and returns an array (rows, count, K); gradient
        j is that of ``sum_k logits[k] * cotangents[j, k]`` for x, the cotangent held fixed.
        """
        forwards, backwards = self.access.forwards(count), self.access.backwards(count)
        self._book(owners, forwards, backwards)
        found, asked, answered = [], 0, 0

        def weights(logits: Logits, rows: slice) -> Array:
            nonlocal answered
            answered = rows.stop
            return cotangents(logits, rows)

        try:
            for rows in self._batches(len(x)):
                asked = rows.stop
                found.append(self._gradients_of_batch(x, owners, rows, weights, count))
                self._tick()
        except BaseException as error:
            known = np.concatenate([logits for logits, _ in found]) if found else None
            error.answered = known  # type: ignore[attr-defined]  # any exception may carry it
            raise
        finally:  # what was never asked
            np.subtract.at(self.queries, owners[asked:], forwards)
            np.subtract.at(self.gradients, owners[answered:], backwards)
        if not found:  # no rows, once nobody can pay
            return np.zeros((0, self.classes or 2)), np.zeros((0, count, *x.shape[1:]), x.dtype)
        logits, gradients = zip(*found, strict=True)
        return np.concatenate(logits), np.concatenate(gradients)

    def _gradients_of_batch(
        self, x: Array, owners: Index, rows: slice, cotangents: Cotangents, count: int
    ) -> tuple[Logits, Array]:
        def cotangent(values: Any) -> Array:
            checked = self._checked(values, owners[rows])
            weights = np.asarray(cotangents(checked, rows))
            if self.access.rejects:
                weights = self._unfolded(weights, np.asarray(values), owners[rows])
            return weights.astype(np.asarray(values).dtype)

        with _naming(owners[rows]):
            given = _given(self.access, x)(rows)
            values, gradient = self.access.logits_and_gradients(given, cotangent, count)
        gradient = _check.returned("the model's gradient", gradient)
        expected = (len(x[rows]), count, *x.shape[1:])
        if gradient.shape != expected:
            shapes = (expected[:1] + expected[2:], gradient.shape[:1] + gradient.shape[2:])
            raise ValueError(f"the model's gradient must have the input's shape {shapes[0]}, got {shapes[1]}")
        logits = self._checked(values, owners[rows])
        gradient = _in_type_of(gradient, x)
        if self.access.errors is not None:
            self.gradient_errors[owners[rows]] += self.access.errors
            self.averages[owners[rows]] += 1
        return logits, gradient

    def moved(self, x: Array, owners: Index, coordinates: Index, h: float, bounds: tuple[float, float]) -> Moved:
        """Return the logits of x (B, ...) with each of its coordinates (B, m) moved up and down by h within bounds.

        They are booked as 2 m queries a row, however they were found.
        """
        count = coordinates.shape[1]
        asked = np.repeat(owners, 2 * count)
        self._book(asked, self.access.queries, 0)
        found = self.access.moved(x, coordinates, h, bounds)
        probes = Perturbed(np.ascontiguousarray(x), coordinates, h, bounds)
        middle = np.take_along_axis(x.reshape(len(x), -1), coordinates, axis=1).astype(np.float64)
        up, down = probes.upper - middle, middle - probes.lower
        if found is not None:
            plus, minus = (self._checked(z.reshape(-1, z.shape[-1]), np.repeat(owners, count)) for z in found)
            self._tick()
        else:
            logits = self._forward(
                self.access, lambda part: probes.batch(part.start, part.stop), asked, self.queries, self._tick
            )
            plus, minus = np.moveaxis(logits.reshape(len(x), 2, count, -1), 1, 0)
        return Moved(plus.reshape(*coordinates.shape, -1), minus.reshape(*coordinates.shape, -1), up, down)

    def unaffordable(self, owners: Index, queries: int, gradients: int) -> dict[str, NDArray[np.bool_]]:
        """Say for each limit which samples it refuses so many rows of logits and gradients."""
        return self.beyond(owners, queries * self.access.queries, self.access.backwards(gradients))

    def beyond(self, owners: Index, queries: int | Index, gradients: int | Index) -> dict[str, NDArray[np.bool_]]:
        """Say for each limit which samples would exceed it with so many more forward and backward evaluations."""
        spent = self.queries[owners] + queries
        total = spent + self.gradients[owners] + gradients
        return {
            "max_queries": np.asarray(spent > _of(self.max_queries, owners)),
            "max_evaluations": np.asarray(total > _of(self.max_evaluations, owners)),
        }

    def left(self, owners: Index) -> Index:
        """Return how many rows of logits each sample may still ask for, if it asks for no gradients."""
        queries = _of(self.max_queries, owners) - self.queries[owners]
        evaluations = _of(self.max_evaluations, owners) - self.queries[owners] - self.gradients[owners]
        left: Index = np.minimum(queries, evaluations) // self.access.queries
        return left

    def _book(self, owners: Index, queries: int, gradients: int) -> None:
        """Charge each row's owner; refuse all rows where one sample cannot pay."""
        if self.max_queries is not None or self.max_evaluations is not None:
            asking, rows = np.unique(owners, return_counts=True)
            for limit, beyond in self.beyond(asking, queries * rows, gradients * rows).items():
                if beyond.any():
                    raise Stopped(limit)
        np.add.at(self.queries, owners, queries)
        np.add.at(self.gradients, owners, gradients)

    def _tick(self) -> None:
        self.monitor.tick(int(self.queries.sum()), int(self.gradients.sum()))

    def _forward(
        self,
        access: Access,
        part: Callable[[slice], Array],
        owners: Index,
        booked: Index,
        after: Callable[[], None],
    ) -> Logits:
        """Ask for the rows that ``part`` gives, which are booked, and take off the account what was never asked."""
        logits, asked = [], 0
        try:
            for rows in self._batches(len(owners)):
                asked = rows.stop
                with _naming(owners[rows]):
                    logits.append(self._checked(access.logits(part(rows)), owners[rows]))
                after()
        except BaseException as error:
            known = np.concatenate(logits) if logits else None
            error.answered = known  # type: ignore[attr-defined]  # any exception may carry it
            raise
        finally:
            np.subtract.at(booked, owners[asked:], access.queries)
        return np.concatenate(logits) if logits else np.zeros((0, self.classes or 2))

    def _batches(self, count: int) -> Iterator[slice]:
        return (slice(first, min(first + self.batch_size, count)) for first in range(0, count, self.batch_size))

    def _checked(self, logits: Any, owners: Index) -> Logits:
        """Return a model's output in float64, without the class of rejection."""
        wide = self._valid(logits, owners, "sample")
        return self._folded(wide, owners) if self.access.rejects else wide

    def _valid(self, logits: Any, owners: Index, kind: str) -> Logits:
        """Return a model's output in float64, or say what is wrong with it."""
        values = _check.returned("what the model returns", logits)
        fits = values.ndim == 2 and len(values) == len(owners) and values.shape[1] >= 2
        if not fits or (self.classes is not None and values.shape[1] != self.classes):
            expected = f"({len(owners)}, {self.classes or 'at least 2 classes'})"
            raise ValueError(
                f"the model must return an array of shape {expected} for {len(owners)} inputs, got {values.shape}"
            )
        bad = ~np.isfinite(values).all(axis=1)
        if bad.any():
            raise ValueError(
                f"the model must return finite numbers, got NaN or infinity for {kind} {owners[np.argmax(bad)]}"
            )
        self.classes = values.shape[1]
        return values.astype(np.float64)

    # "Rejected" is as good a defence as the true class: the larger of both stands in the true class's column.

    def _folded(self, logits: Logits, owners: Index) -> Logits:
        index, labels = np.arange(len(logits)), self._labels_within(logits, owners)
        classes = logits[:, :-1].copy()
        classes[index, labels] = np.maximum(classes[index, labels], logits[:, -1])
        return classes

    def _unfolded(self, weights: NDArray[np.float64], logits: Array, owners: Index) -> NDArray[np.float64]:
        index, labels = np.arange(len(logits)), self._labels_within(logits, owners)
        rejected = logits[:, -1] > logits[index, labels]
        full = np.concatenate([weights, np.zeros((*weights.shape[:-1], 1))], axis=-1)
        full[rejected, :, -1] = weights[index, :, labels][rejected]
        full[index[rejected], :, labels[rejected]] = 0.0
        return full

    def _labels_within(self, logits: Array, owners: Index) -> Index:
        return np.asarray(np.minimum(self.labels[owners], logits.shape[1] - 2))


@contextmanager
def _naming(owners: Index, kind: str = "sample") -> Iterator[None]:
    """Tell in what a model raises, or in what is said about its answer, which samples it was asked about."""
    try:
        yield
    except Exception as error:
        samples = np.unique(owners).tolist()
        more = f" and {len(samples) - NAMED} more" if len(samples) > NAMED else ""
        error.add_note(f"The model was asked about {kind} {', '.join(map(str, samples[:NAMED]))}{more}.")
        raise


def _given(access: Access, x: Array) -> Callable[[slice], Array]:
    """Return what gives parts of x: copies, as a model that works in place must not change what the attack holds."""
    return lambda rows: x[rows] if access.pure else x[rows].copy()


def _in_type_of(gradient: Array, x: Array) -> Array:
    """Return a gradient in the samples' type, whatever the model's; what is too large for it is its largest number."""
    if gradient.dtype == x.dtype:
        return gradient
    largest = np.finfo(x.dtype).max
    return np.where(np.isfinite(gradient), np.clip(gradient, -largest, largest), gradient).astype(x.dtype)


def _of(limit: Limit, owners: Index) -> int | Index:
    """Return the limits of some samples."""
    if limit is None:
        return _UNLIMITED
    return limit if isinstance(limit, int) else limit[owners]
