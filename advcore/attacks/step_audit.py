"""Which step h symmetric differences need: too long a step bends, too short a one drowns in rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from advcore import _check, _random
from advcore._check import Array

STEPS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
CLOSE = 0.01  # of 1 - cosine: what is within a hundredth of the best, or of this number's square, is as good


@dataclass(frozen=True)
class StepRow:
    """How differences of one step compare with the true gradient, over all samples.

    ``cosine`` is the mean, ``worst_cosine`` the smallest of all samples; ``error`` the mean of
    ``|estimate - gradient| / |gradient|`` (L2). Without a true gradient the next shorter step stands for it.
    """

    evaluation: str
    h: float
    cosine: float
    worst_cosine: float
    error: float


@dataclass(frozen=True)
class StepAudit:
    """What ``audit_step`` found.

    Attributes
    ----------
    rows : list of StepRow
        One an evaluation and a step. Evaluations: "float32" and "float64" subtract values of whole passes in that type;
        "propagated float32" (and 64) is what ``coordinate_gradient`` does for a Network.
    recommended : dict of str to float
        The step for each evaluation: the longest of those that are as good as the best.
    compared_with : str
        "vjp" (the true gradient, in float64), or "the next shorter step".
    queries : int
        Values that were asked for.
    gradient_seconds : float
        Of one true gradient of one sample; NaN without one.
    """

    rows: list[StepRow]
    recommended: dict[str, float]
    compared_with: str
    queries: int
    gradient_seconds: float

    def table(self) -> str:
        """Return the rows as a table in Markdown."""
        lines = [
            f"| evaluation | h | cosine to {self.compared_with} | smallest | relative error |",
            "| --- | --- | --- | --- | --- |",
        ]
        for row in self.rows:
            mark = " (recommended)" if self.recommended.get(row.evaluation) == row.h else ""
            lines.append(
                f"| {row.evaluation} | {row.h:g}{mark} | {row.cosine:.7f} | {row.worst_cosine:.7f} | {row.error:.1e} |"
            )
        return "\n".join(lines)

    __str__ = table


def audit_step(
    model: Any,
    x: Array,
    y: Array,
    *,
    steps: Sequence[float] = STEPS,
    coordinates: int = 64,
    bounds: tuple[float, float] | None = None,
    output: str | None = None,
    seed: int = 0,
) -> StepAudit:
    """Compare symmetric differences of several steps h, in float32 and float64, with the true gradient.

    The value is the margin ``max_{i != y} z_i - z_y`` of the logits z, whose gradient is taken by one vjp in float64
    where the model has one. Each sample is looked at along its own random coordinates.

    Parameters
    ----------
    model : Network, object with logits(x), torch module, or callable that maps (B, ...) to scores (B, K)
    x : float32 or float64 array, (N, ...)
    y : int array, (N,)
        Labels.
    steps : sequence of float, above 0
        Steps h to compare, in the units of x.
    coordinates : int, at least 1
        Of each sample; of smaller inputs, all.
    bounds : (low, high), optional
        The values that the model may be asked for.
    output : "logits" or "probabilities"
        What a plain callable returns.
    seed : int
        Of the coordinates.

    Returns
    -------
    StepAudit

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If an argument has a wrong value or shape, a step is too short to move x, or the model returns what is not
        finite or of the wrong shape.
    """
    x = _check.array("x", x, min_ndim=1)
    y = _check.integers("y", y, shape=(len(x),), minimum=0, maximum=2**31)
    steps = sorted({_check.real(f"steps[{i}]", h, above=0.0) for i, h in enumerate(steps)}, reverse=True)
    _check.several("steps", (len(steps),), len(steps))
    count = min(_check.integer("coordinates", coordinates, minimum=1), x[0].size if len(x) else 1)
    seed = _check.integer("seed", seed, minimum=0)
    chosen = [_random.permutation(seed, n, x[0].size)[:count] for n in range(len(x))]
    evaluations = _evaluations(model, output)
    truth, seconds = _gradients(model, x, y)
    rows, recommended, queries = [], {}, 0
    for name, (ask, dtype) in evaluations.items():
        estimates = {}
        for h in steps:
            estimates[h] = np.stack(
                [_estimate(ask, x[n].astype(dtype), y[n], chosen[n], h, bounds) for n in range(len(x))]
            )
            queries += 2 * count * len(x)
        own = []
        for h, shorter in zip(steps, [*steps[1:], steps[-1]], strict=True):
            target = (
                np.stack([truth[n].ravel()[chosen[n]] for n in range(len(x))])
                if truth is not None
                else estimates[shorter]
            )
            own.append(_row(name, h, estimates[h], target))
        judged = own if truth is not None else own[:-1] or own
        recommended[name] = _best(judged)
        rows += own
    return StepAudit(rows, recommended, "vjp" if truth is not None else "the next shorter step", queries, seconds)
