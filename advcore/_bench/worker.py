"""One participant in a process of its own: reads requests and writes replies, a line of JSON each.

Started as ``python -m advcore._bench.worker NAME``. The requests are

- ``{"prepare": CASE, "save": FILE}``: run the case once and save its result;
- ``{"prepare": CASE, "expect": FILE}``: run it once; the reply's ``error`` is the distance from the saved result and
  ``traffic`` the bytes of its arguments and results;
- ``{"measure": SECONDS}``: repeat the prepared call for that long; the reply's ``seconds`` is the time of one call;
- ``{"weigh": CASE}``: prepare it, drop what was drawn and run it some times; in the reply ``kept`` are the bytes
  that are held after that, ``peak`` the most that were held during the calls, both over what the process held before
  (which must have done nothing else);
- ``{"limits": true}``: measure what the machine can do; the reply has the fields of Limits.

A request that fails is answered by ``{"failure": TEXT}``. The process ends with its standard input.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from dataclasses import asdict
from typing import Any

import numpy as np

from advcore._bench import limits, memory
from advcore._bench.peers import PARTICIPANTS, Call
from advcore._cases import CASES, compare, root_mean_square

WEIGHED_CALLS = 3
REST = 0.02  # seconds before a reply: some libraries' threads spin for a while after a call, and another's turn is next


class Worker:
    """Holds one prepared call and times it."""

    def __init__(self, name: str) -> None:
        self._participant = PARTICIPANTS[name]
        self._cases = {case.name: case for case in CASES}
        self._call: Call | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what one request asks for."""
        if "prepare" in request:
            return self._prepare(request)
        if "weigh" in request:
            return self._weigh(request["weigh"])
        if "limits" in request:
            return asdict(limits.measure())
        return {"seconds": self._measure(request["measure"])}

    def _prepare(self, request: dict[str, Any]) -> dict[str, Any]:
        self._call = None  # frees the last case's arrays first
        case = self._cases[request["prepare"]]
        inputs = case.inputs(np.float32)
        self._call = self._participant.prepare(case, inputs)
        arrays = self._call.arrays(self._call.run())
        if "save" in request:
            np.savez(request["save"], *arrays)
            return {}
        with np.load(request["expect"]) as saved:
            expected = [saved[name] for name in saved.files]
        traffic = _bytes(list(inputs.values())) + _bytes(arrays)
        error = (root_mean_square if case.rms else compare)(arrays, expected[: len(arrays)])
        return {"error": error, "traffic": traffic}

    def _weigh(self, name: str) -> dict[str, int]:
        for package in self._participant.packages:
            importlib.import_module(package)
        before = memory.held()
        case = self._cases[name]
        call = self._participant.prepare(case, case.inputs(np.float32))
        memory.forget_peak()  # preparing it may have taken more
        for _ in range(WEIGHED_CALLS):
            call.run()
        memory.trim()
        return {"kept": memory.held() - before, "peak": memory.peak() - before}

    def _measure(self, at_least: float) -> float:
        assert self._call is not None
        run = self._call.run
        run()
        calls, elapsed = 1, 0.0
        while True:
            start = time.perf_counter()
            for _ in range(calls):
                run()
            elapsed = time.perf_counter() - start
            if elapsed >= at_least:
                return elapsed / calls
            calls = min(10 * calls, int(calls * 1.2 * at_least / max(elapsed, 1e-9)) + 1)


def _bytes(value: Any) -> int:
    """Add up the arrays in lists and tuples."""
    if isinstance(value, (list, tuple)):
        return sum(map(_bytes, value))
    return int(getattr(value, "nbytes", 0))


def main(name: str) -> None:
    """Answer requests until the standard input ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not be taken for a reply
    worker = Worker(name)
    for line in sys.stdin:
        try:
            reply = worker.answer(json.loads(line))
        except Exception as error:  # whatever a library raises is the harness's to report
            reply = {"failure": f"{type(error).__name__}: {error}"}
        time.sleep(REST)
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
