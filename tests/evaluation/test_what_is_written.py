"""What a run writes: the call that repeats it, its folder, what took part in it, and how far it has come."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest

import advcore
from advcore.evaluation.plan import Planned

_SPEC = importlib.util.spec_from_file_location("evaluation_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_conftest)
Sides, sides = _conftest.Sides, _conftest.sides


def evaluate(model, x, y, norm="linf", eps=0.05, **options):
    options = {"attacks": [("pgd", {"steps": 5})], "checks": "quick"} | options
    return advcore.evaluate(model, x, y, norm=norm, eps=eps, **options)


class Unasked(Sides):
    def logits(self, x):
        raise AssertionError("nobody was to ask")


class TestWhatIsWritten:
    def test_a_call_repeats_the_run(self):
        eps = np.array([0.01, 0.05])
        report = evaluate(
            Sides(), *sides(), eps=eps, attacks=[Planned("pgd", "pgd", {"steps": 2})], checks=False, seed=3
        )
        told = report.results["settings"]["command"]
        assert told == (
            "advcore.evaluate(model, x, y, norm='linf', eps=[0.01, 0.05], attacks=[['pgd', {'steps': 2}]], seed=3, "
            "checks=False)"
        )
        model, (x, y) = Sides(), sides()
        again = eval(told, {"advcore": advcore, "model": model, "x": x, "y": y})
        assert [row.success for row in again.rows] == [row.success for row in report.rows]
        assert "This repeats it" in report.html(pictures=False)
        named = evaluate(Sides(), *sides(), checks=False, output=None, command="make report")
        assert named.results["settings"]["command"] == "make report"

    def test_a_report_goes_to_a_new_folder(self, tmp_path):
        report = evaluate(Sides(), *sides(), checks=False)
        report.save(tmp_path / "new" / "folder", pictures=False)
        assert (tmp_path / "new" / "folder" / "report.html").exists()

    def test_a_folder_in_the_place_of_a_file_is_found_before_the_work(self, tmp_path):
        (tmp_path / "report.html").mkdir()
        with pytest.raises(IsADirectoryError, match=r"report\.html must be a file, but is a folder"):
            evaluate(Unasked(), *sides(), output=tmp_path)

    def test_software_that_has_a_part_in_the_results(self):
        page = evaluate(Sides(), *sides(), checks=False).html(pictures=False)
        for name in ("Python", "NumPy", "torch", "onnxruntime"):
            assert re.search(rf"{name} \d", page)


class TestARunThatIsNotFinished:
    def test_before_anything_was_asked(self):
        report = evaluate(Sides(), *sides(), max_seconds=1e-9)
        assert np.isnan(report.accuracy)
        assert report.robust_accuracy == {0.05: 1}
        assert "unattacked (0 of 24 images so far)" in str(report)
        assert "of the 0 images asked for so far" in report.html()

    def test_what_was_not_asked_is_not_wrong(self, tmp_path):
        def stop(*_):
            raise RuntimeError("stop")

        with pytest.raises(RuntimeError, match="stop"):
            evaluate(Sides(), *sides(), chunk_size=8, output=tmp_path, progress=stop)
        found = json.loads((tmp_path / "results.json").read_text())
        assert (found["accuracy"]["accuracy"], found["accuracy"]["asked"]) == (1, 8)
        assert [entry["accuracy"] for entry in found["per_class"]] == [1, 1]
        assert "of the 8 images asked for so far" in (tmp_path / "report.html").read_text()
