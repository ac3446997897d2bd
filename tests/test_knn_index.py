"""KnnIndex: what knn gives, from a file too; what is refused; what a search takes of memory."""

import subprocess
import sys

import numpy as np
import pytest

import advcore
from advcore import _safetensors, ops
from advcore.ops import knn_index

PACKAGES = str(advcore.__path__[0]) + "/.."
RNG = np.random.default_rng(0)
REFERENCE = RNG.normal(size=(40, 6)).astype(np.float32)
QUERIES = RNG.normal(size=(21, 6)).astype(np.float32)
METADATA = {"format": knn_index.FORMAT, "version": knn_index.VERSION}


def test_an_index_gives_what_knn_gives_and_comes_back_from_its_file(tmp_path):
    own = RNG.integers(-1, 40, 21)
    reference = REFERENCE.copy()
    index = ops.KnnIndex(reference)
    reference[...] = 0  # the index has its own
    index.save(tmp_path / "index")
    for each in (index, ops.KnnIndex.load(tmp_path / "index")):
        found, want = each.search(QUERIES, 5, exclude=own), ops.knn(QUERIES, REFERENCE, 5, exclude=own)
        for ours, theirs in zip(found, want, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        out = np.empty(21, np.float32)
        assert each.lid(QUERIES, 7, own, out=out) is out
        np.testing.assert_array_equal(out, ops.lid(QUERIES, REFERENCE, 7, exclude=own))
        with pytest.raises(ValueError, match="read-only"):
            each.reference[0] = 1


def test_what_an_index_refuses():
    index = ops.KnnIndex(REFERENCE)
    for call, error, text in (
        (lambda: ops.KnnIndex(REFERENCE[:0]), ValueError, "reference must have at least one point"),
        (lambda: ops.KnnIndex(np.full((3, 2), np.nan)), ValueError, "reference must be finite.* in sample 0"),
        (lambda: ops.KnnIndex([[1.0]]), TypeError, "reference must be a NumPy array"),
        (lambda: index.search(QUERIES, 41), ValueError, "k must be at most 40"),
        (lambda: index.search(QUERIES[:, :5], 1), ValueError, r"same number of columns, got \(21, 5\) and \(40, 6\)"),
        (lambda: index.search(QUERIES.astype(np.float64), 1), TypeError, "queries must be of type float32"),
        (lambda: index.search(np.where(QUERIES > 9, 0, np.nan), 1), TypeError, "queries must be of type float32"),
        (lambda: index.search(QUERIES * np.float32("inf"), 1), ValueError, "queries must be finite.* sample 0"),
        (lambda: index.lid(QUERIES, 3, np.full(21, 40)), ValueError, r"exclude must be in \[-1, 39\], got 40"),
        (lambda: index.lid(QUERIES, 3, estimator="mean"), ValueError, "estimator must be"),
    ):
        with pytest.raises(error, match=text):
            call()


@pytest.mark.parametrize(
    ("arrays", "metadata", "text"),
    [
        ({}, METADATA, "it must hold an advcore.KnnIndex"),
        ({"reference": REFERENCE}, {}, "it must hold an advcore.KnnIndex, got None"),
        ({"reference": REFERENCE, "more": REFERENCE}, METADATA, "it must hold an advcore.KnnIndex"),
        ({"reference": REFERENCE}, METADATA | {"version": "2"}, "its version must be 1, got '2'"),
        ({"reference": REFERENCE[0]}, METADATA, r"reference must have shape \(R, D\)"),
        ({"reference": REFERENCE[:0]}, METADATA, "at least one point"),
        ({"reference": np.full_like(REFERENCE, np.inf)}, METADATA, "reference must be finite"),
    ],
)
def test_files_that_are_no_index(tmp_path, arrays, metadata, text):
    file = tmp_path / "file"
    file.write_bytes(_safetensors.to_bytes(arrays, metadata))
    with pytest.raises(ValueError, match=f"cannot load an index from .*{text}"):
        ops.KnnIndex.load(file)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match="cannot load an index from"):
        ops.KnnIndex.load(file)


MEMORY = """
import os, resource, threading
import numpy as np
from advcore import ops
queries, reference = (np.empty((n, 784), np.float32) for n in (10_000, 60_000))
rng = np.random.default_rng(0)
for rows in (queries, reference):
    rng.random(dtype=np.float32, out=rows)
out = np.zeros((10_000, 20), np.float32), np.zeros((10_000, 20), np.int64)
ops.knn(queries[:8], reference[:8], 2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
worker = threading.Thread(target=ops.knn, args=(queries, reference, 20), kwargs={"out": out}, daemon=True)
worker.start()
worker.join(4)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, flush=True)
os._exit(0)
"""


def test_memory_beyond_inputs_and_outputs():
    # All memory is taken before the first product: four seconds of the search show what all of it takes.
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], cwd=PACKAGES, capture_output=True, text=True, timeout=120, check=True
    )
    assert float(done.stdout) < 64
