"""MODEL and DATA as they are named on a command line."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from advcore import data
from advcore._check import Array
from advcore.data.npz import in_box
from advcore.evaluation.handle import Handle, Numbers, made_by
from advcore.nn import Network

FORMATS = {".safetensors": "safetensors", ".onnx": "onnx", ".pt2": "pt2"}
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff")
LARGEST_MODEL = 2**32  # bytes


class Samples(NamedTuple):
    """Images, labels, and what to call them."""

    x: Array
    y: NDArray[np.int64]
    name: str


def model(name: str, *, mean: Numbers = None, std: Numbers = None, layout: str = "NCHW") -> Handle:
    """Return the model that a file, or ``package.module:factory``, holds.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If its format is unknown, or it is damaged.
    """
    path = Path(name)
    kind = FORMATS.get(path.suffix)
    if kind is None and re.fullmatch(r"[\w.]+:\w+", name) and not path.exists():
        return _opened(Handle("factory", name, (), mean, std, layout), name)
    if not path.is_file():
        raise FileNotFoundError(f"MODEL: there is no file {name}")
    if kind is None:
        raise ValueError(
            f"MODEL must end in {', '.join(FORMATS)} or be package.module:factory, got {name}: the format is unknown"
        )
    if kind == "safetensors" and layout != "NCHW":
        raise ValueError(
            f"--layout {layout} is for .onnx, .pt2 and factories, got {name}: networks of advcore take NCHW"
        )
    if path.stat().st_size > LARGEST_MODEL:
        raise ValueError(f"MODEL must have at most {LARGEST_MODEL} bytes, got {path.stat().st_size}: {name}")
    return Handle(kind, path.read_bytes(), (), mean, std, layout)


def opened(handle: Handle, name: str, shape: tuple[int, ...]) -> Handle:
    """Return the handle for samples of a shape, opened once to see that it can be."""
    return _opened(replace(handle, shape=shape), name)


def _opened(handle: Handle, name: str) -> Handle:
    if handle.kind == "factory" and not handle.shape:
        return handle
    try:
        found = handle.open()
    except ImportError:
        raise
    except (Exception, SystemExit) as error:  # whatever a factory, torch or onnx raises
        if name in str(error):
            raise
        ours = isinstance(error, (TypeError, ValueError))
        reason = str(error) if ours else f"{type(error).__name__}: {error}"
        if "Guard failed" in reason:
            reason += "; export it for any batch: dynamic_shapes=({0: torch.export.Dim('n', min=1)},)"
        raise ValueError(f"MODEL {name} cannot be opened: {reason}") from error
    if handle.kind == "safetensors" and not isinstance(found, Network):
        raise ValueError(f"MODEL {name} holds no network")
    return handle


def detector(name: str) -> Any:
    """Return the fitted detector that ``package.module:factory`` makes."""
    try:
        found = made_by(name, (), None, None, "NCHW")
    except ImportError:
        raise
    except (Exception, SystemExit) as error:  # whatever a factory raises
        if name in str(error):
            raise
        raise ValueError(f"--detector {name} cannot be made: {type(error).__name__}: {error}") from error
    if found is None:
        raise TypeError(f"--detector {name} must return a fitted detector, got None")
    return found


def samples(name: str, limit: int | None = None, bounds: tuple[float, float] = (0.0, 1.0)) -> Samples:
    """Return the images and labels of an .npz file, an IDX folder, or a folder of images a class; "digits" as well.

    The test images where there are such.

    Parameters
    ----------
    name : str
    limit : int, optional
        The first so many only; of a folder of images the first of each class in turn.
    bounds : (low, high)
        Which black and white are to become; floating-point arrays of an .npz file lie inside as they are.

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder.
    ImportError
        If Pillow, which reads images, is missing.
    ValueError
        If the format is unknown, labels are missing, or a file is damaged.
    """
    path = Path(name)
    if name == "digits" and not path.exists():
        found = _boxed(_test_part(data.digits()), bounds)
    elif path.is_dir():
        found = _boxed(_folder(path, limit), bounds)
    elif not path.exists():
        raise FileNotFoundError(f"DATA: there is no file or folder {name}")
    elif path.suffix == ".npz":
        found = _test_part(data.npz(path, bounds=bounds))
    else:
        raise ValueError(f"DATA must be an .npz file, a folder of IDX files or a folder of images a class, got {name}")
    if limit is not None:
        found = Samples(found.x[:limit], found.y[:limit], found.name)
    return found


def _test_part(found: data.Dataset) -> Samples:
    if len(found.x_test):
        return Samples(found.x_test, found.y_test, f"{found.name} (test)")
    return Samples(found.x_train, found.y_train, found.name)


def _boxed(found: Samples, bounds: tuple[float, float]) -> Samples:
    return found._replace(x=in_box(found.x, bounds))


def _folder(path: Path, limit: int | None) -> Samples:
    names = os.listdir(path)
    if any("-idx3-ubyte" in name for name in names):
        return _idx(path, names)
    classes = sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    images = [_images(folder) for folder in classes]
    if not any(images):
        loose = " (images lie in it, but no label: one folder a class is needed)" if _images(path) else ""
        raise ValueError(f"DATA: {path} has neither IDX files nor folders of images, one a class{loose}")
    if not all(images):
        empty = classes[next(number for number, there in enumerate(images) if not there)]
        raise ValueError(f"DATA: {empty} has no images, but would be a class, and move the labels of those behind it")
    places = [(place, number) for number, there in enumerate(images) for place in range(len(there))]
    taken = sorted(places)[:limit]  # of each class in turn
    files = [(images[number][place], number) for number, place in sorted((n, p) for p, n in taken)]
    return Samples(*_read(files), path.resolve().name)


def _idx(path: Path, names: Sequence[str]) -> Samples:
    """Return the test images; the training images where there are no others."""
    for part in ("t10k", "train"):
        images = [name for name in names if name.startswith(f"{part}-images-idx3-ubyte")]
        if images:
            labels = [name for name in names if name.startswith(f"{part}-labels-idx1-ubyte")]
            if not labels:
                raise ValueError(f"DATA: {path / images[0]} has no labels: {part}-labels-idx1-ubyte is missing")
            x = data.read_idx(path / images[0], ndim=3)
            y = data.read_idx(path / labels[0], ndim=1)
            if len(x) != len(y):
                raise ValueError(f"DATA: {path / labels[0]} must have {len(x)} labels, one an image, got {len(y)}")
            return Samples(x[:, np.newaxis] / np.float32(255), y.astype(np.int64), path.resolve().name)
    raise ValueError(f"DATA: {path} must have t10k-images-idx3-ubyte or train-images-idx3-ubyte")


def _images(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGES)


def _read(files: Sequence[tuple[Path, int]]) -> tuple[Array, NDArray[np.int64]]:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("folders of images need Pillow: pip install 'advcore[images]'") from error
    arrays: list[Array] = []
    for file, _ in files:
        try:
            with Image.open(file) as image:
                array = _pixels(image, file)
        except _RangeError:
            raise
        except Exception as error:  # whatever the readers of Pillow raise for damaged files
            raise ValueError(f"DATA: {file} is not a readable image: {error}") from error
        planes = array[np.newaxis] if array.ndim == 2 else np.moveaxis(array, -1, 0)
        if arrays and (planes.shape, planes.dtype) != (arrays[0].shape, arrays[0].dtype):
            raise ValueError(
                f"DATA: images must have one size and kind, got {planes.shape}, {planes.dtype}, for {file}, "
                f"{arrays[0].shape}, {arrays[0].dtype}, before"
            )
        arrays.append(planes)
    x = np.stack(arrays) / np.float32(np.iinfo(arrays[0].dtype).max)
    return np.ascontiguousarray(x), np.array([number for _, number in files], np.int64)


class _RangeError(ValueError):
    """Of a readable image."""


def _pixels(image: Any, file: Path) -> Array:
    """Return the pixels of 8 or 16 bits, (H, W) or (H, W, 3)."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):  # older Pillow's name for it
        deep: Array = np.asarray(image).astype(np.uint16)
        return deep
    if image.mode in ("I", "F"):
        raise _RangeError(f"DATA: {file} must have pixels of 8 or 16 bits, whose range is known, got mode {image.mode}")
    return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))


def numbers(text: str, name: str) -> tuple[float, ...]:
    """Read numbers with commas between; each may be a fraction, as in 8/255."""
    found = []
    for part in text.split(","):
        numerator, slash, denominator = part.strip().partition("/")
        try:
            found.append(float(numerator) / (float(denominator) if slash else 1.0))
        except (ValueError, ZeroDivisionError):
            raise ValueError(
                f"{name} must be numbers such as 0.1 or 8/255, with commas between, got {text!r}"
            ) from None
    return tuple(found)
