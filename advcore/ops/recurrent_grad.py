"""Gradients of the recurrent layers, back through time."""

from __future__ import annotations

from typing import Any

import numpy as np

from advcore import _check
from advcore._check import Array
from advcore._memory import empty
from advcore.ops._recurrent import Cell, backward_pass, states
from advcore.ops.recurrent import RecurrentTape


def rnn_tanh_grad(
    tape: RecurrentTape, grad_output: Array, grad_h_n: Array | None = None, *, out: Array | None = None
) -> tuple[Array, Array, list[Array]]:
    """Return the gradients of rnn_tanh for its input, first states and parameters.

    Padded steps receive no gradient and pass none on; what grad_output holds there is ignored. The terms of a
    parameter's gradient are added in an order that the shape alone decides.

    Parameters
    ----------
    tape : RecurrentTape
        From rnn_tanh with return_tape; it stays as it is.
    grad_output : array of the tape's type, (T, N, D H), or (N, T, D H) if batch_first
    grad_h_n : array, (L D, N, H), optional
        None is zeros.
    out : array, optional
        Receives grad_input.

    Returns
    -------
    grad_input : array, (T, N, I), or (N, T, I) if batch_first
    grad_hx : array, (L D, N, H)
    grad_params : list of arrays
        In the order and shapes of params.

    Raises
    ------
    TypeError
        If tape is not a tape, or an array is not of the tape's type.
    ValueError
        If the tape is another layer's or a shape does not fit.
    """
    return recurrent_grad("rnn_tanh", (Cell.RNN_TANH,), tape, grad_output, grad_h_n, out)


def gru_grad(
    tape: RecurrentTape, grad_output: Array, grad_h_n: Array | None = None, *, out: Array | None = None
) -> tuple[Array, Array, list[Array]]:
    """Return the gradients of gru for its input, first states and parameters.

    Parameters
    ----------
    tape, grad_output, grad_h_n, out
        As rnn_tanh_grad.

    Returns
    -------
    grad_input, grad_hx, grad_params
        As rnn_tanh_grad.

    Raises
    ------
    TypeError, ValueError
        As rnn_tanh_grad.
    """
    return recurrent_grad("gru", (Cell.GRU_AFTER, Cell.GRU_BEFORE), tape, grad_output, grad_h_n, out)


def lstm_grad(
    tape: RecurrentTape,
    grad_output: Array,
    grad_h_n: tuple[Array | None, Array | None] | None = None,
    *,
    out: Array | None = None,
) -> tuple[Array, tuple[Array, Array], list[Array]]:
    """Return the gradients of lstm for its input, first states and cells, and parameters.

    Parameters
    ----------
    tape, grad_output, out
        As rnn_tanh_grad.
    grad_h_n : pair of arrays (of h, of c), each (L D, N, H), optional
        None, also in the place of one of the two, is zeros.

    Returns
    -------
    grad_input : array, (T, N, I), or (N, T, I) if batch_first
    grad_hx : pair of arrays (of h, of c), each (L D, N, H)
    grad_params : list of arrays
        In the order and shapes of params.

    Raises
    ------
    TypeError, ValueError
        As rnn_tanh_grad, and if grad_h_n is not a pair.
    """
    return recurrent_grad("lstm", (Cell.LSTM,), tape, grad_output, grad_h_n, out)


def recurrent_grad(
    name: str,
    cells: tuple[Cell, ...],
    tape: RecurrentTape,
    grad_output: Array,
    grad_h_n: object,
    out: Array | None = None,
    *,
    need_input: bool = True,
    need_params: bool = True,
) -> tuple[Any, Any, Any]:
    """Return what the functions above do; None for the input and no parameters where they are not needed."""
    if not isinstance(tape, RecurrentTape):
        raise TypeError(f"tape must be what {name} returns with return_tape=True, got {type(tape).__name__}")
    if tape.cell not in cells:
        raise ValueError(f"tape must be what {name} returns, got one of {tape.cell.name.lower()}")
    directions, batch_first = 1 + tape.bidirectional, tape.batch_first
    steps, samples, features = tape.passes[0].input.shape
    hidden, dtype = tape.passes[0].weights.hidden, tape.passes[0].input.dtype

    def outside(width: int) -> tuple[int, int, int]:
        return (samples, steps, width) if batch_first else (steps, samples, width)

    grad_output = _check.array("grad_output", grad_output, shape=outside(directions * hidden), dtype=dtype)
    shape = (len(tape.passes), samples, hidden)
    given_h, given_c = states(tape.cell, "grad_h_n", grad_h_n, shape, dtype)
    result = None
    if need_input:
        result = _check.output(out, outside(features), dtype, (grad_output, given_h, given_c, tape.passes[0].input))
    grad_h = np.zeros(shape, dtype) if given_h is None else given_h.copy()
    grad_c = None
    if tape.cell == Cell.LSTM:
        grad_c = np.zeros(shape, dtype) if given_c is None else given_c.copy()

    grad = grad_output.swapaxes(0, 1) if batch_first else grad_output
    direct = directions == 1 and not batch_first
    grad_params: list[Array] = []
    for layer in reversed(range(tape.num_layers)):
        grads: list[Any] = []
        layer_params: list[Array] = []
        for direction in range(directions):
            index = layer * directions + direction
            made = tape.passes[index]
            if layer == 0 and not need_input:
                grads.append(None)
            else:
                grads.append(result if layer == 0 and direct else empty(made.input.shape, dtype))
            layer_params += backward_pass(
                made,
                grad[..., direction * hidden : (direction + 1) * hidden],
                grad_h[index],
                None if grad_c is None else grad_c[index],
                grads[-1],
                need_params=need_params,
            )
        grad_params = layer_params + grad_params
        if grads[0] is not None:
            grad = grads[0] if directions == 1 else np.add(grads[0], grads[1], out=grads[0])
    grad_hx = grad_h if grad_c is None else (grad_h, grad_c)
    if result is None:
        return None, grad_hx, grad_params
    if not direct:
        result[...] = grad.swapaxes(0, 1) if batch_first else grad
    return _check.deliver(result, out), grad_hx, grad_params
