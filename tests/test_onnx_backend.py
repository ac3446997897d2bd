import re
from pathlib import Path

import pytest

pytest.importorskip("onnx")
import onnx_backend as suite

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
