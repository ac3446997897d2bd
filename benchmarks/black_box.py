"""Black-box attacks beside Foolbox's and ART's at equal queries: the tables of docs/black_box.md.

Usage: python benchmarks/black_box.py MNIST_FOLDER --network FILE [--quick] [--only NAME] [--digits N] [--queries Q ...]

The peers run in processes of their own and are asked for nothing but their attack: a counter in front of the network
books each row, notes the nearest wrong input that a peer ever asked about, and ends the attack when the queries are
used up. Packages that are missing are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import attacks, data, nn

SIMBA_STEP = 0.2


class Spent(Exception):  # noqa: N818 - the end, not an error
    """The queries are used up."""


class Counter:
    """A network that books queries a sample and keeps the nearest wrong input at each mark.

    ``owners`` says which samples the rows of the next call belong to.
    """

    def __init__(self, network: nn.Network, x: NDArray[np.float32], y: NDArray[np.int64], marks: list[int]) -> None:
        self.network, self.x, self.y, self.marks = network, x, y, marks
        self.queries = np.zeros(len(x), np.int64)
        self.nearest = np.full((len(marks), len(x)), np.inf)

    def __call__(self, rows: NDArray[np.float32], owners: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the logits of the rows."""
        logits = self.network.logits(np.ascontiguousarray(rows, np.float32))
        self.queries[owners] += 1
        distance = np.linalg.norm((rows - self.x[owners]).reshape(len(rows), -1).astype(np.float64), axis=1)
        distance[logits.argmax(axis=1) == self.y[owners]] = np.inf
        for mark, nearest in zip(self.marks, self.nearest, strict=True):
            within = self.queries[owners] <= mark
            nearest[owners[within]] = np.minimum(nearest[owners[within]], distance[within])
        return np.asarray(logits)


def ours(name: str, **more: Any) -> Callable[..., NDArray[np.float64]]:
    """Return a runner of our attack, once for each number of queries; distances are those that were verified."""

    def runner(
        network: nn.Network, x: NDArray[np.float32], y: NDArray[np.int64], marks: list[int]
    ) -> NDArray[np.float64]:
        found = []
        for mark in marks:
            result = getattr(attacks, name)(network, x, y, max_queries=mark, **more)
            assert result.queries.max() <= mark
            found.append(np.where(result.success, result.distances["l2"], np.inf))
        return np.array(found)

    return runner


def foolbox(name: str) -> Callable[..., NDArray[np.float64]]:
    """Return a runner of Foolbox's attack, which asks one question about every sample at a time."""

    def runner(
        network: nn.Network, x: NDArray[np.float32], y: NDArray[np.int64], marks: list[int]
    ) -> NDArray[np.float64]:
        import foolbox
        import torch

        counter = Counter(network, x, y, marks)
        torch.manual_seed(0)

        class Model(torch.nn.Module):
            def forward(self, rows: Any) -> Any:
                if counter.queries[0] >= marks[-1]:
                    raise Spent
                return torch.from_numpy(counter(rows.numpy(), np.arange(len(x))))

        model = foolbox.PyTorchModel(Model().eval(), bounds=(0, 1), device="cpu")
        attack = getattr(foolbox.attacks, name)(steps=100_000)
        with contextlib.suppress(Spent):
            attack.run(model, torch.from_numpy(x), foolbox.criteria.Misclassification(torch.from_numpy(y)))
        return counter.nearest

    return runner


def art_simba(basis: str) -> Callable[..., NDArray[np.float64]]:
    """Return a runner of ART's SimBA, which attacks one sample after the other."""

    def runner(
        network: nn.Network, x: NDArray[np.float32], y: NDArray[np.int64], marks: list[int]
    ) -> NDArray[np.float64]:
        from art.attacks.evasion import SimBA
        from art.estimators.classification import BlackBoxClassifierNeuralNetwork

        counter = Counter(network, x, y, marks)
        np.random.seed(0)  # noqa: NPY002 - ART's order comes from the global state
        for sample in range(len(x)):

            def probabilities(rows: NDArray[np.float32], sample: int = sample) -> NDArray[np.float64]:
                logits = counter(rows, np.full(len(rows), sample)).astype(np.float64)
                shares = np.exp(logits - logits.max(axis=1, keepdims=True))
                return np.asarray(shares / shares.sum(axis=1, keepdims=True))

            classifier = BlackBoxClassifierNeuralNetwork(
                probabilities, x.shape[1:], 10, channels_first=True, clip_values=(0, 1)
            )
            attack = SimBA(
                classifier, attack=basis, epsilon=SIMBA_STEP, max_iter=(marks[-1] - 1) // 2, freq_dim=4, verbose=False
            )
            attack.generate(x[sample : sample + 1].copy(), np.eye(10)[y[sample : sample + 1]])
        return counter.nearest

    return runner


ROWS: dict[str, dict[str, Callable[..., NDArray[np.float64]]]] = {
    "hop_skip_jump": {"advcore": ours("hop_skip_jump", steps=10_000), "Foolbox": foolbox("HopSkipJumpAttack")},
    "boundary": {"advcore": ours("boundary", steps=1_000_000), "Foolbox": foolbox("BoundaryAttack")},
    "simba pixel": {"advcore": ours("simba", step_size=SIMBA_STEP), "ART": art_simba("px")},
    "simba dct": {"advcore": ours("simba", step_size=SIMBA_STEP, basis="dct"), "ART": art_simba("dct")},
}


def digits(folder: str, network: nn.Network, count: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the first test digits that the network gets right."""
    mnist = data.idx(folder)
    x, y = mnist.x_test[: 2 * count + 20], mnist.y_test[: 2 * count + 20]
    right = np.flatnonzero(network.predict(x) == y)[:count]
    return x[right], y[right].astype(np.int64)


def main() -> None:
    """Measure every pair in processes of their own and print the table, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--network", required=True)
    parser.add_argument("--digits", type=int, default=100)
    parser.add_argument("--queries", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--only", nargs="+", choices=tuple(ROWS), default=tuple(ROWS))
    parser.add_argument("--quick", action="store_true", help="10 digits, 300 queries")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    count, marks = (10, [300]) if given.quick else (given.digits, sorted(given.queries))
    if given.one:
        network = nn.Network.load(given.network)
        x, y = digits(given.folder, network, count)
        start = time.perf_counter()
        found = ROWS[given.one[0]][given.one[1]](network, x, y, marks)
        print(json.dumps({"seconds": time.perf_counter() - start, "l2": found.tolist()}))
        return
    print(f"{count} digits, {given.network}\n")
    print("| attack | by | queries | success | median L2 | mean L2 of successes | seconds, all together |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for attack in given.only:
        for by in ROWS[attack]:
            command = [sys.executable, __file__, given.folder, "--network", given.network, "--one", attack, by]
            command += ["--quick"] if given.quick else ["--digits", str(count), "--queries", *map(str, marks)]
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
            if ended.returncode:
                print(f"| {attack} | {by} | | {ended.stderr.strip().splitlines()[-1]} | | | |", flush=True)
                continue
            answer = json.loads(ended.stdout.splitlines()[-1])
            for mark, l2 in zip(marks, np.array(answer["l2"]), strict=True):
                broken = l2[np.isfinite(l2)]
                mean = f"{broken.mean():.3f}" if len(broken) else ""
                print(
                    f"| {attack} | {by} | {mark} | {np.isfinite(l2).mean():.0%} | {np.median(l2):.3f} | {mean} | "
                    f"{answer['seconds']:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
