"""Joining layers into steps that pass over memory once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from advcore._check import Array
from advcore.nn.activations import ReLU
from advcore.nn.layer import Layer, ProductLayer


class WithReLU(Layer):
    """A product and the ReLU that follows it, applied while the result is still in registers."""

    def __init__(self, product: ProductLayer, relu: ReLU) -> None:
        super().__init__()
        self.product, self.relu = product, relu

    def infer(self, x: Array) -> Array:
        return self.product.infer(x, "relu")

    def forward(self, x: Array, rng: np.random.Generator | None) -> tuple[Array, tuple[Any, Array]]:
        y, kept = self.product.forward(x, rng, "relu")
        return y, (kept, y)  # the output is all that ReLU's gradient needs

    def backward(
        self, saved: tuple[Any, Array], grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        kept, y = saved
        before_relu, _ = self.relu.backward(y, grad)
        assert before_relu is not None  # asked for
        return self.product.backward(kept, before_relu, need_input=need_input, need_parameters=need_parameters)


def fuse(layers: Mapping[str, Layer]) -> dict[str, Layer]:
    """Join every product with the ReLU after it; the joint step has the product's name."""
    steps: dict[str, Layer] = {}
    last = ""
    for name, layer in layers.items():
        product = steps.get(last)
        if isinstance(layer, ReLU) and isinstance(product, ProductLayer):
            steps[last] = WithReLU(product, layer)
        else:
            steps[name] = layer
            last = name
    return steps
