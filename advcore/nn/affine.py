"""Layers that multiply and shift numbers by fixed or trained ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from advcore import _check
from advcore._check import Array
from advcore.nn.layer import Layer, Shape, options_text


class Affine(Layer):
    """y = weight x + bias, number by number; weight and bias are stretched over the axes where their extent is 1.

    Parameters
    ----------
    shape : tuple of int
        Of weight and bias, with as many axes as a sample.
    scale, shift : bool
        Whether there is a weight (which starts as 1), and a bias (0).
    """

    def __init__(self, shape: Sequence[int], scale: bool = True, shift: bool = True) -> None:
        self.shape = _check.sizes("shape", shape, minimum=1)
        self.scale, self.shift = _check.flag("scale", scale), _check.flag("shift", shift)
        super().__init__({name: self.shape for name, used in (("weight", scale), ("bias", shift)) if used})

    def __repr__(self) -> str:
        return options_text(self, self.shape, scale=(self.scale, True), shift=(self.shift, True))

    def initialise(self, rng: np.random.Generator, dtype: np.dtype[Any]) -> None:
        """See Layer.initialise: the layer starts as the identity."""
        for name in self.parameter_shapes:
            self.parameters[name] = np.full(self.shape, 1 if name == "weight" else 0, dtype)

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        y = x * self.parameters["weight"] if self.scale else x
        return y + self.parameters["bias"] if self.shift else y

    def backward(
        self, saved: Array, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        gradients = {}
        if need_parameters and self.scale:
            gradients["weight"] = self._shrink(grad * saved)
        if need_parameters and self.shift:
            gradients["bias"] = self._shrink(grad)
        return (grad * self.parameters["weight"] if self.scale else grad), gradients

    def _shrink(self, grad: Array) -> Array:
        axes = tuple(axis + 1 for axis, extent in enumerate(self.shape) if extent == 1)
        total: Array = grad.sum(axis=0).sum(axis=tuple(axis - 1 for axis in axes), keepdims=True)
        return total

    def output_shape(self, input_shape: Shape) -> Shape:
        """See Layer.output_shape."""
        fits = len(input_shape) == len(self.shape)
        if not fits or any(own not in (1, given) for own, given in zip(self.shape, input_shape, strict=True)):
            raise ValueError(f"expected a sample that {self.shape} can be stretched to, got {input_shape}")
        return input_shape


class Scale(Layer):
    """y = factor x + offset, the same numbers everywhere. Fixed, not trained.

    Parameters
    ----------
    factor, offset : float
    """

    def __init__(self, factor: float = 1.0, offset: float = 0.0) -> None:
        super().__init__()
        self.factor, self.offset = _check.real("factor", factor), _check.real("offset", offset)

    def __repr__(self) -> str:
        return options_text(self, factor=(self.factor, 1.0), offset=(self.offset, 0.0))

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        y = x if self.factor == 1 else x * x.dtype.type(self.factor)
        return y if self.offset == 0 else y + x.dtype.type(self.offset)

    def forward(self, x: Array, rng: np.random.Generator | None) -> tuple[Array, None]:
        """Keep nothing."""
        return self.infer(x), None

    def backward(
        self, saved: None, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        return grad * grad.dtype.type(self.factor), {}

    def saved_size(self, input_shape: Shape) -> int:
        """See Layer.saved_size."""
        return 0


class Normalize(Layer):
    """y = (x - mean) / std for every channel: how many models want their pixels. Fixed, not trained.

    Parameters
    ----------
    mean, std : float or tuple of float
        One a channel, or one for all; std positive.
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        super().__init__()
        self.mean, self.std = _check.reals("mean", mean), _check.reals("std", std, above=0.0)
        if len(self.mean) != len(self.std) and 1 not in (len(self.mean), len(self.std)):
            raise ValueError(f"mean and std must be of one length, got {len(self.mean)} and {len(self.std)}")

    def __repr__(self) -> str:
        return options_text(self, self.mean, self.std)

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        y: Array = (x - self._column(self.mean, x)) / self._column(self.std, x)
        return y

    def backward(
        self, saved: Array, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        return grad / self._column(self.std, grad), {}

    @staticmethod
    def _column(values: tuple[float, ...], x: Array) -> Array:
        return np.array(values, x.dtype).reshape(-1, *[1] * (x.ndim - 2))

    def output_shape(self, input_shape: Shape) -> Shape:
        """See Layer.output_shape."""
        channels = max(len(self.mean), len(self.std))
        if not input_shape or channels not in (1, input_shape[0]):
            raise ValueError(f"expected {channels} channels a sample, got {input_shape}")
        return input_shape
