"""The attack on a classifier and its detector together: its budget and what it found."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import _check
from advcore._check import Array
from advcore.evaluation._rates import RATES

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Adaptive:
    """The budget of an adaptive attack.

    Parameters
    ----------
    norm : "linf" or "l2"
    eps : float, above 0, optional
        In the units of the images. Default: the smallest, over the attacks, of the median size of their examples that
        fool the model, on held-out images.
    steps : int, at least 1
        Gradient steps a restart.
    restarts : int, at least 1
        The first from the image itself, the second in turns (see the module), and so on alternately from random starts.
    images : int, at least 1
        At most so many of the held-out images are attacked, drawn among them.
    queries : int, at least 1
        Draws for each image that gradients leave, or where there are none.
    """

    norm: str = "linf"
    eps: float | None = None
    steps: int = 100
    restarts: int = 2
    images: int = 100
    queries: int = 500

    def __post_init__(self) -> None:
        _check.choice("norm", self.norm, ("linf", "l2"))
        if self.eps is not None:
            _check.real("eps", self.eps, above=0.0)
        for name in ("steps", "restarts", "images", "queries"):
            _check.integer(name, getattr(self, name), minimum=1)


@dataclass(frozen=True)
class AdaptiveResult:
    """What an adaptive attack did.

    Attributes
    ----------
    method : str
        "gradient"; "gradient, then random search" where that left images; "random search" where there are no gradients;
        or "NOT RUN".
    reason : str
        Why there were no gradients, or nothing was run; else empty.
    norm, eps
        The budget.
    examples : array, (n, ...), and images : int64 array, (n,), their places among the images
    misclassified, undetected : bool arrays, (n,)
        Of the final examples; undetected: scored at most the threshold.
    scores : float64 array, (n,)
    threshold : float
        The score that 5% of the held-out clean and noisy images exceed.
    success : float
        The share of the attacked images whose example is misclassified and undetected.
    auc : float
        Area under the ROC curve of the misclassified examples against the held-out clean and noisy images.
    detection : dict of float to float
        By false-positive rate: the share of the misclassified examples that is detected.
    """

    method: str
    reason: str
    norm: str
    eps: float
    examples: Array
    images: NDArray[np.int64]
    misclassified: NDArray[np.bool_]
    undetected: NDArray[np.bool_]
    scores: Values
    threshold: float
    success: float
    auc: float
    detection: dict[float, float]

    @classmethod
    def not_run(cls, reason: str, none: Array, threshold: float, fprs: tuple[float, ...]) -> AdaptiveResult:
        """Return the result of an attack that was not run, and why; ``none`` is an empty array of images."""
        empty, no = np.zeros(0), np.zeros(0, np.bool_)
        unknown = float("nan")
        detection = dict.fromkeys(fprs, unknown)
        places = np.zeros(0, np.int64)
        return cls("NOT RUN", reason, "", unknown, none, places, no, no, empty, threshold, unknown, unknown, detection)

    def row(self, trained: str) -> dict[str, Any]:
        """Return the attack's row of a report, None for what is not known; missed: a share of all attacked."""
        budget = f"{self.norm} <= {self.eps:g}" if self.method != "NOT RUN" else ""
        return {
            "trained_on": trained,
            "tested_on": "adaptive",
            "auc": _known(self.auc),
            "auc_low": None,
            "auc_high": None,
            **{f"detected_at_{rate:g}": _known(self.detection[rate]) for rate in RATES},
            "undetected_at_0.05": _known(self.success),
            "images": len(self.images),
            "note": ", ".join(part for part in (self.method, budget, self.reason) if part),
        }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
