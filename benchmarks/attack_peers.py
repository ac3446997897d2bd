"""Attacks of other libraries on a network of advcore's in PyTorch, each in a process of its own.

`python benchmarks/attack_peers.py` reads a job as JSON from its input and writes what came of it as JSON; other scripts
call `run_apart`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SLACK = 1e-5  # of the budget: libraries project in float32


def run_apart(job: dict[str, Any]) -> dict[str, Any]:
    """Run a job in a fresh process: side, attack, network, folder, digits, norm, eps, options, seed, threads."""
    done = subprocess.run(
        [sys.executable, __file__], input=json.dumps(job), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{job}\n{done.stderr[-3000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def ours(job: dict[str, Any], x: np.ndarray, y: np.ndarray) -> tuple[Callable[[], np.ndarray], Callable[[Any], Any]]:
    """Return an attack of advcore's, ready to run, and the network's predictions."""
    import advcore
    from advcore import attacks, nn

    advcore.set_num_threads(job["threads"])
    network = nn.Network.load(job["network"])
    own = dict(job.get("options", {}))
    if "eps" in job:
        own["eps"] = job["eps"]
    attack = getattr(attacks, job["attack"])
    if job["attack"] not in ("carlini_wagner", "fgsm", "bim"):
        own["norm"] = job["norm"]

    def run() -> np.ndarray:
        result: np.ndarray = attack(network, x, y, seed=job["seed"], randomised=False, **own).examples
        return result

    return run, network.predict


def peers(job: dict[str, Any], x: np.ndarray, y: np.ndarray) -> tuple[Callable[[], np.ndarray], Callable[[Any], Any]]:
    """Return a peer's attack, ready to run, and the module's predictions."""
    import torch

    from advcore import nn

    torch.set_num_threads(job["threads"])
    module = nn.Network.load(job["network"]).to_torch().eval().requires_grad_(False)
    images, labels = torch.from_numpy(x), torch.from_numpy(y)
    build = _foolbox if job["side"] == "foolbox" else _torchattacks

    def run() -> np.ndarray:
        torch.manual_seed(job["seed"])
        result: np.ndarray = build(job, module, images, labels).detach().numpy()
        return result

    def predict(examples: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            classes: np.ndarray = module(torch.from_numpy(examples)).argmax(dim=1).numpy()
        return classes

    return run, predict


def _foolbox(job: dict[str, Any], module: Any, images: Any, labels: Any) -> Any:
    import foolbox

    model = foolbox.PyTorchModel(module, bounds=(0, 1))
    own = job.get("options", {})
    kinds = {
        ("pgd", "linf"): foolbox.attacks.LinfPGD,
        ("pgd", "l2"): foolbox.attacks.L2PGD,
        ("carlini_wagner", "l2"): foolbox.attacks.L2CarliniWagnerAttack,
        ("deepfool", "l2"): foolbox.attacks.L2DeepFoolAttack,
        ("deepfool", "linf"): foolbox.attacks.LinfDeepFoolAttack,
    }
    attack = kinds[job["attack"], job["norm"]](**own)
    _, clipped, _ = attack(model, images, labels, epsilons=job.get("eps"))
    return clipped


def _torchattacks(job: dict[str, Any], module: Any, images: Any, labels: Any) -> Any:
    import torchattacks

    norm, own = {"linf": "Linf", "l2": "L2"}[job["norm"]], job.get("options", {})
    if job["attack"] == "autoattack":
        return _ensemble(job, module, norm, **own)(images, labels)
    kinds = {"apgd": torchattacks.APGD, "fab": torchattacks.FAB, "square": torchattacks.Square}
    attack = kinds[job["attack"]](module, norm=norm, eps=job["eps"], seed=job["seed"], **own)
    return attack(images, labels)


def _ensemble(job: dict[str, Any], module: Any, norm: str, steps: int, queries: int) -> Any:
    """Return torchattacks' AutoAttack of as many steps as the paper's: its own class takes 10."""
    import torchattacks

    budget = {"norm": norm, "eps": job["eps"], "seed": job["seed"]}
    return torchattacks.MultiAttack(
        [
            torchattacks.APGD(module, steps=steps, loss="ce", **budget),
            torchattacks.APGDT(module, steps=steps, n_classes=10, **budget),
            torchattacks.FAB(module, steps=steps, multi_targeted=True, n_classes=10, **budget),
            torchattacks.Square(module, n_queries=queries, **budget),
        ]
    )


def main() -> None:
    """Run the job that comes in."""
    warnings.simplefilter("ignore")
    job = json.load(sys.stdin)
    from advcore import data

    mnist = data.idx(job["folder"])
    x = np.ascontiguousarray(mnist.x_test[: job["digits"]])
    y = mnist.y_test[: job["digits"]].astype(np.int64)
    run, predict = (ours if job["side"] == "advcore" else peers)(job, x, y)
    seconds, rounds = [], job.get("rounds", 1)
    for _ in range(rounds):
        start = time.perf_counter()
        examples = run()
        seconds.append(time.perf_counter() - start)
    difference = (examples.astype(np.float64) - x).reshape(len(x), -1)
    distance = np.linalg.norm(difference, np.inf if job["norm"] == "linf" else 2, axis=1)
    wrong = predict(examples) != y
    within = distance <= job.get("eps", np.inf) * (1 + SLACK)
    clean = predict(x) != y  # a wrong answer to the input itself is a success of every attack
    print(
        json.dumps(
            {
                "broken": ((wrong & within) | clean).tolist(),
                "distance": np.where(clean, 0.0, np.where(wrong, distance, np.inf)).tolist(),
                "seconds": seconds,
            }
        )
    )


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main()
