"""What the machine can do at most, measured: arithmetic and memory, which bound every operation."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from advcore import _core
from advcore._check import Array

ROUNDS = 7
STEPS = 200_000
STREAM = 1 << 24  # elements of each array: beyond every cache


@dataclass(frozen=True)
class Limits:
    """The best of some rounds, for the number of threads that is set.

    ``flops`` is in operations a second (float32, fused multiply-adds from registers); ``bandwidth`` in bytes a second:
    STREAM's triad, which reads two arrays and writes a third, in place.
    """

    flops: float
    bandwidth: float

    def seconds(self, flops: int | None, traffic: int) -> float:
        """Return the least time for so many operations and bytes that each move once."""
        return max((flops or 0) / self.flops, traffic / self.bandwidth)

    def bound(self, flops: int | None, traffic: int) -> str:
        """Return what decides that time."""
        return "arithmetic" if (flops or 0) / self.flops > traffic / self.bandwidth else "memory"


def measure() -> Limits:
    """Measure both."""
    results = np.zeros(4 * _core.get_num_threads(), np.float32)
    a, b, out = (np.ones(STREAM, np.float32) for _ in range(3))
    return Limits(
        flops=max(_rate(lambda: _core.fma_loop(results, STEPS)) for _ in range(ROUNDS)),
        bandwidth=max(_rate(lambda: _stream(out, a, b)) for _ in range(ROUNDS)),
    )


def _rate(work: Callable[[], int]) -> float:
    start = time.perf_counter()
    return work() / (time.perf_counter() - start)


def _stream(out: Array, a: Array, b: Array) -> int:
    _core.triad(out, a, b, 3.0)
    return out.nbytes + a.nbytes + b.nbytes
