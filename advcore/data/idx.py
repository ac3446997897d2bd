"""MNIST's file format, IDX: a magic number, the extents, the bytes."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from advcore import _check
from advcore.data.dataset import Dataset

_UNSIGNED_BYTES = 0x08
_LARGEST = 2**33  # bytes: a damaged header must not make us reserve all memory
_BLOCK = 2**24


def idx(folder: str | os.PathLike[str]) -> Dataset:
    """Load a data set of MNIST's form from a folder with its four files.

    Parameters
    ----------
    folder : path
        With train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte,
        each plain or compressed with the ending .gz.

    Returns
    -------
    Dataset
        x_train and x_test (N, 1, H, W): the bytes divided by 255.

    Raises
    ------
    FileNotFoundError
        If the folder or a file is missing.
    ValueError
        If a file is damaged or the files do not belong together; the message names the file.
    """
    folder = _check.path("folder", folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"folder must be a directory with IDX files, got {folder}")
    x_train, y_train = _pair(folder, "train")
    x_test, y_test = _pair(folder, "t10k")
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(f"{folder}: training images are {x_train.shape[2:]} pixels, test images {x_test.shape[2:]}")
    classes = 1 + int(max(y_train.max(initial=0), y_test.max(initial=0)))
    return Dataset(x_train, y_train, x_test, y_test, name=folder.resolve().name, classes=classes)


def read_idx(path: str | os.PathLike[str], *, ndim: int) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes, plain or (ending .gz) compressed.

    Parameters
    ----------
    path : path
    ndim : int
        Axes that the file must have: 3 for images, 1 for labels.

    Returns
    -------
    uint8 array

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the header is not that of such a file, or does not fit the number of bytes after it.
    """
    path = _check.path("path", path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _read(cast(IO[bytes], file), path, ndim)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: damaged gzip file: {error}") from error
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _read(file: IO[bytes], path: Path, ndim: int) -> NDArray[np.uint8]:
    header = file.read(4 + 4 * ndim)
    if len(header) < 4 + 4 * ndim:
        raise ValueError(f"{path}: an IDX header of {4 + 4 * ndim} bytes expected, got {len(header)} bytes")
    expected = bytes([0, 0, _UNSIGNED_BYTES, ndim])
    if header[:4] != expected:
        raise ValueError(f"{path}: magic number {expected.hex()} expected, got {header[:4].hex()}")
    shape = tuple(int(extent) for extent in np.frombuffer(header, ">u4", offset=4))
    size = math.prod(shape)
    if math.prod(max(1, extent) for extent in shape) > _LARGEST:
        raise ValueError(f"{path}: the header {shape} is larger than the {_LARGEST} bytes that are read")
    data = bytearray()
    while len(data) <= size and (block := file.read(min(_BLOCK, size + 1 - len(data)))):
        data += block
    if len(data) != size:
        came = "more" if len(data) > size else f"{len(data)}"
        raise ValueError(f"{path}: the header {shape} tells of {size} bytes, got {came}")
    return np.frombuffer(bytes(data), np.uint8).reshape(shape)


def _pair(folder: Path, part: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    images_path = _find(folder, f"{part}-images-idx3-ubyte")
    labels_path = _find(folder, f"{part}-labels-idx1-ubyte")
    images, labels = read_idx(images_path, ndim=3), read_idx(labels_path, ndim=1)
    if len(images) != len(labels):
        raise ValueError(f"{labels_path}: {len(images)} labels expected, one an image, got {len(labels)}")
    pixels = images.astype(np.float32)
    pixels /= np.float32(255)
    return pixels[:, np.newaxis], labels.astype(np.int64)


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileNotFoundError(f"{folder / name} is missing (also with the ending .gz)")
