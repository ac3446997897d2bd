"""Seconds of attacks beside Foolbox's and torchattacks', at equal evaluations and without early exits.

Usage: python benchmarks/attack_speed.py MNIST_FOLDER --network FILE [--digits 128] [--threads 2] [--rounds 3]
The network is a file of `Network.save`. Each run has a process of its own, in turn A B A B; the first run of a process
warms it up, the fastest of the others counts. What early exits save is shown apart.
"""

from __future__ import annotations

import argparse
from typing import Any

from attack_peers import run_apart

Row = tuple[str, str, str, str, dict[str, Any], dict[str, Any], float | None]


def rows(scale: float) -> list[Row]:
    """Return (name, attack, norm, library, our options, theirs, eps); scale shortens all of them."""
    pgd, apgd, fab = max(int(40 * scale), 2), max(int(100 * scale), 3), max(int(10 * scale), 2)
    cw, deepfool = max(int(100 * scale), 2), max(int(10 * scale), 2)
    whole = {"early_stop": False}
    return [
        ("PGD-40, Linf .3", "pgd", "linf", "foolbox", {"steps": pgd, **whole}, {"steps": pgd}, 0.3),
        ("PGD-40, L2 2", "pgd", "l2", "foolbox", {"steps": pgd, **whole}, {"steps": pgd}, 2.0),
        ("APGD-100, Linf .3", "apgd", "linf", "torchattacks", {"steps": apgd, **whole}, {"steps": apgd}, 0.3),
        ("APGD-100, L2 2", "apgd", "l2", "torchattacks", {"steps": apgd, **whole}, {"steps": apgd}, 2.0),
        ("FAB, 10 steps, Linf", "fab", "linf", "torchattacks", {"steps": fab, **whole}, {"steps": fab}, 0.3),
        ("FAB, 10 steps, L2", "fab", "l2", "torchattacks", {"steps": fab, **whole}, {"steps": fab}, 2.0),
        (
            "C&W, 1 x 100, L2",
            "carlini_wagner",
            "l2",
            "foolbox",
            {"steps": cw, "search_steps": 1, "abort_early": False},
            {"steps": cw, "binary_search_steps": 1, "abort_early": False},
            None,
        ),
        (
            "DeepFool, 10 steps, L2",
            "deepfool",
            "l2",
            "foolbox",
            {"steps": deepfool, "overshoot": 0.0},  # without overshoot few digits leave before the last step
            {"steps": deepfool, "overshoot": 0.0, "candidates": 10},
            None,
        ),
    ]


def main() -> None:
    """Time all rows and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="with MNIST's four IDX files")
    parser.add_argument("--network", required=True)
    parser.add_argument("--digits", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the steps")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    arguments = parser.parse_args()
    common = {"network": arguments.network, "folder": arguments.folder, "digits": arguments.digits}
    common |= {"threads": arguments.threads, "rounds": 2, "seed": 0}
    print(
        "| attack | peer | advcore, s | peer, s | ratio | with early exits, s |\n| --- | --- | --- | --- | --- | --- |"
    )
    for name, attack, norm, library, own, theirs, eps in rows(arguments.scale):
        if arguments.only not in name:
            continue
        job = common | {"attack": attack, "norm": norm} | ({} if eps is None else {"eps": eps})
        seconds: dict[str, list[float]] = {"advcore": [], library: []}
        for _ in range(arguments.rounds):
            for side, options in (("advcore", own), (library, theirs)):
                seconds[side].append(min(run_apart(job | {"side": side, "options": options})["seconds"]))
        ending = {key: value for key, value in own.items() if key not in ("early_stop", "abort_early")}
        early = min(run_apart(job | {"side": "advcore", "options": ending})["seconds"])
        mine, other = min(seconds["advcore"]), min(seconds[library])
        print(f"| {name} | {library} | {mine:.2f} | {other:.2f} | {other / mine:.1f} | {early:.2f} |", flush=True)


if __name__ == "__main__":
    main()
