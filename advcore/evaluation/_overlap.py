"""Images that stand twice: among themselves, and in a detector's reference, where they are their own neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore._check import Array
from advcore.detectors import Combination, Detector

Index = NDArray[np.int64]


def groups(x: Array) -> Index:
    """Return the number of each image among the different ones, in the order in which they come first."""
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in _keys(x)], np.int64)


def excluded(detector: Any, x: Array, rows: Index, exclude: Index | None) -> Index | None:
    """Return which reference image belongs to each image, -1 for none, or say where what was given is another.

    Without ``exclude`` those of the rows that lie in the detector's reference are looked up.
    """
    references = _references(detector)
    places: dict[bytes, list[int]] = {}
    for place, key in enumerate(_keys(references[0]) if references else []):
        places.setdefault(key, []).append(place)
    own = {int(row): places.get(key, []) for row, key in zip(rows, _keys(x[rows]), strict=True)}
    if len(references) > 1 and not _alike(references):
        others = {key for reference in references[1:] for key in _keys(reference)}
        if any(own.values()) or any(key in others for key in _keys(x[rows])):
            raise ValueError("detectors must have the same reference where it holds images that they are judged on")
        return exclude
    for row, found in own.items():
        if len(found) > 1:
            raise ValueError(
                f"the detector's reference must hold x[{row}] once at most, got it at {found[0]} and {found[1]}: "
                "it would be its own neighbour"
            )
        if found and exclude is not None and exclude[row] != found[0]:
            raise ValueError(
                f"exclude must name the image that x[{row}] is in the detector's reference, {found[0]}, "
                f"got {exclude[row]}: it would be its own neighbour"
            )
    if exclude is None and any(own.values()):
        exclude = np.full(len(x), -1, np.int64)
        for row, found in own.items():
            exclude[row] = found[0] if found else -1
    return exclude


def _references(detector: Any) -> list[Array]:
    if isinstance(detector, Combination):
        return [reference for one in detector.detectors for reference in _references(one)]
    reference = getattr(detector, "reference", None)
    if isinstance(detector, Detector) and detector.excludes and isinstance(reference, np.ndarray):
        return [reference]
    return []


def _alike(arrays: list[Array]) -> bool:
    return all(one is arrays[0] or _keys(one) == _keys(arrays[0]) for one in arrays[1:])


def _keys(x: Array) -> list[bytes]:
    native = np.asarray(x, x.dtype.newbyteorder("="))
    return [(row + 0).tobytes() for row in native]  # -0 is 0
