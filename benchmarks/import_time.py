"""Seconds of `advcore.from_torch` for ResNet-50 beside torch.fx's tracing of the same module, in turn.

Usage: python benchmarks/import_time.py [--rounds 3] [--quick]
The import traces the module too, copies the parameters, and compares the logits of both: the difference is its own.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any


def seconds(call: Callable[[], Any]) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    """Time both and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="ResNet-18 on small images, once")
    arguments = parser.parse_args()
    import torch

    import advcore
    from advcore import models

    shape = (3, 32, 32) if arguments.quick else (3, 224, 224)
    name = "resnet18" if arguments.quick else "resnet50"
    module: Any = getattr(models, name)(shape, 10 if arguments.quick else 1000).to_torch()
    rounds = [
        (seconds(lambda: torch.fx.symbolic_trace(module)), seconds(lambda: advcore.from_torch(module, shape)))
        for _ in range(1 if arguments.quick else arguments.rounds)
    ]
    tracing, whole = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"{name}: tracing {tracing:.2f} s, import {whole:.2f} s, beyond tracing {whole - tracing:.2f} s")


if __name__ == "__main__":
    main()
