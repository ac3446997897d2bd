"""One recurrent layer in one direction, forward and backward through time: what rnn_tanh, gru and lstm share.

Arrays are time first: (T, N, ...).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from advcore import _check, _core
from advcore._check import Array
from advcore._memory import empty

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
        return (1, 3, 3, 4)[self]


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


class Pass(NamedTuple):
    """What the steps of one layer in one direction leave for their gradient.

    ``gates`` is (T, N, G H), after activation. ``states`` and ``cells`` (T + 1, N, H) have a slot before the first step
    and one after each. ``extra`` (T, N, H) is the state's part of the candidate (gru, reset after), the reset gate
    times the state (gru, reset before) or the tanh of the cell (lstm).
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
    first: tuple[Array | None, Array | None],
    last: tuple[Array, Array | None],
    output: Array,
    *,
    lengths: Lengths | None = None,
    reverse: bool = False,
    keep: bool = False,
) -> Pass | None:
    """Run all steps over input (T, N, I) into output (T, N, H) and the last state and cell (N, H).

    Input and output may have any strides; where the pass is kept for its gradient the input is contiguous.
    """
    gates = states = cells = extra = None
    if keep:
        steps, samples, _ = input.shape
        hidden, dtype = weights.hidden, input.dtype
        gates = empty((steps, samples, cell.gates * hidden), dtype)
        states = empty((steps + 1, samples, hidden), dtype)
        cells = empty(states.shape, dtype) if cell == Cell.LSTM else None
        extra = None if cell == Cell.RNN_TANH else empty((steps, samples, hidden), dtype)
    w_ih, w_hh, b_ih, b_hh = weights
    _core.recurrent_forward(
        output, *last, input, *first, w_ih, w_hh, b_ih, b_hh, lengths, gates, states, cells, extra, cell, reverse
    )
    if gates is None or states is None:
        return None
    return Pass(cell, weights, reverse, lengths, input, gates, states, cells, extra)


def backward_pass(
    made: Pass,
    grad_output: Array,
    grad_state: Array,
    grad_cell: Array | None,
    grad_input: Array | None,
    *,
    need_params: bool = True,
) -> list[Array]:
    """Take all steps back; return the gradients of the parameters that there are, in the order of Weights.

    grad_output is (T, N, H), of any strides. grad_state and grad_cell (N, H) hold the gradients of the last state on
    entry and of the first one on return; grad_input (T, N, I) receives the input's. Without it, or without the need for
    parameters (an empty list then), the products for these are spared.
    """
    cell, (w_ih, w_hh, b_ih, b_hh), reverse, lengths, input, gates, states, cells, extra = made
    wanted = (w_ih, w_hh, b_ih, b_hh) if need_params else (None,) * 4
    grads = [None if parameter is None else empty(parameter.shape, parameter.dtype) for parameter in wanted]
    grad_w_ih, grad_w_hh, grad_b_ih, grad_b_hh = grads
    _core.recurrent_backward(
        grad_input,
        grad_w_ih,
        grad_w_hh,
        grad_b_ih,
        grad_b_hh,
        grad_state,
        grad_cell,
        grad_output,
        input,
        w_ih,
        w_hh,
        lengths,
        gates,
        states,
        cells,
        extra,
        cell,
        reverse,
    )
    return [grad for grad in grads if grad is not None]
