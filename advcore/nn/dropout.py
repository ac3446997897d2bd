"""Dropout."""

from __future__ import annotations

import numpy as np

from advcore import _check
from advcore._check import Array
from advcore.nn.layer import Layer, Shape, options_text


class Dropout(Layer):
    """In training, sets each number to 0 with probability p and divides the others by 1 - p; else does nothing.

    Parameters
    ----------
    p : float
        In [0, 1).
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = _check.real("p", p, minimum=0.0)
        if self.p >= 1:
            raise ValueError(f"p must be less than 1, got {self.p:g}")

    def __repr__(self) -> str:
        return options_text(self, self.p)

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        return x

    def forward(self, x: Array, rng: np.random.Generator | None) -> tuple[Array, Array | None]:
        """Keep the factors, 0 or 1 / (1 - p), that the numbers were multiplied with."""
        if rng is None or self.p == 0:
            return x, None
        factors = (rng.random(x.shape, dtype=np.float32) >= self.p) * x.dtype.type(1 / (1 - self.p))
        return x * factors, factors

    def backward(
        self, saved: Array | None, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        return grad if saved is None else grad * saved, {}

    def saved_size(self, input_shape: Shape) -> int:
        """See Layer.saved_size: nothing is kept in evaluation mode."""
        return 0
