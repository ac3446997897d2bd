"""Binary classifiers of one output f as classifiers of two, with logits (0, f): class 1 where f is above 0."""

from __future__ import annotations

from typing import Any

import numpy as np

from advcore import _check
from advcore._check import Array
from advcore.attacks._access import Access, Cotangents


class Binary(Access):
    """A model of one output, (B, 1) or (B,), or of two, (B, 2), as one of two.

    Parameters
    ----------
    access : Access
    attack : str
        Its name, for the message to whoever gives it a model of more classes.
    """

    def __init__(self, access: Access, attack: str) -> None:
        self.inner, self.attack = access, attack
        self.gradients, self.randomised, self.queries = access.gradients, access.randomised, access.queries
        if access.judge is not access:
            self.judge = Binary(access.judge, attack)

    @property
    def errors(self) -> Any:  # type: ignore[override]  # read through, where Access keeps a value
        """As the model's."""
        return self.inner.errors

    def forwards(self, gradients: int) -> int:
        """As the model's."""
        return self.inner.forwards(gradients)

    def backwards(self, gradients: int) -> int:
        """As the model's."""
        return self.inner.backwards(gradients)

    def logits(self, x: Array) -> Array:
        """Return (0, f), or the two outputs."""
        return self._two(self.inner.logits(x))

    def logits_and_gradients(self, x: Array, cotangents: Cotangents, count: int) -> tuple[Array, Any]:
        """Ask the model with the cotangents' part for f."""

        def narrow(values: Any) -> Array:
            weights = cotangents(self._two(values))
            shape = np.asarray(values).shape
            if len(shape) == 1:
                return weights[:, :, 1]
            return weights[:, :, 1:] if shape[1] == 1 else weights

        values, gradients = self.inner.logits_and_gradients(x, narrow, count)
        return self._two(values), gradients

    def _two(self, values: Any) -> Array:
        outputs = _check.returned("what the model returns", values)
        if outputs.ndim == 1:
            outputs = outputs[:, np.newaxis]
        if outputs.ndim != 2 or outputs.shape[1] not in (1, 2) or self.inner.rejects:
            raise ValueError(f"{self.attack} needs a binary classifier, of shape (N, 1) or (N, 2), got {outputs.shape}")
        return outputs if outputs.shape[1] == 2 else np.concatenate([np.zeros_like(outputs), outputs], axis=1)
