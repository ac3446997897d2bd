"""What is seen on the terminal: a progress bar, then the table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from advcore._demo import numbers
from advcore._demo.pipeline import Tell


@contextmanager
def progress_bar(steps: int) -> Iterator[Tell]:
    """Show a bar on the standard error; yield what is to be told of the work and of the steps that are over."""
    columns = (
        SpinnerColumn(),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=steps)
        yield lambda text, done: bar.update(task, advance=done, description=text or None)


def terminal_tables(found: dict[str, Any]) -> Iterator[Table]:
    """Yield one table a model, 80 characters wide; the last one carries the note on what the numbers mean."""
    for model in found["models"]:
        title = f"[bold]{model['model']}[/] on {found['data']['name']}, seed {found['settings']['seed']}"
        is_last = model is found["models"][-1]
        table = Table(
            title=title,
            caption=found["note"] if is_last else None,
            title_justify="left",
            caption_justify="left",
            title_style="",
            box=SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            show_edge=False,
        )
        for name, kind in numbers.COLUMNS:
            table.add_column(name, justify="right" if kind == "number" else "left", no_wrap=True)
        for cells in numbers.table(found, model["model"]):
            table.add_row(*cells)
        yield table
