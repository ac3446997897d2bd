"""Minimum-norm attacks beside Foolbox's on MNIST: distances at equal steps, seconds at equal evaluations.

Usage: python benchmarks/minimum_norm.py NETWORK FOLDER [--quick] [--threads N] [--only NAME ...], a network that
Network.save wrote and the folder with MNIST's four IDX files. Prints tables in Markdown; C&W at 9 x 1000 steps takes
about half an hour on two cores. Each library attacks in a process of its own, one after the other, the peer on the same
weights as a torch module. Needs `pip install "advcore[torch]" foolbox`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any

import numpy as np

from advcore import attacks, data, nn, set_num_threads

LIBRARIES = ("advcore", "foolbox")
# name: (norm, digits, steps, constants); the quick form has fewer of each
DISTANCES = {
    "carlini_wagner": ("l2", 100, 1000, 9),
    "ddn": ("l2", 100, 100, 0),
    "fmn": ("l2", 100, 100, 0),
    "fmn_linf": ("linf", 100, 100, 0),
    "deepfool": ("l2", 100, 50, 0),
    "deepfool_linf": ("linf", 100, 50, 0),
}
SECONDS = {"carlini_wagner": ("l2", 128, 200, 3), "deepfool": ("l2", 128, 50, 0)}


class Counted:
    """A network that counts the rows of its passes."""

    def __init__(self, network: nn.Network) -> None:
        self.network, self.forwards, self.backwards = network, 0, 0

    def logits(self, x: Any) -> Any:
        """Ask the network."""
        self.forwards += len(x)
        return self.network.logits(x)

    def value_and_vjps(self, x: Any, cotangents: Any, count: int) -> Any:
        """Ask the network."""
        self.forwards, self.backwards = self.forwards + len(x), self.backwards + count * len(x)
        return self.network.value_and_vjps(x, cotangents, count)

    def value_and_vjp(self, x: Any, cotangent: Any) -> Any:
        """Ask the network."""
        self.forwards, self.backwards = self.forwards + len(x), self.backwards + len(x)
        return self.network.value_and_vjp(x, cotangent)


def by_advcore(name: str, task: Any, network: nn.Network, x: Any, y: Any) -> tuple[Any, int]:
    """Attack with advcore; return the examples and the rows of backward passes."""
    norm, _, steps, constants = task
    model = Counted(network)
    attack = getattr(attacks, name.removesuffix("_linf"))
    more: dict[str, Any] = {"search_steps": constants, "abort_early": False} if constants else {"norm": norm}
    if name == "ddn":
        more = {}
    return attack(model, x, y, steps=steps, **more).examples, model.backwards


def by_foolbox(name: str, task: Any, network: nn.Network, x: Any, y: Any) -> tuple[Any, int]:
    """Attack with Foolbox on torch; return the examples and the rows of backward passes."""
    import foolbox
    import torch

    _, _, steps, constants = task
    module, passes = network.to_torch().eval(), []
    module.register_full_backward_pre_hook(lambda _, gradient: passes.append(len(gradient[0])))
    model = foolbox.PyTorchModel(module, bounds=(0, 1), device="cpu")
    made = {
        "carlini_wagner": lambda: foolbox.attacks.L2CarliniWagnerAttack(constants, steps, abort_early=False),
        "ddn": lambda: foolbox.attacks.DDNAttack(steps=steps),
        "fmn": lambda: foolbox.attacks.L2FMNAttack(steps=steps),
        "fmn_linf": lambda: foolbox.attacks.LInfFMNAttack(steps=steps),
        "deepfool": lambda: foolbox.attacks.L2DeepFoolAttack(steps=steps),
        "deepfool_linf": lambda: foolbox.attacks.LinfDeepFoolAttack(steps=steps),
    }[name]()
    raw, _, _ = made(model, torch.from_numpy(x), torch.from_numpy(y), epsilons=None)
    return raw.numpy(), sum(passes)


def attacked(library: str, name: str, task: Any, path: str, folder: str, threads: int) -> dict[str, Any]:
    """Attack the first digits that the network gets right; judge the examples by one and the same network."""
    set_num_threads(threads)
    network, digits = nn.Network.load(path), data.idx(folder)
    count = task[1]
    x, y = digits.x_test[: 2 * count], digits.y_test[: 2 * count].astype(np.int64)
    right = np.flatnonzero(network.predict(x) == y)[:count]
    x, y = x[right], y[right]
    if library == "foolbox":
        import torch

        torch.set_num_threads(threads)
    run = by_advcore if library == "advcore" else by_foolbox
    warm = (task[0], 4, 2, min(task[3], 1))
    run(name, warm, network, x[:4], y[:4])
    start = time.perf_counter()
    examples, gradients = run(name, task, network, x, y)
    seconds = time.perf_counter() - start
    broken = network.predict(examples) != y
    order = {"l2": 2, "linf": np.inf}[task[0]]
    distances = np.linalg.norm((examples.astype(np.float64) - x).reshape(len(x), -1), order, axis=1)
    return {
        "seconds": seconds,
        "gradients": gradients,
        "success": broken.mean(),
        "distance": float(distances[broken].mean()),
        "median": float(np.median(np.where(broken, distances, np.inf))),
    }


def in_a_process(library: str, name: str, task: Any, path: str, folder: str, threads: int) -> dict[str, Any]:
    """Run ``attacked`` by a Python of its own."""
    work = json.dumps([library, name, list(task), path, folder, threads])
    done = subprocess.run([sys.executable, __file__, "--work", work], check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def quick(task: tuple[str, int, int, int]) -> tuple[str, int, int, int]:
    """Return the same with few digits, steps and constants."""
    return task[0], 16, min(task[2], 20), min(task[3], 2)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network")
    parser.add_argument("folder")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="*", help="attacks by name")
    chosen = parser.parse_args()

    def rows(tasks: dict[str, tuple[str, int, int, int]]) -> Any:
        for name, whole in tasks.items():
            if chosen.only and name not in chosen.only:
                continue
            task = quick(whole) if chosen.quick else whole
            yield (
                name,
                task,
                *(
                    in_a_process(library, name, task, chosen.network, chosen.folder, chosen.threads)
                    for library in LIBRARIES
                ),
            )

    print("| attack | norm | digits | steps | success | mean distance | Foolbox: success | mean distance | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, (norm, count, steps, constants), ours, theirs in rows(DISTANCES):
        effort = f"{constants} x {steps}" if constants else f"{steps}"
        name = name.removesuffix("_linf")
        print(
            f"| {name} | {norm} | {count} | {effort} | {ours['success']:.1%} | {ours['distance']:.4f} | "
            f"{theirs['success']:.1%} | {theirs['distance']:.4f} | {ours['distance'] / theirs['distance']:.3f} |",
            flush=True,
        )
    print(
        "\n| attack | digits | steps | gradients | seconds | Foolbox: gradients | seconds | times as fast a gradient |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, (_, count, steps, constants), ours, theirs in rows(SECONDS):
        effort = f"{constants} x {steps}" if constants else f"{steps}"
        ratio = theirs["seconds"] / theirs["gradients"] / (ours["seconds"] / ours["gradients"])
        print(
            f"| {name} | {count} | {effort} | {ours['gradients']} | {ours['seconds']:.1f} | {theirs['gradients']} | "
            f"{theirs['seconds']:.1f} | {ratio:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        print(json.dumps(attacked(*json.loads(sys.argv[2]))))
    else:
        main()
