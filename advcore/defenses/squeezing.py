"""Feature squeezing before a classifier (Xu, Evans, Qi 2018, arXiv 1704.01155)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import _check
from advcore._check import Array
from advcore.attacks.model import top_class
from advcore.defenses._behind import Behind
from advcore.defenses.squeezers import BitDepth


class Squeezed:
    """A model behind squeezers: ``logits(x) = model.logits(s_n(... s_1(x)))``.

    Parameters
    ----------
    model : object with logits(x) and perhaps gradients, or torch module
    *squeezers : BitDepth, MedianFilter, NonLocalMeans, or any function of x
        Applied from left to right. One with ``vjp(x, grad)`` says what gradient goes through it, MedianFilter's is
        exact; through others it goes as it is (straight through, BPDA).
    exact : bool
        Take BitDepth's true gradient, which is 0 almost everywhere, rather than the straight-through one: gradient
        attacks are masked then, and prove nothing.

    Attributes
    ----------
    rejects : bool
        As the model's: whether the last logit means "rejected".

    Raises
    ------
    TypeError, ValueError
        If there is no squeezer, or one is no function.
    """

    def __init__(self, model: Any, *squeezers: Callable[[Array], Array], exact: bool = False) -> None:
        if not squeezers:
            raise ValueError("squeezers must be at least one, got none")
        for squeezer in squeezers:
            if not callable(squeezer):
                raise TypeError(f"squeezers must be functions, got {type(squeezer).__name__}")
        self._model, self.squeezers = Behind(model), squeezers
        self.rejects = self._model.rejects
        self.exact = _check.flag("exact", exact)

    def logits(self, x: Array) -> Any:
        """Return the model's logits for the squeezed x, (N, K)."""
        return self._model.logits(self._values(x)[-1])

    def predict(self, x: Array) -> NDArray[np.int64]:
        """Return the class of the largest logit, (N,), or -1 where the model rejects the squeezed x."""
        logits = np.asarray(self.logits(x))
        _check.not_nan("the model's logits", logits)
        return top_class(logits, self.rejects)

    def value_and_vjp(self, x: Array, cotangent: Callable[[Array], Array]) -> tuple[Any, Array]:
        """Return the logits, (N, K), and a gradient for x of ``sum(logits * cotangent(logits))``."""
        values = self._values(x)
        logits, gradient = self._model.value_and_vjp(values[-1], cotangent)
        for squeezer, value in zip(reversed(self.squeezers), reversed(values[:-1]), strict=True):
            if self.exact and isinstance(squeezer, BitDepth):
                gradient = np.zeros_like(gradient)
            elif callable(pull := getattr(squeezer, "vjp", None)):
                gradient = pull(value, gradient)
        return logits, gradient

    def vjp(self, x: Array, cotangent: Array) -> Array:
        """Return a gradient for x of ``sum(logits * cotangent)``."""
        return self.value_and_vjp(x, lambda logits: cotangent)[1]

    def _values(self, x: Array) -> list[Array]:
        """Return x and what each squeezer makes of it."""
        values = [_check.array("x", x, min_ndim=2)]
        for number, squeezer in enumerate(self.squeezers):
            name = f"squeezers[{number}](x)"
            values.append(_check.array(name, squeezer(values[-1]), min_ndim=2))
            if len(values[-1]) != len(x):
                raise ValueError(f"{name} must have the {len(x)} samples of x, got shape {values[-1].shape}")
        return values
