"""The harness's end of a worker process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from advcore._bench.limits import Limits
from advcore._bench.peers import Participant

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

PACKAGES = Path(__file__).parents[2]  # where this advcore is


class Remote:
    """One participant's process. Only one request is ever open, so only one process is busy."""

    def __init__(self, participant: Participant, threads: int) -> None:
        self.participant = participant
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  # closed on exit
        self._process = subprocess.Popen(
            [sys.executable, "-m", "advcore._bench.worker", participant.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=PACKAGES,  # -m looks in the current folder first: it must not be a source tree without kernels
            env=os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads)) | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )

        assert self._process.stdin
        assert self._process.stdout
        self._requests, self._replies = self._process.stdin, self._process.stdout

    def save_result(self, case: str, file: Path) -> None:
        """Run a case once and save its arrays."""
        self._ask({"prepare": case, "save": str(file)})

    def prepare(self, case: str, expected: Path) -> tuple[float, int]:
        """Prepare a case and run it once; return the distance from the saved result and the bytes of all arrays."""
        reply = self._ask({"prepare": case, "expect": str(expected)})
        return float(reply["error"]), int(reply["traffic"])

    def measure(self, seconds: float) -> float:
        """Repeat the prepared call for at least so long; return the seconds of one."""
        return float(self._ask({"measure": seconds})["seconds"])

    def weigh(self, case: str) -> tuple[int, int]:
        """Return the bytes that a case holds between calls and the most during them; the process must be fresh."""
        reply = self._ask({"weigh": case})
        return int(reply["kept"]), int(reply["peak"])

    def limits(self) -> Limits:
        """Measure what the machine can do with this process's threads."""
        return Limits(**self._ask({"limits": True}))

    def __enter__(self) -> Remote:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._process.kill()  # it may be in the middle of a long call
        with suppress(BrokenPipeError):  # it may have ended with a request unread
            self._requests.close()
        self._process.wait()
        self._replies.close()
        self._errors.close()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()
            line = self._replies.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._errors.seek(0)
            last = self._errors.read().strip().splitlines()[-1:]
            raise ChildProcessError(f"the process of {self.participant.name} ended during {request}: {''.join(last)}")
        reply: dict[str, Any] = json.loads(line)
        if "failure" in reply:
            raise ChildProcessError(f"{self.participant.name} failed at {request}: {reply['failure']}")
        return reply
