"""ZOO on MNIST beside the Carlini-Wagner attack: success, L2, queries and seconds a digit.

Usage: python benchmarks/zoo.py NETWORK FOLDER [--digits N] [--targets N] [--only ROW ...], a network that Network.save
wrote and the folder with MNIST's four IDX files. Prints a table in Markdown; --curve FILE.png draws L2 against seconds.
The row "callable" asks onnxruntime through a plain Python function, and says how much of the time was not the
function's. The whole table, with --digits 100, takes hours. Needs `pip install ".[bench]"`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from advcore import attacks, data, get_num_threads, nn

ROWS = ("carlini_wagner", "paper", "fast", "targeted", "callable")
BETWEEN = ((50, 1), (100, 1), (100, 3), (600, 3), (1000, 5))  # steps and constants of the curve besides the presets


class Session:
    """onnxruntime behind a function, with the time spent in it."""

    def __init__(self, network: nn.Network, shape: tuple[int, ...]) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = get_num_threads()
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "network.onnx"
            network.to_onnx(file, shape)
            self.session = onnxruntime.InferenceSession(file.read_bytes(), options)
        self.name, self.seconds = self.session.get_inputs()[0].name, 0.0

    def __call__(self, x: Any) -> Any:
        """Return the logits."""
        start = time.perf_counter()
        logits = self.session.run(None, {self.name: x})[0]
        self.seconds += time.perf_counter() - start
        return logits


def line(name: str, result: attacks.AttackResult, note: str = "") -> str:
    """Return a row of the table."""
    count, done = len(result.success), result.success
    return (
        f"| {name} | {count} | {100 * done.mean():.1f} | {result.distances['l2'][done].mean():.4f} | "
        f"{result.queries.mean():,.0f} | {result.seconds / count:.2f} | {note} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network")
    parser.add_argument("folder")
    parser.add_argument("--digits", type=int, default=100)
    parser.add_argument("--targets", type=int, default=10, help="digits that are attacked towards all nine others")
    parser.add_argument("--few", type=int, default=4, help='digits of the row "callable"')
    parser.add_argument("--only", nargs="+", choices=ROWS, default=ROWS)
    parser.add_argument("--curve", type=Path, help="a picture of L2 against seconds")
    chosen = parser.parse_args()
    network, mnist = nn.Network.load(chosen.network), data.idx(chosen.folder)
    right = np.flatnonzero(network.predict(mnist.x_test) == mnist.y_test)[: chosen.digits]
    x, y = mnist.x_test[right], mnist.y_test[right].astype(np.int64)

    print(f"{get_num_threads()} threads\n")
    print("| attack | digits | success, % | mean L2 | queries a digit | seconds a digit | |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    curve: list[tuple[str, float, float]] = []

    def row(name: str, result: attacks.AttackResult, note: str = "") -> None:
        print(line(name, result, note), flush=True)
        share, length = result.success.mean(), float(result.distances["l2"][result.success].mean())
        curve.append((f"{name}: {share:.0%}", result.seconds / len(result.success), length))

    if "carlini_wagner" in chosen.only:
        row("carlini_wagner, 9 x 1000", attacks.carlini_wagner(network, x, y, steps=1000))
    if "paper" in chosen.only:
        result = attacks.zoo(network, x, y)
        row("zoo, preset paper", result, f"simulated; one gradient takes {1e3 * (result.vjp_seconds or 0):.2f} ms")
    if "fast" in chosen.only:
        row("zoo, preset fast", attacks.zoo(network, x, y, preset="fast"), "simulated")
    if "targeted" in chosen.only:
        first = slice(0, min(chosen.targets, len(x)))
        others = np.array([[t for t in range(10) if t != label] for label in y[first]])
        nine, labels = np.repeat(x[first], 9, axis=0), np.repeat(y[first], 9)
        arguments: dict[str, Any] = {"targets": others.ravel()}
        row("carlini_wagner, targeted", attacks.carlini_wagner(network, nine, labels, steps=1000, **arguments))
        row("zoo, targeted", attacks.zoo(network, nine, labels, **arguments), "simulated")
    if "callable" in chosen.only:
        session = Session(network, x.shape[1:])
        few = slice(0, chosen.few)
        result = attacks.zoo(session, x[few], y[few], preset="fast", output="logits", randomised=False)
        share = 100 * (result.seconds / session.seconds - 1)
        row("zoo fast, onnxruntime as a function", result, f"{share:.1f}% beyond the function's time")
    if chosen.curve is not None:
        for steps, constants in BETWEEN:
            result = attacks.zoo(network, x, y, preset="fast", steps=steps, search_steps=constants)
            row(f"zoo, preset fast, {constants} x {steps} steps", result, "simulated")
        draw(curve, chosen.curve)


def draw(curve: list[tuple[str, float, float]], file: Path) -> None:
    """Draw mean L2 against seconds a digit, the settings of zoo joined by a line."""
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5))
    joined = sorted((seconds, l2) for name, seconds, l2 in curve if name.startswith("zoo"))
    axes.plot(*zip(*joined, strict=True), color="0.7", zorder=0)
    for name, seconds, l2 in curve:
        axes.plot(seconds, l2, "o")
        axes.annotate(name, (seconds, l2), textcoords="offset points", xytext=(6, 6), fontsize=8)
    axes.set(xscale="log", xlabel="seconds a digit", ylabel="mean L2 of the successes (their share beside the name)")
    axes.set_xlim(right=8 * max(seconds for _, seconds, _ in curve))  # room for the last name
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    figure.savefig(file, dpi=120, bbox_inches="tight")


if __name__ == "__main__":
    main()
