"""Layers that only rearrange a sample's numbers."""

from __future__ import annotations

import math

import numpy as np

from advcore._check import Array
from advcore.nn.layer import Layer, Shape, expect_shape, options_text


class Flatten(Layer):
    """(N, ...) to (N, features), in row-major order."""

    def __repr__(self) -> str:
        return options_text(self)

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        return x.reshape(len(x), math.prod(x.shape[1:]))

    def forward(self, x: Array, rng: np.random.Generator | None) -> tuple[Array, Shape]:
        """Keep the shape."""
        return self.infer(x), x.shape

    def backward(
        self, saved: Shape, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        return grad.reshape(saved), {}

    def output_shape(self, input_shape: Shape) -> Shape:
        """See Layer.output_shape."""
        return (math.prod(input_shape),)

    def saved_size(self, input_shape: Shape) -> int:
        """See Layer.saved_size."""
        return 0


class RowsAsSteps(Layer):
    """Images (N, C, H, W) to sequences (N, H, C * W): a step is a row of pixels, all channels of it."""

    def __repr__(self) -> str:
        return options_text(self)

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        n, c, h, w = x.shape
        rows_first = np.ascontiguousarray(x.transpose(0, 2, 1, 3))
        return rows_first.reshape(n, h, c * w)

    def forward(self, x: Array, rng: np.random.Generator | None) -> tuple[Array, Shape]:
        """Keep the shape."""
        return self.infer(x), x.shape

    def backward(
        self, saved: Shape, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        n, c, h, w = saved
        return np.ascontiguousarray(grad.reshape(n, h, c, w).transpose(0, 2, 1, 3)), {}

    def output_shape(self, input_shape: Shape) -> Shape:
        """See Layer.output_shape."""
        expect_shape(input_shape, ("C", "H", "W"), (None, None, None))
        c, h, w = input_shape
        return h, c * w
