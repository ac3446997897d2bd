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


class LeakyReLU(Layer):
    """x where it is positive, else negative_slope * x; its derivative at 0 is the slope.

    Parameters
    ----------
    negative_slope : float
    """

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = _check.real("negative_slope", negative_slope)

    def __repr__(self) -> str:
        return options_text(self, negative_slope=(self.negative_slope, 0.01))

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        return np.where(x > 0, x, x.dtype.type(self.negative_slope) * x)

    def backward(
        self, saved: Array, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        return np.where(saved > 0, grad, grad.dtype.type(self.negative_slope) * grad), {}


class Clip(Layer):
    """min(max(x, low), high), NaN kept; the derivative is 0 outside.

    Parameters
    ----------
    low, high : float or None
        low at most high; None: no limit.
    inclusive : bool
        Whether the derivative at the limits is 1, as torch.clamp's, or 0, as torch.nn.Hardtanh's.
    """

    def __init__(self, low: float | None = None, high: float | None = None, inclusive: bool = True) -> None:
        super().__init__()
        self.low = None if low is None else _check.real("low", low)
        self.high = None if high is None else _check.real("high", high)
        self.inclusive = _check.flag("inclusive", inclusive)
        if low is not None and high is not None and low > high:
            raise ValueError(f"low must be at most high, got {low:g} and {high:g}")

    def __repr__(self) -> str:
        return options_text(self, low=(self.low, None), high=(self.high, None), inclusive=(self.inclusive, True))

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        y = x if self.low is None else np.maximum(x, x.dtype.type(self.low))
        return y if self.high is None else np.minimum(y, x.dtype.type(self.high))

    def backward(
        self, saved: Array, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        low = -np.inf if self.low is None else saved.dtype.type(self.low)
        high = np.inf if self.high is None else saved.dtype.type(self.high)
        inside = (saved >= low) & (saved <= high) if self.inclusive else (saved > low) & (saved < high)
        return np.where(inside, grad, grad.dtype.type(0)), {}


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
