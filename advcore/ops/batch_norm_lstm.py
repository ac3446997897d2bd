"""An LSTM with batch normalisation of its two products and of its cell, forward and backward through time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from advcore import _check, _core
from advcore._check import Array
from advcore._memory import empty

PARTS = 9  # of the statistics: the input's part of the gates i, f, g, o, the state's part of them, the cell


class Params(NamedTuple):
    """The parameters, H the hidden size: (4 H, I), (4 H, H), three of (4 H,) and two of (H,)."""

    w_ih: Array
    w_hh: Array
    bias: Array
    gamma_ih: Array
    gamma_hh: Array
    gamma_c: Array
    beta_c: Array

    @property
    def of_steps(self) -> list[Array]:
        """What the steps need: all but the input's weight."""
        return list(self[1:])


@dataclass(frozen=True)
class BatchNormLstmTape:
    """What batch_norm_lstm leaves for its gradient.

    It refers to the input and the parameters that were given: they must not change before the gradient is taken.

    Attributes
    ----------
    mean, variance : array, (T, 9, H), in evaluation (R, 9, H)
        The statistics that were used: of the input's part of the gates i, f, g, o, of the state's part of them, and of
        the cell. A variance is the mean square, divided by N.
    """

    mean: Array
    variance: Array
    training: bool
    eps: float
    batch_first: bool
    params: Params
    input: Array
    input_part: Array
    state_part: Array
    states: Array
    cells: Array
    tanh_cell: Array


def batch_norm_lstm(
    input: Array,
    hx: tuple[Array | None, Array | None] | None,
    params: Sequence[Array],
    statistics: tuple[Array, Array] | None = None,
    *,
    eps: float = 1e-5,
    batch_first: bool = False,
    return_tape: bool = False,
    out: Array | None = None,
) -> tuple[Any, ...]:
    """Run an LSTM with recurrent batch normalisation over sequences.

    ``a = BN(w_ih x_t; gamma_ih) + BN(w_hh h; gamma_hh) + bias``, its quarters i, f, g, o;
    ``c' = sigmoid(f) c + sigmoid(i) tanh(g)``, ``h' = sigmoid(o) tanh(BN(c'; gamma_c) + beta_c)``, where
    ``BN(y; gamma) = gamma (y - mean) / sqrt(variance + eps)`` with statistics of each step's own.

    Parameters
    ----------
    input : float32 or float64 array, (T, N, I), or (N, T, I) if batch_first
    hx : pair of arrays (h, c), each (N, H), or None
        The first state and cell; None, also in the place of one of the two, is zeros.
    params : sequence of arrays
        w_ih (4 H, I), w_hh (4 H, H), bias (4 H,), gamma_ih (4 H,), gamma_hh (4 H,), gamma_c (H,), beta_c (H,); the
        gates in the order i, f, g, o.
    statistics : pair of arrays (mean, variance), each (R, 9, H), R >= 1, optional
        Evaluation: those of step t are used, those of the last one beyond it, and every sample is by itself. Without
        them, training: the mean and variance over this batch, N >= 2. The nine are the input's part of i, f, g, o, the
        state's part of them, the cell.
    eps : float
        Added to the variance, positive.
    batch_first : bool
        Input and output are (N, T, ...).
    return_tape : bool
        Keep what batch_norm_lstm_grad needs.
    out : array, optional
        Receives the output.

    Returns
    -------
    output : array, (T, N, H), or (N, T, H) if batch_first
    h_n : pair of arrays (h, c), each (N, H)
    tape : BatchNormLstmTape
        Only if return_tape.

    Raises
    ------
    TypeError
        If an array is not float32 or float64, or types differ.
    ValueError
        If a shape does not fit, eps is not positive, a variance is negative, or one sample is to give statistics.

    References
    ----------
    Cooijmans, Ballas, Laurent, Gülçehre, Courville: Recurrent batch normalization. ICLR 2017, equations 6 to 8.
    """
    batch_first, return_tape = _check.flag("batch_first", batch_first), _check.flag("return_tape", return_tape)
    eps = _check.real("eps", eps, above=0.0)
    input = _check.array("input", input, axes=("N", "T", "I") if batch_first else ("T", "N", "I"))
    x = np.ascontiguousarray(input.swapaxes(0, 1)) if batch_first else input
    steps, samples, features = x.shape
    if steps == 0:
        raise ValueError(f"input must have at least one step, got shape {input.shape}")
    dtype = input.dtype
    known = _params(params, features, dtype)
    hidden = known.w_hh.shape[1]
    h, c = _states("hx", hx, (samples, hidden), dtype)
    training = statistics is None
    if statistics is None:
        if samples < 2:
            raise ValueError(f"input must have at least 2 samples to give statistics, got {samples}")
        mean, variance = np.empty((2, steps, PARTS, hidden), dtype)
    else:
        mean, variance = _statistics(statistics, hidden, dtype)

    shape = (samples, steps, hidden) if batch_first else (steps, samples, hidden)
    result = _check.output(out, shape, dtype, (input, h, c, *known))
    input_part = empty((steps, samples, 4 * hidden), dtype)
    _core.linear(_rows(input_part), _rows(x), known.w_ih, None, 0)
    kept, slots = (steps, steps + 1) if return_tape else (1, 2)
    state_part = empty((kept, samples, 4 * hidden), dtype)
    gates = np.empty((1, samples, 4 * hidden), dtype)
    tanh_cell = empty((kept, samples, hidden), dtype)
    states, cells = empty((2, slots, samples, hidden), dtype)
    states[0], cells[0] = 0 if h is None else h, 0 if c is None else c
    made = (input_part, state_part, gates, states, cells, tanh_cell, mean, variance)
    output = result.swapaxes(0, 1) if batch_first else result
    _core.batch_norm_lstm_forward(output, *made, known.of_steps, eps, training)
    last = steps % slots
    h_n = (states[last].copy(), cells[last].copy())
    result = _check.deliver(result, out)
    if not return_tape:
        return result, h_n
    tape = BatchNormLstmTape(
        *(mean, variance, training, eps, batch_first, known),
        *(x, input_part, state_part, states, cells, tanh_cell),
    )
    return result, h_n, tape


def batch_norm_lstm_grad(
    tape: BatchNormLstmTape,
    grad_output: Array,
    grad_h_n: tuple[Array | None, Array | None] | None = None,
    *,
    out: Array | None = None,
) -> tuple[Array, tuple[Array, Array], list[Array]]:
    """Return the gradients of batch_norm_lstm for its input, first state and cell, and parameters.

    In training they go through the statistics too, which every sample has a part in; in evaluation the statistics are
    constants.

    Parameters
    ----------
    tape : BatchNormLstmTape
        From batch_norm_lstm with return_tape; it stays as it is.
    grad_output : array of the tape's type, (T, N, H), or (N, T, H) if batch_first
    grad_h_n : pair of arrays (of h, of c), each (N, H), optional
        None, also in the place of one of the two, is zeros.
    out : array, optional
        Receives grad_input.

    Returns
    -------
    grad_input : array, (T, N, I), or (N, T, I) if batch_first
    grad_hx : pair of arrays (of h, of c), each (N, H)
    grad_params : list of arrays
        In the order and shapes of params.

    Raises
    ------
    TypeError
        If tape is not a tape, or an array is not of the tape's type.
    ValueError
        If a shape does not fit.
    """
    if not isinstance(tape, BatchNormLstmTape):
        raise TypeError(f"tape must be what batch_norm_lstm returns with return_tape=True, got {type(tape).__name__}")
    (steps, samples, features), dtype = tape.input.shape, tape.input.dtype
    hidden = tape.params.w_hh.shape[1]

    def outside(width: int) -> tuple[int, int, int]:
        return (samples, steps, width) if tape.batch_first else (steps, samples, width)

    grad_output = _check.array("grad_output", grad_output, shape=outside(hidden), dtype=dtype)
    h, c = _states("grad_h_n", grad_h_n, (samples, hidden), dtype)
    result = _check.output(out, outside(features), dtype, (grad_output, h, c, tape.input, *tape.params))
    grad_h = np.zeros((samples, hidden), dtype) if h is None else h.copy()
    grad_c = np.zeros((samples, hidden), dtype) if c is None else c.copy()
    grad_input_part, grad_state_part = empty((2, *tape.state_part.shape), dtype)
    gates = np.empty((1, samples, 4 * hidden), dtype)
    of_vectors = [np.zeros_like(vector) for vector in tape.params.of_steps[1:]]
    _core.batch_norm_lstm_backward(
        *(grad_input_part, grad_state_part, grad_h, grad_c, of_vectors),
        grad_output.swapaxes(0, 1) if tape.batch_first else grad_output,
        *(tape.input_part, tape.state_part, gates, tape.states, tape.cells, tape.tanh_cell),
        *(tape.mean, tape.variance, tape.params.of_steps, tape.eps, tape.training),
    )
    grad_input = np.empty_like(tape.input) if tape.batch_first else result
    _core.linear_input_grad(_rows(grad_input), _rows(grad_input_part), tape.params.w_ih)
    of_weights = [np.empty_like(tape.params.w_ih), np.empty_like(tape.params.w_hh)]
    _core.linear_weight_grad(of_weights[0], _rows(grad_input_part), _rows(tape.input))
    _core.linear_weight_grad(of_weights[1], _rows(grad_state_part), _rows(tape.states[:-1]))
    if tape.batch_first:
        result[...] = grad_input.swapaxes(0, 1)
    return _check.deliver(result, out), (grad_h, grad_c), [*of_weights, *of_vectors]


def _rows(x: Array) -> Array:
    return x.reshape(x.shape[0] * x.shape[1], x.shape[2])


def _params(params: Sequence[Array], features: int, dtype: np.dtype[Any]) -> Params:
    """Check the parameters."""
    params = _check.sequence("params", params)
    if len(params) != len(Params._fields):
        raise ValueError(f"params must hold {', '.join(Params._fields)}: 7 arrays, got {len(params)}")
    hidden = _check.array("params[1]", params[1], axes=("4 H", "H"), dtype=dtype).shape[1]
    if hidden == 0:
        raise ValueError(f"params[1] must have a hidden size of at least 1, got shape {params[1].shape}")
    gates = 4 * hidden
    shapes = ((gates, features), (gates, hidden), (gates,), (gates,), (gates,), (hidden,), (hidden,))
    return Params(
        *(
            _check.array(f"params[{at}]", array, shape=shape, dtype=dtype)
            for at, (array, shape) in enumerate(zip(params, shapes, strict=True))
        )
    )


def _states(
    name: str, value: object, shape: tuple[int, int], dtype: np.dtype[Any]
) -> tuple[Array | None, Array | None]:
    """Check a state and a cell, or their gradients; None stands for zeros."""
    h, c = (None, None) if value is None else _check.pair(name, value)
    return (
        _check.maybe_array(f"{name}[0]", h, shape=shape, dtype=dtype),
        _check.maybe_array(f"{name}[1]", c, shape=shape, dtype=dtype),
    )


def _statistics(statistics: object, hidden: int, dtype: np.dtype[Any]) -> tuple[Array, Array]:
    """Check the statistics of earlier batches."""
    mean, variance = _check.pair("statistics", statistics)
    mean = _check.array("statistics[0]", mean, shape=(None, PARTS, hidden), dtype=dtype)
    if len(mean) == 0:
        raise ValueError(f"statistics[0] must have at least one step, got shape {mean.shape}")
    variance = _check.array("statistics[1]", variance, shape=mean.shape, dtype=dtype)
    _check.not_negative("statistics[1]", variance)
    return mean, variance
