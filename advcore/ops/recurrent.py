"""Recurrent layers over whole sequences: tanh network, GRU and LSTM, with PyTorch's parameters, order and results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from advcore import _check
from advcore._check import Array
from advcore._memory import empty
from advcore.ops._recurrent import RESETS, Cell, Lengths, Pass, Weights, forward_pass, states


@dataclass(frozen=True)
class RecurrentTape:
    """What a recurrent layer leaves for its gradient.

    It refers to the input and the parameters that were given: they must not change before the gradient is taken.
    """

    cell: Cell
    num_layers: int
    bidirectional: bool
    batch_first: bool
    passes: Sequence[Pass]


def rnn_tanh(
    input: Array,
    hx: Array | None,
    params: Sequence[Array],
    *,
    num_layers: int = 1,
    bidirectional: bool = False,
    batch_first: bool = False,
    lengths: object = None,
    return_tape: bool = False,
    out: Array | None = None,
) -> tuple[Any, ...]:
    """Run a tanh network over sequences: ``h_t = tanh(w_ih x_t + b_ih + w_hh h_(t-1) + b_hh)``.

    L layers, D directions (2 if bidirectional, else 1), H the hidden size; a layer above the first takes the output of
    the one below.

    Parameters
    ----------
    input : float32 or float64 array, (T, N, I), or (N, T, I) if batch_first
    hx : array, (L D, N, H), or None
        The first states, the directions of a layer side by side; None is zeros.
    params : sequence of arrays
        For every layer and direction w_ih (H, I), above the first layer (H, D H); w_hh (H, H); b_ih (H,); b_hh (H,).
        Or the two weights alone.
    num_layers : int
    bidirectional : bool
        A second set of parameters runs from every sequence's last step to its first.
    batch_first : bool
        Input and output are (N, T, ...); states stay (L D, N, H).
    lengths : array of integers in [1, T], (N,), optional
        Later steps of a sequence are padding: its output there is 0, and its state stays as it is.
    return_tape : bool
        Keep what rnn_tanh_grad needs.
    out : array, optional
        Receives the output.

    Returns
    -------
    output : array, (T, N, D H), or (N, T, D H) if batch_first
        The states of the last layer.
    h_n : array, (L D, N, H)
        The states after every sequence's last step.
    tape : RecurrentTape
        Only if return_tape.

    Raises
    ------
    TypeError
        If an array is not float32 or float64, or types differ.
    ValueError
        If a shape, the number of params or a length does not fit.
    """
    return _sequence(
        Cell.RNN_TANH, input, hx, params, num_layers, bidirectional, batch_first, lengths, return_tape, out
    )


def gru(
    input: Array,
    hx: Array | None,
    params: Sequence[Array],
    *,
    num_layers: int = 1,
    bidirectional: bool = False,
    batch_first: bool = False,
    lengths: object = None,
    return_tape: bool = False,
    reset: str = "after",
    out: Array | None = None,
) -> tuple[Any, ...]:
    """Run a gated recurrent unit over sequences: gru_cell at every step.

    Parameters
    ----------
    input, hx, num_layers, bidirectional, batch_first, lengths, return_tape, out
        As rnn_tanh.
    params : sequence of arrays
        For every layer and direction w_ih (3 H, I), above the first layer (3 H, D H); w_hh (3 H, H); b_ih (3 H,);
        b_hh (3 H,), the gates in the order r, z, n. Or the two weights alone.
    reset : "after" or "before"
        Whether the reset gate multiplies the state after (PyTorch) or before (Cho et al. 2014) the product with w_hh.

    Returns
    -------
    output, h_n[, tape]
        As rnn_tanh.

    Raises
    ------
    TypeError, ValueError
        As rnn_tanh, and if reset is unknown.
    """
    cell = RESETS[_check.choice("reset", reset, tuple(RESETS))]
    return _sequence(cell, input, hx, params, num_layers, bidirectional, batch_first, lengths, return_tape, out)


def lstm(
    input: Array,
    hx: tuple[Array, Array] | None,
    params: Sequence[Array],
    *,
    num_layers: int = 1,
    bidirectional: bool = False,
    batch_first: bool = False,
    lengths: object = None,
    return_tape: bool = False,
    out: Array | None = None,
) -> tuple[Any, ...]:
    """Run a long short-term memory over sequences: lstm_cell at every step.

    Parameters
    ----------
    input, num_layers, bidirectional, batch_first, lengths, return_tape, out
        As rnn_tanh.
    hx : pair of arrays (h, c), each (L D, N, H), or None
        The first states and cells; None is zeros.
    params : sequence of arrays
        For every layer and direction w_ih (4 H, I), above the first layer (4 H, D H); w_hh (4 H, H); b_ih (4 H,);
        b_hh (4 H,), the gates in the order i, f, g, o. Or the two weights alone.

    Returns
    -------
    output : array, (T, N, D H), or (N, T, D H) if batch_first
    h_n : pair of arrays (h, c), each (L D, N, H)
    tape : RecurrentTape
        Only if return_tape.

    Raises
    ------
    TypeError, ValueError
        As rnn_tanh, and if hx is not a pair.
    """
    return _sequence(Cell.LSTM, input, hx, params, num_layers, bidirectional, batch_first, lengths, return_tape, out)


def _sequence(
    cell: Cell,
    input: Array,
    hx: object,
    params: Sequence[Array],
    num_layers: int,
    bidirectional: bool,
    batch_first: bool,
    lengths: object,
    return_tape: bool,
    out: Array | None,
) -> tuple[Any, ...]:
    num_layers = _check.integer("num_layers", num_layers, minimum=1)
    directions = 1 + _check.flag("bidirectional", bidirectional)
    batch_first = _check.flag("batch_first", batch_first)
    return_tape = _check.flag("return_tape", return_tape)
    input = _check.array("input", input, axes=("N", "T", "I") if batch_first else ("T", "N", "I"))
    x = input.swapaxes(0, 1) if batch_first else input
    steps, samples, features = x.shape
    if steps == 0:
        raise ValueError(f"input must have at least one step, got shape {input.shape}")
    weights = _weights(cell, params, num_layers, directions, features, input.dtype)
    hidden = weights[0].hidden
    h, c = states(cell, "hx", hx, (num_layers * directions, samples, hidden), input.dtype)
    known_lengths = _lengths(lengths, steps, samples)
    if return_tape and known_lengths is not None:  # padding meets gradients of 0, and is not to make NaN of them
        x = np.where((np.arange(steps)[:, np.newaxis] < known_lengths)[..., np.newaxis], x, x.dtype.type(0))

    shape = (samples, steps, directions * hidden) if batch_first else (steps, samples, directions * hidden)
    given = [array for array in (input, h, c, *(w for group in weights for w in group)) if array is not None]
    result = _check.output(out, shape, input.dtype, given)
    h_n = np.empty((num_layers * directions, samples, hidden), input.dtype)
    c_n = np.empty_like(h_n) if cell == Cell.LSTM else None
    passes: list[Pass] = []
    for layer in range(num_layers):
        if layer == num_layers - 1:
            y = result.swapaxes(0, 1) if batch_first else result
        else:
            y = empty((steps, samples, directions * hidden), input.dtype)
        x = np.ascontiguousarray(x) if return_tape else x
        for direction in range(directions):
            index = layer * directions + direction
            made = forward_pass(
                cell,
                weights[index],
                x,
                (None if h is None else h[index], None if c is None else c[index]),
                (h_n[index], None if c_n is None else c_n[index]),
                y if directions == 1 else y[..., direction * hidden : (direction + 1) * hidden],
                lengths=known_lengths,
                reverse=direction == 1,
                keep=return_tape,
            )
            if made is not None:
                passes.append(made)
        x = y

    last: Any = h_n if c_n is None else (h_n, c_n)
    result = _check.deliver(result, out)
    if not return_tape:
        return result, last
    return result, last, RecurrentTape(cell, num_layers, directions == 2, batch_first, passes)


def _weights(
    cell: Cell, params: Sequence[Array], num_layers: int, directions: int, features: int, dtype: np.dtype[Any]
) -> list[Weights]:
    """Check params and return them by layer and direction."""
    passes = num_layers * directions
    params = _check.sequence("params", params)
    if len(params) not in (2 * passes, 4 * passes):
        raise ValueError(
            f"params must hold w_ih, w_hh, b_ih, b_hh or only w_ih, w_hh for each layer and direction: "
            f"{4 * passes} or {2 * passes} arrays, got {len(params)}"
        )
    each = len(params) // passes
    first = _check.array("params[1]", params[1], axes=(f"{cell.gates} H", "H"), dtype=dtype)
    hidden = first.shape[1]
    if hidden == 0:
        raise ValueError(f"params[1] must have a hidden size of at least 1, got shape {first.shape}")
    width = cell.gates * hidden
    weights = []
    for index in range(passes):
        inputs = features if index < directions else directions * hidden
        shapes = [(width, inputs), (width, hidden), (width,), (width,)][:each]
        arrays = [
            _check.array(f"params[{at}]", params[at], shape=shape, dtype=dtype)
            for at, shape in enumerate(shapes, start=index * each)
        ]
        weights.append(Weights(arrays[0], arrays[1], *(arrays[2:] or (None, None))))
    return weights


def _lengths(lengths: object, steps: int, samples: int) -> Lengths | None:
    """Check lengths; None where no sequence is padded."""
    if lengths is None:
        return None
    checked = _check.integers("lengths", lengths, shape=(samples,), minimum=1, maximum=steps)
    return checked if (checked < steps).any() else None
