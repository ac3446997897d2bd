"""AlexNet, as torchvision has it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from advcore import _check
from advcore.nn import AdaptiveAvgPool2d, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, Network, ReLU


def alexnet(
    input_shape: Sequence[int] = (3, 224, 224),
    classes: int = 1000,
    *,
    dropout: float = 0.5,
    seed: int = 0,
    dtype: DTypeLike = np.float32,
) -> Network:
    """Build five convolutions with three pools, and linear 4096, 4096 and the logits, with ReLU after each.

    Names and architecture are torchvision's: 61,100,840 parameters at (3, 224, 224) and 1000 classes. Parameters start
    as torch's defaults, from U(-1 / sqrt(fan_in), 1 / sqrt(fan_in)). For images of up to 64 x 64 the first
    convolution is 5x5 of stride 1, for 11x11 of stride 4; a pool is left out where a side is less than its 3 pixels.

    Differs from the paper: one column, fewer maps, no local response normalisation; the features are averaged to 6 x 6,
    or to what is there if that is less.

    Parameters
    ----------
    input_shape : (C, H, W)
        Any size.
    classes : int
        Logits.
    dropout : float
        In [0, 1), before each hidden linear layer; 0 leaves the layers out.
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
    Krizhevsky: One weird trick for parallelizing convolutional neural networks. arXiv:1404.5997 (2014).
    """
    channels, height, width = _check.sizes("input_shape", input_shape, axes=("C", "H", "W"), minimum=1)
    small = max(height, width) <= 64
    features: list[Layer] = [
        Conv2d(channels, 64, 5, padding=2) if small else Conv2d(channels, 64, 11, stride=4, padding=2),
        *(ReLU(), MaxPool2d(3, 2), Conv2d(64, 192, 5, padding=2), ReLU(), MaxPool2d(3, 2)),
        *(Conv2d(192, 384, 3, padding=1), ReLU(), Conv2d(384, 256, 3, padding=1), ReLU()),
        *(Conv2d(256, 256, 3, padding=1), ReLU(), MaxPool2d(3, 2)),
    ]
    layers: dict[str, Layer] = {}
    shape: tuple[int, ...] = (channels, height, width)
    for index, layer in enumerate(features):
        if not isinstance(layer, MaxPool2d) or min(shape[1:]) >= 3:
            layers[f"features.{index}"] = layer
            shape = layer.output_shape(shape)
    layers["avgpool"] = AdaptiveAvgPool2d((min(6, shape[1]), min(6, shape[2])))
    layers["flatten"] = Flatten()
    size = 256 * min(6, shape[1]) * min(6, shape[2])
    if dropout:
        layers |= {"classifier.0": Dropout(dropout)}
    layers |= {"classifier.1": Linear(size, 4096), "classifier.2": ReLU()}
    if dropout:
        layers |= {"classifier.3": Dropout(dropout)}
    layers |= {"classifier.4": Linear(4096, 4096), "classifier.5": ReLU(), "classifier.6": Linear(4096, classes)}
    return Network(layers, seed=seed, dtype=dtype)
