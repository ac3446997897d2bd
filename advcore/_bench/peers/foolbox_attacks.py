"""Foolbox: its attack on the network in PyTorch."""

from __future__ import annotations

from functools import partial
from typing import Any

from advcore._bench.peers import networks
from advcore._bench.peers.participant import Call, Participant
from advcore._cases import Case


def _prepare(case: Case, inputs: dict[str, Any]) -> Call:
    import torch
    from foolbox.attacks import LinfPGD
    from foolbox.models.pytorch import PyTorchModel

    options = dict(case.options)
    eps = options.pop("eps")
    attack = LinfPGD(abs_stepsize=options.pop("step_size"), **options, random_start=False)
    model = PyTorchModel(inputs["network"].to_torch().requires_grad_(False), bounds=(0, 1), device="cpu")
    x, y = torch.from_numpy(inputs["x"]), torch.from_numpy(inputs["y"])
    run = partial(attack, model, x, y, epsilons=eps)
    return Call(run, lambda result: [networks.climbed(case, result[1].numpy())])


PARTICIPANT = Participant("foolbox", ("foolbox", "torch"), frozenset({"pgd"}), _prepare)
