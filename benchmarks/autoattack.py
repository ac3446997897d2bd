"""AutoAttack beside torchattacks' components at equal steps: robust accuracy and seconds.

Usage: python benchmarks/autoattack.py MNIST_FOLDER --network NAME=FILE ... [--eps .1 .2 .3] [--digits 1000]
       [--steps 100] [--queries 5000] [--threads 2]
Networks are files of `Network.save`. APGD on cross-entropy, targeted APGD and FAB over nine classes, and Square, each
on what survived those before it. Each library runs in a process of its own.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from attack_peers import run_apart


def main() -> None:
    """Print a row a network and budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="with MNIST's four IDX files")
    parser.add_argument("--network", nargs="+", required=True, metavar="NAME=FILE")
    parser.add_argument("--norm", choices=("linf", "l2"), default="linf")
    parser.add_argument("--eps", type=float, nargs="+", default=[0.1, 0.2, 0.3])
    parser.add_argument("--digits", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--queries", type=int, default=5000)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    print("| network | digits | budget | advcore, % | torchattacks, % | advcore, s | torchattacks, s | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, file in (entry.split("=", 1) for entry in arguments.network):
        for eps in arguments.eps:
            job: dict[str, Any] = {"attack": "autoattack", "network": file, "folder": arguments.folder, "seed": 0}
            job |= {"norm": arguments.norm, "eps": eps, "digits": arguments.digits, "threads": arguments.threads}
            job |= {"options": {"steps": arguments.steps, "queries": arguments.queries}}
            answers = [run_apart(job | {"side": side}) for side in ("advcore", "torchattacks")]
            left = [f"{100 * (1 - float(np.mean(answer['broken']))):.1f}" for answer in answers]
            own, theirs = (answer["seconds"][0] for answer in answers)
            budget = f"{arguments.norm} {eps:g}"
            seconds = f"{own:.0f} | {theirs:.0f} | {theirs / own:.1f}"
            print(f"| {name} | {arguments.digits} | {budget} | {' | '.join(left)} | {seconds} |", flush=True)


if __name__ == "__main__":
    main()
