"""The layer that takes a part of a sample."""

from __future__ import annotations

import numpy as np

from advcore import _check
from advcore._check import Array
from advcore.nn.layer import Layer, Shape, options_text


class Slice(Layer):
    """x[..., start:stop:step, ...] along one axis of a sample, with Python's rules for negative and missing ends.

    Parameters
    ----------
    axis : int
        At least 1, axis 0 being the batch.
    start, stop : int or None
    step : int
        Not 0.
    """

    def __init__(self, axis: int, start: int | None = None, stop: int | None = None, step: int = 1) -> None:
        super().__init__()
        self.axis = _check.integer("axis", axis, minimum=1)
        self.start = None if start is None else _check.integer("start", start, minimum=-(2**62))
        self.stop = None if stop is None else _check.integer("stop", stop, minimum=-(2**62))
        self.step = _check.integer("step", step, minimum=-(2**62))
        if step == 0:
            raise ValueError("step must not be 0")

    def __repr__(self) -> str:
        return options_text(self, self.axis, self.start, self.stop, step=(self.step, 1))

    @property
    def _index(self) -> tuple[slice, ...]:
        return (slice(None),) * self.axis + (slice(self.start, self.stop, self.step),)

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        return np.ascontiguousarray(x[self._index])

    def forward(self, x: Array, rng: np.random.Generator | None) -> tuple[Array, Shape]:
        """Keep the shape."""
        return self.infer(x), x.shape

    def backward(
        self, saved: Shape, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        whole = np.zeros(saved, grad.dtype)
        whole[self._index] = grad
        return whole, {}

    def output_shape(self, input_shape: Shape) -> Shape:
        """See Layer.output_shape."""
        if self.axis > len(input_shape):
            raise ValueError(f"expected at least {self.axis} axes a sample, got {input_shape}")
        extent = len(range(input_shape[self.axis - 1])[slice(self.start, self.stop, self.step)])
        if extent == 0:
            raise ValueError(f"expected a sample with something from {self.start} to {self.stop}, got {input_shape}")
        return (*input_shape[: self.axis - 1], extent, *input_shape[self.axis :])

    def saved_size(self, input_shape: Shape) -> int:
        """See Layer.saved_size."""
        return 0
