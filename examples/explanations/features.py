"""The image classifier, and its features by compact bilinear pooling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advcore import _check, nn
from advcore._check import Array


def image_classifier(classes: int, channels: int, side: int, *, seed: int) -> nn.Network:
    """Build three convolutions, whose last output is named "features", and a linear layer."""
    layers: dict[str, nn.Layer] = {
        **{"conv1": nn.Conv2d(3, channels, 3, padding=1), "norm1": nn.BatchNorm(channels)},
        **{"relu1": nn.ReLU(), "pool1": nn.MaxPool2d(2)},
        **{"conv2": nn.Conv2d(channels, 2 * channels, 3, padding=1), "norm2": nn.BatchNorm(2 * channels)},
        **{"relu2": nn.ReLU(), "pool2": nn.MaxPool2d(2)},
        **{"conv3": nn.Conv2d(2 * channels, 2 * channels, 3, padding=1), "norm3": nn.BatchNorm(2 * channels)},
        **{"features": nn.ReLU(), "flat": nn.Flatten(), "dropout": nn.Dropout(0.3)},
        "logits": nn.Linear(2 * channels * (side // 4) ** 2, classes),
    }
    return nn.Network(layers, seed=seed)


class CompactBilinearPooling:
    """Sketches of the outer products x x^T of the features of all places, summed: the tensor sketch.

    With two hashes h: [C] -> [d] and signs s: [C] -> {-1, 1} the count sketch of x is
    ``psi(x)_j = sum of s_c x_c where h_c = j``. The circular convolution of two count sketches of x is that of
    x x^T, and FFT(psi_1 * psi_2) = FFT(psi_1) FFT(psi_2). Then ``<pool(x), pool(y)>`` is on average the square of
    ``<x, y>``, summed over all pairs of places.

    Parameters
    ----------
    channels : int
        C.
    dimension : int
        d, at least 1.
    seed : int
        Of the hashes.

    References
    ----------
    Gao, Beijbom, Zhang, Darrell: Compact bilinear pooling. CVPR 2016, algorithm 2.
    Pham, Pagh: Fast and scalable polynomial kernels via explicit feature maps. KDD 2013.
    """

    def __init__(self, channels: int, dimension: int, *, seed: int) -> None:
        channels = _check.integer("channels", channels, minimum=1)
        self.dimension = _check.integer("dimension", dimension, minimum=1)
        rng = np.random.default_rng(_check.integer("seed", seed, minimum=0))
        self.places = rng.integers(self.dimension, size=(2, channels))
        self.signs = rng.choice((-1.0, 1.0), size=(2, channels))
        self._sketches = np.zeros((2, channels, self.dimension))
        for matrix, places, signs in zip(self._sketches, self.places, self.signs, strict=True):
            matrix[np.arange(channels), places] = signs

    def __call__(self, maps: Array) -> NDArray[np.float64]:
        """Return the pooled features (N, d) of maps (N, C, H, W)."""
        maps = _check.array("maps", maps, shape=(None, len(self.signs[0]), None, None))
        n, channels, height, width = maps.shape
        places = maps.reshape(n, channels, height * width).transpose(0, 2, 1).astype(np.float64)
        first, second = (np.fft.rfft(places @ matrix) for matrix in self._sketches)
        return np.fft.irfft((first * second).sum(axis=1), self.dimension)


def normalised(pooled: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return sign(z) sqrt(|z|), divided by its length."""
    rooted = np.sign(pooled) * np.sqrt(abs(pooled))
    lengths = np.linalg.norm(rooted, axis=1, keepdims=True)
    return (rooted / np.maximum(lengths, 1e-12)).astype(np.float32)
