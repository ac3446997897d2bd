"""Recurrent layers that pass differences on: what their steps need of the samples themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from advcore import ops
from advcore._check import Array
from advcore.nn._propagation_layout import Layout, with_channels
from advcore.nn.compiled import Joint
from advcore.nn.recurrent import GRU, LSTM, RNN
from advcore.ops._recurrent import RESETS, Cell

if TYPE_CHECKING:
    from advcore.nn._propagation import Propagation

_BLOCK = 64  # bytes; units are filled up to whole blocks
_ROWS = {Cell.RNN_TANH: 3, Cell.GRU_AFTER: 11, Cell.GRU_BEFORE: 10, Cell.LSTM: 16}  # see difference_recurrent.h
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
    return -(-w_hh.shape[1] // block) * block


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
    options = {"batch_first": True, "return_tape": True}
    if kind == Cell.LSTM:
        tape = ops.lstm(x, None, parameters, **options)[-1]
    elif kind == Cell.RNN_TANH:
        tape = ops.rnn_tanh(x, None, parameters, **options)[-1]
    else:
        tape = ops.gru(x, None, parameters, **options, reset="after" if kind == Cell.GRU_AFTER else "before")[-1]
    (made,) = tape.passes
    states, cells, extra = (
        None if array is None else array.swapaxes(0, 1) for array in (made.states, made.cells, made.extra)
    )
    w_ih, w_hh, b_ih, b_hh = (*parameters, None, None)[:4]
    before, after = np.ascontiguousarray(states[:, :-1]), np.ascontiguousarray(states[:, 1:])
    hidden = w_hh.shape[1]
    of_input, of_state = ops.linear(x, w_ih, b_ih), ops.linear(before, w_hh, b_hh)
    base = np.full((*x.shape[:2], _ROWS[kind], _pitch(w_hh)), 0.5, x.dtype)  # units that fill up: sigmoid(0)

    def gate(index: int, sums: Array, factor: int = 1) -> None:
        sums = np.ascontiguousarray(factor * sums)
        rows = base[:, :, 3 * index : 3 * index + 3, :hidden]
        rows[:, :, 0], rows[:, :, 1], rows[:, :, 2] = sums, ops.sigmoid(sums), ops.sigmoid(-sums)

    def sums(index: int) -> Array:
        part = slice(index * hidden, (index + 1) * hidden)
        total: Array = of_input[..., part] + of_state[..., part]
        return total

    if kind == Cell.RNN_TANH:
        gate(0, sums(0), 2)
    elif kind == Cell.LSTM:
        for index, factor in enumerate((1, 1, 2, 1)):
            gate(index, sums(index), factor)
        gate(4, cells[:, 1:], 2)
        base[:, :, 15, :hidden] = cells[:, :-1]
    else:
        gate(0, sums(0))
        gate(1, sums(1))
        candidate = of_input[..., 2 * hidden :]
        if kind == Cell.GRU_AFTER:
            reset = base[:, :, 1, :hidden]
            gate(2, candidate + reset * extra, 2)
            base[:, :, 10, :hidden] = extra
        else:
            gate(2, candidate + ops.linear(np.ascontiguousarray(extra), w_hh[2 * hidden :], _part(b_hh, hidden)), 2)
        base[:, :, 9, :hidden] = before
    return base, after


def _part(bias: Array | None, hidden: int) -> Array | None:
    return None if bias is None else bias[2 * hidden :]
