"""Windows of images, and the pyramids that the Square attack draws in L2 (arXiv 1912.00049, section 3.3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advcore import _core
from advcore._check import Array
from advcore._memory import empty

Place = tuple[Array, Array, Array, Array]


def corners(down: Array, across: Array, height: int, width: int, size: tuple[int, int]) -> NDArray[np.int64]:
    """Return row and column of the first corner of one window a sample, (B, 2); see window."""
    places = np.array([size[0] - height, size[1] - width])
    return np.asarray(np.minimum(np.stack([down, across], axis=1) * (places + 1), places).astype(np.int64))


def cut_out(images: Array, index: NDArray[np.int64], at: NDArray[np.int64], height: int, width: int) -> Array:
    """Return windows (B, C, height, width) of images[index], (B, C, H, W), that begin at these places (B, 2)."""
    windows = empty((len(index), images.shape[1], height, width), images.dtype)
    _core.splice(windows, at, images, index, None, None)
    return windows


def put_in(images: Array, index: NDArray[np.int64], at: NDArray[np.int64], windows: Array) -> Array:
    """Return copies of images[index] with the windows in their places."""
    copies = empty((len(index), *images.shape[1:]), images.dtype)
    _core.splice(copies, np.zeros_like(at), images, index, windows, at)
    return copies


def window(down: Array, across: Array, channels: int, height: int, width: int, size: tuple[int, int]) -> Place:
    """Return index arrays of one window a sample, (B, channels, height, width) together.

    ``down`` and ``across``, in [0, 1), say where in an image of ``size`` the window of a sample lies.
    """
    top, left = corners(down, across, height, width, size).T
    return (
        np.arange(len(down)).reshape(-1, 1, 1, 1),
        np.arange(channels).reshape(1, -1, 1, 1),
        (top[:, np.newaxis] + np.arange(height)).reshape(-1, 1, height, 1),
        (left[:, np.newaxis] + np.arange(width)).reshape(-1, 1, 1, width),
    )


def pyramid(turned: Array, height: int, width: int) -> Array:
    """Return two opposite pyramids side by side, of length 1, (B, 1, height, width).

    One above the other where ``turned`` (B,) is below one half, else one beside the other; windows that are not square
    are cut across their longer side.
    """
    flat = _opposite(max(height, width), min(height, width))
    below = flat if height >= width else flat.T
    beside = flat if height > width else flat.T
    either: Array = np.where((turned < 0.5)[:, np.newaxis, np.newaxis, np.newaxis], below, beside)
    return either


def tiled(draws: Array, channels: int, height: int, width: int) -> Array:
    """Return images (B, channels, height, width) of 5 x 5 tiles with pyramids, with a random sign for each channel.

    Larger tiles where theirs would have fewer than three pixels. ``draws``: uniform in [0, 1), at least (B,
    (channels + 1) height width).
    """
    tall, wide = (max(side // 5, min(side, 3)) for side in (height, width))
    down, across = height // tall, width // wide
    count = len(draws)
    draws = draws[:, : (channels + 1) * down * across].reshape(count, channels + 1, down, across)
    shape = pyramid(draws[:, -1].reshape(-1), tall, wide).reshape(count, 1, down, across, tall, wide)
    tiles = np.where(draws[:, :-1] < 0.5, -1.0, 1.0)[..., np.newaxis, np.newaxis] * shape
    images = np.zeros((count, channels, height, width))
    top, left = (height - down * tall) // 2, (width - across * wide) // 2
    inner = tiles.transpose(0, 1, 2, 4, 3, 5).reshape(count, channels, down * tall, across * wide)
    images[:, :, top : top + down * tall, left : left + across * wide] = inner
    return images


def _opposite(height: int, width: int) -> Array:
    """Return a pyramid above its opposite; of a single row, a single one."""
    if height == 1:
        return np.full((1, width), width**-0.5)
    both = np.concatenate([_pyramid(height // 2, width), -_pyramid(height - height // 2, width)])
    return np.asarray(both / np.linalg.norm(both))


def _pyramid(height: int, width: int) -> Array:
    """Return a pyramid of length 1: at distance d from its top, the sum over c >= d of 1 / (c + 1)^2."""
    down, across = np.abs(np.arange(height) - height // 2), np.abs(np.arange(width) - width // 2)
    far = np.maximum(down[:, np.newaxis], across)
    terms = 1.0 / np.square(np.arange(max(height // 2, width // 2) + 1) + 1.0)
    levels: Array = np.cumsum(terms[::-1])[::-1]
    heights = levels[far]
    unit: Array = heights / np.linalg.norm(heights)
    return unit
