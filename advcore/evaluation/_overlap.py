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


def excluded(detector: Any, x: Array, exclude: Index | None) -> Index | None:
    """Return which reference image belongs to each image, -1 for none, or say where what was given is another.

    Without ``exclude`` those that lie in the detector's reference are looked up.
    """
    references = _references(detector)
    if not references:
        return exclude
    keys = _keys(x)
    for reference in references:
        places: dict[bytes, list[int]] = {}
        for place, key in enumerate(_keys(reference)):
            places.setdefault(key, []).append(place)
        own = [places.get(key, []) for key in keys]
        if exclude is None and any(own):
            exclude = np.array([found[0] if found else -1 for found in own], np.int64)
        for row, found in enumerate(own):
            if found and exclude is not None and exclude[row] not in found:
                raise ValueError(
                    f"exclude must name the image that x[{row}] is in the detector's reference, {found[0]}, "
                    f"got {exclude[row]}: it would be its own neighbour"
                )
    return exclude


def _references(detector: Any) -> list[Array]:
    if isinstance(detector, Combination):
        return [reference for one in detector.detectors for reference in _references(one)]
    reference = getattr(detector, "reference", None)
    if isinstance(detector, Detector) and detector.excludes and isinstance(reference, np.ndarray):
        return [reference]
    return []


def _keys(x: Array) -> list[bytes]:
    return [row.tobytes() for row in x]
