"""Recurrent layers as ONNX operators, which have one layer, their own order of gates, and the batch second."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from advcore._check import Array
from advcore.nn.onnx_export.writer import Writer
from advcore.nn.recurrent import GRU, LSTM, RNN

# Where ONNX's gates are among torch's: GRU r, z, n to z, r, h; LSTM i, f, g, o to i, o, f, c.
_ORDERS: dict[type, list[int]] = {RNN: [0], GRU: [1, 0, 2], LSTM: [0, 3, 1, 2]}


def recurrent(writer: Writer, layer: RNN | GRU | LSTM, inputs: Sequence[str]) -> str:
    """Write one operator a layer, between transpositions."""
    directions = ("", "_reverse")[: 2 if layer.bidirectional else 1]
    features = len(directions) * layer.hidden_size
    options: dict[str, Any] = {"direction": "bidirectional" if layer.bidirectional else "forward"}
    if isinstance(layer, GRU):
        options["linear_before_reset"] = int(layer.reset == "after")
    x = writer.node("Transpose", inputs[0], perm=[1, 0, 2], aside=True)  # (T, N, features)
    for number in range(layer.num_layers):
        parameters = []
        for name in ("weight_ih", "weight_hh"):
            parts = [_by_gate(layer, f"{name}_l{number}{end}") for end in directions]
            parameters.append(writer.parameter(f"{name}_l{number}", np.stack(parts)))
        if layer.bias:
            parts = [
                np.concatenate([_by_gate(layer, f"bias_{kind}_l{number}{end}") for kind in ("ih", "hh")])
                for end in directions
            ]
            parameters.append(writer.parameter(f"bias_l{number}", np.stack(parts)))
        last = layer.output == "last" and number == layer.num_layers - 1
        operator = type(layer).__name__
        x = writer.node(operator, x, *parameters, pick=int(last), hidden_size=layer.hidden_size, **options)
        if last:  # (directions, N, H)
            x = writer.node("Transpose", x, perm=[1, 0, 2], aside=True)
            return writer.node("Reshape", x, writer.integers([0, features]), aside=True)
        x = writer.node("Transpose", x, perm=[0, 2, 1, 3], aside=True)  # from (T, directions, N, H)
        x = writer.node("Reshape", x, writer.integers([0, 0, features]), aside=True)
    return writer.node("Transpose", x, perm=[1, 0, 2], aside=True)


def _by_gate(layer: RNN | GRU | LSTM, name: str) -> Array:
    """Return a parameter with its gates in ONNX's order."""
    array, order = layer.parameters[name], _ORDERS[type(layer)]
    gates = array.reshape(len(order), layer.hidden_size, *array.shape[1:])
    return gates[order].reshape(array.shape)
