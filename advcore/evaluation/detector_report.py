"""What the evaluation of a detector found. The row of the adaptive attack is always there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore.evaluation._rates import RATES, Rates
from advcore.evaluation.adaptive import AdaptiveResult

ALL = "all"  # the detector fitted on all attacks together


@dataclass(frozen=True)
class DetectorReport:
    """A detector's scores on the held-out images, and what an attack on it did.

    Attributes
    ----------
    matrix : dict of (trained on, tested on) to Rates
        The attacks by name; "all" is the detector fitted on all of them, if there are several.
    names : list of str
        Of the attacks.
    adaptive : AdaptiveResult
        Model and detector attacked together, the detector fitted on all attacks; or why that was not done.
    fpr : float
        Of ``detection_rate``.
    fitted, held_out : int
        Images on either side of the split.
    """

    matrix: dict[tuple[str, str], Rates]
    names: list[str]
    adaptive: AdaptiveResult
    fpr: float
    fitted: int
    held_out: int

    @property
    def hardest(self) -> Rates:
        """Of the attacks that the detector was fitted on by themselves, the one that it tells worst."""
        return min((self.matrix[name, name] for name in self.names), key=lambda rates: rates.auc)

    @property
    def auc(self) -> float:
        """Area under the ROC curve, adversarial against clean and noisy together, for the hardest attack."""
        return self.hardest.auc

    @property
    def auc_clean(self) -> float:
        """Adversarial against clean, for the hardest attack."""
        return self.hardest.auc_clean

    @property
    def auc_noisy(self) -> float:
        """Adversarial against noisy, for the hardest attack."""
        return self.hardest.auc_noisy

    @property
    def detection_rate(self) -> float:
        """Adversarial images detected when at most ``fpr`` of the others raise an alarm, for the hardest attack."""
        return self.hardest.detection[self.fpr]

    @property
    def scores(self) -> dict[str, NDArray[np.float64]]:
        """The scores of the "clean", "noisy" and "adversarial" versions, for the hardest attack."""
        return self.hardest.scores

    @property
    def roc(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """False and true positive rates, for the hardest attack."""
        return self.hardest.roc

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each pair of attacks trained on and tested on, and as the last one the adaptive attack."""
        rows: list[dict[str, Any]] = [
            {
                "trained_on": trained,
                "tested_on": tested,
                "auc": rates.auc,
                "auc_low": rates.interval[0],
                "auc_high": rates.interval[1],
                **{f"detected_at_{rate:g}": rates.detection[rate] for rate in RATES},
                "undetected_at_0.05": 1 - rates.detection[0.05],
                "images": len(rates.scores["clean"]),
                "note": "",
            }
            for (trained, tested), rates in self.matrix.items()
        ]
        return [*rows, self.adaptive.row(next(reversed(self.matrix))[0])]

    def __str__(self) -> str:
        """Return the rows as a table."""
        lines = [
            f"{'trained on':<14}{'tested on':<14}{'AUC':>7}{'95% interval':>18}{'at 1%':>8}{'at 5%':>8}  missed at 5%"
        ]
        for row in self.rows():
            interval = "–".join(_cell(row[key], ".3f") for key in ("auc_low", "auc_high") if row[key] is not None)
            missed = f"{_cell(row['undetected_at_0.05'], '.1%')} of {row['images']}"
            lines.append(
                f"{row['trained_on']:<14}{row['tested_on']:<14}{_cell(row['auc'], '.3f'):>7}{interval:>18}"
                f"{_cell(row['detected_at_0.01'], '.1%'):>8}{_cell(row['detected_at_0.05'], '.1%'):>8}"
                f"  {missed} {row['note']}".rstrip()
            )
        return "\n".join(lines)


def _cell(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
