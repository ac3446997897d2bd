"""Two runs side by side: what keeps them from being compared like with like is said."""

import importlib.util
from pathlib import Path

import pytest

import advcore
from advcore.evaluation.compare import compare

_SPEC = importlib.util.spec_from_file_location("evaluation_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_conftest)
Sides, sides = _conftest.Sides, _conftest.sides

PGD, SQUARE = [("pgd", {"steps": 3})], [("square", {"steps": 9})]


def run(folder, **options):
    options = {"attacks": PGD, "checks": False} | options
    advcore.evaluate(Sides(), *sides(), norm="linf", eps=0.05, output=folder, **options)
    return folder


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, ""),
        ({"attacks": SQUARE}, "one and two had other attacks"),
        ({"attacks": "quick"}, "one and two had other attacks (custom, and quick)"),
        ({"max_queries": 50}, "one and two had other options (max_queries)"),
        ({"seed": 1}, "one and two had other seeds"),
        ({"max_seconds": 1e-9}, "two is not finished"),
    ],
)
def test_what_differs_is_said(tmp_path, options, said):
    (table,) = compare(run(tmp_path / "one"), run(tmp_path / "two", **options))
    first, *others = table.caption.splitlines()
    assert "McNemar" in first
    assert said in " ".join(others)
    assert bool(others) == bool(said)


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ("a/run", "b/run", ["a/run", "b/run"]),
        ("x[bold]y", "z", [r"x\[bold]y", "z"]),
        ("same", "same", ["same", "same"]),
        (".", "z", ["here", "z"]),
    ],
)
def test_columns_are_called_by_what_tells_the_folders_apart(tmp_path, monkeypatch, first, second, names):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for folder in {first, second}:
        run(Path(folder))
    (table,) = compare(Path(first), Path(second))
    assert [column.header for column in table.columns[1:3]] == names


def test_a_run_without_a_report_is_not_finished(tmp_path):
    first, second = run(tmp_path / "one"), run(tmp_path / "two", max_queries=50)
    (second / "results.json").unlink()
    (table,) = compare(first, second)
    assert "two is not finished" in table.caption
    assert "other options" in table.caption
