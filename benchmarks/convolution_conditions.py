"""Convolutions under other conditions than the published layers: odd shapes, more work around them, double precision.

Usage: python benchmarks/convolution_conditions.py [--seconds 0.3] [--quick]
Prints two tables. Everything is timed in turn in one process, each result after it agrees with PyTorch in float64.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

import advcore
from advcore import ops

Call = Callable[[], Any]


@dataclass(frozen=True)
class Layer:
    """A convolution: channels, plane, filters, taps, and how they move. The padding keeps the plane's size."""

    channels: int = 64
    plane: tuple[int, int] = (56, 56)
    filters: int = 64
    taps: tuple[int, int] = (3, 3)
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    samples: int = 8

    def arrays(self, dtype: Any = np.float32) -> tuple[Any, Any, Any]:
        """Return random input and weight, and how they are convolved."""
        rng = np.random.default_rng(0)
        x = rng.standard_normal((self.samples, self.channels, *self.plane)).astype(dtype)
        weight = rng.standard_normal((self.filters, self.channels // self.groups, *self.taps)).astype(dtype)
        padding = tuple((tap - 1) * self.dilation // 2 for tap in self.taps)
        return x, weight, {"stride": self.stride, "padding": padding, "dilation": self.dilation, "groups": self.groups}


ROUND = Layer()
DIRECT = replace(ROUND, taps=(5, 5), dilation=2)  # no transform serves it: what odd kernels and strides compare with
# Odd layers, each beside a round one: time a multiplication over the round one's.
ODD = {
    "1 channel": (replace(ROUND, channels=1), replace(ROUND, channels=4)),
    "3 channels": (replace(ROUND, channels=3), replace(ROUND, channels=4)),
    "17 channels": (replace(ROUND, channels=17), replace(ROUND, channels=16)),
    "33 channels": (replace(ROUND, channels=33), replace(ROUND, channels=32)),
    "1 filter": (replace(ROUND, filters=1), replace(ROUND, filters=4)),
    "3 filters": (replace(ROUND, filters=3), replace(ROUND, filters=4)),
    "17 filters": (replace(ROUND, filters=17), replace(ROUND, filters=16)),
    "33 filters": (replace(ROUND, filters=33), replace(ROUND, filters=32)),
    "7 x 31": (replace(ROUND, plane=(7, 31)), replace(ROUND, plane=(8, 32))),
    "31 x 57": (replace(ROUND, plane=(31, 57)), replace(ROUND, plane=(32, 56))),
    "57 x 7": (replace(ROUND, plane=(57, 7)), replace(ROUND, plane=(56, 8))),
    "1 x 7 taps": (replace(ROUND, taps=(1, 7)), DIRECT),
    "7 x 1 taps": (replace(ROUND, taps=(7, 1)), DIRECT),
    "5 x 5 taps": (replace(ROUND, taps=(5, 5)), DIRECT),
    "stride 2": (replace(ROUND, stride=2), DIRECT),
    "stride 3": (replace(ROUND, stride=3), DIRECT),
    "dilation 2": (replace(ROUND, dilation=2), DIRECT),
    "2 groups": (replace(ROUND, groups=2), replace(ROUND, channels=32, filters=32)),
    "4 groups": (replace(ROUND, groups=4), replace(ROUND, channels=16, filters=16)),
    "depthwise": (replace(ROUND, groups=64), None),
    "depthwise, stride 2": (replace(ROUND, groups=64, stride=2), None),
    "depthwise, 5 x 5": (replace(ROUND, groups=64, taps=(5, 5)), None),
    "depthwise, 7 x 7 planes": (replace(ROUND, channels=512, filters=512, groups=512, plane=(7, 7)), None),
}
LAYERS = {
    "3x3, 64 to 64 at 56": ROUND,
    "3x3 stride 2, 128 to 128 at 56": replace(ROUND, channels=128, filters=128, stride=2),
    "5x5, 64 to 192 at 27": replace(ROUND, plane=(27, 27), filters=192, taps=(5, 5)),
    "1x1, 512 to 128 at 28": replace(ROUND, channels=512, plane=(28, 28), filters=128, taps=(1, 1)),
    "3x3, 3 to 64 at 112": replace(ROUND, channels=3, plane=(112, 112)),
}


def medians(seconds: float, *calls: Call) -> list[float]:
    """Return the median seconds of each call, timed in turn."""
    for call in calls:
        call()
    taken: list[list[float]] = [[] for _ in calls]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken[0]) < 3:
        for call, times in zip(calls, taken, strict=True):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in taken]


def ours(layer: Layer, dtype: Any = np.float32, **more: Any) -> Call:
    """Return a call of advcore, after its result was compared."""
    x, weight, options = layer.arrays(dtype)
    out = ops.conv2d(x, weight, **options)
    expected = torch.nn.functional.conv2d(torch.from_numpy(x).double(), torch.from_numpy(weight).double(), **options)
    difference = np.linalg.norm(out - expected.numpy()) / np.linalg.norm(expected.numpy())
    if not difference < 1e-5:
        raise ArithmeticError(f"{layer} is off by {difference:.2g}")
    return lambda: ops.conv2d(x, weight, **options, **more, out=out)


def theirs(layer: Layer, dtype: Any = np.float32, memory_format: Any = torch.contiguous_format) -> Call:
    """Return a call of PyTorch."""
    x, weight, options = layer.arrays(dtype)
    given = [torch.from_numpy(array).contiguous(memory_format=memory_format) for array in (x, weight)]
    return lambda: torch.nn.functional.conv2d(*given, **options)


def odd_shapes(seconds: float) -> None:
    """Print how fast odd layers are beside round ones and beside PyTorch's faster layout."""
    print("| layer | GFLOP/s | time a multiplication, over a round layer's | torch's faster layout |")
    print("| --- | ---: | ---: | ---: |")
    for name, (odd, even) in ODD.items():
        calls = [ours(odd), theirs(odd), theirs(odd, memory_format=torch.channels_last)]
        mine, plain, last, *round_one = medians(seconds, *calls, *([ours(even)] if even else []))
        rate = work(odd) / mine
        beside = f"{work(even) / round_one[0] / rate:.2f}" if even else ""
        print(f"| {name} | {rate / 1e9:.1f} | {beside} | {min(plain, last) / mine:.2f} |", flush=True)


def work(layer: Layer) -> int:
    """Return the textbook's number of operations."""
    rows, columns = (-(-size // layer.stride) for size in layer.plane)
    taps = layer.taps[0] * layer.taps[1] * (layer.channels // layer.groups)
    return 2 * layer.samples * layer.filters * rows * columns * taps


def conditions(seconds: float) -> None:
    """Print what bias and activations cost, milliseconds a sample by batch, threads, and double precision."""
    print(
        "\n| layer | bias and ReLU | bias and GELU | ms a sample: 1, 8, 64 | second thread | float64: torch |"
        "\n| --- | ---: | ---: | --- | ---: | ---: |"
    )

    def with_threads(threads: int, call: Call) -> Call:
        def run() -> None:
            advcore.set_num_threads(threads)
            call()

        return run

    for name, layer in LAYERS.items():
        bias = np.ones(layer.filters, np.float32)
        plain = ours(layer)
        bare, relu, gelu = medians(
            seconds, plain, ours(layer, bias=bias, activation="relu"), ours(layer, bias=bias, activation="gelu")
        )
        batches = [medians(seconds, ours(replace(layer, samples=samples)))[0] / samples for samples in (1, 8, 64)]
        one, two = medians(2 * seconds, with_threads(1, plain), with_threads(2, plain))
        advcore.set_num_threads(1)
        double, torch_double = medians(seconds, ours(layer, np.float64), theirs(layer, np.float64))
        a_sample = ", ".join(f"{1e3 * batch:.3g}" for batch in batches)
        print(
            f"| {name} | {relu / bare - 1:+.0%} | {gelu / bare - 1:+.0%} | {a_sample} | {one / two:.2f} |"
            f" {torch_double / double:.2f} |",
            flush=True,
        )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.3, help="for each timing")
    parser.add_argument("--quick", action="store_true", help="three calls of each: a glance")
    arguments = parser.parse_args()
    seconds = 0.0 if arguments.quick else arguments.seconds
    advcore.set_num_threads(1)
    torch.set_num_threads(1)
    odd_shapes(seconds)
    conditions(seconds)


if __name__ == "__main__":
    main()
