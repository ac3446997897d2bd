"""What scores are worth: the area under the ROC curve with its uncertainty, and detection at a false-positive rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

from advcore import _random

Scores = NDArray[np.float64]
RATES = (0.01, 0.05)  # false positives at which detection is told
RESAMPLES = 1000
_STREAM = 4095  # no other draw here takes it
BLOCK = 2**22  # comparisons held at once


@dataclass(frozen=True)
class Rates:
    """How well scores tell adversarial images from others.

    Attributes
    ----------
    auc : float
        Area under the ROC curve, adversarial against clean and noisy together.
    interval : (low, high)
        Its 95% bootstrap interval: images are drawn again, each with all its versions.
    auc_clean, auc_noisy : float
        Adversarial against one of them.
    detection : dict of float to float
        By false-positive rate: the share of adversarial images detected when at most so many of the clean and noisy
        ones raise an alarm.
    scores : dict of float64 arrays, (n,)
        "clean", "noisy" and "adversarial": the versions of the same n images.
    roc : (false positive rates, true positive rates), float64 arrays
    """

    auc: float
    interval: tuple[float, float]
    auc_clean: float
    auc_noisy: float
    detection: dict[float, float]
    scores: dict[str, Scores]
    roc: tuple[Scores, Scores]


def rates(
    scores: dict[str, Scores], fprs: tuple[float, ...], seed: int, groups: NDArray[np.int64] | None = None
) -> Rates:
    """Measure the scores of the three versions of the same images; copies of one have the same number in ``groups``."""
    negatives, positives = np.concatenate([scores["clean"], scores["noisy"]]), scores["adversarial"]
    labels = np.repeat([0, 1], [len(negatives), len(positives)])
    # All points: of those on a line some would be left out, and the best below a rate may be one of them.
    false_rates, true_rates, _ = roc_curve(labels, np.concatenate([negatives, positives]), drop_intermediate=False)
    return Rates(
        auc=area(negatives, positives),
        interval=_interval(scores, seed, groups),
        auc_clean=area(scores["clean"], positives),
        auc_noisy=area(scores["noisy"], positives),
        detection={fpr: float(true_rates[false_rates <= fpr].max()) for fpr in fprs},
        scores=scores,
        roc=(false_rates, true_rates),
    )


def area(negatives: Scores, positives: Scores) -> float:
    """Return the area under the ROC curve."""
    labels = np.repeat([0, 1], [len(negatives), len(positives)])
    return float(roc_auc_score(labels, np.concatenate([negatives, positives])))


def threshold(negatives: Scores, fpr: float) -> float:
    """Return the smallest score that at most a share ``fpr`` of the negatives exceeds."""
    allowed = int(fpr * len(negatives) * (1 + 1e-12))
    return float(np.sort(negatives)[len(negatives) - 1 - allowed])


def _interval(scores: dict[str, Scores], seed: int, groups: NDArray[np.int64] | None) -> tuple[float, float]:
    """Return the 2.5% and 97.5% quantiles of the area over draws of images with replacement, each with its copies."""
    images = len(scores["clean"])
    numbers, of_image = (np.arange(images),) * 2 if groups is None else np.unique(groups, return_inverse=True)
    count = len(numbers)
    drawn = _random.uniform(seed, np.arange(RESAMPLES), 0, count, stream=_STREAM)
    places = np.minimum((drawn * count).astype(np.int64), count - 1)
    times = np.stack([np.bincount(row, minlength=count)[of_image] for row in places]).astype(np.float64)
    won = np.zeros(RESAMPLES)
    step = max(1, BLOCK // images)
    for name in ("clean", "noisy"):
        for first in range(0, images, step):
            part = slice(first, first + step)
            gaps = scores["adversarial"][part, np.newaxis] - scores[name]
            wins = (gaps > 0) + 0.5 * (gaps == 0)
            won += ((times[:, part] @ wins) * times).sum(axis=1)
    low, high = np.quantile(won / (2 * times.sum(axis=1) ** 2), [0.025, 0.975])
    return float(low), float(high)
