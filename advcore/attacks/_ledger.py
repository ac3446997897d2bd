"""The border between attack and model: every call is counted, a sample at a time, and what comes back is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import _check
from advcore._check import Array
from advcore.attacks._losses import Logits
from advcore.attacks._monitor import Monitor, Stopped
from advcore.attacks.model import Access

Index = NDArray[np.int64]
Cotangents = Callable[[Logits, slice], NDArray[np.float64]]
_UNLIMITED = 2**62


class Ledger:
    """Runs a model in batches of at most ``batch_size`` rows and books each row on the sample that owns it.

    Parameters
    ----------
    max_queries, max_evaluations : int, optional
        Per sample; a call that would exceed one raises Stopped.

    Attributes
    ----------
    queries, gradients, verification : int64 array, (N,)
        As in AttackResult.
    """

    def __init__(
        self,
        access: Access,
        count: int,
        batch_size: int,
        monitor: Monitor,
        max_queries: int | None = None,
        max_evaluations: int | None = None,
    ) -> None:
        self.access, self.batch_size, self.monitor = access, batch_size, monitor
        self.max_queries, self.max_evaluations = max_queries, max_evaluations
        self.classes: int | None = None
        self.queries = np.zeros(count, np.int64)
        self.gradients = np.zeros(count, np.int64)
        self.verification = np.zeros(count, np.int64)

    def logits(self, x: Array, owners: Index) -> Logits:
        """Return the logits of x in float64, (B, K); row i is asked for by sample owners[i]."""
        self._book(owners, 1, 0)
        return self._forward(x, owners, self._tick)

    def verify(self, x: Array, owners: Index) -> Logits:
        """Like logits, but booked as verification."""
        np.add.at(self.verification, owners, 1)
        return self._forward(x, owners, lambda: None)

    def gradients_of(self, x: Array, owners: Index, cotangents: Cotangents, count: int = 1) -> tuple[Logits, Array]:
        """Return logits, (B, K), and ``count`` gradients a row, (B, count, ...), which may be non-finite.

        ``cotangents(logits, rows)`` gets the float64 logits of x[rows] and returns an array (rows, count, K); gradient
        j is that of ``sum_k logits[k] * cotangents[j, k]`` for x, the cotangent held fixed.
        """
        self._book(owners, self.access.forwards(count), count)
        logits, gradients = [], []
        for rows in self._batches(len(x)):

            def cotangent(values: Any, rows: slice = rows) -> Array:
                checked = self._checked(values, owners[rows])
                return np.asarray(cotangents(checked, rows)).astype(np.asarray(values).dtype)

            values, gradient = self.access.logits_and_gradients(x[rows].copy(), cotangent)
            gradient = _check.returned("the model's gradient", gradient)
            expected = (len(x[rows]), count, *x.shape[1:])
            if gradient.shape != expected:
                shapes = (expected[:1] + expected[2:], gradient.shape[:1] + gradient.shape[2:])
                raise ValueError(f"the model's gradient must have the input's shape {shapes[0]}, got {shapes[1]}")
            logits.append(self._checked(values, owners[rows]))
            gradients.append(gradient)
            self._tick()
        return np.concatenate(logits), np.concatenate(gradients)

    def affordable(self, owners: Index, queries: int, gradients: int) -> NDArray[np.bool_]:
        """Say which samples may still spend so much."""
        spent = self.queries[owners] + queries
        within: NDArray[np.bool_] = spent <= (self.max_queries or _UNLIMITED)
        if self.max_evaluations is not None:
            within &= spent + self.gradients[owners] + gradients <= self.max_evaluations
        return within

    def left(self, owners: Index) -> Index:
        """Return how many queries each sample may still spend, if it asks for no gradients."""
        left = (self.max_queries or _UNLIMITED) - self.queries[owners]
        if self.max_evaluations is not None:
            left = np.minimum(left, self.max_evaluations - self.queries[owners] - self.gradients[owners])
        return left

    def _book(self, owners: Index, queries: int, gradients: int) -> None:
        """Charge each row's owner; refuse all rows where one sample cannot pay."""
        if self.max_queries is not None or self.max_evaluations is not None:
            asking, rows = np.unique(owners, return_counts=True)
            spent = self.queries[asking] + queries * rows
            total = spent + self.gradients[asking] + gradients * rows
            if self.max_queries is not None and (spent > self.max_queries).any():
                raise Stopped("max_queries")
            if self.max_evaluations is not None and (total > self.max_evaluations).any():
                raise Stopped("max_evaluations")
        np.add.at(self.queries, owners, queries)
        np.add.at(self.gradients, owners, gradients)

    def _tick(self) -> None:
        self.monitor.tick(int(self.queries.sum()), int(self.gradients.sum()))

    def _forward(self, x: Array, owners: Index, after: Callable[[], None]) -> Logits:
        logits = []
        for rows in self._batches(len(x)):
            # A copy: a model that works in place must not change what the attack, or its caller, holds.
            logits.append(self._checked(self.access.logits(x[rows].copy()), owners[rows]))
            after()
        return np.concatenate(logits)

    def _batches(self, count: int) -> Iterator[slice]:
        return (slice(first, min(first + self.batch_size, count)) for first in range(0, count, self.batch_size))

    def _checked(self, logits: Any, owners: Index) -> Logits:
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
                f"the model must return finite numbers, got NaN or infinity for sample {owners[np.argmax(bad)]}"
            )
        self.classes = values.shape[1]
        return values.astype(np.float64)
