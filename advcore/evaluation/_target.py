"""What an adaptive attack attacks, a classifier and a detector, and the best examples that it has found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advcore._check import Array
from advcore.attacks._access import Access
from advcore.attacks._losses import margin, margin_ascent
from advcore.attacks._projection import Region
from advcore.attacks.result import rows
from advcore.evaluation._judge import LARGEST

Values = NDArray[np.float64]
Score = Callable[[Array, NDArray[np.int64]], Values]
"""Takes images, and the places of their originals, and returns the detector's scores."""

BATCH = 64


@dataclass(frozen=True)
class Target:
    """A classifier and a detector. ``index`` arguments name the images that rows belong to."""

    access: Access
    score: Score
    score_gradient: Callable[[Array, NDArray[np.int64]], tuple[Values, Array]] | None
    threshold: float
    x: Array
    y: NDArray[np.int64]
    region: Region

    def judge(self, x: Array, index: NDArray[np.int64]) -> tuple[Values, Values]:
        """Return the margin (positive: misclassified) and the score of each example."""
        margins, scores = np.empty(len(x)), np.empty(len(x))
        for first in range(0, len(x), BATCH):
            part = slice(first, first + BATCH)
            margins[part] = _margin(self.access.logits(x[part]), self.y[index[part]])
            scores[part] = self.score(x[part], index[part])
        return margins, scores

    def meets(self, margins: Values, scores: Values) -> NDArray[np.bool_]:
        """Say which examples are misclassified and undetected."""
        return (margins > 0) & (scores <= self.threshold)

    def gradients(self, x: Array, index: NDArray[np.int64]) -> tuple[Values, Values, Values, Values]:
        """Return the margin, its gradient (n, D), the score and its gradient, in float64."""
        assert self.score_gradient is not None  # asked before
        margins, scores = np.empty(len(x)), np.empty(len(x))
        up, alarm = np.empty((2, *rows(x).shape))
        for first in range(0, len(x), BATCH):
            part = slice(first, first + BATCH)
            labels = self.y[index[part]]

            def ascent(logits: Array, labels: NDArray[np.int64] = labels) -> Array:
                slope = margin_ascent(np.asarray(logits, np.float64), labels)
                return slope[:, np.newaxis].astype(np.asarray(logits).dtype)

            logits, gradient = self.access.logits_and_gradients(x[part], ascent, 1)
            margins[part], up[part] = _margin(logits, labels), rows(np.asarray(gradient)[:, 0])
            scores[part], gradient = self.score_gradient(x[part], index[part])
            alarm[part] = rows(gradient)
        return margins, _finite(up), scores, _finite(alarm)

    def without_gradients(self) -> str:
        """Say why the gradients at the images are of no use, or nothing."""
        try:
            _, up, _, alarm = self.gradients(self.x, np.arange(len(self.x)))
        except Exception as error:  # the detector's code and the model's are anybody's
            return unusable(error)
        if not up.any():
            return "the model's gradients are zero, or not finite"
        return "" if alarm.any() else "the detector's gradients are zero, or not finite"

    def of(self, places: NDArray[np.int64]) -> Target:
        """Return the target of some of the images."""
        gradient = self.score_gradient
        return Target(
            self.access,
            lambda x, index: self.score(x, places[index]),
            None if gradient is None else (lambda x, index: gradient(x, places[index])),
            self.threshold,
            self.x[places],
            self.y[places],
            Region(self.x[places], self.region.bounds, self.region.norm, self.region.eps),
        )


def unusable(error: Exception) -> str:
    """Say why there are no gradients."""
    return f"gradients cannot be had: {type(error).__name__}: {error}"


def _margin(logits: Array, y: NDArray[np.int64]) -> Values:
    """Return the margins; an answer that is no number is not the label."""
    return np.nan_to_num(margin(np.asarray(logits, np.float64), y), nan=LARGEST, posinf=LARGEST, neginf=-LARGEST)


def _finite(gradient: Values) -> Values:
    return np.nan_to_num(gradient, posinf=0.0, neginf=0.0)


class Best:
    """The best example of each image so far: one that meets both aims, else one that is nearest to it."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.examples: Array = target.x.copy()
        self.met = np.zeros(len(target.x), np.bool_)
        self.distance = np.full(len(target.x), np.inf)
        self.unit: Values | None = None

    def unbroken(self) -> NDArray[np.int64]:
        """Return the images without an example."""
        return np.flatnonzero(~self.met)

    def offer(self, x: Array, index: NDArray[np.int64]) -> None:
        """Ask the target and keep what is better."""
        self.take(x, index, *self.target.judge(x, index))

    def take(self, x: Array, index: NDArray[np.int64], margins: Values, scores: Values) -> None:
        """Keep what is better, in units of the clean images' margin and of the scores' spread."""
        excess = np.maximum(scores - self.target.threshold, 0)
        if self.unit is None:  # the first call is for the clean images
            spread = float(np.std(scores)) or 1.0
            self.unit = np.stack([np.maximum(np.abs(margins), 1e-12), np.full(len(margins), spread)])
        distance = np.maximum(-margins, 0) / self.unit[0, index] + excess / self.unit[1, index] + (margins <= 0) * 1e-9
        met = self.target.meets(margins, scores)
        better = ~self.met[index] & (met | (distance < self.distance[index]))
        self.examples[index[better]], self.distance[index[better]] = x[better], distance[better]
        self.met[index[better]] |= met[better]
