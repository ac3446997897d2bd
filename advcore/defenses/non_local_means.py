"""Non-local means, a squeezer for images in colour (Buades, Coll, Morel 2005; Xu, Evans, Qi 2018, arXiv 1704.01155)."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import uniform_filter

from advcore import _check
from advcore._check import Array


class NonLocalMeans:
    """Replaces every pixel by a mean over a window, weighted by how alike the patches around the pixels are.

    ``w = exp(-d^2 / strength^2)``, d^2 the mean squared difference of the patches over pixels and channels.

    Parameters
    ----------
    search, patch : int, odd
        Sides of the window and of the patches, in pixels.
    strength : float, above 0
        In the units of the image.

    References
    ----------
    Buades, Coll, Morel: A non-local algorithm for image denoising. CVPR 2005.
    """

    def __init__(self, search: int = 13, patch: int = 3, strength: float = 2 / 255) -> None:
        self.search = _odd("search", search)
        self.patch = _odd("patch", patch)
        self.strength = _check.real("strength", strength, above=0.0)

    def __call__(self, x: Array) -> Array:
        """Return x, (N, C, H, W), filtered."""
        x = _check.array("x", x, axes=("N", "C", "H", "W"))
        if not x.size:
            return np.copy(x)
        reach, (height, width) = self.search // 2, x.shape[2:]
        padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode="symmetric")
        total, weights = np.zeros(x.shape), np.zeros((len(x), 1, height, width))
        for down in range(self.search):
            for right in range(self.search):
                moved = padded[:, :, down : down + height, right : right + width]
                squares = ((moved - x) ** 2).mean(axis=1, keepdims=True)
                distance = uniform_filter(squares, size=(1, 1, self.patch, self.patch), mode="reflect")
                weight = np.exp(-np.maximum(distance, 0) / self.strength**2)
                total += weight * moved
                weights += weight
        result: Array = (total / weights).astype(x.dtype)
        return result


def _odd(name: str, value: int) -> int:
    if _check.integer(name, value, minimum=1) % 2 == 0:
        raise ValueError(f"{name} must be odd, got {value}")
    return value
