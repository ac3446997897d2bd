"""Residual networks, as torchvision has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import DTypeLike

from advcore import _check
from advcore.models._initial import he_normal
from advcore.nn import AdaptiveAvgPool2d, Add, BatchNorm, Conv2d, Flatten, Layer, Linear, MaxPool2d, Network, ReLU

Branch = Callable[[int, int, int], dict[str, Layer]]


def resnet18(
    input_shape: Sequence[int] = (3, 224, 224), classes: int = 1000, *, seed: int = 0, dtype: DTypeLike = np.float32
) -> Network:
    """Build the residual network of 18 layers, 11,689,512 parameters at (3, 224, 224) and 1000 classes.

    Names and architecture are torchvision's: a stem of 7x7, stride 2, and a pool; four stages of blocks of two 3x3
    convolutions (from 50 layers on 1x1, 3x3 with the stride, 1x1 with four times the maps), each followed by batch
    normalisation, added to a shortcut, 1x1 where the shape changes; the mean over the image and the logits.
    Convolutions start from N(0, 2 / fan_out), the last layer as torch's default, batch normalisation at 1 and 0.
    For images of up to 64 x 64 the stem is 3x3 of stride 1, without the pool, as the paper's for CIFAR-10.

    Parameters
    ----------
    input_shape : (C, H, W)
        Any size.
    classes : int
        Logits.
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
    He, Zhang, Ren, Sun: Deep residual learning for image recognition. CVPR 2016, table 1 and section 4.2.
    """
    return _resnet(_basic, 1, (2, 2, 2, 2), input_shape, classes, seed, dtype)


def resnet34(
    input_shape: Sequence[int] = (3, 224, 224), classes: int = 1000, *, seed: int = 0, dtype: DTypeLike = np.float32
) -> Network:
    """Build the residual network of 34 layers, 21,797,672 parameters at (3, 224, 224) and 1000 classes.

    All else is as for resnet18.
    """
    return _resnet(_basic, 1, (3, 4, 6, 3), input_shape, classes, seed, dtype)


def resnet50(
    input_shape: Sequence[int] = (3, 224, 224), classes: int = 1000, *, seed: int = 0, dtype: DTypeLike = np.float32
) -> Network:
    """Build the residual network of 50 layers, 25,557,032 parameters at (3, 224, 224) and 1000 classes.

    All else is as for resnet18.
    """
    return _resnet(_bottleneck, 4, (3, 4, 6, 3), input_shape, classes, seed, dtype)


def resnet101(
    input_shape: Sequence[int] = (3, 224, 224), classes: int = 1000, *, seed: int = 0, dtype: DTypeLike = np.float32
) -> Network:
    """Build the residual network of 101 layers, 44,549,160 parameters at (3, 224, 224) and 1000 classes.

    All else is as for resnet18.
    """
    return _resnet(_bottleneck, 4, (3, 4, 23, 3), input_shape, classes, seed, dtype)


def resnet152(
    input_shape: Sequence[int] = (3, 224, 224), classes: int = 1000, *, seed: int = 0, dtype: DTypeLike = np.float32
) -> Network:
    """Build the residual network of 152 layers, 60,192,808 parameters at (3, 224, 224) and 1000 classes.

    All else is as for resnet18.
    """
    return _resnet(_bottleneck, 4, (3, 8, 36, 3), input_shape, classes, seed, dtype)


def _basic(inputs: int, maps: int, stride: int) -> dict[str, Layer]:
    return {
        "conv1": Conv2d(inputs, maps, 3, stride, padding=1, bias=False),
        "bn1": BatchNorm(maps),
        "relu1": ReLU(),
        "conv2": Conv2d(maps, maps, 3, padding=1, bias=False),
        "bn2": BatchNorm(maps),
    }


def _bottleneck(inputs: int, maps: int, stride: int) -> dict[str, Layer]:
    return {
        "conv1": Conv2d(inputs, maps, 1, bias=False),
        "bn1": BatchNorm(maps),
        "relu1": ReLU(),
        "conv2": Conv2d(maps, maps, 3, stride, padding=1, bias=False),
        "bn2": BatchNorm(maps),
        "relu2": ReLU(),
        "conv3": Conv2d(maps, 4 * maps, 1, bias=False),
        "bn3": BatchNorm(4 * maps),
    }


def _resnet(
    branch: Branch,
    expansion: int,
    blocks: Sequence[int],
    input_shape: Sequence[int],
    classes: int,
    seed: int,
    dtype: DTypeLike,
) -> Network:
    channels, height, width = _check.sizes("input_shape", input_shape, axes=("C", "H", "W"), minimum=1)
    small = max(height, width) <= 64
    stem = Conv2d(channels, 64, 3, padding=1, bias=False) if small else Conv2d(channels, 64, 7, 2, 3, bias=False)
    layers: dict[str, Layer] = {"conv1": stem, "bn1": BatchNorm(64), "relu": ReLU()}
    if not small:
        layers["maxpool"] = MaxPool2d(3, 2, 1)
    wiring: dict[str, tuple[str, ...]] = {}
    before, inputs = next(reversed(layers)), 64
    for stage, count in enumerate(blocks):
        for block in range(count):
            name, maps, stride = f"layer{stage + 1}.{block}", 64 * 2**stage, 2 if stage and not block else 1
            parts = branch(inputs, maps, stride)
            layers |= {f"{name}.{part}": layer for part, layer in parts.items()}
            shortcut, last = before, f"{name}.{next(reversed(parts))}"
            if inputs != expansion * maps or stride > 1:
                layers[f"{name}.downsample.0"] = Conv2d(inputs, expansion * maps, 1, stride, bias=False)
                layers[f"{name}.downsample.1"] = BatchNorm(expansion * maps)
                wiring[f"{name}.downsample.0"] = (before,)
                shortcut = f"{name}.downsample.1"
            layers |= {f"{name}.add": Add(), f"{name}.relu": ReLU()}
            wiring[f"{name}.add"] = (last, shortcut)
            before, inputs = f"{name}.relu", expansion * maps
    layers |= {"avgpool": AdaptiveAvgPool2d(1), "flatten": Flatten(), "fc": Linear(inputs, classes)}
    rng = np.random.default_rng(_check.integer("seed", seed, minimum=0))
    he_normal(layers.values(), rng, _check.float_dtype("dtype", dtype))
    return Network(layers, wiring=wiring, dtype=dtype)
