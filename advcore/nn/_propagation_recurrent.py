"""Recurrent layers that pass differences on: what their steps need of the samples themselves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from advcore import ops
from advcore._check import Array
from advcore.nn._propagation_layout import Layout, with_channels
from advcore.nn.compiled import Joint
from advcore.nn.recurrent import GRU, LSTM, RNN
from advcore.ops._recurrent import RESETS, Cell, Pass

if TYPE_CHECKING:
    from advcore.nn._propagation import Propagation

_BLOCK = 64  # bytes; units are filled up to whole blocks
_ROWS = {Cell.RNN_TANH: 3, Cell.GRU_AFTER: 12, Cell.GRU_BEFORE: 11, Cell.LSTM: 18}  # see difference_recurrent.h
_PARTS = (" l{}", " l{} reverse")  # of a layer's name


def recurrent(p: Propagation, step: Joint, layer: RNN | GRU | LSTM) -> tuple[int, Layout]:
    """Append all layers and directions: from the first step that a change touches on, or back from the last one."""
    source = with_channels(p.shapes[step.inputs[0]], -1)
    value = p.arranged(step.inputs[0], source)
    steps = source.map[1]
    kind = _kind(layer)
    for depth in range(layer.num_layers):
        last = layer.output == "last" and depth == layer.num_layers - 1
        states = []
        for reverse in range(1 + layer.bidirectional):
            w_ih, w_hh = _parameters(layer, depth, reverse)[:2]
            base = p.computed_base((step.name, depth, reverse), steps * _ROWS[kind] * _pitch(w_hh))
            state = p.core.recurrent(value, base, int(kind), w_ih, w_hh, bool(reverse), last)
            states.append(p.weighs(step, state, (1 if last else steps, 1), part=_PARTS[reverse].format(depth)))
        value = p.core.concatenate(states) if layer.bidirectional else states[0]
    p.computed.append((step.inputs[0], lambda x: _bases(step.name, layer, x)))
    units = (1 + layer.bidirectional) * layer.hidden_size
    return value, Layout((units, 1 if layer.output == "last" else steps, 1), (1, 2, 0))


def _kind(layer: RNN | GRU | LSTM) -> Cell:
    if isinstance(layer, GRU):
        return RESETS[layer.reset]
    return Cell.LSTM if isinstance(layer, LSTM) else Cell.RNN_TANH


def _parameters(layer: RNN | GRU | LSTM, depth: int, reverse: int) -> list[Array]:
    """Return w_ih, w_hh and, if there are any, b_ih and b_hh."""
    suffix = f"l{depth}{'_reverse' if reverse else ''}"
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")[: 4 if layer.bias else 2]
    return [layer.parameters[f"{name}_{suffix}"] for name in names]


def _pitch(w_hh: Array) -> int:
    block = _BLOCK // w_hh.itemsize
    hidden: int = w_hh.shape[1]
    return math.ceil(hidden / block) * block


def _bases(name: str, layer: RNN | GRU | LSTM, x: Array) -> dict[Any, Array]:
    """Run the layer over x (N, T, features) and return what its steps need, by layer and direction."""
    kind, bases = _kind(layer), {}
    for depth in range(layer.num_layers):
        outputs = []
        for reverse in range(1 + layer.bidirectional):
            turned = np.ascontiguousarray(x[:, ::-1] if reverse else x)
            base, output = _pass(kind, turned, _parameters(layer, depth, reverse))
            bases[name, depth, reverse] = np.ascontiguousarray(base[:, ::-1] if reverse else base)
            outputs.append(output[:, ::-1] if reverse else output)
        x = np.concatenate(outputs, axis=2)
    return bases


def _pass(kind: Cell, x: Array, parameters: list[Array]) -> tuple[Array, Array]:
    """Return the base (N, T, rows, pitch) and the states (N, T, H) of one layer in one direction."""
    w_ih, w_hh = parameters[:2]
    b_ih, b_hh = parameters[2:] or (None, None)
    made = _tape(kind, x, parameters)
    states = made.states.swapaxes(0, 1)
    before, after = np.ascontiguousarray(states[:, :-1]), np.ascontiguousarray(states[:, 1:])
    hidden = w_hh.shape[1]
    of_input, of_state = ops.linear(x, w_ih, b_ih), ops.linear(before, w_hh, b_hh)
    base = np.full((*x.shape[:2], _ROWS[kind], _pitch(w_hh)), 0.5, x.dtype)  # units that fill up: sigmoid(0)
    rows = np.moveaxis(base[..., :hidden], 2, 0)
    gates = [of_input[..., i : i + hidden] + of_state[..., i : i + hidden] for i in range(0, len(w_ih), hidden)]

    def gate(index: int, sums: Array) -> None:
        rows[3 * index : 3 * index + 3] = sums, ops.sigmoid(sums), ops.sigmoid(-sums)

    if kind == Cell.RNN_TANH:
        gate(0, 2 * gates[0])
    elif kind == Cell.LSTM:
        assert made.cells is not None
        cells = np.ascontiguousarray(made.cells.swapaxes(0, 1))
        for index, sums in enumerate((gates[0], gates[1], 2 * gates[2], gates[3], 2 * cells[:, 1:])):
            gate(index, sums)
        rows[15:] = cells[:, :-1], ops.tanh(gates[2]), ops.tanh(np.ascontiguousarray(cells[:, 1:]))
    else:
        assert made.extra is not None
        extra = np.ascontiguousarray(made.extra.swapaxes(0, 1))
        if kind == Cell.GRU_AFTER:
            sums, rows[11] = of_input[..., 2 * hidden :] + ops.sigmoid(gates[0]) * extra, extra
        else:
            of_reset = ops.linear(extra, w_hh[2 * hidden :], None if b_hh is None else b_hh[2 * hidden :])
            sums = of_input[..., 2 * hidden :] + of_reset
        for index, of_gate in enumerate((gates[0], gates[1], 2 * sums)):
            gate(index, of_gate)
        rows[9], rows[10] = before, ops.tanh(sums)
    return base, after


def _tape(kind: Cell, x: Array, parameters: list[Array]) -> Pass:
    if kind == Cell.LSTM:
        tape = ops.lstm(x, None, parameters, batch_first=True, return_tape=True)[-1]
    elif kind == Cell.RNN_TANH:
        tape = ops.rnn_tanh(x, None, parameters, batch_first=True, return_tape=True)[-1]
    else:
        reset = "after" if kind == Cell.GRU_AFTER else "before"
        tape = ops.gru(x, None, parameters, batch_first=True, return_tape=True, reset=reset)[-1]
    made: Pass = tape.passes[0]
    return made
