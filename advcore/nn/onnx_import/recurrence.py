"""RNN, GRU and LSTM: ONNX orders the gates in another way than torch, and puts the batch second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from advcore._check import Array
from advcore.nn.merge import Concatenate
from advcore.nn.onnx_import.call import Call
from advcore.nn.onnx_import.values import Tensor
from advcore.nn.recurrent import GRU, LSTM, RNN
from advcore.nn.slicing import Slice

# By operator: the layer, ONNX's activations, and where torch's gates are among ONNX's.
_KINDS: dict[str, tuple[Callable[..., Any], list[str], list[int]]] = {
    "RNN": (RNN, ["Tanh"], [0]),
    "GRU": (GRU, ["Sigmoid", "Tanh"], [1, 0, 2]),  # z, r, h to r, z, n
    "LSTM": (LSTM, ["Sigmoid", "Tanh", "Tanh"], [0, 2, 3, 1]),  # i, o, f, c to i, f, g, o
}
_DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}


def recurrent(call: Call) -> list[Tensor | None]:
    """Return Y (T, directions, N, H) and Y_h (directions, N, H), or with layout 1 the batch in front."""
    kind, activations, order = _KINDS[call.node.op]
    x, layout, direction = call.tensor(), call.get("layout", 0), call.get("direction", "forward")
    if layout not in (0, 1) or len(x.sample) != 2 or x.batch != 1 - layout:
        raise ValueError(f"its input must be (T, N, features), or (N, T, features) with layout 1, got {x.dims}")
    if direction not in _DIRECTIONS:
        raise ValueError(f"direction must be forward, reverse or bidirectional, got {direction}")
    directions, (steps, features) = _DIRECTIONS[direction], x.sample
    hidden = call.get("hidden_size", 0)
    if not 1 <= hidden <= 2**31:
        raise ValueError(f"hidden_size must be positive, got {hidden}")
    _check_plain(call, activations * directions, steps)
    options: dict[str, Any] = {}
    if kind is GRU:
        options["reset"] = "after" if call.get("linear_before_reset") else "before"
    parameters = _parameters(call, directions, len(order), hidden, features, order)
    sequence, last = call.wants(0), call.wants(1)
    flipped = direction == "reverse"
    layer = kind(
        features,
        hidden,
        1,
        call.given(3),
        bidirectional=directions == 2,
        output="sequence" if sequence else "last",
        **options,
    )
    x = Tensor(x.source, x.sample)
    if flipped:
        x = call.build.apply(Slice(1, None, None, -1), x, part="flip")
    y = call.build.apply(call.build.with_parameters(layer, **parameters), x)
    if not sequence:
        return [None, _state(y, directions, hidden, layout)]
    h = _state(_last(call, y, directions, hidden), directions, hidden, layout) if last else None
    if flipped:
        y = call.build.apply(Slice(1, None, None, -1), y, part="unflip")
    return [Tensor(y.source, (steps, directions, hidden), 0 if layout else 2), h]


def _state(y: Tensor, directions: int, hidden: int, layout: int) -> Tensor:
    return Tensor(y.source, (directions, hidden), 0 if layout else 1)


def _last(call: Call, y: Tensor, directions: int, hidden: int) -> Tensor:
    """Return the last state of each direction, (N, directions * H): the second one ends at the first step."""
    ends = []
    for direction in range(directions):
        step = call.build.apply(Slice(1, -1, None) if direction == 0 else Slice(1, 0, 1), y, part="last")
        flat = Tensor(step.source, step.sample[1:])
        if directions == 2:
            flat = call.build.apply(Slice(1, direction * hidden, (direction + 1) * hidden), flat, part="last")
        ends.append(flat)
    return ends[0] if directions == 1 else call.build.apply(Concatenate(1), *ends, part="last")


def _check_plain(call: Call, activations: list[str], steps: int) -> None:
    """Refuse what torch's layers do not have."""
    call.only_outputs(0, 1)
    given = (call.get("activations") or activations)[: len(activations)]
    if [name.lower() for name in given] != [name.lower() for name in activations]:
        raise ValueError(f"its activations must be {', '.join(activations)}, got {', '.join(given)}")
    for name in ("activation_alpha", "activation_beta", "clip"):
        if call.get(name):
            raise ValueError(f"the attribute {name} is not supported")
    if call.get("input_forget"):
        raise ValueError("coupled input and forget gates are not supported")
    if call.given(4) and np.any(call.constant(4) != steps):
        raise ValueError("sequences of several lengths are not supported")
    for index in (5, 6):
        if call.given(index) and np.any(call.constant(index)):
            raise ValueError("an initial state other than 0 is not supported")
    if call.given(7) and np.any(call.constant(7)):
        raise ValueError("peepholes are not supported")


def _parameters(
    call: Call, directions: int, gates: int, hidden: int, features: int, order: list[int]
) -> dict[str, Array]:
    """Return W (directions, gates H, features), R (directions, gates H, H) and B (directions, 2 gates H) as torch's."""
    rows, w, r = gates * hidden, call.floats(1), call.floats(2)
    expected: dict[str, tuple[Array, tuple[int, ...]]] = {
        "W": (w, (directions, rows, features)),
        "R": (r, (directions, rows, hidden)),
    }
    b = call.floats(3) if call.given(3) else None
    if b is not None:
        expected["B"] = (b, (directions, 2 * rows))
    for name, (array, shape) in expected.items():
        if array.shape != shape:
            raise ValueError(f"its {name} must have shape {shape}, got {array.shape}")
    parameters = {}
    for direction, suffix in enumerate(("l0", "l0_reverse")[:directions]):
        parts = {"weight_ih": w[direction], "weight_hh": r[direction]}
        if b is not None:
            parts |= {"bias_ih": b[direction, :rows], "bias_hh": b[direction, rows:]}
        for name, part in parts.items():
            by_gate = part.reshape(gates, hidden, *part.shape[1:])
            parameters[f"{name}_{suffix}"] = by_gate[order].reshape(part.shape)
    return parameters
