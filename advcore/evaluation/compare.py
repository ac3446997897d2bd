"""Two runs side by side, image by image."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from advcore.evaluation import probes
from advcore.evaluation.identity import OPTIONS
from advcore.evaluation.results import NO_ATTACKS, is_on_model
from advcore.evaluation.rows import Row
from advcore.evaluation.statistics import mcnemar_two_sided, wilson
from advcore.evaluation.store import read_run
from advcore.evaluation.terminal import new_table


def compare(first: Path, second: Path) -> list[Table]:
    """Return a table of accuracies and of a paired test: McNemar's exact test, two-sided, on the images of both.

    Raises
    ------
    OSError, ValueError
        If a folder holds no run, or the runs are of other data or share no eps.
    """
    (one, rows_of_one), (two, rows_of_two) = read_run(first), read_run(second)
    if one["data"] != two["data"]:
        raise ValueError(f"{first} and {second} are runs on other data: images cannot be paired")
    if one.get("norm") != two.get("norm"):
        raise ValueError(f"{first} is a run in {one.get('norm')}, {second} in {two.get('norm')}")
    eps = sorted(_budgets(one) & _budgets(two))
    if not eps:
        raise ValueError(f"{first} and {second} have no eps in common")
    sides = (Side(rows_of_one, one["norm"]), Side(rows_of_two, two["norm"]))
    names = _names(first, second)
    columns = [("", "left"), *((escape(name), "right") for name in names), ("only first", "right")]
    table = new_table("Right and unbroken", *columns, ("only second", "right"), ("p", "right"))
    for budget in (0.0, *eps):
        left, right = (side.robust(budget) for side in sides)
        paired = left.keys() & right.keys()
        only_first = sum(left[s] and not right[s] for s in paired)
        only_second = sum(right[s] and not left[s] for s in paired)
        p = mcnemar_two_sided(only_first, only_second)
        name = "unattacked" if budget == 0 else f"eps {budget:g}"
        table.add_row(name, _share(left), _share(right), str(only_first), str(only_second), f"{p:.2g}")
    told = [f"p: McNemar's exact test on the {len(paired)} images of both; robust accuracies are upper bounds."]
    told += _unequal(names, (first, one), (second, two))
    table.caption = escape("\n".join(told))
    return [table]


def _names(first: Path, second: Path) -> tuple[str, str]:
    """Return what to call two folders: their names, with as many of the folders around them as tell them apart."""
    one, two = first.resolve().parts, second.resolve().parts
    pairs = (("/".join(one[-count:]), "/".join(two[-count:])) for count in range(1, max(len(one), len(two)) + 1))
    return next((names for names in pairs if names[0] != names[1]), (one[-1], two[-1]))


def _unequal(names: tuple[str, str], *runs: tuple[Path, Mapping[str, str]]) -> list[str]:
    """Say what keeps two runs from being compared like with like."""
    first, second = names
    (_, one), (_, two) = runs
    written = [_written(folder) for folder, _ in runs]
    told = [
        f"{name} is not finished: its robust accuracies can still fall."
        for name, found in zip(names, written, strict=True)
        if not found.get("complete", False)
    ]
    settings = [found.get("settings", {}) for found in written]
    plans = [found.get("plan") for found in settings]
    if all(plans) and plans[0] != plans[1]:
        levels = [found.get("level") for found in settings]
        kinds = f" ({levels[0]}, and {levels[1]})" if levels[0] != levels[1] else ""
        told.append(f"{first} and {second} had other attacks{kinds}: who is attacked more breaks more.")
    elif differing := [name for name in OPTIONS if one.get(name) != two.get(name)]:
        told.append(
            f"{first} and {second} had other options ({', '.join(differing)}), which may break more or fewer images."
        )
    if one.get("seed") != two.get("seed"):
        told.append(f"{first} and {second} had other seeds.")
    return told


def _written(folder: Path) -> dict[str, Any]:
    """Return what the last report of a run says; nothing where there is none yet."""
    try:
        found = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


class Side:
    """One of the runs."""

    def __init__(self, rows: Sequence[Row], norm: str) -> None:
        self.norm = norm
        self.right = {row.sample: row.status == "failed" for row in rows if row.attack == probes.CLEAN}
        self.hits = [row for row in rows if row.success and row.attack not in NO_ATTACKS and is_on_model(row.attack)]

    def robust(self, eps: float) -> Mapping[int, bool]:
        """Say of each image whether the model has it right and no attack broke it within eps."""
        broken = {row.sample for row in self.hits if row.within(self.norm, eps)} if eps > 0 else set()
        return {sample: right and sample not in broken for sample, right in self.right.items()}


def _budgets(identity: Mapping[str, str]) -> set[float]:
    return {float(text) for text in identity.get("eps", "").split()}


def _share(robust: Mapping[int, bool]) -> str:
    low, high = wilson(sum(robust.values()), len(robust))
    return f"{sum(robust.values()) / max(len(robust), 1):.1%} ({low:.1%} to {high:.1%})"
