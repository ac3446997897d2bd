"""How an evaluation spreads over workers: what is measured here, and a simulation for clusters that are not here.

``python benchmarks/evaluate_scaling.py`` measures, on this machine, what a task costs beside its attack (cutting,
pickling, committing) and how many bytes it moves; then it simulates runs of up to 10^9 samples on up to 10^3 workers
with a scheduler that hands out so many tasks a second. ``--quick`` measures fewer tasks.
"""

from __future__ import annotations

import argparse
import heapq
import json
import pickle
import tempfile
import time
from pathlib import Path

import numpy as np

from advcore import models
from advcore.evaluation import handle
from advcore.evaluation.campaign import Table
from advcore.evaluation.plan import Planned
from advcore.evaluation.rows import Row
from advcore.evaluation.store import Store
from advcore.evaluation.work import Setup, Task

SCHEDULER = 2000.0  # tasks a second: Dask documents about 200 microseconds of its scheduler a task; we take 500
CHUNKS = (32, 128, 512, 2048)
SHAPE = (3, 32, 32)


def measured(count: int) -> dict[int, dict[str, float]]:
    """Return, by chunk size: bytes of a task and of its results, seconds to pickle and to commit them."""
    found = {}
    network = models.small_cnn(SHAPE, 10, seed=0)
    setup = Setup(handle.of(network), "linf", (0.0, 1.0), 0, None, False, 10, 1, "avx2")
    for chunk in CHUNKS:
        x = np.random.default_rng(0).random((chunk, *SHAPE), np.float32)
        ids = np.arange(chunk)
        task = Task("APGD-CE", 0.1, ids, x, np.zeros(chunk, np.int64), Planned("APGD-CE", "apgd"))
        rows = [Row(int(i), "APGD-CE", 0.1, True, "success", queries=100, gradients=100) for i in ids]
        started = time.perf_counter()
        for _ in range(count):
            sent = pickle.loads(pickle.dumps(task))
            back = pickle.loads(pickle.dumps(rows))
        pickling = (time.perf_counter() - started) / count
        with tempfile.TemporaryDirectory() as folder, Store(Path(folder), {"run": "r"}) as store:
            table = Table(store)
            started = time.perf_counter()
            for number in range(count):
                table.add([Row(row.sample + number * chunk, row.attack, row.eps, True, "success") for row in back])
            committing = (time.perf_counter() - started) / count
        found[chunk] = {
            "task_bytes": len(pickle.dumps(sent)),
            "result_bytes": len(pickle.dumps(rows)),
            "pickling_seconds": pickling,
            "commit_seconds": committing,
            "shared_bytes": len(pickle.dumps(setup)),
        }
    return found


def simulated(tasks: int, workers: int, seconds: float, overhead: float, largest: int = 200_000) -> float:
    """Return the efficiency of a run: time of the attacks over time of all workers.

    The scheduler and the writer are one process: a task costs it ``overhead``. Tasks last between half and twice their
    mean. More than ``largest`` tasks are not simulated one by one: the run is as long as so many, times their number.
    """
    counted = min(tasks, largest)
    lengths = np.random.default_rng(0).uniform(0.5, 1.5, counted) * seconds
    free = [0.0] * min(workers, counted)
    heapq.heapify(free)
    clock = 0.0
    for length in lengths:
        clock = max(clock + overhead, heapq.heappop(free))
        heapq.heappush(free, clock + length)
    return float(lengths.sum() / (max(free) * workers))


def main() -> None:
    """Measure, simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seconds", type=float, default=0.05, help="of all attacks on one sample, on one worker")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = measured(5 if arguments.quick else 50)
    print("chunk   bytes out   bytes back   ms pickling   ms committing")
    for chunk, row in found.items():
        print(
            f"{chunk:5} {row['task_bytes']:11,} {row['result_bytes']:12,} {1e3 * row['pickling_seconds']:13.2f} "
            f"{1e3 * row['commit_seconds']:15.2f}"
        )
    print("\nsamples  workers  chunk      tasks   efficiency   hours   GB moved   tasks a second")
    lines = []
    for samples in (10**4, 10**6, 10**9):
        for workers in (10, 100, 1000):
            for chunk in CHUNKS:
                tasks = -(-samples // chunk)
                row = found[chunk]
                overhead = max(1 / SCHEDULER, row["pickling_seconds"] + row["commit_seconds"])
                length = chunk * arguments.seconds
                efficiency = simulated(tasks, workers, length, overhead)
                hours = tasks * length / (workers * efficiency) / 3600
                moved = tasks * (row["task_bytes"] + row["result_bytes"]) + workers * row["shared_bytes"]
                lines.append([samples, workers, chunk, tasks, efficiency, hours, moved])
                print(
                    f"{samples:7.0e} {workers:8} {chunk:6} {tasks:10,} {efficiency:11.1%} {hours:8.2f} "
                    f"{moved / 1e9:10.1f} {tasks / max(hours * 3600, 1e-9):14.1f}"
                )
    if arguments.json:
        arguments.json.write_text(json.dumps({"measured": found, "simulated": lines}, indent=1))


if __name__ == "__main__":
    main()
