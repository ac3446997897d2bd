"""The model behind a wrapper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from advcore._check import Array
from advcore.attacks._callback import Callback
from advcore.attacks.model import wrap


class Behind:
    """Anything that attacks take as a model, for a defence that passes gradients through.

    Attributes
    ----------
    rejects : bool
        Whether the last logit is no class but "rejected": then it is that of the defence, too.
    """

    def __init__(self, model: Any) -> None:
        self._access = wrap(model, "logits")
        if isinstance(self._access, Callback):
            raise TypeError(
                f"model must have logits(x), or be a torch module, got a {type(model).__name__}: "
                "give types.SimpleNamespace(logits=model) if it returns logits"
            )
        self.rejects = self._access.rejects

    def logits(self, x: Array) -> Any:
        """Return the logits, (N, K)."""
        return self._access.logits(x)

    def value_and_vjp(self, x: Array, cotangent: Callable[[Array], Array]) -> tuple[Any, Array]:
        """Return the logits and the gradient for x of ``sum(logits * cotangent(logits))``."""
        if not self._access.gradients:
            raise TypeError("the model behind the defence must have gradients for this, got one without")
        logits, gradients = self._access.logits_and_gradients(x, lambda z: np.asarray(cotangent(z))[:, np.newaxis], 1)
        return logits, gradients[:, 0]
