"""Which step h symmetric differences need: too long a step bends, too short a one drowns in rounding."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import _check, _random, nn, ops
from advcore._check import Array
from advcore.attacks._arguments import LARGEST_LABEL
from advcore.attacks._losses import Logits, margin, margin_ascent
from advcore.attacks.model import wrap
from advcore.nn._coordinates import cast

STEPS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
NEGLIGIBLE = 1e-3  # of relative errors: far below what a step of any optimiser notices


@dataclass(frozen=True)
class StepRow:
    """How differences of one step compare with the true gradient, over all samples.

    ``cosine`` is the mean, ``worst_cosine`` the smallest of all samples; ``error`` the mean of
    ``|estimate - gradient| / |gradient|`` (L2). Without a true gradient the estimate of the next shorter step stands
    for it, and the shortest has no row.
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
        The step for each evaluation: of those with the smallest error, or one below 0.001, the longest.
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
        A callable that takes but one type is asked in that of x only.
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
    x = _check.array("x", x, min_ndim=2)
    _check.finite("x", x)
    y = _check.integers("y", y, shape=(len(x),), minimum=0, maximum=LARGEST_LABEL)
    lengths = sorted({_check.real("steps", h, above=0.0) for h in _check.sequence("steps", steps)}, reverse=True)
    if len(x) < 1 or len(lengths) < 2:
        raise ValueError(f"there must be a sample, and steps to compare, got {len(x)} and {len(lengths)}")
    count = min(_check.integer("coordinates", coordinates, minimum=1), x[0].size)
    seed = _check.integer("seed", seed, minimum=0, maximum=2**63 - 1)
    chosen = _random.choice(seed, np.arange(len(x)), 0, x[0].size, count)
    gradients, seconds = _gradients(model, x, y, output)
    truth = None if gradients is None else [g.ravel()[at] for g, at in zip(gradients, chosen, strict=True)]
    rows: list[StepRow] = []
    recommended: dict[str, float] = {}
    evaluations = _evaluations(model, x, output)
    for name, (asked, dtype) in evaluations.items():
        estimates = [
            [
                ops.coordinate_gradient(
                    asked, x[n].astype(dtype), chosen[n], objective=_margin_of(y[n]), h=h, bounds=bounds
                ).astype(np.float64)
                for n in range(len(x))
            ]
            for h in lengths
        ]
        # The shortest step has nothing to be compared with, but for the truth.
        targets = estimates[1:] if truth is None else [truth] * len(lengths)
        own = [_row(name, h, *pair) for h, *pair in zip(lengths, estimates, targets, strict=False)]
        recommended[name] = _best(own)
        rows += own
    queries = 2 * count * len(x) * len(lengths) * len(evaluations)
    queries += not isinstance(model, nn.Network)  # whether it takes the other type
    return StepAudit(rows, recommended, "vjp" if truth is not None else "the next shorter step", queries, seconds)


def _margin_of(label: int) -> Callable[[Logits], Logits]:
    return lambda logits: margin(logits, _labels(label, logits))


def _labels(label: int, logits: Array) -> NDArray[np.int64]:
    """Return the label for every row: how many there are is known only from the model's answer."""
    if label >= logits.shape[1]:
        raise ValueError(f"y must be in [0, {logits.shape[1] - 1}] for this model, got {label}")
    return np.full(len(logits), label)


def _evaluations(model: Any, x: Array, output: str | None) -> dict[str, tuple[Any, Any]]:
    """Return what is asked, and with which type, by the names that the table has."""
    if isinstance(model, nn.Network):
        narrow, wide = (cast(model, dtype) for dtype in (np.float32, np.float64))
        return {
            "float32": (narrow.logits, np.float32),
            "propagated float32": (narrow, np.float32),
            "float64": (wide.logits, np.float64),
            "propagated float64": (wide, np.float64),
        }
    ask = wrap(model, output).logits
    evaluations = {"float32": (ask, np.float32), "float64": (ask, np.float64)}
    for name, (_, dtype) in list(evaluations.items()):
        if dtype != x.dtype and not _takes(ask, x[:1].astype(dtype)):
            del evaluations[name]
    return evaluations


def _takes(ask: Callable[[Array], Any], x: Array) -> bool:
    """Return whether a callable answers numbers of this type: many take but one."""
    try:
        ask(x)
    except Exception:
        return False
    return True


def _gradients(
    model: Any, x: Array, y: NDArray[np.int64], output: str | None
) -> tuple[list[NDArray[np.float64]] | None, float]:
    """Return the margin's true gradient for each sample, in float64 where the model is a Network, and one's seconds."""
    access = wrap(cast(model, np.float64) if isinstance(model, nn.Network) else model, output)
    if not access.gradients:
        return None, float("nan")
    inputs = x.astype(np.float64) if isinstance(model, nn.Network) else x

    def gradient(n: int) -> NDArray[np.float64]:
        def cotangents(logits: Array) -> Array:
            return margin_ascent(logits.astype(np.float64), _labels(y[n], logits)).astype(logits.dtype)[:, np.newaxis]

        return np.asarray(access.logits_and_gradients(inputs[n : n + 1], cotangents, 1)[1][0, 0], np.float64)

    gradients = [gradient(n) for n in range(len(x))]
    start = time.perf_counter()
    gradient(0)
    return gradients, time.perf_counter() - start


def _row(name: str, h: float, estimates: Sequence[Array], targets: Sequence[Array]) -> StepRow:
    cosines, errors = [], []
    for estimate, target in zip(estimates, targets, strict=True):
        length, other = float(np.linalg.norm(target)), float(np.linalg.norm(estimate))
        both = length * other
        cosines.append(float(estimate @ target) / both if both else float(length == other))
        errors.append(float(np.linalg.norm(estimate - target)) / length if length else float(other > 0))
    return StepRow(name, h, float(np.mean(cosines)), min(cosines), float(np.mean(errors)))


def _best(rows: Sequence[StepRow]) -> float:
    """Return the longest step whose error is the smallest, but for a tenth, or too small to matter."""
    least = max(1.1 * min(row.error for row in rows), NEGLIGIBLE)
    return max(row.h for row in rows if row.error <= least)
