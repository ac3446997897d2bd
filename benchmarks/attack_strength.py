"""How many digits the attacks leave unbroken, beside Foolbox and torchattacks at equal steps: docs/attacks_strength.md.

Usage: python benchmarks/attack_strength.py MNIST_FOLDER --network carlini=FILE [--network pgd=FILE] [--results FILE]
The networks are files of `Network.save`. Every attack of every library runs in a process of its own; what has been
measured is kept in the results file and not measured again. --quick: 100 digits, one seed, three budgets.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from attack_peers import run_apart

BUDGETS = [("linf", eps) for eps in (0.05, 0.1, 0.2, 0.3)] + [("l2", eps) for eps in (0.5, 1.0, 2.0)]
QUICK = [("linf", 0.1), ("linf", 0.3), ("l2", 1.0)]


def pairs(steps: int, queries: int) -> list[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """Return (attack, the peer's library, our options, theirs)."""
    return [
        ("pgd", "foolbox", {"steps": steps}, {"steps": steps}),
        ("apgd", "torchattacks", {"steps": steps}, {"steps": steps}),
        ("fab", "torchattacks", {"steps": steps}, {"steps": steps}),
        ("square", "torchattacks", {"steps": queries + 2}, {"n_queries": queries}),
    ]


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run what the results file lacks; return all of it."""
    path = Path(arguments.results)
    known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for name, file in (entry.split("=", 1) for entry in arguments.network):
        for norm, eps in QUICK if arguments.quick else BUDGETS:
            for attack, library, own, theirs in pairs(arguments.steps, arguments.queries):
                if arguments.attacks and attack not in arguments.attacks:
                    continue
                for side, options in (("advcore", own), (library, theirs)):
                    for seed in range(arguments.seeds):
                        key = f"{name} {norm} {eps:g} {attack} {side} {seed} {arguments.digits}"
                        if key in known:
                            continue
                        job = {"side": side, "attack": attack, "network": file, "folder": arguments.folder}
                        job |= {
                            "norm": norm,
                            "eps": eps,
                            "options": options,
                            "seed": seed,
                            "threads": arguments.threads,
                        }
                        answer = run_apart(job | {"digits": arguments.digits})
                        robust = 100 * (1 - float(np.mean(answer["broken"])))
                        known[key] = {"robust": robust, "seconds": answer["seconds"][0]}
                        print(key, known[key], flush=True)
                        path.write_text(json.dumps(known, indent=1))
    return known


def table(known: dict[str, Any]) -> str:
    """Return mean robust accuracies as Markdown: ours / the peer's, a column an attack, and the best of each."""
    cells: dict[tuple[str, ...], dict[tuple[str, bool], list[float]]] = {}
    for key, value in known.items():
        name, norm, eps, attack, side, _, digits = key.split()
        cell = cells.setdefault((name, digits, norm, eps), {})
        cell.setdefault((attack, side == "advcore"), []).append(value["robust"])
    attacks = ("pgd", "apgd", "fab", "square")
    lines = [
        "| network | digits | budget | PGD: advcore / Foolbox | APGD: advcore / torchattacks | FAB | Square | best |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (name, digits, norm, eps), cell in cells.items():
        means = {key: float(np.mean(values)) for key, values in cell.items()}
        row = [f"{means[a, True]:.1f} / {means[a, False]:.1f}" if (a, False) in means else "" for a in attacks]
        best = [min((v for (_, own), v in means.items() if own is side), default=np.nan) for side in (True, False)]
        lines.append(f"| {name} | {digits} | {norm} {eps} | {' | '.join(row)} | {best[0]:.1f} / {best[1]:.1f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="with MNIST's four IDX files")
    parser.add_argument("--network", action="append", required=True, metavar="NAME=FILE")
    parser.add_argument("--results", default="attack_strength.json")
    parser.add_argument("--digits", type=int)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--queries", type=int, default=100, help="of Square, after its start")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--attacks", nargs="*")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    arguments.digits = arguments.digits or (100 if arguments.quick else 1000)
    arguments.seeds = arguments.seeds or (1 if arguments.quick else 3)
    print(table(measure(arguments)))


if __name__ == "__main__":
    main()
