"""Initial parameters other than torch's defaults."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from advcore.nn import Conv2d, Layer, Linear
from advcore.nn._watch import by_the_network


def he_normal(layers: Iterable[Layer], rng: np.random.Generator, dtype: np.dtype[Any], linear: float = 0.0) -> None:
    """Initialise layers in their order: convolutions from N(0, 2 / fan_out), with biases of 0.

    ``linear`` is the standard deviation of the weights of linear layers, whose biases are 0 then; 0 leaves these
    layers, like all others, to themselves.

    References
    ----------
    He, Zhang, Ren, Sun: Delving deep into rectifiers. ICCV 2015, section 2.2.
    """
    for layer in layers:
        if isinstance(layer, Conv2d):
            deviation = math.sqrt(2 / (layer.out_channels * math.prod(layer.kernel_size)))
        elif isinstance(layer, Linear) and linear:
            deviation = linear
        else:
            with by_the_network():
                layer.initialise(rng, dtype)
            continue
        with by_the_network():
            for name, shape in layer.parameter_shapes.items():
                drawn = rng.standard_normal(shape, dtype) if name == "weight" else np.zeros(shape, dtype)
                layer.parameters[name] = drawn * dtype.type(deviation)
