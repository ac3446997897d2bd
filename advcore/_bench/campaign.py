"""Which cases are timed against whom, and how."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from advcore._bench.flops import flops
from advcore._bench.limits import Limits
from advcore._bench.memory import SUPPORTED
from advcore._bench.peers import OURS, PEERS, YARDSTICK, Participant
from advcore._bench.remote import Remote
from advcore._cases import FAMILIES, Case, tolerance

PEER_TOLERANCE = 1e-3  # peers may add in other orders or expand squares; a different computation is further away


@dataclass(frozen=True)
class Settings:
    """How long and how often: the median of ``rounds`` measurements of at least ``seconds`` each."""

    rounds: int = 7
    seconds: float = 0.1


@dataclass(frozen=True)
class Timing:
    """One case at one number of threads: seconds of a call, a round, for every participant."""

    family: str
    case: str
    operation: str
    threads: int
    flops: int | None
    traffic: int  # bytes of the arguments and results: what must move through memory at least once
    limits: Limits
    seconds: dict[str, list[float]]
    errors: dict[str, float] = field(default_factory=dict)
    memory: dict[str, tuple[int, int]] = field(
        default_factory=dict
    )  # bytes between calls and at most, of weighed cases

    def median(self, participant: str) -> float:
        """Return the median seconds of a call."""
        return statistics.median(self.seconds[participant])

    def ratio(self, peer: str) -> float:
        """Return how many times longer the peer takes: the median over rounds, each of which timed both."""
        pairs = zip(self.seconds[peer], self.seconds[OURS.name], strict=True)
        return statistics.median(theirs / ours for theirs, ours in pairs)

    @property
    def share(self) -> float:
        """Return the share of the limit: the least time for so much arithmetic and memory, over advcore's."""
        return self.limits.seconds(self.flops, self.traffic) / self.median(OURS.name)

    @property
    def peers(self) -> list[str]:
        """Everyone but advcore."""
        return [name for name in self.seconds if name != OURS.name]


class Campaign:
    """The timings of some families; iterate over ``run()``."""

    def __init__(self, families: Sequence[str], threads: Sequence[int], settings: Settings, only: str = "") -> None:
        if YARDSTICK.missing:
            raise ImportError("advcore bench needs PyTorch, its yardstick: pip install 'advcore[bench]'")
        for name in families:
            if name not in FAMILIES:
                raise ValueError(f"family must be one of {', '.join(FAMILIES)}, got {name!r}")
        self.settings = settings
        self.threads = list(threads)
        self.cases = [
            (family, case)
            for family in families or FAMILIES
            for case in FAMILIES[family]
            if case.bench and only in case.name
        ]
        if not self.cases:
            raise ValueError(f"no timed case of {', '.join(families or FAMILIES)} has {only!r} in its name")
        operations = {case.op for _, case in self.cases}
        takes_part = [peer for peer in PEERS if peer.operations & operations]
        self.peers = [peer for peer in takes_part if not peer.missing]
        self.missing = {peer.name: peer.missing for peer in takes_part if peer.missing}

    def __len__(self) -> int:
        return len(self.cases) * len(self.threads)

    def run(self) -> Iterator[Timing]:
        """Time every case; each participant's process lives as long as the number of threads."""
        for threads in self.threads:
            with ExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="advcore-bench-")))
                yardstick = stack.enter_context(Remote(YARDSTICK, threads))
                ours = stack.enter_context(Remote(OURS, threads))
                peers = [stack.enter_context(Remote(peer, threads)) for peer in self.peers]
                limits = ours.limits()
                for family, case in self.cases:
                    expected = folder / "expected.npz"
                    yardstick.save_result(case.name, expected)
                    able = [peer for peer in peers if case.op in peer.participant.operations]
                    prepared = {r.participant.name: r.prepare(case.name, expected) for r in (ours, *able)}
                    errors = {name: error for name, (error, _) in prepared.items()}
                    _agree(case, errors)
                    traffic = prepared[OURS.name][1]
                    seconds = self._time([ours, *able])
                    memory = _weigh(case, [r.participant for r in (ours, *able)], threads)
                    of_case = (family, case.name, case.op, threads, flops(case), traffic, limits)
                    yield Timing(*of_case, seconds, errors, memory)

    def _time(self, remotes: list[Remote]) -> dict[str, list[float]]:
        rounds = [
            [remote.measure(self.settings.seconds) for remote in remotes]  # A B C, A B C, ...
            for _ in range(self.settings.rounds)
        ]
        return {
            remote.participant.name: list(times)
            for remote, times in zip(remotes, zip(*rounds, strict=True), strict=True)
        }


def _weigh(case: Case, participants: Sequence[Participant], threads: int) -> dict[str, tuple[int, int]]:
    """Run a weighed case once more, each participant in a process that has done nothing else."""
    memory = {}
    for participant in participants if case.weighed and SUPPORTED else ():
        with Remote(participant, threads) as fresh:
            memory[participant.name] = fresh.weigh(case.name)
    return memory


def _agree(case: Case, errors: dict[str, float]) -> None:
    for name, error in errors.items():
        allowed = case.rms or (tolerance(np.float32, case.terms) if name == OURS.name else PEER_TOLERANCE)
        if not error <= allowed:
            raise ArithmeticError(f"{name} disagrees with float64 on {case.name}: {error:.2g}, allowed {allowed:.2g}")
