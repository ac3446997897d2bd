"""Noise in training."""

from __future__ import annotations

import numpy as np

from advcore import _check
from advcore._check import Array
from advcore.nn.layer import Layer, Shape, options_text


class GaussianNoise(Layer):
    """In training, adds normal noise to every number; else does nothing.

    Parameters
    ----------
    sigma : float
        Standard deviation, at least 0, in the units of what comes in.
    """

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = _check.real("sigma", sigma, minimum=0.0)

    def __repr__(self) -> str:
        return options_text(self, self.sigma)

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        return x

    def forward(self, x: Array, rng: np.random.Generator | None) -> tuple[Array, None]:
        """See Layer.forward: nothing is kept, the gradient goes through as it is."""
        if rng is None or self.sigma == 0:
            return x, None
        return x + x.dtype.type(self.sigma) * rng.standard_normal(x.shape, x.dtype.type), None

    def backward(
        self, saved: None, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        return grad, {}

    def saved_size(self, input_shape: Shape) -> int:
        """See Layer.saved_size."""
        return 0
