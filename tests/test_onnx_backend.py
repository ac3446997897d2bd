import importlib.util
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx")


def _load(name):
    """Import a file beside this one (tests are no package)."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


suite = _load("onnx_backend")
NAMES = sorted(suite.cases())


@pytest.mark.parametrize("name", [name for name in NAMES if not suite.reason(name)])
def test_case(name):
    suite.check(suite.cases()[name])


@pytest.mark.parametrize(
    "name", [name for name in suite.EXCLUDED_NAMES if not suite.cases()[name].operators & set(suite.WITHOUT_CASES)]
)
def test_excluded_cases_are_refused(name):
    with pytest.raises((TypeError, ValueError)):
        suite.check(suite.cases()[name])


def test_every_excluded_case_exists():
    assert set(suite.EXCLUDED_NAMES) | suite.FIRST_OUTPUT_ONLY <= set(NAMES)


def test_the_documentation_states_how_many_pass():
    text = (Path(__file__).parents[1] / "docs" / "onnx.md").read_text()
    stated = re.findall(r"^\| .*\|$", text[text.index("| operator |") :], re.M)[2:]
    assert stated == suite.table()
