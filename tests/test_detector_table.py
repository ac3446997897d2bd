"""The script behind docs/detectors.md, on digits."""

import runpy
from pathlib import Path

import pytest

from advcore import data


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "detector_table.py"))


def test_the_table_on_digits(script, tmp_path):
    numbers = script["study"](data.digits(), script["QUICK"], tmp_path)
    table = script["as_markdown"](numbers)
    assert list(numbers["fooled"]) == ["FGM", "BIM-a", "BIM-b", "JSMA", "C&W"]
    for detector in ("LID", "KD", "BU", "KD+BU"):
        assert f"| {detector} |" in table
        assert numbers["detectors"][detector]["adaptive"]["undetected_at_0.05"] > 0.7
    assert set(numbers["leak"]) == set(numbers["published_without_leak"]) == set(numbers["fooled"])
    assert "[M]" in table
    assert {file.name for file in tmp_path.iterdir()} == {"network", *(f"{name}-200.npy" for name in numbers["fooled"])}
