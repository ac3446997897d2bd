"""Plain callables as models: whatever they give becomes logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from advcore import _check
from advcore._check import Array
from advcore.attacks._access import Access

OUTPUTS = ("logits", "probabilities", "top1", "label")
FEWEST_NAMED = 99
SMALLEST_PROBABILITY = 1e-30  # zeros get a finite logarithm


class Callback(Access):
    """A plain callable that maps (B, ...) to what ``output`` says.

    "logits" or "probabilities", (B, K); "label": classes, (B,); "top1": classes and their probabilities, a pair of
    arrays (B,). The last two become a matrix of log-probabilities with ``named`` columns and one more for all other
    classes: what the top class leaves is shared out evenly.
    """

    def __init__(self, function: Callable[[Array], Any], output: str, named: int) -> None:
        self.function, self.output = function, output
        # With c columns, odds against the top class come out right down to a confidence of 1 / c.
        self.named = max(named, FEWEST_NAMED) if output == "top1" else named
        self.randomised = getattr(function, "randomised", None)
        self.rejects = output in OUTPUTS[:2] and bool(getattr(function, "rejects", False))  # one column a class

    def logits(self, x: Array) -> Any:
        """Ask the callable; probabilities become their logarithms, which differ from logits by a constant a sample."""
        answer = self.function(x)
        if self.output == "label":
            return self._scores(answer, np.ones(len(x)), len(x))
        if self.output == "top1":
            classes, confidence = _check.pair("what the model returns", answer)
            return self._scores(classes, _check.returned("the model's confidence", confidence), len(x))
        try:
            scores = np.asarray(answer)
        except ValueError:
            raise ValueError("the model must return an array, got lists of different lengths") from None
        if self.output == "logits" or scores.dtype.kind != "f":
            return scores
        self._refuse_outside(scores)
        return np.log(np.maximum(scores.astype(np.float64), SMALLEST_PROBABILITY))

    def _scores(self, classes: Any, confidence: Array, count: int) -> Array:
        labels = _check.integers(
            "what the model returns", np.asarray(classes), shape=(count,), minimum=0, maximum=2**62
        )
        if confidence.shape != (count,):
            raise ValueError(f"the model's confidence must have shape ({count},), got {confidence.shape}")
        self._refuse_outside(confidence)
        columns = self.named + 1
        rest = np.maximum((1.0 - confidence.astype(np.float64)) / (columns - 1), SMALLEST_PROBABILITY)
        scores = np.repeat(rest[:, np.newaxis], columns, axis=1)
        # The class that the model names is its prediction, however little confidence is left for it.
        top = np.maximum(confidence, np.nextafter(rest, 2.0))
        scores[np.arange(count), np.minimum(labels, self.named)] = top
        logarithms: Array = np.log(scores)
        return logarithms

    def _refuse_outside(self, scores: Array) -> None:
        outside = (scores < 0) | (scores > 1 + 1e-5)
        if outside.any():
            raise ValueError(
                f'the model must return probabilities in [0, 1] (output="{self.output}"), got {scores[outside][0]:g}'
            )
