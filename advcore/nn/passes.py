"""A batch through the steps of a network, forward and back. Values live as long as a later step needs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from advcore._check import Array
from advcore.nn.graph import INPUT, Node


def values(steps: Sequence[Node], x: Array) -> Iterator[tuple[str, Array]]:
    """Yield the name and the output of every step in evaluation mode."""
    alive = {INPUT: x}
    for step, done in _last_uses(steps):
        alive[step.name] = y = step.infer(alive)
        for name in done:
            del alive[name]
        yield step.name, y


def infer(steps: Sequence[Node], x: Array) -> Array:
    """Return the last step's output in evaluation mode."""
    for _, y in values(steps, x):
        result = y
    return result


def forward(steps: Sequence[Node], x: Array, rng: np.random.Generator | None) -> tuple[Array, list[Any]]:
    """Return the last step's output and what ``backward`` needs of every step."""
    alive, y, saved = {INPUT: x}, x, []
    for step, done in _last_uses(steps):
        y, kept = step.forward(alive, rng)
        saved.append(kept)
        alive[step.name] = y
        for name in done:
            del alive[name]
    return y, saved


def backward(
    steps: Sequence[Node], saved: Sequence[Any], grad: Array, trained: frozenset[str], need_input: bool
) -> tuple[Array | None, dict[str, Array]]:
    """Return the gradient for the input, if needed, and those for the parameters of the steps in ``trained``."""
    arriving = {steps[-1].name: grad}
    gradients = pull_back(steps, saved, arriving, trained, need_input)
    return arriving.get(INPUT), gradients


def pull_back(
    steps: Sequence[Node], saved: Sequence[Any], arriving: dict[str, Array], trained: frozenset[str], need_input: bool
) -> dict[str, Array]:
    """Take gradients for any values back through the steps; return those for the parameters in ``trained``.

    ``arriving`` holds the gradients by the values' names. In the end it has those for what came into the steps.
    """
    gradients: dict[str, Array] = {}
    for step, kept in zip(reversed(steps), reversed(saved), strict=True):
        if step.name not in arriving:
            continue
        wanted = [source in trained or need_input for source in step.inputs]
        below, own = step.backward(
            kept, arriving.pop(step.name), need_input=any(wanted), need_parameters=step.name in trained
        )
        for source, part, want in zip(step.inputs, below, wanted, strict=True):
            if want and part is not None:
                arriving[source] = arriving[source] + part if source in arriving else part
        for name, part in own.items():
            key = f"{step.owner}.{name}"
            gradients[key] = gradients[key] + part if key in gradients else part
    return gradients


def _last_uses(steps: Sequence[Node]) -> Iterator[tuple[Node, list[str]]]:
    """Yield every step and the values that no later one needs."""
    last = {source: index for index, step in enumerate(steps) for source in step.inputs}
    for index, step in enumerate(steps):
        yield step, [source for source in dict.fromkeys(step.inputs) if last[source] == index]
