"""What the studies share: the command line, and the report as JSON, Markdown and a picture."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

import advcore
from advcore import data


def arguments(description: str | None, given: list[str] | None, *, needs_data: bool = True) -> argparse.Namespace:
    """Return the folder (None: quick), output, quick and seed that the command line asks for."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if needs_data:
        parser.add_argument("folder", nargs="?", help="with MNIST's four IDX files")
    parser.add_argument("--output", type=Path, required=True, help="folder for the report")
    parser.add_argument(
        "--quick", action="store_true", help="scikit-learn's digits or few images, and short trainings, in seconds"
    )
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(given)
    if needs_data and (chosen.folder is None) != chosen.quick:
        parser.error("give the folder with MNIST's files, or --quick")
    return chosen


def load(chosen: argparse.Namespace) -> data.Dataset:
    """Return the digits: scikit-learn's where it is to be quick, else MNIST's."""
    return data.digits() if chosen.quick else data.idx(chosen.folder)


class Report:
    """A study's report: what was set, what was found, how long it took and what differs from the source.

    Parameters
    ----------
    name : str
        Of its files.
    title : str
    settings : dict
    differs : str
        From the source.
    """

    def __init__(self, name: str, title: str, settings: dict[str, Any], differs: str) -> None:
        self.name, self.title, self.differs = name, title, differs
        self.settings = settings | {"threads": advcore.get_num_threads(), "advcore": advcore.__version__}
        self.tables: dict[str, list[dict[str, Any]]] = {}
        self.findings: list[str] = []
        self.seconds: dict[str, float] = {}
        self.source_seconds: dict[str, float] = {}  # by the names of our own
        self._started = time.perf_counter()

    def table(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Add a table, and print it."""
        self.tables[name] = rows
        print(_markdown(name, rows), flush=True)

    def finding(self, text: str) -> None:
        """Add a sentence on what was found, and print it."""
        self.findings.append(text)
        print(text, flush=True)

    def timed(self, name: str, function: Any, *positional: Any, **options: Any) -> Any:
        """Call a function and note its seconds."""
        start = time.perf_counter()
        result = function(*positional, **options)
        self.seconds[name] = time.perf_counter() - start
        return result

    def write(
        self, folder: Path, draw: Any, *, axes: int = 1, size: tuple[float, float] = (5.5, 3.8)
    ) -> dict[str, Any]:
        """Write NAME.json, NAME.md and NAME.png, which ``draw(axes)`` draws; return what the JSON holds.

        Two runs with one seed differ in nothing but "seconds".
        """
        folder.mkdir(parents=True, exist_ok=True)
        figure, grid = plt.subplots(1, axes, figsize=(size[0] * axes, size[1]), layout="constrained", squeeze=False)
        draw(grid[0, 0] if axes == 1 else grid[0])
        figure.savefig(folder / f"{self.name}.png", dpi=130)
        plt.close(figure)
        self.seconds["in all"] = time.perf_counter() - self._started
        results = {
            "settings": self.settings,
            "tables": self.tables,
            "findings": self.findings,
            "seconds": self.seconds,
            "source_seconds": self.source_seconds,
            "differs": self.differs,
        }
        (folder / f"{self.name}.json").write_text(json.dumps(results, indent=1) + "\n")
        parts = [f"# {self.title}", *(_markdown(name, rows) for name, rows in self.tables.items())]
        parts += ["\n".join(f"- {text}" for text in self.findings)] if self.findings else []
        compared = [
            {"run": name, "seconds": self.seconds[name], "source": then, "times": round(then / self.seconds[name])}
            for name, then in self.source_seconds.items()
        ]
        parts += [_markdown("Seconds beside the source's", compared)] if compared else []
        parts += [f"![{self.title}]({self.name}.png)", f"Settings: {_inline(self.settings)}."]
        parts += [f"Seconds: {_inline(self.seconds)}.", f"Differs from the source: {self.differs}"]
        (folder / f"{self.name}.md").write_text("\n\n".join(parts) + "\n")
        return results


def percent(share: float) -> float:
    """Return a share in percent, to a hundredth."""
    return round(100 * float(share), 2)


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _inline(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {_cell(value)}" for name, value in values.items())


def _markdown(name: str, rows: Sequence[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [columns, ["---"] * len(columns), *([_cell(row.get(column)) for column in columns] for row in rows)]
    return f"**{name}**\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)
