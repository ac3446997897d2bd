"""What an attack sees of any model, at arm's length."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore._check import Array

Cotangents = Callable[[Array], Array]


class Access(ABC):
    """A model at arm's length; what it returns is checked by the ledger that counts the calls.

    Attributes
    ----------
    gradients : bool
        Whether there are any.
    randomised : bool or None
        Whether the model answers differently each time; None: not known.
    queries : int
        Forward evaluations behind one row of logits.
    simulated, vjp_seconds
        As in AttackResult.
    rejects : bool
        Whether the last column of the logits is not a class but "rejected", which counts as a defence that held.
    pure : bool
        Whether it surely leaves its inputs as they are.
    errors : float64 array, (B,), or None
        Relative standard errors of the last gradients, where they are averages.
    """

    gradients = False
    randomised: bool | None = None
    queries = 1
    simulated = False
    vjp_seconds: float | None = None
    rejects = False
    pure = False
    errors: NDArray[np.float64] | None = None
    _judge: Access | None = None

    @property
    def judge(self) -> Access:
        """What decides success: the model itself, or the one behind an average."""
        return self._judge or self

    @judge.setter
    def judge(self, access: Access) -> None:
        self._judge = access

    def forwards(self, gradients: int) -> int:
        """Return the number of forward evaluations behind so many gradients of one sample, asked for together."""
        return 1

    def backwards(self, gradients: int) -> int:
        """Return the number of backward evaluations behind them."""
        return gradients

    @abstractmethod
    def logits(self, x: Array) -> Any:
        """Return the logits, (B, K)."""

    def logits_and_gradients(self, x: Array, cotangents: Cotangents, count: int) -> tuple[Any, Any]:
        """Return the logits and the gradients for x of ``sum_k logits[k] * cotangents(logits)[j, k]``, (B, J, ...).

        ``cotangents`` maps logits, (B, K), to an array (B, J, K), J = count, which is held fixed.
        """
        raise NotImplementedError  # never asked for where ``gradients`` is False

    def moved(self, x: Array, coordinates: Any, h: float, bounds: tuple[float, float]) -> tuple[Any, Any] | None:
        """Return the logits with each coordinate (B, m) moved up, and down, (B, m, K), where there is a short cut."""
        return None
