"""Squeezers: functions that take detail from images (Xu, Evans, Qi 2018, arXiv 1704.01155)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter, uniform_filter

from advcore import _check
from advcore._check import Array


@dataclass(frozen=True)
class BitDepth:
    """Rounds to 2^bits values between 0 and 1: ``rint(x (2^b - 1)) / (2^b - 1)``.

    Parameters
    ----------
    bits : int, in [1, 16]
    """

    bits: int

    def __post_init__(self) -> None:
        _check.integer("bits", self.bits, minimum=1, maximum=16)

    def __call__(self, x: Array) -> Array:
        """Squeeze images in [0, 1] of any shape."""
        x = _check.array("x", x)
        steps = x.dtype.type(2**self.bits - 1)
        result: Array = np.rint(x * steps) / steps
        return result


LARGEST_WINDOW = 101  # pixels on a side: files name it, too


@dataclass(frozen=True)
class MedianFilter:
    """Replaces every pixel by the median of a window, reflected at the border; the upper one of an even number.

    Parameters
    ----------
    size : int, 1 to 101
        Pixels on a side. The window of an even size reaches further up and left.
    """

    size: int = 2

    def __post_init__(self) -> None:
        _check.integer("size", self.size, minimum=1, maximum=LARGEST_WINDOW)

    def __call__(self, x: Array) -> Array:
        """Squeeze images (N, C, H, W), each channel by itself."""
        x = _check.array("x", x, axes=("N", "C", "H", "W"))
        result: Array = median_filter(x, size=(1, 1, self.size, self.size), mode="reflect")
        return result

    def vjp(self, x: Array, grad: Array) -> Array:
        """Return the gradient for x (N, C, H, W): each pixel's goes to the one that was its window's median."""
        x = _check.array("x", x, axes=("N", "C", "H", "W"))
        plane, before, after = x.shape[2:], self.size // 2, (self.size - 1) // 2
        planes = x.reshape(len(x) * x.shape[1], math.prod(plane))
        at = np.pad(np.arange(planes.shape[1]).reshape(plane), (before, after), mode="symmetric")
        windows = np.lib.stride_tricks.sliding_window_view(at, (self.size, self.size)).reshape(planes.shape[1], -1)
        order = np.argsort(planes[:, windows], axis=2, kind="stable")[:, :, self.size**2 // 2]
        chosen = windows[np.arange(len(windows)), order]
        result = np.zeros_like(planes)
        np.add.at(result, (np.arange(len(planes))[:, np.newaxis], chosen), grad.reshape(planes.shape))
        return result.reshape(x.shape)


@dataclass(frozen=True)
class NonLocalMeans:
    """Replaces every pixel by a mean over a window, weighted by how alike the patches around the pixels are.

    ``w = exp(-d^2 / strength^2)``, d^2 the mean squared difference of the patches over pixels and channels. Beyond the
    border the image goes on reflected, as that of MedianFilter does: windows and patches are read there.

    Parameters
    ----------
    search, patch : int, odd, 1 to 101
        Sides of the window and of the patches, in pixels.
    strength : float, above 0
        In the units of the image.

    References
    ----------
    Buades, Coll, Morel: A non-local algorithm for image denoising. CVPR 2005.
    """

    search: int = 13
    patch: int = 3
    strength: float = 2 / 255

    def __post_init__(self) -> None:
        for name, value in (("search", self.search), ("patch", self.patch)):
            if _check.integer(name, value, minimum=1, maximum=LARGEST_WINDOW) % 2 == 0:
                raise ValueError(f"{name} must be odd, got {value}")
        _check.real("strength", self.strength, above=0.0)

    def __call__(self, x: Array) -> Array:
        """Squeeze images (N, C, H, W)."""
        x = _check.array("x", x, axes=("N", "C", "H", "W"))
        if not x.size:
            return np.copy(x)
        reach, half = self.search // 2, self.patch // 2
        wide, edge = x.astype(np.float64), (reach + half, reach + half)
        wide = np.pad(wide, ((0, 0), (0, 0), edge, edge), mode="symmetric")
        # The image with half a patch around it, and the image therein.
        height, width = (extent + 2 * half for extent in x.shape[2:])
        image = (..., slice(half, height - half), slice(half, width - half))
        centre = wide[:, :, reach : reach + height, reach : reach + width]
        total, weights = np.zeros(x.shape), np.zeros((len(x), 1, *x.shape[2:]))
        for down in range(self.search):
            for right in range(self.search):
                moved = wide[:, :, down : down + height, right : right + width]
                squares = ((moved - centre) ** 2).mean(axis=1, keepdims=True)
                distance = uniform_filter(squares, size=(1, 1, self.patch, self.patch))[image]
                weight = np.exp(-np.maximum(distance, 0) / self.strength**2)
                total += weight * moved[image]
                weights += weight
        result: Array = (total / weights).astype(x.dtype)
        return result
