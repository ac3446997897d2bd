"""The linear (dense) layer."""

from __future__ import annotations

import math

from advcore import _check, ops
from advcore._check import Array
from advcore.nn.layer import ProductLayer, Shape, options_text


class Linear(ProductLayer):
    """y[..., o] = sum_i x[..., i] weight[o, i] + bias[o].

    Parameters
    ----------
    in_features, out_features : int
        Extents of the last axis.
    bias : bool
        Whether there is a bias.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        self.in_features = _check.integer("in_features", in_features, minimum=1)
        self.out_features = _check.integer("out_features", out_features, minimum=1)
        self.bias = _check.flag("bias", bias)
        shapes: dict[str, Shape] = {"weight": (self.out_features, self.in_features)}
        if self.bias:
            shapes["bias"] = (self.out_features,)
        super().__init__(shapes, 1 / math.sqrt(self.in_features))

    def __repr__(self) -> str:
        return options_text(self, self.in_features, self.out_features, bias=(self.bias, True))

    def infer(self, x: Array, activation: str | None = None) -> Array:
        """See ProductLayer.infer."""
        return ops.linear(x, self.parameters["weight"], self.parameters.get("bias"), activation=activation)

    def backward(
        self, saved: Array, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        gradients = {}
        if need_parameters:
            gradients["weight"] = ops.linear_weight_grad(grad, saved)
            if self.bias:
                gradients["bias"] = grad.reshape(-1, self.out_features).sum(axis=0)
        return ops.linear_input_grad(grad, self.parameters["weight"]) if need_input else None, gradients

    def output_shape(self, input_shape: Shape) -> Shape:
        """See Layer.output_shape."""
        if not input_shape or input_shape[-1] != self.in_features:
            raise ValueError(f"expected (..., {self.in_features}) a sample, got {input_shape}")
        return (*input_shape[:-1], self.out_features)

    def flops(self, input_shape: Shape) -> int:
        """See Layer.flops."""
        return 2 * math.prod(input_shape) * self.out_features
