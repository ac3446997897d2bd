"""Kills an evaluation at random times, again and again: nothing acknowledged may be lost, nothing may be there twice.

``python benchmarks/evaluate_kills.py`` kills 200 times (``--kills N``). Each round starts the same evaluation in a
child process, which tells of every row once it is safe, and ends it by SIGKILL after a random time. What it told of
must be in the file afterwards; when a run is through, its results.json must be that of an uninterrupted run, but for
times, and the next round starts anew.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import advcore
from advcore import data, models, nn
from advcore.evaluation.document import without_times
from advcore.evaluation.store import NAME, Store

Key = tuple[int, str, float]


def evaluate(model: Any, x: Any, y: Any, folder: Path) -> None:
    """Do the evaluation that is killed."""
    attacks = [("pgd", {"steps": 5}), ("apgd", {"steps": 5}), ("square", {"steps": 30})]
    advcore.evaluate(
        model, x, y, norm="linf", eps=[0.05, 0.1], attacks=attacks, output=folder, chunk_size=4, checks=False
    )


def telling(model: Any, x: Any, y: Any, folder: Path, pipe: int) -> None:
    """Evaluate in a child, and write the key of every row to the pipe when ``Store.add`` has returned."""
    add = Store.add

    def told(self: Store, rows: Any) -> None:
        rows = list(rows)
        add(self, rows)
        os.write(pipe, "".join(json.dumps(row.key) + "\n" for row in rows).encode())

    Store.add = told  # type: ignore[method-assign]
    evaluate(model, x, y, folder)


def killed(model: Any, x: Any, y: Any, folder: Path, seconds: float) -> tuple[bool, set[Key]]:
    """Run a child for so long; return whether it came to its end, and what it told of."""
    reading, writing = os.pipe()
    child = multiprocessing.get_context("fork").Process(target=telling, args=(model, x, y, folder, writing))
    child.start()
    os.close(writing)
    child.join(seconds)
    if child.exitcode is None:
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
    with os.fdopen(reading, "rb") as stream:
        lines = stream.read().split(b"\n")[:-1]  # a key that was being told of may be torn
    if child.exitcode not in (0, -signal.SIGKILL):
        raise SystemExit(f"the evaluation failed with exit code {child.exitcode}")
    return child.exitcode == 0, {(key[0], key[1], key[2]) for key in map(json.loads, lines)}


def stored(folder: Path) -> list[Key]:
    """Return the keys of all rows in the file, as they are."""
    if not (folder / NAME).exists():
        return []
    with sqlite3.connect(folder / NAME) as connection:
        try:
            return [tuple(row) for row in connection.execute("SELECT sample, attack, eps FROM rows")]
        except sqlite3.OperationalError:  # killed before there was a table
            return []
        finally:
            connection.rollback()


def campaign(kills: int, seed: int, folder: Path) -> str:
    """Kill so many times; return a line on what was seen. Raises AssertionError where something was lost."""
    digits = data.digits()
    model = models.mlp((1, 8, 8), 10, hidden=(32,), seed=0)
    advcore.set_num_threads(1)  # children of a fork
    nn.fit(model, digits.x_train, digits.y_train, epochs=3, optimizer=nn.Adam(3e-3), seed=0)
    x, y = digits.x_test[:24], digits.y_test[:24]
    whole = folder / "whole"
    started = time.monotonic()
    evaluate(model, x, y, whole)
    duration = time.monotonic() - started
    expected = without_times(json.loads((whole / "results.json").read_text()))

    draw, done, finished, rows = random.Random(seed), 0, 0, 0
    run, told = folder / "run", set[Key]()
    while done < kills or told:
        ended, new = killed(model, x, y, run, draw.uniform(0, duration) if done < kills else 600)
        told |= new
        keys = stored(run)
        assert len(keys) == len(set(keys)), "a row is there twice"
        lost = told - set(keys)
        assert not lost, f"acknowledged, and lost: {sorted(lost)[:5]}"
        assert not list(run.glob("*.damaged-*")), "a kill damaged the file"
        if ended:
            assert without_times(json.loads((run / "results.json").read_text())) == expected, "other results"
            finished, rows, told = finished + 1, rows + len(keys), set()
            shutil.rmtree(run)
        else:
            done += 1
    return f"{done} kills, {finished} runs came to their end with the results of an uninterrupted one, {rows} rows"


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(campaign(arguments.kills, arguments.seed, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
