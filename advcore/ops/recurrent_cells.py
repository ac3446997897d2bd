"""Recurrent cells, one step at a time: tanh network, GRU and LSTM, with PyTorch's parameters and gate order."""

from __future__ import annotations

import numpy as np

from advcore import _check
from advcore._check import Array
from advcore.ops._recurrent import RESETS, Cell, Weights, forward_pass, states


def rnn_tanh_cell(
    input: Array,
    hx: Array | None,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    *,
    out: Array | None = None,
) -> Array:
    """Make one step of a tanh network: ``h' = tanh(w_ih x + b_ih + w_hh h + b_hh)``.

    Parameters
    ----------
    input : float32 or float64 array, (N, I)
    hx : array, (N, H), or None
        The state h; None is zeros.
    w_ih : array, (H, I)
    w_hh : array, (H, H)
    b_ih, b_hh : array, (H,), optional
    out : array, optional
        Receives the result.

    Returns
    -------
    array, (N, H)

    Raises
    ------
    TypeError
        If an array is not float32 or float64, or types differ.
    ValueError
        If a shape does not fit.
    """
    return _cell(Cell.RNN_TANH, input, hx, w_ih, w_hh, b_ih, b_hh, out)


def gru_cell(
    input: Array,
    hx: Array | None,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    *,
    reset: str = "after",
    out: Array | None = None,
) -> Array:
    """Make one step of a gated recurrent unit: ``h' = (1 - z) n + z h``.

    With ``a = w_ih x + b_ih`` and ``s = w_hh h + b_hh``, each of three parts in the order r, z, n:
    ``r = sigmoid(a_r + s_r)``, ``z = sigmoid(a_z + s_z)`` and ``n = tanh(a_n + r s_n)`` for reset "after" (PyTorch), or
    ``n = tanh(a_n + w_hn (r h) + b_hn)`` for reset "before" (Cho et al. 2014, and ONNX by default).

    Parameters
    ----------
    input : float32 or float64 array, (N, I)
    hx : array, (N, H), or None
        The state h; None is zeros.
    w_ih : array, (3 H, I)
    w_hh : array, (3 H, H)
    b_ih, b_hh : array, (3 H,), optional
    reset : "after" or "before"
        Whether the reset gate multiplies the state after or before the product with w_hn.
    out : array, optional
        Receives the result.

    Returns
    -------
    array, (N, H)

    Raises
    ------
    TypeError
        If an array is not float32 or float64, or types differ.
    ValueError
        If a shape does not fit or reset is unknown.
    """
    cell = RESETS[_check.choice("reset", reset, tuple(RESETS))]
    return _cell(cell, input, hx, w_ih, w_hh, b_ih, b_hh, out)


def lstm_cell(
    input: Array,
    hx: tuple[Array, Array] | None,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    *,
    out: tuple[Array, Array] | None = None,
) -> tuple[Array, Array]:
    """Make one step of a long short-term memory: ``c' = f c + i g``, ``h' = o tanh(c')``.

    With ``a = w_ih x + b_ih + w_hh h + b_hh`` of four parts in the order i, f, g, o: ``i, f, o = sigmoid`` and
    ``g = tanh`` of their parts.

    Parameters
    ----------
    input : float32 or float64 array, (N, I)
    hx : pair of arrays (h, c), each (N, H), or None
        None is zeros.
    w_ih : array, (4 H, I)
    w_hh : array, (4 H, H)
    b_ih, b_hh : array, (4 H,), optional
    out : pair of arrays, optional
        Receives the result.

    Returns
    -------
    pair of arrays (h, c), each (N, H)

    Raises
    ------
    TypeError
        If an array is not float32 or float64, types differ, or hx is not a pair.
    ValueError
        If a shape does not fit.
    """
    out_h, out_c = _check.outputs(out, 2)
    input, weights = _arguments(Cell.LSTM, input, w_ih, w_hh, b_ih, b_hh)
    shape = (len(input), weights.hidden)
    h, c = states(Cell.LSTM, "hx", hx, shape, input.dtype)
    result_h = _check.output(out_h, shape, input.dtype, (input, h, c, *weights))
    result_c = _check.output(out_c, shape, input.dtype, (result_h, input, h, c, *weights))
    forward_pass(Cell.LSTM, weights, input[np.newaxis], (h, c), (result_h, result_c), result_h[np.newaxis])
    return _check.deliver(result_h, out_h), _check.deliver(result_c, out_c)


def _cell(
    cell: Cell,
    input: Array,
    hx: Array | None,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None,
    b_hh: Array | None,
    out: Array | None,
) -> Array:
    input, weights = _arguments(cell, input, w_ih, w_hh, b_ih, b_hh)
    shape = (len(input), weights.hidden)
    h, _ = states(cell, "hx", hx, shape, input.dtype)
    result = _check.output(out, shape, input.dtype, (input, h, *weights))
    forward_pass(cell, weights, input[np.newaxis], (h, None), (result, None), result[np.newaxis])
    return _check.deliver(result, out)


def _arguments(
    cell: Cell, input: Array, w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None
) -> tuple[Array, Weights]:
    input = _check.array("input", input, axes=("N", "I"))
    w_hh = _check.array("w_hh", w_hh, axes=(f"{cell.gates} H", "H"), dtype=input.dtype)
    hidden = w_hh.shape[1]
    width = cell.gates * hidden
    w_hh = _check.array("w_hh", w_hh, shape=(width, hidden))
    w_ih = _check.array("w_ih", w_ih, shape=(width, input.shape[1]), dtype=input.dtype)
    b_ih = _check.maybe_array("b_ih", b_ih, shape=(width,), dtype=input.dtype)
    b_hh = _check.maybe_array("b_hh", b_hh, shape=(width,), dtype=input.dtype)
    return input, Weights(w_ih, w_hh, b_ih, b_hh)
