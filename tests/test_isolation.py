"""No instruction-set level may lend its code to another: the objects of each are looked into with nm."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

BUILD = Path(__file__).parents[1] / "build"
OBJECTS = sorted(BUILD.glob("*/CMakeFiles/kernels_*.dir/csrc/kernels/*.o"))


def level_of(path):
    return re.search(r"kernels_(\w+)\.dir", str(path))[1]


def weak_symbols(path):
    listing = subprocess.run(["nm", "-C", str(path)], capture_output=True, text=True, check=True).stdout
    for line in listing.splitlines():
        kind, name = line[17:].split(" ", 1)
        if kind in "VWuvw":
            yield name


@pytest.mark.skipif(not OBJECTS or shutil.which("nm") is None, reason="needs the objects of a build here, and nm")
@pytest.mark.parametrize("path", OBJECTS, ids=lambda path: f"{level_of(path)}-{path.name}")
def test_weak_symbols_stay_in_the_levels_own_namespace(path):
    own = re.compile(rf"^(void )?(guard variable for )?advcore::{level_of(path)}::")
    assert [name for name in weak_symbols(path) if not own.match(name)] == []


@pytest.mark.skipif(not OBJECTS, reason="needs the objects of a build here")
def test_every_level_has_the_same_files():
    files = {}
    for path in OBJECTS:
        files.setdefault((path.parts[len(BUILD.parts)], level_of(path)), set()).add(path.name)
    assert len({frozenset(names) for names in files.values()}) == 1


def test_kernels_include_no_cpp_library_header_and_no_openmp():
    kernels = Path(__file__).parents[1] / "csrc" / "kernels"
    for path in kernels.iterdir():
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"#include <([^>]+)>", text)) <= {"stdint.h", "stddef.h", "float.h"}, path.name
        assert "#pragma omp" not in text, path.name
