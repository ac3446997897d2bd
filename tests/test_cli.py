"""The command without the demonstration: info, selftest, and how errors look."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import advcore
from advcore import _selftest
from advcore._cases import Case
from advcore.cli import main

PACKAGES = Path(advcore.__file__).parents[1]  # `python -c` looks in the current folder first: not in the source tree


def advcore_command(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_help_names_the_commands():
    result = advcore_command("--help")
    assert result.exit_code == 0
    for name in ("bench", "demo", "info", "selftest"):
        assert name in result.output


def test_version():
    assert advcore.__version__ in advcore_command("--version").output


def test_info_shows_what_runs():
    result = advcore_command("info")
    config = advcore.show_config()
    assert result.exit_code == 0
    for text in (config["version"], config["level"], config["openmp"], config["cpu"], f"numpy {np.__version__}"):
        assert str(text).removeprefix("numpy ") in result.output
    for name in config["optional"]:
        assert name in result.output


def test_selftest_compares_the_operation_in_both_types():
    result = advcore_command("selftest", "--operation", "matmul")
    count = 2 * sum(case.op == "matmul" and not case.bench for case in _selftest.select())
    assert result.exit_code == 0
    assert f"All {count} comparisons" in result.output
    assert "linear" not in result.output


def test_selftest_fails_where_an_operation_is_wrong(monkeypatch):
    right = advcore.ops.matmul
    monkeypatch.setattr(advcore.ops, "matmul", lambda a, b: right(a, b) + a.dtype.type(1e-3))
    result = advcore_command("selftest", "--operation", "matmul")
    assert result.exit_code == 1
    assert "times the tolerance" in result.output
    assert "comparisons failed" in result.output


def test_selftest_reports_an_operation_that_raises():
    broken = Case("matmul", {"a": (2, 3), "b": (4, 5)})
    (verdict,) = _selftest.selftest([broken])
    assert len(verdict.failures) == 2
    assert "ValueError: b must have 3 rows" in verdict.failures[0]


def test_selftest_refuses_an_unknown_operation():
    result = advcore_command("selftest", "--operation", "matmull")
    assert result.exit_code == 1
    assert "operation must be one of" in result.output
    assert "matmull" in result.output


def test_selftest_names_the_extra_that_is_missing(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("advcore.reference")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(advcore, "reference", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    result = advcore_command("selftest")
    assert result.exit_code == 1
    assert "advcore[torch]" in result.output
    assert "Traceback" not in result.output


def test_threads_are_set_for_the_process(monkeypatch):
    counts = []
    monkeypatch.setattr(advcore, "set_num_threads", counts.append)
    assert advcore_command("selftest", "--operation", "matmul", "--threads", 2).exit_code == 0
    assert counts == [2]
    assert advcore_command("selftest", "--threads", 0).exit_code == 2


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch")
def test_importing_the_command_does_not_import_heavy_packages():
    code = (
        "import sys, advcore.cli;"
        "print([m for m in ('torch', 'matplotlib', 'sklearn', 'rich', 'jinja2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGES)
    assert done.stdout.strip() == "[]"


def test_the_package_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "advcore", "--version"], capture_output=True, text=True, check=True, cwd=PACKAGES
    )
    assert done.stdout == f"advcore, version {advcore.__version__}\n"
