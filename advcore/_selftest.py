"""Every operation against advcore.reference on this machine."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from rich.table import Table
from rich.text import Text

from advcore._cases import CASES, Case, compare, run, run_reference, tolerance

TYPES = ("float32", "float64")


@dataclass
class Verdict:
    """What the cases of one operation showed; ``share`` is a type's worst error over what is allowed for that case."""

    operation: str
    cases: int = 0
    error: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TYPES, 0.0))
    share: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TYPES, -1.0))
    failures: list[str] = field(default_factory=list)

    def add(self, case: Case, dtype: str, error: float, note: str) -> None:
        """Count the outcome of one case in one type."""
        share = error / tolerance(dtype, case.terms)
        if not share <= 1:
            self.failures.append(
                f"{case.name}, {dtype}: {note or f'error {error:.1e}, {share:.1f} times the tolerance'}"
            )
        if share > self.share[dtype]:
            self.error[dtype], self.share[dtype] = error, share


def select(operations: Sequence[str] = ()) -> list[Case]:
    """Return the cases of these operations, or of all, without the large ones that are there to be timed."""
    known = list(dict.fromkeys(case.op for case in CASES if not case.bench))
    for name in operations:
        if name not in known:
            raise ValueError(f"operation must be one of {', '.join(known)}, got {name!r}")
    return [case for case in CASES if not case.bench and (not operations or case.op in operations)]


def selftest(cases: Iterable[Case]) -> list[Verdict]:
    """Run the cases in both types; return a verdict an operation."""
    verdicts: dict[str, Verdict] = {}
    for case in cases:
        verdict = verdicts.setdefault(case.op, Verdict(case.op))
        verdict.cases += 1
        for dtype in TYPES:
            verdict.add(case, dtype, *_outcome(case, dtype))
    return list(verdicts.values())


def _outcome(case: Case, dtype: str) -> tuple[float, str]:
    try:
        inputs = case.inputs(np.dtype(dtype))
        return compare(run(case, inputs), run_reference(case, inputs)), ""
    except Exception as error:  # whatever it is, the operation does not work on this machine
        return math.inf, f"{type(error).__name__}: {error}"


def table(verdicts: Iterable[Verdict]) -> Table:
    """Return the table of worst errors."""
    result = Table(
        title="advcore against PyTorch in float64",
        caption="worst error, relative to a result's largest magnitude, and its share of what is allowed",
        title_justify="left",
        caption_justify="left",
    )
    result.add_column("operation", no_wrap=True)
    for column in ("cases", *TYPES):
        result.add_column(column, justify="right")
    result.add_column("verdict")
    for verdict in verdicts:
        bad = len(verdict.failures)
        result.add_row(
            verdict.operation,
            str(verdict.cases),
            *(f"{verdict.error[dtype]:.1e}  {verdict.share[dtype]:4.0%}" for dtype in TYPES),
            Text(f"{bad} failed", style="bold red") if bad else Text("ok", style="green"),
        )
    return result
