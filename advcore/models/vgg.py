"""VGG with 16 layers, as torchvision has it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from advcore import _check
from advcore.models._initial import he_normal
from advcore.nn import AdaptiveAvgPool2d, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, Network, ReLU

_MAPS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0)  # 0: a pool


def vgg16(
    input_shape: Sequence[int] = (3, 224, 224),
    classes: int = 1000,
    *,
    dropout: float = 0.5,
    seed: int = 0,
    dtype: DTypeLike = np.float32,
) -> Network:
    """Build 13 convolutions 3x3 with five pools, and linear 4096, 4096 and the logits, with ReLU after each.

    Names and architecture are torchvision's (configuration D): 138,357,544 parameters at (3, 224, 224) and 1000
    classes. Convolutions start from N(0, 2 / fan_out), linear weights from N(0, 0.01^2), biases at 0, as
    torchvision's. A pool is left out where a side is 1 already; the features are averaged to 7 x 7, or to what is
    there if that is less: 1 x 1 for images of 32 x 32.

    Parameters
    ----------
    input_shape : (C, H, W)
        Any size.
    classes : int
        Logits.
    dropout : float
        In [0, 1), after each hidden linear layer; 0 leaves the layers out.
    seed : int
        Of the parameters.
    dtype : float32 or float64

    Returns
    -------
    Network

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type or out of range.

    References
    ----------
    Simonyan, Zisserman: Very deep convolutional networks for large-scale image recognition. ICLR 2015, table 1.
    """
    shape = _check.sizes("input_shape", input_shape, axes=("C", "H", "W"), minimum=1)
    layers: dict[str, Layer] = {}
    index = 0
    for maps in _MAPS:
        parts: tuple[Layer, ...] = (Conv2d(shape[0], maps, 3, padding=1), ReLU()) if maps else (MaxPool2d(2),)
        for layer in parts:
            if maps or min(shape[1:]) > 1:
                layers[f"features.{index}"] = layer
                shape = layer.output_shape(shape)
            index += 1
    layers["avgpool"] = AdaptiveAvgPool2d((min(7, shape[1]), min(7, shape[2])))
    layers["flatten"] = Flatten()
    layers |= {"classifier.0": Linear(512 * min(7, shape[1]) * min(7, shape[2]), 4096), "classifier.1": ReLU()}
    if dropout:
        layers |= {"classifier.2": Dropout(dropout)}
    layers |= {"classifier.3": Linear(4096, 4096), "classifier.4": ReLU()}
    if dropout:
        layers |= {"classifier.5": Dropout(dropout)}
    layers |= {"classifier.6": Linear(4096, classes)}
    rng = np.random.default_rng(_check.integer("seed", seed, minimum=0))
    he_normal(layers.values(), rng, _check.float_dtype("dtype", dtype), linear=0.01)
    return Network(layers, dtype=dtype)
