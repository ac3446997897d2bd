"""Networks in advcore: the methods that users call."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from advcore._bench.peers.participant import Call
from advcore._cases import Case
from advcore._check import Array

if TYPE_CHECKING:
    from advcore.nn import Network


def prepare(case: Case, inputs: dict[str, Any]) -> Call:
    """Return the call to be timed."""
    network, x, y = inputs["network"], inputs["x"], inputs["y"]
    if case.op == "logits":
        return Call(partial(network.logits, x))
    if case.op == "loss_gradient":
        return Call(partial(network.loss_gradient, x, y))
    if case.op == "training_step":
        return _training_step(case, network, x, y)
    from advcore.attacks import pgd

    own: dict[str, Any] = {"random_start": False, "early_stop": False, "randomised": False}
    attack = partial(pgd, network, x, y, **case.options, **own)
    return Call(attack, lambda result: [climbed(case, result.examples)])


def climbed(case: Case, examples: Array) -> Array:
    """Return how far an attack raised each sample's loss: single pixels differ where a gradient is nearly zero."""
    from advcore.nn.losses import cross_entropy

    inputs = case.inputs(np.float64)
    before, after = (
        cross_entropy(inputs["network"].logits(x.astype(np.float64)), inputs["y"])[0] for x in (inputs["x"], examples)
    )
    return after - before


def changes(case: Case, parameters: dict[str, Array]) -> list[Array]:
    """Return what a step of training added to the parameters, in the order of their names."""
    before = case.inputs(np.float32)["network"].parameters()
    return [parameters[name] - before[name] for name in sorted(before)]


def _training_step(case: Case, network: Network, x: Array, y: Array) -> Call:
    """Make the calls that ``nn.fit`` makes for every batch."""
    from advcore.nn import SGD, Adam
    from advcore.nn.losses import cross_entropy

    options = dict(case.options)
    optimizer = {"adam": Adam, "sgd": SGD}[options.pop("optimizer")](**options)
    parameters = network.parameters()

    def step() -> dict[str, Array]:
        logits, saved = network.forward(x, np.random.default_rng(0))
        gradient = cross_entropy(logits, y)[1] / len(x)
        _, gradients = network.backward(saved, gradient, need_input=False, need_parameters=True)
        optimizer.step(parameters, gradients)
        network.parameters_changed()
        return parameters

    return Call(step, partial(changes, case))
