"""Recurrent layers beyond the shared cases: invariance, padding, tapes, and what wrong calls say."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import advcore
from advcore import ops, reference
from advcore._cases import compare, tolerance
from advcore.ops.recurrent_grad import recurrent_grad

GATES = {"rnn_tanh": 1, "gru": 3, "lstm": 4}
KINDS = [("rnn_tanh", {}), ("gru", {"reset": "after"}), ("gru", {"reset": "before"}), ("lstm", {})]
KIND_IDS = ["rnn_tanh", "gru_after", "gru_before", "lstm"]
each_kind = pytest.mark.parametrize(("op", "options"), KINDS, ids=KIND_IDS)


def draw_params(rng, op, inputs, hidden, *, layers=1, directions=1, biases=True, dtype=np.float32):
    width, params = GATES[op] * hidden, []
    for layer in range(layers):
        for _ in range(directions):
            below = directions * hidden if layer else inputs
            shapes = [(width, below), (width, hidden), *([(width,), (width,)] if biases else [])]
            params += [(rng.standard_normal(shape) / hidden**0.5).astype(dtype) for shape in shapes]
    return params


def draw_state(rng, op, shape, dtype=np.float32):
    h, c = rng.standard_normal((2, *shape)).astype(dtype)
    return (h, c) if op == "lstm" else h


def flat(result):
    if isinstance(result, (tuple, list)):
        return [array for part in result for array in flat(part)]
    return [np.asarray(result)]


def states_of(state, samples):
    return tuple(part[:, samples] for part in state) if isinstance(state, tuple) else state[:, samples]


def both_ways(op, options, x, hx, params, grad_output, grad_h_n, **more):
    """Output, last states, and the gradients of input, first states and parameters."""
    output, h_n, tape = getattr(ops, op)(x, hx, params, return_tape=True, **options, **more)
    grad_input, grad_hx, grad_params = getattr(ops, f"{op}_grad")(tape, grad_output, grad_h_n)
    return output, h_n, grad_input, grad_hx, grad_params


def test_two_steps_of_a_scalar_tanh_network_by_hand():
    x1, x2, w, h0, t = 0.5, -0.3, 0.8, 0.1, 0.25
    h1 = np.tanh(x1 * w + h0)
    h2 = np.tanh(x2 * w + h1)
    params = [np.full((1, 1), w), np.ones((1, 1))]
    output, h_n, tape = ops.rnn_tanh(
        np.array([x1, x2]).reshape(2, 1, 1), np.full((1, 1, 1), h0), params, return_tape=True
    )
    np.testing.assert_allclose(output.ravel(), [h1, h2], rtol=1e-14)
    np.testing.assert_allclose(h_n.ravel(), [h2], rtol=1e-14)
    grad_output = np.zeros((2, 1, 1))
    grad_output[1] = 2 * (h2 - t)
    _, grad_hx, grad_params = ops.rnn_tanh_grad(tape, grad_output)
    slope = 2 * (h2 - t) * (1 - h2**2)
    np.testing.assert_allclose(grad_params[0], [[slope * (x2 + (1 - h1**2) * x1)]], rtol=1e-13)
    np.testing.assert_allclose(grad_params[1], [[slope * (h1 + (1 - h1**2) * h0)]], rtol=1e-13)
    np.testing.assert_allclose(grad_hx.ravel(), [slope * (1 - h1**2)], rtol=1e-13)


@pytest.mark.parametrize("padded", [False, True], ids=["full", "padded"])
@each_kind
def test_a_sample_gives_the_same_bits_alone_and_in_any_batch(op, options, padded):
    rng = np.random.default_rng(0)
    samples, steps, hidden = 40, 6, 37
    params = draw_params(rng, op, 5, hidden, layers=2, directions=2)
    x = rng.standard_normal((steps, samples, 5)).astype(np.float32)
    hx, grad_h_n = (draw_state(rng, op, (4, samples, hidden)) for _ in range(2))
    grad_output = rng.standard_normal((steps, samples, 2 * hidden)).astype(np.float32)
    lengths = rng.integers(1, steps, samples, endpoint=True) if padded else None

    def run(part):
        more = {"num_layers": 2, "bidirectional": True, "lengths": None if lengths is None else lengths[part]}
        given = (x[:, part], states_of(hx, part), params, grad_output[:, part], states_of(grad_h_n, part))
        return flat(both_ways(op, options, *given, **more)[:4])

    whole = run(slice(None))
    for part in (slice(0, 1), slice(17, 18), slice(39, 40), slice(3, 5), slice(11, 28)):
        for alone, in_batch in zip(run(part), whole, strict=True):
            np.testing.assert_array_equal(alone, in_batch[:, part])


@each_kind
def test_any_number_of_threads_gives_the_same_bits(op, options):
    rng = np.random.default_rng(0)
    params = draw_params(rng, op, 6, 33)
    x = rng.standard_normal((9, 31, 6)).astype(np.float32)
    grad_output = rng.standard_normal((9, 31, 33)).astype(np.float32)
    before, results = advcore.get_num_threads(), []
    for threads in (1, 2, 5):
        advcore.set_num_threads(threads)
        results.append(flat(both_ways(op, options, x, None, params, grad_output, None)))
    advcore.set_num_threads(before)
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


@each_kind
def test_a_layer_of_one_step_is_a_cell(op, options):
    rng = np.random.default_rng(0)
    params = draw_params(rng, op, 6, 19)
    x, hx = rng.standard_normal((5, 6)).astype(np.float32), draw_state(rng, op, (1, 5, 19))
    cell_state = tuple(part[0] for part in hx) if op == "lstm" else hx[0]
    cell = flat(getattr(ops, f"{op}_cell")(x, cell_state, *params, **options))
    output, h_n = getattr(ops, op)(x[np.newaxis], hx, params, **options)
    np.testing.assert_array_equal(cell[0], output[0])
    for of_cell, of_layer in zip(cell, flat(h_n), strict=True):
        np.testing.assert_array_equal(of_cell, of_layer[0])


@each_kind
def test_keeping_a_tape_changes_no_bit_and_a_tape_can_be_used_twice(op, options):
    rng = np.random.default_rng(0)
    params = draw_params(rng, op, 6, 19)
    x = rng.standard_normal((5, 3, 6)).astype(np.float32)
    grad_output = rng.standard_normal((5, 3, 19)).astype(np.float32)
    output, h_n, tape = getattr(ops, op)(x, None, params, return_tape=True, **options)
    for kept, plain in zip(flat((output, h_n)), flat(getattr(ops, op)(x, None, params, **options)), strict=True):
        np.testing.assert_array_equal(kept, plain)
    output[...] = np.nan  # the tape does not lean on what the caller was given
    grad = getattr(ops, f"{op}_grad")
    for first, second in zip(flat(grad(tape, grad_output)), flat(grad(tape, grad_output)), strict=True):
        assert np.isfinite(first).all()
        np.testing.assert_array_equal(first, second)


@each_kind
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("directions", [1, 2])
def test_gradients_that_nobody_needs_are_left_out(op, options, directions, batch_first):
    rng = np.random.default_rng(0)
    params = draw_params(rng, op, 6, 19, layers=2, directions=directions)
    layout = {"num_layers": 2, "bidirectional": directions == 2, "batch_first": batch_first}
    x = rng.standard_normal((5, 3, 6)).astype(np.float32)
    tape = getattr(ops, op)(x, None, params, return_tape=True, **layout, **options)[-1]
    grad_output = rng.standard_normal((5, 3, 19 * directions)).astype(np.float32)
    whole = getattr(ops, f"{op}_grad")(tape, grad_output)

    def part(**needs):
        return recurrent_grad(op, (tape.cell,), tape, grad_output, None, **needs)

    grad_input, _, grad_params = part(need_input=False)
    assert grad_input is None
    for one, other in zip(grad_params, whole[2], strict=True):
        np.testing.assert_array_equal(one, other)
    grad_input, grad_hx, grad_params = part(need_params=False)
    assert grad_params == []
    for one, other in zip(flat((grad_input, grad_hx)), flat(whole[:2]), strict=True):
        np.testing.assert_array_equal(one, other)


@each_kind
def test_padding_is_never_looked_at(op, options):
    rng = np.random.default_rng(0)
    samples, steps, hidden = 20, 6, 17
    params = draw_params(rng, op, 4, hidden, directions=2)
    lengths = rng.integers(1, steps, samples, endpoint=True)
    padding = np.arange(steps)[:, np.newaxis] >= lengths
    x = rng.standard_normal((steps, samples, 4)).astype(np.float32)
    grad_output = rng.standard_normal((steps, samples, 2 * hidden)).astype(np.float32)
    hx = draw_state(rng, op, (2, samples, hidden))
    clean = both_ways(op, options, x, hx, params, grad_output, None, bidirectional=True, lengths=lengths)
    x[padding], grad_output[padding] = np.nan, np.inf
    dirty = both_ways(op, options, x, hx, params, grad_output, None, bidirectional=True, lengths=lengths)
    for one, two in zip(flat(clean), flat(dirty), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not dirty[0][padding].any()
    assert not dirty[2][padding].any()


@each_kind
def test_nan_stays_in_its_sample_and_after_its_step(op, options):
    rng = np.random.default_rng(0)
    params = draw_params(rng, op, 4, 17)
    x = rng.standard_normal((5, 16, 4)).astype(np.float32)
    x[2, 7, 1] = np.nan
    output, _ = getattr(ops, op)(x, None, params, **options)
    expected = np.zeros(output.shape, bool)
    expected[2:, 7] = True
    np.testing.assert_array_equal(np.isnan(output), expected)


def test_saturated_gates_stay_finite():
    params = [np.full((4, 1), 1e30, np.float32), np.full((4, 1), -1e30, np.float32)]
    output, (h, c), tape = ops.lstm(np.ones((4, 2, 1), np.float32), None, params, return_tape=True)
    assert np.isfinite(output).all()
    assert np.isfinite(h).all()
    assert np.isfinite(c).all()
    assert np.isfinite(ops.lstm_grad(tape, np.ones_like(output))[1]).all()


@each_kind
def test_out_receives_the_output(op, options):
    rng = np.random.default_rng(0)
    params = draw_params(rng, op, 4, 4)
    x = rng.standard_normal((3, 5, 4)).astype(np.float32)
    output, _, tape = getattr(ops, op)(x, None, params, return_tape=True, **options)
    expected = output.copy()
    grad_input = getattr(ops, f"{op}_grad")(tape, output)[0]
    out = np.empty_like(x)
    assert getattr(ops, f"{op}_grad")(tape, output, out=out)[0] is out
    np.testing.assert_array_equal(out, grad_input)
    for out in (np.empty((3, 5, 4), np.float32), np.empty((5, 3, 4), np.float32).swapaxes(0, 1), x):
        assert getattr(ops, op)(x, None, params, out=out, **options)[0] is out
        np.testing.assert_array_equal(out, expected)
    h = np.empty((5, 4), np.float32)
    cell_out = (h, h.copy()) if op == "lstm" else h
    made = getattr(ops, f"{op}_cell")(x[0], None, *params, out=cell_out, **options)
    assert flat(made)[0] is h
    for ours, fresh in zip(flat(made), flat(getattr(ops, f"{op}_cell")(x[0], None, *params, **options)), strict=True):
        np.testing.assert_array_equal(ours, fresh)


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    sizes=st.tuples(st.integers(1, 20), st.integers(1, 4), st.integers(1, 9), st.integers(1, 40)),
    layers=st.integers(1, 2),
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_layer_agrees_with_pytorch(kind, sizes, layers, flags, seed):
    (op, options), (samples, steps, inputs, hidden) = kind, sizes
    bidirectional, batch_first, biases, padded = flags
    rng = np.random.default_rng(seed)
    directions = 1 + bidirectional
    params = draw_params(rng, op, inputs, hidden, layers=layers, directions=directions, biases=biases, dtype=np.float64)
    x, grad_output = (
        rng.standard_normal((samples, steps, width) if batch_first else (steps, samples, width))
        for width in (inputs, directions * hidden)
    )
    hx, grad_h_n = (draw_state(rng, op, (layers * directions, samples, hidden), np.float64) for _ in range(2))
    more = {"num_layers": layers, "bidirectional": bidirectional, "batch_first": batch_first}
    if padded:
        more["lengths"] = rng.integers(1, steps, samples, endpoint=True)
    got = both_ways(op, options, x, hx, params, grad_output, grad_h_n, **more)

    def tensors(value):
        return tuple(map(torch.from_numpy, value)) if isinstance(value, (tuple, list)) else torch.from_numpy(value)

    output, h_n, tape = getattr(reference, op)(
        tensors(x), tensors(hx), tensors(params), return_tape=True, **options, **more
    )
    grads = getattr(reference, f"{op}_grad")(tape, tensors(grad_output), tensors(grad_h_n))
    want = [tensor.numpy() for tensor in flat_tensors((output, h_n, *grads))]
    assert [array.shape for array in flat(got)] == [array.shape for array in want]
    # All in one: a result of a single number may be no more than what cancellation left.
    terms = steps * (inputs + hidden + samples)
    assert compare([join(flat(got))], [join(want)]) <= tolerance(np.float64, terms)


def flat_tensors(value):
    if isinstance(value, (tuple, list)):
        return [tensor for part in value for tensor in flat_tensors(part)]
    return [value]


def join(arrays):
    return np.concatenate([array.ravel() for array in arrays])


X = np.ones((5, 3, 2), np.float32)
P = draw_params(np.random.default_rng(0), "gru", 2, 4)
P4 = draw_params(np.random.default_rng(0), "lstm", 2, 4)
H = np.zeros((1, 3, 4), np.float32)
TAPE = ops.gru(X, None, P, return_tape=True)[2]
G = np.zeros((5, 3, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: ops.gru(X[0], None, P), ValueError, "input must have shape (T, N, I), got (3, 2)"),
        (lambda: ops.gru(X[0], None, P, batch_first=True), ValueError, "input must have shape (N, T, I), got (3, 2)"),
        (lambda: ops.gru(X[:0], None, P), ValueError, "input must have at least one step, got shape (0, 3, 2)"),
        (
            lambda: ops.gru(X.tolist(), None, P),
            TypeError,
            "input must be a NumPy array of float32 or float64, got list",
        ),
        (lambda: ops.gru(X, H[0], P), ValueError, "hx must have shape (1, 3, 4), got (3, 4)"),
        (lambda: ops.gru(X, (H, H), P), TypeError, "hx must be a NumPy array of float32 or float64, got tuple"),
        (lambda: ops.gru(X, H.astype(np.float64), P), TypeError, "hx must be of type float32 like the other arrays"),
        (lambda: ops.lstm(X, H, P4), TypeError, "hx must be a list or tuple, got ndarray"),
        (lambda: ops.lstm(X, (H, H, H), P4), ValueError, "hx must be a pair, got 3 values"),
        (lambda: ops.lstm(X, (H, H[0]), P4), ValueError, "hx[1] must have shape (1, 3, 4), got (3, 4)"),
        (lambda: ops.gru(X, None, P[:3]), ValueError, "4 or 2 arrays, got 3"),
        (lambda: ops.gru(X, None, []), ValueError, "4 or 2 arrays, got 0"),
        (lambda: ops.gru(X, None, P, num_layers=2, bidirectional=True), ValueError, "16 or 8 arrays, got 4"),
        (lambda: ops.gru(X, None, P[0]), TypeError, "params must be a list or tuple, got ndarray"),
        (lambda: ops.gru(X, None, [P[0], P[1][0], *P[2:]]), ValueError, "params[1] must have shape (3 H, H), got (4,)"),
        (lambda: ops.gru(X, None, P4), ValueError, "params[0] must have shape (12, 2), got (16, 2)"),
        (lambda: ops.gru(X, None, [*P[:3], P[3][:5]]), ValueError, "params[3] must have shape (12,), got (5,)"),
        (lambda: ops.gru(X, None, P + P, num_layers=2), ValueError, "params[4] must have shape (12, 4), got (12, 2)"),
        (lambda: ops.gru(X, None, [*P[:3], P[3].astype(float)]), TypeError, "params[3] must be of type float32"),
        (
            lambda: ops.gru(X, None, [np.ones((0, 2), np.float32), np.ones((0, 0), np.float32)]),
            ValueError,
            "params[1] must have a hidden size of at least 1, got shape (0, 0)",
        ),
        (lambda: ops.gru(X, None, P, num_layers=0), ValueError, "num_layers must be at least 1, got 0"),
        (lambda: ops.gru(X, None, P, bidirectional=1), TypeError, "bidirectional must be True or False, got int 1"),
        (lambda: ops.gru(X, None, P, reset="never"), ValueError, "reset must be 'after' or 'before', got 'never'"),
        (lambda: ops.gru(X, None, P, lengths=[1, 0, 5]), ValueError, "lengths must be in [1, 5], got 0 at index 1"),
        (lambda: ops.gru(X, None, P, lengths=[1, 6, 5]), ValueError, "lengths must be in [1, 5], got 6 at index 1"),
        (lambda: ops.gru(X, None, P, lengths=[1, 5]), ValueError, "lengths must have shape (3,), got (2,)"),
        (lambda: ops.gru(X, None, P, lengths=[1.0, 2.0, 3.0]), TypeError, "lengths must be an array of integers"),
        (lambda: ops.gru(X, None, P, out=G[1:]), ValueError, "out must have shape (5, 3, 4), got (4, 3, 4)"),
        (lambda: ops.gru_cell(X, None, *P), ValueError, "input must have shape (N, I), got (5, 3, 2)"),
        (lambda: ops.gru_cell(X[0], H, *P), ValueError, "hx must have shape (3, 4), got (1, 3, 4)"),
        (lambda: ops.gru_cell(X[0], None, *P4), ValueError, "w_hh must have shape (12, 4), got (16, 4)"),
        (
            lambda: ops.gru_cell(X[0], None, P[0][:, :1], *P[1:]),
            ValueError,
            "w_ih must have shape (12, 2), got (12, 1)",
        ),
        (lambda: ops.gru_cell(X[0], None, *P[:3], P[3][:1]), ValueError, "b_hh must have shape (12,), got (1,)"),
        (lambda: ops.gru_cell(X[0], None, *P, reset=None), ValueError, "reset must be 'after' or 'before', got None"),
        (lambda: ops.gru_grad(None, G), TypeError, "tape must be what gru returns with return_tape=True, got NoneType"),
        (lambda: ops.lstm_grad(TAPE, G), ValueError, "tape must be what lstm returns, got one of gru_after"),
        (lambda: ops.gru_grad(TAPE, G[0]), ValueError, "grad_output must have shape (5, 3, 4), got (3, 4)"),
        (lambda: ops.gru_grad(TAPE, G.astype(np.float64)), TypeError, "grad_output must be of type float32"),
        (lambda: ops.gru_grad(TAPE, G, H[0]), ValueError, "grad_h_n must have shape (1, 3, 4), got (3, 4)"),
    ],
)
def test_wrong_calls_say_what_was_expected_and_what_came(call, error, text):
    with pytest.raises(error, match=re.escape(text)):
        call()
