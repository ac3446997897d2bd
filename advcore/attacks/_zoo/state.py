"""A search's state on disk: after a kill, the same call goes on where it was."""

from __future__ import annotations

import hashlib
import io
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from advcore import _files
from advcore._check import Array
from advcore.attacks._problem import Problem

SECONDS = 30.0  # between two writes


class Checkpoint:
    """One file of arrays a problem, written at most every SECONDS.

    Parameters
    ----------
    folder : Path or None
        None: nothing is kept.
    problem : Problem
    settings : object
        What must be the same for the search to go on; its repr is compared.
    """

    def __init__(self, folder: Path | None, problem: Problem, settings: object) -> None:
        self._written = time.perf_counter()
        self._file: Path | None = None
        if folder is not None:
            ids, region = problem.sample_ids, problem.region
            self._file = folder / f"zoo-{ids[0]}-{len(ids)}.npz"
            same = (settings, problem.seed, region.bounds, region.steps, problem.targeted)
            digest = hashlib.sha256(repr(same).encode())
            # Of a targeted search the labels are the targets.
            for array in (problem.x, problem.labels, ids, problem.logits_of_x, region.mask):
                if array is not None:
                    digest.update(repr((array.dtype.str, array.shape)).encode())
                    digest.update(np.ascontiguousarray(array).tobytes())
            self._key = digest.hexdigest()

    def load(self) -> dict[str, Array] | None:
        """Return the arrays that were saved last, or None.

        Raises
        ------
        ValueError
            If the file is of another search, or damaged.
        """
        if self._file is None or not self._file.exists():
            return None
        try:
            with np.load(io.BytesIO(self._file.read_bytes()), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            key = str(arrays.pop("key"))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{self._file} must be a whole checkpoint: {error}") from error
        if key != self._key:
            raise ValueError(f"{self._file} must be of the same model, inputs and settings: it is of another search")
        return arrays

    def save(self, arrays: dict[str, Any], *, now: bool = False) -> None:
        """Write the arrays, if it is time."""
        if self._file is None or not (now or time.perf_counter() - self._written >= SECONDS):
            return
        stream = io.BytesIO()
        np.savez(stream, key=np.array(self._key), **arrays)
        _files.write(self._file, stream.getvalue())
        self._written = time.perf_counter()
