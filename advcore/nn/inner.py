"""Values inside a network: their gradients for the input, and dropout that stays on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from advcore import _check, _random
from advcore._check import Array
from advcore.nn import passes
from advcore.nn._watch import by_the_network
from advcore.nn.dropout import Dropout
from advcore.nn.graph import INPUT, Node

Pull = Callable[[Mapping[str, Array]], Array]


def activations_vjp(steps: Sequence[Node], x: Array, names: Sequence[str]) -> tuple[dict[str, Array], Pull]:
    """Return the named steps' outputs, and what takes gradients for them back to x; see Network.activations_vjp."""
    values, saved = {INPUT: x}, []
    with by_the_network():
        for step in steps:
            values[step.name], kept = step.forward(values, None)
            saved.append(kept)
    activations = {name: values[name] for name in names}
    del values

    def pull(cotangents: Mapping[str, Array]) -> Array:
        arriving: dict[str, Array] = {}
        for name, cotangent in cotangents.items():
            like = activations[_check.choice("cotangents", name, tuple(activations))]
            arriving[name] = _check.array(f"cotangents[{name!r}]", cotangent, dtype=like.dtype, shape=like.shape)
        with by_the_network():
            passes.pull_back(steps, saved, arriving, frozenset(), True)
        return arriving.get(INPUT, np.zeros_like(x))

    return activations, pull


class DropoutPasses:
    """A network whose dropout stays on, evaluated with T draws of its masks that are the same for every sample.

    What comes before the first dropout is computed once. Everything else works as in evaluation.

    Parameters
    ----------
    nodes : sequence of Node
        Of a network with Dropout layers of p > 0.
    passes : int
        T, the number of draws.
    seed : int
        Of the masks.

    Raises
    ------
    ValueError
        If there is no such layer.
    """

    def __init__(self, nodes: Sequence[Node], passes: int, seed: int) -> None:
        later: set[str] = set()
        for node in nodes:
            if _drops(node) or later.intersection(node.inputs):
                later.add(node.name)
        if not later:
            raise ValueError("network must have a Dropout layer with p > 0: without one all passes are alike")
        self.head = [node for node in nodes if node.name not in later]
        self.tail = [node for node in nodes if node.name in later]
        self.passes, self.seed = passes, seed
        self._factors: dict[str, Array] = {}

    def logits_vjp(self, x: Array) -> tuple[Array, Callable[[Array], Array]]:
        """Return the logits of every pass, (T, N, K), and what takes a gradient for them back to x."""
        values, saved = {INPUT: x}, []
        with by_the_network():
            for step in self.head:
                values[step.name], kept = step.forward(values, None)
                saved.append(kept)
            entering = {source for step in self.tail for source in step.inputs} & set(values)
            values = {name: self._repeated(values[name]) for name in entering}
            saved_later = []
            for step in self.tail:
                values[step.name], kept = self._forward(step, values)
                saved_later.append(kept)
        logits = values[self.tail[-1].name]
        count = len(x)

        def pull(cotangent: Array) -> Array:
            arriving = {self.tail[-1].name: cotangent.reshape(logits.shape)}
            with by_the_network():
                for step, kept in zip(reversed(self.tail), reversed(saved_later), strict=True):
                    if _drops(step):
                        if step.name in arriving:
                            grad = self._dropped(step, arriving.pop(step.name))
                            source = step.inputs[0]
                            arriving[source] = arriving[source] + grad if source in arriving else grad
                    else:
                        passes.pull_back([step], [kept], arriving, frozenset(), True)
                arriving = {
                    name: grad.reshape(self.passes, count, *grad.shape[1:]).sum(axis=0)
                    for name, grad in arriving.items()
                }
                passes.pull_back(self.head, saved, arriving, frozenset(), True)
            return arriving.get(INPUT, np.zeros_like(x))

        return logits.reshape(self.passes, count, *logits.shape[1:]), pull

    def _repeated(self, value: Array) -> Array:
        shape = (self.passes, *value.shape)
        return np.broadcast_to(value, shape).reshape(-1, *value.shape[1:])

    def _forward(self, step: Node, values: Mapping[str, Array]) -> tuple[Array, object]:
        return (self._dropped(step, values[step.inputs[0]]), None) if _drops(step) else step.forward(values, None)

    def _dropped(self, step: Node, value: Array) -> Array:
        """Multiply with the masks of the layer, a draw for each pass."""
        assert isinstance(step.layer, Dropout)
        sample = value.shape[1:]
        if step.name not in self._factors:
            stream = [node.name for node in self.tail].index(step.name)
            drawn = _random.uniform(self.seed, np.arange(self.passes), 0, int(np.prod(sample)), stream=stream)
            factors = (drawn >= step.layer.p) / (1 - step.layer.p)
            self._factors[step.name] = factors.astype(value.dtype).reshape(self.passes, 1, *sample)
        factors = self._factors[step.name]
        result: Array = (value.reshape(self.passes, -1, *sample) * factors).reshape(value.shape)
        return result


def _drops(node: Node) -> bool:
    return isinstance(node.layer, Dropout) and node.layer.p > 0
