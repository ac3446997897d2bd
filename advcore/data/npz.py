"""Images and labels in a NumPy archive."""

from __future__ import annotations

import os
import zipfile
import zlib

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from advcore import _check
from advcore._check import Array
from advcore.data.dataset import Dataset


def npz(path: str | os.PathLike[str], *, bounds: tuple[float, float] = (0.0, 1.0)) -> Dataset:
    """Load a data set from an .npz file.

    Parameters
    ----------
    path : path
        With arrays x (N, C, H, W), (N, H, W) or (N, features) and y (N,), and optionally x_test and y_test. Images are
        floating point inside the bounds, or uint8, of which 0 and 255 become the bounds; labels are integers from 0.
        Pickled objects are refused.
    bounds : (low, high)

    Returns
    -------
    Dataset
        Images (N, C, H, W), where (N, H, W) gets one channel and (N, features) become (N, 1, 1, features). Without
        x_test the test arrays are empty.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, an array is missing, or one has another type, shape or range.
    """
    path, box = _check.path("path", path), _check.bounds("bounds", bounds)
    with path.open("rb") as file:  # its errors name the file
        try:
            with NpzFile(file, own_fid=False, allow_pickle=False) as archive:
                names = sorted(archive)
                arrays = {name: archive[name] for name in ("x", "y", "x_test", "y_test") if name in names}
        except (ValueError, EOFError, OSError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"{path}: not a readable .npz file of plain arrays: {error}") from error
    for name in ("x", "y"):
        if name not in arrays:
            raise ValueError(f"{path}: array {name} expected, got {names}")
    if ("x_test" in arrays) != ("y_test" in arrays):
        raise ValueError(f"{path}: x_test and y_test belong together, got {sorted(arrays)}")
    x_train, y_train = _pair(f"{path}: x", arrays["x"], f"{path}: y", arrays["y"], box)
    if "x_test" in arrays:
        x_test, y_test = _pair(f"{path}: x_test", arrays["x_test"], f"{path}: y_test", arrays["y_test"], box)
    else:
        x_test, y_test = x_train[:0], y_train[:0]
    if x_test.shape[1:] != x_train.shape[1:]:
        raise ValueError(f"{path}: x_test must have images {x_train.shape[1:]} like x, got {x_test.shape[1:]}")
    classes = 1 + int(max(y_train.max(initial=0), y_test.max(initial=0)))
    return Dataset(x_train, y_train, x_test, y_test, name=path.stem, classes=classes)


def in_box(images: Array, box: tuple[float, float]) -> Array:
    """Return images in [0, 1] as images in the box."""
    low, high = box
    if box == (0.0, 1.0):
        return images
    return np.clip(low + images * np.float64(high - low), low, high).astype(images.dtype)


def _pair(
    x_name: str, x: Array, y_name: str, y: Array, box: tuple[float, float]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    if x.ndim not in (2, 3, 4):
        raise ValueError(f"{x_name} must have shape (N, C, H, W), (N, H, W) or (N, features), got {x.shape}")
    if x.dtype == np.uint8:
        images = in_box(x / np.float32(255), box)
    elif x.dtype.kind == "f":
        images = x if x.dtype in _check.FLOATS else x.astype(np.float64)
    else:
        raise ValueError(f"{x_name} must be floating point or uint8, got {x.dtype}")
    if images.ndim == 2:
        images = images[:, np.newaxis, np.newaxis]
    elif images.ndim == 3:
        images = images[:, np.newaxis]
    _check.finite(x_name, images)
    if images.size and not (images.min() >= box[0] and images.max() <= box[1]):
        raise ValueError(f"{x_name} must be in [{box[0]:g}, {box[1]:g}], got [{images.min():g}, {images.max():g}]")
    if y.dtype.kind not in "iu":
        raise ValueError(f"{y_name} must be integers, got {y.dtype}")
    return images.astype(np.float32, copy=False), _check.integers(
        y_name, y, shape=(len(images),), minimum=0, maximum=2**31
    )
