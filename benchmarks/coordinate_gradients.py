"""Times behind docs/coordinate_gradients.md: coordinate gradients against batches of full passes elsewhere.

Usage: python benchmarks/coordinate_gradients.py [--quick] [--threads 2] [--rounds 7] [--cpu]

Every library runs in a process of its own with as many threads, one at a time, in turn (A B C A B C ...). Before
anything is timed, logits of moved inputs must agree, and advcore's float32 gradient with whole passes in float64.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

H = 1e-4
LIBRARIES = ("advcore", "onnxruntime", "torch")


class Work(NamedTuple):
    """Coordinates of one input of a model; ``batch``: of the peers' full passes; ``flat``: a digit's background."""

    model: str
    shape: tuple[int, ...]
    coordinates: int
    batch: int
    flat: bool = False
    hidden: int = 0  # units, of recurrent models


WORKS = {
    "one ZOO step on carlini_mnist": Work("carlini_mnist", (1, 28, 28), 128, 257),
    "the same, flat background": Work("carlini_mnist", (1, 28, 28), 128, 257, flat=True),
    "all of carlini_mnist": Work("carlini_mnist", (1, 28, 28), 784, 257),
    "all of carlini_cifar": Work("carlini_cifar", (3, 32, 32), 3072, 257),
    "128 of lstm_classifier, 128 units": Work("lstm_classifier", (1, 28, 28), 128, 257, hidden=128),
    "all of lstm_classifier, 128 units": Work("lstm_classifier", (1, 28, 28), 784, 257, hidden=128),
    "128 of gru_classifier, 128 units": Work("gru_classifier", (1, 28, 28), 128, 257, hidden=128),
    "all of gru_classifier, 128 units": Work("gru_classifier", (1, 28, 28), 784, 257, hidden=128),
    "1024 of resnet18, 224 x 224": Work("resnet18", (3, 224, 224), 1024, 16),
}


def model_of(work: Work) -> Any:
    """Return a network whose ReLUs are on and off as in a trained one: biases are drawn, not zero."""
    from advcore import models

    options = {"hidden_size": work.hidden} if work.hidden else {}
    return getattr(models, work.model)(seed=0, **options)


def input_of(work: Work) -> np.ndarray:
    """Return one input."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, work.shape).astype(np.float32)
    if work.flat:
        digit = np.zeros_like(x)
        digit[:, 6:22, 9:19] = x[:, 6:22, 9:19]
        return digit
    return x


def coordinates_of(work: Work) -> np.ndarray:
    """Return which numbers of the input are moved."""
    return np.random.default_rng(1).permutation(int(np.prod(work.shape)))[: work.coordinates].astype(np.int64)


class Ours:
    """All values around an input, by propagating differences. Seconds are those of one value."""

    def __init__(self, work: Work) -> None:
        from advcore.nn._coordinates import CoordinateProbe

        self.probe = CoordinateProbe(model_of(work))
        self.x, self.coordinates = input_of(work)[None], coordinates_of(work)[None]
        self.evaluations = 2 * work.coordinates + 1

    def logits(self) -> np.ndarray:
        """Return the logits of a few moved inputs."""
        return self.probe.values(self.x, self.coordinates[:, :8], H).plus[0]

    def run(self) -> Any:
        """Evaluate everything once."""
        return self.probe.values(self.x, self.coordinates, H)


class Peer:
    """Full passes of a batch."""

    def __init__(self, work: Work, library: str, threads: int) -> None:
        self.x = np.repeat(input_of(work)[None], work.batch, axis=0)
        flat = self.x.reshape(work.batch, -1)
        rows = np.arange(work.batch)
        at = np.resize(coordinates_of(work), work.batch)
        flat[rows, at] += np.float32(H)
        self.evaluations = work.batch
        network = model_of(work)
        if library == "torch":
            import torch

            torch.set_num_threads(threads)
            module, batch = network.to_torch(), torch.from_numpy(self.x)

            def ask() -> np.ndarray:
                with torch.inference_mode():
                    return np.asarray(module(batch).numpy())
        else:
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            with tempfile.TemporaryDirectory() as folder:
                network.to_onnx(Path(folder) / "model.onnx", work.shape)
                session = onnxruntime.InferenceSession(
                    str(Path(folder) / "model.onnx"), options, providers=["CPUExecutionProvider"]
                )
            name = session.get_inputs()[0].name

            def ask() -> np.ndarray:
                return np.asarray(session.run(None, {name: self.x})[0])

        self.run = ask

    def logits(self) -> np.ndarray:
        """Return the logits of a few moved inputs."""
        return np.asarray(self.run()[:8], np.float64)


def worker(library: str, threads: int) -> None:
    """Answer requests, a line of JSON each, until the standard input ends."""
    import advcore

    advcore.set_num_threads(threads)
    prepared: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        if "prepare" in request:
            work = WORKS[request["prepare"]]
            prepared = Ours(work) if library == "advcore" else Peer(work, library, threads)
            prepared.run()
            reply: dict[str, Any] = {"logits": prepared.logits().tolist()}
        elif "cosine" in request:
            reply = {"cosine": cosine(prepared)}
        else:
            clock = time.process_time if request["cpu"] else time.perf_counter
            times = []
            start = clock()
            while not times or clock() - start < request["measure"]:
                before = clock()
                prepared.run()
                times.append(clock() - before)
            reply = {"seconds": min(times) / prepared.evaluations}
            time.sleep(0.02)  # waiting threads of a library spin for a while, and another's turn is next
        print(json.dumps(reply), flush=True)


def cosine(ours: Ours) -> float:
    """Return that of the float32 gradient and the one by whole passes in float64, of some coordinates."""
    from advcore._perturb import Perturbed

    some = ours.coordinates[:, :64]
    values = ours.probe.values(ours.x, some, H)
    whole = ours.probe._whole(ours.x, Perturbed(ours.x, some, H, keep=True), some.shape[1])
    a, b = ((v.plus - v.minus)[0, :, 0] - (v.plus - v.minus)[0, :, 1] for v in (values, whole))
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def main() -> None:
    """Compare the libraries and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small works only")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.2, help="of each turn")
    parser.add_argument("--cpu", action="store_true", help="processor time in place of time: for a busy machine")
    parser.add_argument("--only", default="", help="works whose name contains this")
    parser.add_argument("--worker", choices=LIBRARIES)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.threads)
        return
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(options.threads))
    processes = {
        library: subprocess.Popen(
            [sys.executable, __file__, "--worker", library, "--threads", str(options.threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | threads,
        )
        for library in LIBRARIES
    }

    def ask(library: str, **request: Any) -> dict[str, Any]:
        process = processes[library]
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        reply: dict[str, Any] = json.loads(process.stdout.readline())
        return reply

    print("| work | microseconds a value | against onnxruntime | against torch | cosine |")
    print("| --- | --- | --- | --- | --- |")
    for name, work in WORKS.items():
        if options.only not in name or (options.quick and work.coordinates > 200):
            continue
        logits = {library: np.array(ask(library, prepare=name)["logits"]) for library in LIBRARIES}
        for library in LIBRARIES[1:]:
            np.testing.assert_allclose(logits[library], logits["advcore"], rtol=1e-3, atol=1e-4, err_msg=library)
        close = ask("advcore", cosine=True)["cosine"]
        assert close >= 0.99999, f"{name}: cosine {close}"
        rounds = [
            {library: ask(library, measure=options.seconds, cpu=options.cpu)["seconds"] for library in LIBRARIES}
            for _ in range(3 if options.quick else options.rounds)
        ]
        ratios = [median(turn[library] / turn["advcore"] for turn in rounds) for library in LIBRARIES[1:]]
        ours = min(turn["advcore"] for turn in rounds)
        print(f"| {name} | {1e6 * ours:.1f} | {ratios[0]:.1f}x | {ratios[1]:.1f}x | {close:.8f} |", flush=True)
    for process in processes.values():
        assert process.stdin
        process.stdin.close()
        process.wait()


if __name__ == "__main__":
    main()
