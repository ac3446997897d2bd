"""The tested package is the installed one, with its type information, not the source tree."""

import os
from importlib.metadata import version
from pathlib import Path

import pytest

import advcore


@pytest.mark.skipif("ADVCORE_EXPECT_INSTALLED" not in os.environ, reason="set ADVCORE_EXPECT_INSTALLED to check")
def test_the_installed_package_is_tested():
    assert Path(advcore.__file__).is_relative_to(os.environ["ADVCORE_EXPECT_INSTALLED"])
    assert advcore.__version__ == version("advcore")


def test_type_information_is_shipped():
    package = Path(advcore.__file__).parent
    assert (package / "py.typed").exists()
    assert (package / "_core.pyi").exists()
