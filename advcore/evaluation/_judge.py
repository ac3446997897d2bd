"""A detector at arm's length: fitted on and asked about versions of images, with what belongs to each image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import _check
from advcore._check import Array
from advcore.detectors import Detector

Key = tuple[str, str]  # attack and version
CLEAN: Key = ("", "clean")
Index = NDArray[np.int64]
LARGEST = float(np.finfo(np.float64).max) / 4


class Plain:
    """A detector that takes images. Images are given by version, and by their places in it."""

    def __init__(self, detector: Any, images: dict[Key, Array], exclude: Index | None) -> None:
        self.detector, self.images, self.exclude = detector, images, exclude

    def fit(self, sides: list[tuple[str, Index]]) -> None:
        """Fit on the three versions of each attack's images."""
        parts = [(key, places) for name, places in sides for key in (CLEAN, (name, "noisy"), (name, "adversarial"))]
        labels = np.concatenate([np.full(len(places), int(kind == "adversarial")) for (_, kind), places in parts])
        self._fit(parts, labels)

    def _fit(self, parts: list[tuple[Key, Index]], labels: Index) -> None:
        X = np.concatenate([self.images[key][places] for key, places in parts])
        self.detector.fit(X, labels, **self.options(np.concatenate([places for _, places in parts])))

    def score(self, key: Key, places: Index) -> NDArray[np.float64]:
        """Return the scores of images."""
        return self.of(self.images[key][places], places)

    def of(self, x: Array, places: Index) -> NDArray[np.float64]:
        """Return the scores of other versions of images."""
        return self._checked(self.detector.score_samples(x, **self.options(places)), places)

    def of_attack(self, x: Array, places: Index) -> NDArray[np.float64]:
        """Return the scores of what an attack tries; what has no score is detected."""
        scores = self._shaped(self.detector.score_samples(x, **self.options(places)), places)
        return np.nan_to_num(scores, nan=LARGEST, posinf=LARGEST, neginf=-LARGEST)

    def _checked(self, scores: Any, places: Index) -> NDArray[np.float64]:
        found = self._shaped(scores, places)
        if not np.isfinite(found).all():
            first = int(np.flatnonzero(~np.isfinite(found))[0])
            raise ValueError(f"the detector must give finite scores, got {found[first]} for x[{places[first]}]")
        return found

    @staticmethod
    def _shaped(scores: Any, places: Index) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.asarray(scores, np.float64)
        if found.shape != (len(places),):
            raise ValueError(f"the detector must give one score an input, ({len(places)},), got {found.shape}")
        return found

    def gradient(self, x: Array, places: Index) -> tuple[NDArray[np.float64], Array]:
        """Return the scores and their gradients."""
        scores, gradient = self.detector.score_gradient(x, **self.options(places))
        return np.asarray(scores, np.float64), _check.array("the detector's gradient", gradient, shape=x.shape)

    def options(self, places: Index) -> dict[str, Any]:
        """Return what the detector takes beside images."""
        return {} if self.exclude is None else {"exclude": self.exclude[places]}

    def without_gradient(self) -> str:
        """Say why the detector has no usable gradient, or nothing."""
        return "" if callable(getattr(self.detector, "score_gradient", None)) else "the detector has no score_gradient"


class Featured(Plain):
    """A Detector, whose features are computed once for all fits."""

    def __init__(self, detector: Detector, images: dict[Key, Array], exclude: Index | None) -> None:
        super().__init__(detector.prepare(), images, exclude)
        self._known: dict[Key, dict[int, NDArray[np.float64]]] = {key: {} for key in images}

    def _fit(self, parts: list[tuple[Key, Index]], labels: Index) -> None:
        self.detector.fit_features(np.concatenate([self._features(key, places) for key, places in parts]), labels)

    def score(self, key: Key, places: Index) -> NDArray[np.float64]:
        return self._checked(self.detector.score_features(self._features(key, places)), places)

    def _features(self, key: Key, places: Index) -> NDArray[np.float64]:
        known = self._known[key]
        new = np.array([place for place in places.tolist() if place not in known], np.int64)
        if len(new):
            found = self.detector.features(self.images[key][new], **self.options(new))
            known.update(zip(new.tolist(), found, strict=True))
        return np.stack([known[place] for place in places.tolist()])

    def without_gradient(self) -> str:
        missing = [name for name in self.detector.needs_for_gradients if not hasattr(self.detector.network, name)]
        return f"the detector's network has no {' and no '.join(missing)}" if missing else ""
