"""Runs that are stopped go on where they were, and end as if nothing had been."""

import errno
import importlib.util
import json
from pathlib import Path

import pytest

import advcore
from advcore.evaluation import campaign, document
from advcore.evaluation.report import Report
from advcore.evaluation.store import NAME, Store, read_run

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "evaluate_kills.py"


@pytest.fixture(scope="module")
def kills():
    spec = importlib.util.spec_from_file_location("evaluate_kills", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def evaluate(model, x, y, folder, **options):
    options = {
        "attacks": [("pgd", {"steps": 4}), ("square", {"steps": 20})],
        "checks": False,
        "chunk_size": 8,
    } | options
    return advcore.evaluate(model, x[:24], y[:24], norm="linf", eps=[0.05, 0.1], output=folder, **options)


def results(folder):
    return document.without_times(json.loads((folder / "results.json").read_text()))


def test_killed_at_random_times(kills, tmp_path):
    assert kills.campaign(6, 0, tmp_path).startswith("6 kills")


@pytest.mark.parametrize("after", [1, 3, 7])
def test_ctrl_c(plain, x, y, tmp_path, monkeypatch, after):
    evaluate(plain, x, y, tmp_path / "whole")
    perform, calls = campaign.perform, []

    def interrupted(setup, task):
        calls.append(task)
        if len(calls) == after:
            raise KeyboardInterrupt
        return perform(setup, task)

    monkeypatch.setattr(campaign, "perform", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate(plain, x, y, tmp_path / "run")
    if after > 1:
        assert json.loads((tmp_path / "run" / "results.json").read_text())["complete"] is False
        assert "Not finished" in (tmp_path / "run" / "report.html").read_text()
    evaluate(plain, x, y, tmp_path / "run")
    assert results(tmp_path / "run") == results(tmp_path / "whole")
    assert len(read_run(tmp_path / "run")[1]) == len(read_run(tmp_path / "whole")[1])


@pytest.mark.parametrize("rows_too", [False, True])
def test_a_disk_that_runs_full_names_its_file_and_says_that_the_run_goes_on(
    plain, x, y, tmp_path, monkeypatch, rows_too
):
    def full(self, *arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    def later(store, rows, calls=[], add=Store.add):  # noqa: B006 - counts
        calls.append(rows)
        if len(calls) > 5:
            raise OSError("cannot write results to results.sqlite: full; the same command goes on")
        add(store, rows)

    monkeypatch.setattr(Report, "save", full)
    if rows_too:
        monkeypatch.setattr(Store, "add", later)
    line = "results.sqlite: full; the same" if rows_too else r"report to .*: No space left .* the same command goes on"
    with pytest.raises(OSError, match=line):
        evaluate(plain, x, y, tmp_path)
    monkeypatch.undo()
    assert evaluate(plain, x, y, tmp_path).complete


def test_a_finished_run_is_not_done_again(plain, x, y, tmp_path, monkeypatch):
    first = evaluate(plain, x, y, tmp_path)
    monkeypatch.setattr(campaign, "perform", None)
    assert evaluate(plain, x, y, tmp_path).results == first.results


def test_what_was_damaged_is_computed_again(plain, x, y, tmp_path):
    evaluate(plain, x, y, tmp_path)
    whole = results(tmp_path)
    content = bytearray((tmp_path / NAME).read_bytes())
    content[len(content) // 2] ^= 0xFF
    content[200:300] = bytes(100)
    (tmp_path / NAME).write_bytes(content)
    report = evaluate(plain, x, y, tmp_path)
    assert "is computed again" in report.results["warnings"][0]
    assert "is computed again" in " ".join(str(report).split())
    again = results(tmp_path)
    assert again | {"warnings": []} == whole


@pytest.mark.parametrize(
    ("change", "named"),
    [({"seed": 1}, "seed"), ({"chunk_size": 4}, "chunk_size"), ({"max_queries": 9}, "max_queries")],
)
def test_a_resume_with_other_options_is_refused(plain, x, y, tmp_path, change, named):
    evaluate(plain, x, y, tmp_path)
    with pytest.raises(ValueError, match=f"another {named}"):
        evaluate(plain, x, y, tmp_path, **change)


def test_a_resume_with_another_model_or_data_is_refused(plain, robust, x, y, tmp_path):
    evaluate(plain, x, y, tmp_path)
    with pytest.raises(ValueError, match="another model"):
        evaluate(robust, x, y, tmp_path)
    with pytest.raises(ValueError, match=r"another .*data"):
        evaluate(plain, x[1:], y[1:], tmp_path)


def test_time_that_is_over_gives_a_partial_report_which_goes_on(plain, x, y, tmp_path):
    evaluate(plain, x, y, tmp_path / "whole")
    report = evaluate(plain, x, y, tmp_path / "run", max_seconds=1e-3)
    assert not report.complete
    assert report.robust_accuracy[0.1] >= evaluate(plain, x, y, tmp_path / "run").robust_accuracy[0.1]
    assert results(tmp_path / "run") == results(tmp_path / "whole")


def test_chunks_change_no_result_of_a_network(plain, x, y):
    one, other = (
        [(*row.key, row.success, row.linf, row.queries) for row in evaluate(plain, x, y, None, chunk_size=c).rows]
        for c in (5, 24)
    )
    assert one == other
