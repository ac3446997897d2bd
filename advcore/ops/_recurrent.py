"""One recurrent layer in one direction, forward and backward through time: what rnn_tanh, gru and lstm share.

The input's part of the gates is one product over all steps; the steps themselves run in C++; the gradients of the
weights are again products over all steps. Arrays are time first: (T, N, ...).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from advcore import _check, _core
from advcore._check import Array

Lengths = NDArray[np.int64]


class Cell(IntEnum):
    """The kinds of cell, by their numbers in C++."""

    RNN_TANH = 0
    GRU_AFTER = 1
    GRU_BEFORE = 2
    LSTM = 3

    @property
    def gates(self) -> int:
        """How many times the hidden size a cell's gates are wide."""
        return {Cell.RNN_TANH: 1, Cell.LSTM: 4}.get(self, 3)


RESETS = {"after": Cell.GRU_AFTER, "before": Cell.GRU_BEFORE}


class Weights(NamedTuple):
    """The parameters of a layer in one direction with G gates: (G H, I), (G H, H), (G H,) and (G H,)."""

    w_ih: Array
    w_hh: Array
    b_ih: Array | None
    b_hh: Array | None

    @property
    def hidden(self) -> int:
        """The hidden size H."""
        return int(self.w_hh.shape[1])


@dataclass(frozen=True)
class Pass:
    """What the steps of one layer in one direction leave behind.

    ``gates`` is (T, N, G H), after activation. ``states`` and ``cells`` (T + 1, N, H) have a slot before the first step
    and one after each. ``extra`` (T, N, H) is the state's part of the candidate (gru, reset after), the reset gate
    times the state (gru, reset before) or the tanh of the cell (lstm). Where nothing is kept for a gradient, all three
    have one slot, overwritten by every step.
    """

    cell: Cell
    weights: Weights
    reverse: bool
    lengths: Lengths | None
    input: Array
    gates: Array
    states: Array
    cells: Array | None
    extra: Array | None

    @property
    def last_state(self) -> Array:
        """The state after the last step, (N, H)."""
        state: Array = self.states[0 if self.reverse else -1]
        return state

    @property
    def last_cell(self) -> Array:
        """The cell of an lstm after the last step, (N, H)."""
        assert self.cells is not None
        cell: Array = self.cells[0 if self.reverse else -1]
        return cell


def states(
    cell: Cell, name: str, value: object, shape: Sequence[int], dtype: np.dtype[Any]
) -> tuple[Array | None, Array | None]:
    """Check a state, or a gradient of one: an array, for lstm a pair of them (h, c); None stands for zeros."""
    if cell != Cell.LSTM:
        return _check.maybe_array(name, value, shape=shape, dtype=dtype), None
    h, c = (None, None) if value is None else _check.pair(name, value)
    return (
        _check.maybe_array(f"{name}[0]", h, shape=shape, dtype=dtype),
        _check.maybe_array(f"{name}[1]", c, shape=shape, dtype=dtype),
    )


def forward_pass(
    cell: Cell,
    weights: Weights,
    input: Array,
    first_state: Array | None,
    first_cell: Array | None,
    output: Array,
    *,
    lengths: Lengths | None = None,
    reverse: bool = False,
    keep: bool = False,
) -> Pass:
    """Run all steps over input (T, N, I) into output (T, N, H), which may have any strides."""
    steps, samples, features = input.shape
    hidden, dtype = weights.hidden, input.dtype
    bias, candidate_bias = _biases(cell, weights)
    gates = np.empty((steps, samples, cell.gates * hidden), dtype)
    rows = steps * samples
    _core.linear(gates.reshape(rows, gates.shape[2]), input.reshape(rows, features), weights.w_ih, bias, 0)

    def slots(first: Array | None) -> Array:
        array = np.empty((steps + 1 if keep else 1, samples, hidden), dtype)
        array[-1 if reverse else 0] = 0 if first is None else first
        return array

    states = slots(first_state)
    cells = slots(first_cell) if cell == Cell.LSTM else None
    extra = None if cell == Cell.RNN_TANH else np.empty((steps if keep else 1, samples, hidden), dtype)
    _core.recurrent_forward(output, gates, states, cells, extra, weights.w_hh, candidate_bias, lengths, cell, reverse)
    return Pass(cell, weights, reverse, lengths, input, gates, states, cells, extra)


def _biases(cell: Cell, weights: Weights) -> tuple[Array | None, Array | None]:
    """Return what is added to the gates beside the input, and to the state's part of the candidate alone."""
    b_ih, b_hh = weights.b_ih, weights.b_hh
    if b_hh is None:
        return b_ih, None
    if cell != Cell.GRU_AFTER:
        return (b_hh if b_ih is None else b_ih + b_hh), None
    candidate = 2 * weights.hidden
    bias = np.zeros_like(b_hh) if b_ih is None else b_ih.copy()
    bias[:candidate] += b_hh[:candidate]
    return bias, b_hh[candidate:]


def backward_pass(
    made: Pass, grad_output: Array, grad_state: Array, grad_cell: Array | None, grad_input: Array
) -> list[Array]:
    """Take all steps back; return the gradients of the parameters that there are, in the order of Weights.

    grad_output is (T, N, H), of any strides. grad_state and grad_cell (N, H) hold the gradients of the last state on
    entry and of the first one on return; grad_input (T, N, I) receives the input's.
    """
    cell, weights, hidden = made.cell, made.weights, made.weights.hidden
    steps, samples = made.gates.shape[:2]
    grad_gates = np.empty_like(made.gates)
    extra_slots = {Cell.GRU_AFTER: steps, Cell.GRU_BEFORE: 1}.get(cell)
    grad_extra = None if extra_slots is None else np.empty((extra_slots, samples, hidden), grad_gates.dtype)
    _core.recurrent_backward(
        grad_gates,
        grad_extra,
        grad_state,
        grad_cell,
        grad_output,
        made.gates,
        made.states,
        made.cells,
        made.extra,
        weights.w_hh,
        made.lengths,
        cell,
        made.reverse,
    )

    def rows(x: Array) -> Array:
        return x.reshape(steps * samples, x.shape[2])

    gates, previous = rows(grad_gates), rows(made.states[1:] if made.reverse else made.states[:-1])
    _core.linear_input_grad(rows(grad_input), gates, weights.w_ih)

    # The rows of w_hh, in parts: the gradient of their gates, and what they were multiplied by.
    parts = [(gates, previous)]
    if cell == Cell.GRU_AFTER and grad_extra is not None:
        parts = [(gates[:, : 2 * hidden], previous), (rows(grad_extra), previous)]
    elif cell == Cell.GRU_BEFORE and made.extra is not None:
        parts = [(gates[:, : 2 * hidden], previous), (gates[:, 2 * hidden :], rows(made.extra))]

    grads = [_outer_products([(gates, rows(made.input))]), _outer_products(parts)]
    if weights.b_ih is not None:
        grads.append(_sums([gates]))
    if weights.b_hh is not None:
        grads.append(_sums([part for part, _ in parts]))
    return grads


def _outer_products(parts: list[tuple[Array, Array]]) -> Array:
    """Return the sums over rows of ``a[row, :, None] * b[row]`` of every part (a, b), one below the other."""
    out = np.empty((sum(a.shape[1] for a, _ in parts), parts[0][1].shape[1]), parts[0][0].dtype)
    first = 0
    for a, b in parts:
        _core.matmul(out[np.newaxis, first : first + a.shape[1]], a.T[np.newaxis], b[np.newaxis])
        first += a.shape[1]
    return out


def _sums(parts: list[Array]) -> Array:
    """Return the sums over rows of all parts, one after the other, in the order of the product's chains."""
    one: Any = np.ones((1, 1, 1), parts[0].dtype)
    sums = [np.empty((1, 1, part.shape[1]), part.dtype) for part in parts]
    for out, part in zip(sums, parts, strict=True):
        _core.matmul(out, np.broadcast_to(one, (1, 1, len(part))), part[np.newaxis])
    total: Array = np.concatenate(sums, axis=2)[0, 0]
    return total
