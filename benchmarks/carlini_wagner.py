"""Carlini and Wagner's L2 attack beside Foolbox's at equal steps: success, mean L2 and seconds.

Usage: python benchmarks/carlini_wagner.py MNIST_FOLDER --network NAME=FILE ... [--digits 100] [--constants 9]
       [--steps 1000] [--threads 2]
Networks are files of `Network.save`. Each library runs in a process of its own, with its defaults but for the steps.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from attack_peers import run_apart


def main() -> None:
    """Print a row a network and library."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="with MNIST's four IDX files")
    parser.add_argument("--network", nargs="+", required=True, metavar="NAME=FILE")
    parser.add_argument("--digits", type=int, default=100)
    parser.add_argument("--constants", type=int, default=9)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    options = {
        "advcore": {"search_steps": arguments.constants, "steps": arguments.steps},
        "foolbox": {"binary_search_steps": arguments.constants, "steps": arguments.steps},
    }
    print("| network | digits | by | success, % | mean L2 | nearer than the other, digits | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, file in (entry.split("=", 1) for entry in arguments.network):
        job: dict[str, Any] = {"attack": "carlini_wagner", "network": file, "folder": arguments.folder, "norm": "l2"}
        job |= {"digits": arguments.digits, "threads": arguments.threads, "seed": 0}
        answers = {side: run_apart(job | {"side": side, "options": given}) for side, given in options.items()}
        distances = {side: np.array(answer["distance"]) for side, answer in answers.items()}
        for side, other in (("advcore", "foolbox"), ("foolbox", "advcore")):
            own = distances[side]
            nearer = int((own < distances[other] * (1 - 1e-3)).sum())
            done = np.isfinite(own)
            row = f"{100 * done.mean():.1f} | {own[done].mean():.4f} | {nearer} | {answers[side]['seconds'][0]:.0f}"
            print(f"| {name} | {arguments.digits} | {side} | {row} |", flush=True)


if __name__ == "__main__":
    main()
