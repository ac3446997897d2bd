"""Activations as layers."""

from __future__ import annotations

import numpy as np

from advcore import _check, ops
from advcore._check import Array
from advcore.nn.layer import Layer, options_text


class ReLU(Layer):
    """max(x, 0); its derivative at 0 is 0."""

    def __repr__(self) -> str:
        return options_text(self)

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        return ops.relu(x)

    def forward(self, x: Array, rng: np.random.Generator | None) -> tuple[Array, Array]:
        """Keep the output: it is positive where the input is."""
        y = ops.relu(x)
        return y, y

    def backward(
        self, saved: Array, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        return ops.relu_grad(grad, saved), {}


class GELU(Layer):
    """x Phi(x), Phi the normal distribution function, or its tanh approximation.

    Parameters
    ----------
    approximate : "none" or "tanh"
        "tanh": 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
    """

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = _check.choice("approximate", approximate, ("none", "tanh"))

    def __repr__(self) -> str:
        return options_text(self, approximate=(self.approximate, "none"))

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        return ops.gelu(x, self.approximate)

    def backward(
        self, saved: Array, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        return ops.gelu_grad(grad, saved, self.approximate), {}


class _OfOutput(Layer):
    """An activation whose gradient is computed from its output."""

    def __repr__(self) -> str:
        return options_text(self)

    def forward(self, x: Array, rng: np.random.Generator | None) -> tuple[Array, Array]:
        """Keep the output."""
        y = self.infer(x)
        return y, y


class Sigmoid(_OfOutput):
    """1 / (1 + exp(-x))."""

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        return ops.sigmoid(x)

    def backward(
        self, saved: Array, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        return ops.sigmoid_grad(grad, saved), {}


class Tanh(_OfOutput):
    """tanh(x)."""

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        return ops.tanh(x)

    def backward(
        self, saved: Array, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        return ops.tanh_grad(grad, saved), {}


class Softmax(_OfOutput):
    """exp(x) / sum(exp(x)) over the last axis."""

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        return ops.softmax(x)

    def backward(
        self, saved: Array, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        return ops.softmax_grad(grad, saved), {}


class LogSoftmax(_OfOutput):
    """x - log(sum(exp(x))) over the last axis."""

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        return ops.log_softmax(x)

    def backward(
        self, saved: Array, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        return ops.log_softmax_grad(grad, saved), {}
