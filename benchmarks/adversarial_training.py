"""Adversarial training beside the same loop in PyTorch, in turn: an update's milliseconds and their ratio.

Usage: python benchmarks/adversarial_training.py [--threads N] [--rounds N]. The network is wong_mnist: conv 4x4 16 and
conv 4x4 32 of stride 2, linear 100; batches of 128 random images, PGD of 10 steps inside, Adam.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import torch

import advcore
from advcore import defenses, models, nn

BATCH, UPDATES, EPS, STEPS, SIZE = 128, 4, 0.3, 10, 0.05


def pytorch_update(module: torch.nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor) -> None:
    loss = torch.nn.functional.cross_entropy
    current = (x + torch.empty_like(x).uniform_(-EPS, EPS)).clamp_(0, 1)
    lower, upper = (x - EPS).clamp_(min=0), (x + EPS).clamp_(max=1)
    for _ in range(STEPS):
        current.requires_grad_()
        (gradient,) = torch.autograd.grad(loss(module(current), y), current)
        current = torch.clamp(current.detach() + SIZE * gradient.sign(), lower, upper)
    optimizer.zero_grad()
    loss(module(current), y).backward()
    optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    chosen = parser.parse_args()
    advcore.set_num_threads(chosen.threads)
    torch.set_num_threads(chosen.threads)
    rng = np.random.default_rng(0)
    x, y = rng.random((UPDATES * BATCH, 1, 28, 28), np.float32), rng.integers(0, 10, UPDATES * BATCH)
    network, ours = models.wong_mnist(), nn.Adam()
    module = models.wong_mnist().to_torch().train()
    theirs = torch.optim.Adam(module.parameters())
    batches = list(zip(torch.from_numpy(x).split(BATCH), torch.from_numpy(y).split(BATCH), strict=True))
    seconds: dict[str, list[float]] = {"advcore": [], "PyTorch": []}
    for _ in range(chosen.rounds):
        start = time.perf_counter()
        settings = {"eps": EPS, "epochs": 1, "steps": STEPS, "step_size": SIZE}
        defenses.adversarial_training(network, x, y, optimizer=ours, **settings)
        between = time.perf_counter()
        for batch in batches:
            pytorch_update(module, theirs, *batch)
        seconds["advcore"].append(between - start)
        seconds["PyTorch"].append(time.perf_counter() - between)
    for name, pick in (("median", statistics.median), ("minimum", min)):
        mine, other = (1e3 * pick(values) / UPDATES for values in seconds.values())
        print(f"{name}: advcore {mine:.2f} ms, PyTorch {other:.2f} ms an update, {other / mine:.2f} times")


if __name__ == "__main__":
    main()
