"""What detectors see of a network: flattened activations by layer, the input among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from advcore import _check
from advcore._check import Array

INPUT = "input"


def chosen(network: Any, layers: object, default: Sequence[str]) -> list[str]:
    """Return the names of the layers that a user chose, or those of the default."""
    if layers is None:
        return list(default)
    known = [INPUT, *network.layers]
    names = [_check.choice("layers", name, known) for name in _check.sequence("layers", layers)]
    if not names:
        raise ValueError("layers must name at least one layer")
    return names


def last_hidden(network: Any) -> str:
    """Return the name of the layer whose output the last layer takes."""
    names = list(network.layers)
    if len(names) < 2:
        raise ValueError("network must have a hidden layer, got one layer")
    wiring = getattr(network, "wiring", None)
    return str(names[-2] if wiring is None else wiring[names[-1]][0])


def activations(network: Any, X: Array, names: Sequence[str]) -> dict[str, Array]:
    """Return the activations by name, each (Q, width...) as the layer gives them."""
    inner = [name for name in names if name != INPUT]
    hidden = network.activations(X, inner) if inner else {}
    return {name: X if name == INPUT else hidden[name] for name in names}


def activations_vjp(
    network: Any, X: Array, names: Sequence[str]
) -> tuple[dict[str, Array], Callable[[Mapping[str, Array]], Array]]:
    """Return the activations by name, and what takes gradients for them back to X."""
    hidden, pull_hidden = network.activations_vjp(X, [name for name in names if name != INPUT])

    def pull(cotangents: Mapping[str, Array]) -> Array:
        inner = {name: value for name, value in cotangents.items() if name != INPUT}
        gradient: Array = pull_hidden(inner)
        return gradient + cotangents[INPUT] if INPUT in cotangents else gradient

    return {name: X if name == INPUT else hidden[name] for name in names}, pull


def flat(value: Array) -> Array:
    """Flatten each sample, empty batches included."""
    width = 1
    for extent in value.shape[1:]:
        width *= extent
    return value.reshape(len(value), width)
