"""The report on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from advcore.evaluation.checks import FAIL, NOT_RUN, PASS
from advcore.evaluation.detection import PREFIX

if TYPE_CHECKING:
    from advcore.evaluation.report import Report

STYLES = {FAIL: "bold red", PASS: "green", NOT_RUN: "yellow"}
_TRIED = "Each attack on the images that those above it left (tried); queries and gradients are means an image."
NORMS = {"linf": "L∞", "l2": "L2", "l1": "L1"}


def tables(found: dict[str, Any]) -> Group:
    """Return failures, robust accuracy, attacks and the checklist."""
    parts: list[RenderableType] = []
    failures = [check for check in found["checks"] if check["verdict"] == FAIL]
    for check in failures:
        parts.append(Text(f"FAIL: {check['name']}", STYLES[FAIL]))
        parts.append(Text(f"  {check['evidence']}\n  {check['advice']}\n"))
    if not found["complete"]:
        parts.append(Text("Not finished: the numbers can still fall. The same command goes on.\n", STYLES[NOT_RUN]))
    parts.append(Text(f"{found['model']} on {found['images']} images of {found['data']}", "bold"))
    settings = found["settings"]
    if settings["access"] != "gradients":
        parts.append(Text(f"The model gives {settings['access']} alone: it was attacked as a black box.", "yellow"))
    if settings["randomised"]:
        parts.append(Text("The model answers at random: an image is broken by the average of many passes.", "yellow"))
    parts += [Text(warning, "yellow") for warning in found["warnings"]]
    parts += [_robust(found), Text(found["note"], "dim"), "", _attacks(found), Text(_TRIED, "dim"), "", _checks(found)]
    for error in found["errors"][:5]:
        parts.append(
            Text(f"{_who(error)} raised for sample {error['sample']} in {error['attack']}: {error['error']}", "red")
        )
    if len(found["errors"]) > 5:
        parts.append(Text(f"... and for {len(found['errors']) - 5} more, see results.json", "red"))
    return Group(*parts)


def _who(error: dict[str, Any]) -> str:
    return "The model or the detector" if error["attack"].startswith(PREFIX) else "The model"


def _robust(found: dict[str, Any]) -> Table:
    norm = NORMS[found["settings"]["norm"]]
    table = new_table("", ("", "left"), ("accuracy", "right"), ("95% interval", "right"))
    clean = found["accuracy"]
    so_far = "" if clean["asked"] == found["images"] else f" ({clean['asked']} of {found['images']} images so far)"
    table.add_row(f"unattacked{so_far}", _number(clean["accuracy"], ".1%"), _interval(clean))
    for entry in found["robust"]:
        table.add_row(f"{norm} ≤ {entry['eps']:g}", f"≤ {entry['robust_accuracy']:.1%}", _interval(entry))
    return table


def _attacks(found: dict[str, Any]) -> Table:
    columns = [("attack", "left"), ("eps", "right"), ("tried", "right"), ("broken", "right"), ("distance", "right")]
    table = new_table("Attacks", *columns, ("queries", "right"), ("gradients", "right"))
    wanted = {entry["label"] for entry in found["settings"]["plan"]}
    for entry in found["attacks"]:
        if entry["attack"] in wanted and entry["eps"] in found["settings"]["eps"]:
            table.add_row(
                escape(entry["attack"]),
                f"{entry['eps']:g}",
                str(entry["tried"]),
                str(entry["broken"]),
                _number(entry["median_distance"], ".3f"),
                _number(entry["mean_queries"], ",.0f"),
                _number(entry["mean_gradients"], ",.0f"),
            )
    return table


def _checks(found: dict[str, Any]) -> Table:
    table = new_table("Checklist", ("", "left"), ("check", "left"), ("evidence", "left"))
    for column in table.columns[1:]:
        column.no_wrap = False
    for check in found["checks"]:
        table.add_row(
            Text(check["verdict"], STYLES[check["verdict"]]), escape(check["name"]), escape(check["evidence"])
        )
    return table


def new_table(title: str, *columns: tuple[str, Any]) -> Table:
    """Return an empty table with columns (name, side)."""
    table = Table(
        title=f"[bold]{escape(title)}" if title else None,
        title_justify="left",
        title_style="",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    for name, justify in columns:
        table.add_column(name, justify=justify, no_wrap=True)
    return table


def _interval(entry: dict[str, Any]) -> str:
    return f"{entry['low']:.1%} to {entry['high']:.1%}"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


@contextmanager
def progress_bar() -> Iterator[Callable[[int, int], None]]:
    """Show a bar on the standard error; yield what is to be told of the steps that are over and known of."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("Evaluating"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, known: bar.update(task, completed=done, total=known)


def print_report(report: Report) -> None:
    """Print a report."""
    print_tables([report.table()])


def print_tables(parts: Sequence[RenderableType]) -> None:
    """Print tables; where there is no terminal they are as wide as they need to be."""
    console = Console()
    if not console.is_terminal:
        console.width = 140
    for part in parts:
        console.print(part)
