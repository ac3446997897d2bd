"""The border between attack and model: every call is counted, a sample at a time, and what comes back is checked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import _check
from advcore._check import Array
from advcore.attacks._losses import Logits
from advcore.attacks.model import Access

Index = NDArray[np.int64]


class Ledger:
    """Runs a model in batches of at most ``batch_size`` rows and books each row on the sample that owns it.

    Attributes
    ----------
    queries, gradients, verification : int64 array, (N,)
        As in AttackResult.
    """

    def __init__(self, access: Access, count: int, batch_size: int) -> None:
        self.access, self.batch_size = access, batch_size
        self.classes: int | None = None
        self.queries = np.zeros(count, np.int64)
        self.gradients = np.zeros(count, np.int64)
        self.verification = np.zeros(count, np.int64)

    def logits(self, x: Array, owners: Index) -> Logits:
        """Return the logits of x in float64, (B, K); row i is asked for by sample owners[i]."""
        np.add.at(self.queries, owners, 1)
        return self._forward(x, owners)

    def verify(self, x: Array, owners: Index) -> Logits:
        """Like logits, but booked as verification."""
        np.add.at(self.verification, owners, 1)
        return self._forward(x, owners)

    def logits_and_gradient(self, x: Array, owners: Index, ascent: Any) -> tuple[Logits, Array]:
        """Return logits, (B, K), and the gradients for x of ``sum(logits * ascent(logits, rows))``, a row each.

        ``ascent(logits, rows)`` gets the float64 logits of x[rows]. Gradients may be non-finite.
        """
        np.add.at(self.queries, owners, self.access.forwards)
        np.add.at(self.gradients, owners, 1)
        logits, gradients = [], []
        for rows in self._batches(len(x)):

            def cotangent(values: Array, rows: slice = rows) -> Array:
                checked = self._checked(values, owners[rows])
                return np.asarray(ascent(checked, rows)).astype(np.asarray(values).dtype)

            values, gradient = self.access.logits_and_gradient(x[rows].copy(), cotangent)
            gradient = _check.returned("the model's gradient", gradient)
            if gradient.shape != x[rows].shape:
                raise ValueError(
                    f"the model's gradient must have the input's shape {x[rows].shape}, got {gradient.shape}"
                )
            logits.append(self._checked(values, owners[rows]))
            gradients.append(gradient)
        return np.concatenate(logits), np.concatenate(gradients)

    def _forward(self, x: Array, owners: Index) -> Logits:
        # A copy: a model that works in place must not change what the attack, or its caller, holds.
        return np.concatenate(
            [self._checked(self.access.logits(x[rows].copy()), owners[rows]) for rows in self._batches(len(x))]
        )

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
