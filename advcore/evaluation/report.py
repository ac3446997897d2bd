"""The report: numbers, checklist, tables; on the terminal, in notebooks and as files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advcore._check import Array
from advcore._files import check_writable, write
from advcore.evaluation import document
from advcore.evaluation.checks import FAIL, Check, checklist
from advcore.evaluation.results import About, Results
from advcore.evaluation.rows import Row
from advcore.evaluation.work import Setup

if TYPE_CHECKING:
    from rich.console import Group


@dataclass(frozen=True)
class Report:
    """What ``advcore.evaluate`` found.

    Attributes
    ----------
    results : dict
        The content of results.json.
    rows : list of Row
        One a sample, attack and eps.
    checks : list of Check
        The checklist, failures first.
    complete : bool
        Whether every step was done; False where the time was over.
    """

    results: dict[str, Any]
    rows: list[Row]
    checks: list[Check]
    complete: bool
    found: Results = field(repr=False)
    x: Array = field(repr=False)
    setup: Setup = field(repr=False)

    @classmethod
    def of(cls, about: About, rows: Sequence[Row], complete: bool, x: Array, setup: Setup) -> Report:
        """Make the report of the rows there are."""
        found = Results(about, rows, complete)
        checks = checklist(found)
        return cls(document.document(found, checks, complete), list(rows), checks, complete, found, x, setup)

    @property
    def accuracy(self) -> float:
        """The share that the model has right of the images that it was asked for; nan where that is none yet."""
        share = self.results["accuracy"]["accuracy"]
        return float("nan") if share is None else float(share)

    @property
    def robust_accuracy(self) -> dict[float, float]:
        """By eps: the share of all images that the model has right and that no attack broke, an upper bound."""
        return {entry["eps"]: entry["robust_accuracy"] for entry in self.results["robust"]}

    @property
    def failures(self) -> list[Check]:
        """The items of the checklist that failed."""
        return [check for check in self.checks if check.verdict == FAIL]

    def table(self) -> Group:
        """Return what is printed on the terminal."""
        from advcore.evaluation import terminal

        return terminal.tables(self.results)

    def html(self, pictures: bool = True) -> str:
        """Return the page, which needs no other file; without pictures it is made in no time."""
        from advcore.evaluation import page

        return page.page(self, pictures)

    def save(self, folder: str | Path, pictures: bool = True) -> None:
        """Write report.html, results.json and results.csv; the folder is made where it is missing."""
        folder = Path(folder)
        check_writable(folder)
        write(folder / "results.json", json.dumps(self.results, indent=1, allow_nan=False) + "\n")
        write(folder / "results.csv", document.as_csv(self.rows))
        write(folder / "report.html", self.html(pictures))

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=100, no_color=True)
        with console.capture() as text:
            console.print(self.table())
        return text.get()

    def _repr_html_(self) -> str:
        """Show the robust accuracies in a notebook."""
        cells = "".join(
            f'<tr><th scope="row">{eps:g}</th><td>{share:.1%}</td></tr>' for eps, share in self.robust_accuracy.items()
        )
        heads = '<th scope="col">eps</th><th scope="col">robust accuracy, at most</th>'
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{cells}</tbody></table>"
