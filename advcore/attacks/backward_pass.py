"""Backward pass differentiable approximation (Athalye, Carlini, Wagner 2018, arXiv 1802.00420, section 4.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from advcore._check import Array
from advcore.attacks._access import Access, Cotangents
from advcore.attacks.model import wrap


def backward_pass(
    model: Any,
    *,
    forward: Callable[[Array], Array] | None = None,
    backward: Callable[[Array, Array], Array] | None = None,
    stand_in: Any = None,
    output: str | None = None,
) -> Access:
    """Return a model that answers as it is, and whose gradient is that of something smoother.

    ``f(g(x))`` going forward; on the way back g's Jacobian is replaced by the identity, or by ``backward``; or the
    whole gradient by that of another model. Any attack takes the result in place of the model.

    Parameters
    ----------
    model : as for attacks
        f.
    forward : callable, optional
        g, a defence before the model that has no useful gradient: maps x (B, ...) to an array of its type.
    backward : callable, optional
        Maps x and the gradient for g(x) to the gradient for x. The identity unless given (then g must keep the shape).
    stand_in : model with gradients, optional
        Whose gradient is taken at x instead: of its own logits, with the cotangent that f(g(x)) asks for.
    output : str, optional
        What a plain callable returns, as in Options; it needs a stand-in.

    Returns
    -------
    object that attacks take as a model

    Raises
    ------
    TypeError
        If the model has no gradient and there is no stand-in, or an argument is of the wrong type.
    ValueError
        If nothing is replaced.

    Notes
    -----
    Differs from the paper: it replaces one layer g anywhere; here g comes before the model, or the model is replaced.
    """
    for name, function in (("forward", forward), ("backward", backward)):
        if function is not None and not callable(function):
            raise TypeError(f"{name} must be callable, got a {type(function).__name__}")
    if forward is None and backward is None and stand_in is None:
        raise ValueError("backward_pass must be given forward, backward or stand_in: nothing would be replaced")
    if stand_in is not None and backward is not None:
        raise ValueError("backward must be None where a stand_in gives the gradient")
    base = wrap(model, output)
    smooth = None if stand_in is None else wrap(stand_in)
    if not (base if smooth is None else smooth).gradients:
        raise TypeError(f"{'model' if smooth is None else 'stand_in'} must have gradients, got one without")
    return BackwardPass(base, forward, backward, smooth)


class BackwardPass(Access):
    """One function forward, the gradient of another backward."""

    gradients = True

    def __init__(
        self,
        base: Access,
        forward: Callable[[Array], Array] | None,
        backward: Callable[[Array, Array], Array] | None,
        stand_in: Access | None,
    ) -> None:
        self.base, self.forward, self.backward, self.stand_in = base, forward, backward, stand_in
        self.smooth = base if stand_in is None else stand_in  # whose gradients are taken
        self.randomised, self.rejects, self.queries = base.randomised, base.rejects, base.queries
        if base.judge is not base:
            self.judge = BackwardPass(base.judge, forward, backward, stand_in)

    @property
    def errors(self) -> Any:  # type: ignore[override]  # read through, where Access keeps a value
        """As those of the model whose gradients are taken."""
        return self.smooth.errors

    def logits(self, x: Array) -> Any:
        """Return f(g(x))."""
        return self.base.logits(self._before(x))

    def forwards(self, gradients: int) -> int:
        """The stand-in's passes count as the model's."""
        return (0 if self.stand_in is None else self.base.queries) + self.smooth.forwards(gradients)

    def backwards(self, gradients: int) -> int:
        """As those of the model whose gradients are taken."""
        return self.smooth.backwards(gradients)

    def logits_and_gradients(self, x: Array, cotangents: Cotangents, count: int) -> tuple[Any, Any]:
        """Return f(g(x)) and the replaced gradients."""
        if self.stand_in is not None:
            logits = self.base.logits(self._before(x))
            directions = cotangents(logits)
            return logits, self.stand_in.logits_and_gradients(x, lambda _: directions, count)[1]
        logits, gradients = self.base.logits_and_gradients(self._before(x), cotangents, count)
        gradients = np.asarray(gradients)
        if self.backward is not None:
            gradients = np.stack([self.backward(x, gradients[:, j]) for j in range(count)], axis=1)
        return logits, gradients

    def _before(self, x: Array) -> Array:
        return x if self.forward is None else np.asarray(self.forward(x.copy()))
