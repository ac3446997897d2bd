"""Recurrent batch normalisation beyond the shared cases: gradients, invariance, running statistics, wrong calls."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import advcore
from advcore import _core, models, nn, ops, reference


def draw_params(rng, inputs, hidden, dtype=np.float64):
    gates = 4 * hidden
    params = [rng.standard_normal((gates, n)) / n**0.5 for n in (inputs, hidden)]
    params += [rng.standard_normal(gates), *(rng.uniform(0.1, 1, n) for n in (gates, gates, hidden))]
    return [array.astype(dtype) for array in [*params, rng.standard_normal(hidden)]]


def draw_statistics(rng, rows, hidden, dtype=np.float64):
    return rng.standard_normal((rows, 9, hidden)).astype(dtype), rng.uniform(0.5, 2, (rows, 9, hidden)).astype(dtype)


def flat(result):
    return [array for part in result for array in flat(part)] if isinstance(result, (tuple, list)) else [result]


def tensors(value):
    if isinstance(value, (tuple, list)):
        return type(value)(map(tensors, value))
    return None if value is None else torch.from_numpy(value)


def both_ways(x, hx, params, statistics, grad_output, grad_h_n=None, **options):
    *results, tape = ops.batch_norm_lstm(x, hx, params, statistics, return_tape=True, **options)
    return flat([*results, *ops.batch_norm_lstm_grad(tape, grad_output, grad_h_n)])


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.tuples(st.integers(4, 20), st.integers(1, 4), st.integers(1, 9), st.integers(1, 40)),
    rows=st.integers(0, 3),
    given_states=st.booleans(),
    batch_first=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_results_and_gradients_are_autograds_to_1e_7(sizes, rows, given_states, batch_first, seed):
    samples, steps, inputs, hidden = sizes
    rng = np.random.default_rng(seed)
    params = draw_params(rng, inputs, hidden)
    x, grad_output = (
        rng.standard_normal((samples, steps, width) if batch_first else (steps, samples, width))
        for width in (inputs, hidden)
    )
    hx, grad_h_n = (tuple(rng.standard_normal((2, samples, hidden))) for _ in range(2))
    if not given_states:
        hx = (hx[0], None)
    statistics = draw_statistics(rng, rows, hidden) if rows else None
    got = both_ways(x, hx, params, statistics, grad_output, grad_h_n, batch_first=batch_first)
    *results, tape = reference.batch_norm_lstm(
        *tensors((x, hx, params, statistics)), return_tape=True, batch_first=batch_first
    )
    want = flat([*results, *reference.batch_norm_lstm_grad(tape, *tensors((grad_output, grad_h_n)))])
    for ours, theirs in zip(got, want, strict=True):
        scale = max(1.0, float(theirs.abs().max()))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-7 * scale)


def test_gradients_are_differences_through_the_statistics():
    rng = np.random.default_rng(0)
    x, hx, params = rng.standard_normal((3, 7, 2)), tuple(rng.standard_normal((2, 7, 5))), draw_params(rng, 2, 5)
    grad_output = rng.standard_normal((3, 7, 5))
    grads = both_ways(x, hx, params, None, grad_output)[3:]
    arguments = [x, *hx, *params]
    for array, grad in zip(arguments, grads, strict=True):
        direction = rng.standard_normal(array.shape)
        values = []
        for h in (1e-6, -1e-6):
            moved = [a + h * direction if a is array else a for a in arguments]
            values.append(np.sum(ops.batch_norm_lstm(moved[0], moved[1:3], moved[3:])[0] * grad_output))
        assert np.sum(grad * direction) == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-6, abs=1e-7)


def test_scale_and_shift_of_the_inputs_and_scale_of_the_weights_play_no_part():
    rng = np.random.default_rng(0)
    x, params = rng.standard_normal((4, 20, 1)), draw_params(rng, 1, 5)
    output, _ = ops.batch_norm_lstm(x, None, params, eps=1e-14)
    params[0], params[1] = 3 * params[0], 0.5 * params[1]
    np.testing.assert_allclose(ops.batch_norm_lstm(7 * x + 4, None, params, eps=1e-14)[0], output, atol=1e-9)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("hidden", [7, 100, 128])
def test_any_number_of_threads_gives_the_same_bits(training, hidden):
    rng = np.random.default_rng(0)
    x, params = rng.standard_normal((3, 70, 5)).astype(np.float32), draw_params(rng, 5, hidden, np.float32)
    statistics = None if training else draw_statistics(rng, 2, hidden, np.float32)
    grad_output = rng.standard_normal((3, 70, hidden)).astype(np.float32)
    before, results = advcore.get_num_threads(), []
    for threads in (1, 2, 5):
        advcore.set_num_threads(threads)
        results.append(both_ways(x, None, params, statistics, grad_output))
    advcore.set_num_threads(before)
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("level", _core.available_levels())
def test_in_evaluation_a_sample_gives_the_same_bits_alone_and_in_any_batch(level):
    before = _core.level()
    _core._set_level(level)
    rng = np.random.default_rng(0)
    x, params = rng.standard_normal((4, 300, 5)).astype(np.float32), draw_params(rng, 5, 37, np.float32)
    hx = tuple(rng.standard_normal((2, 300, 37)).astype(np.float32))
    statistics = draw_statistics(rng, 3, 37, np.float32)
    grad_output = rng.standard_normal((4, 300, 37)).astype(np.float32)

    def run(part):
        given_hx = tuple(state[part] for state in hx)
        output, h, c, grad_x, grad_h, grad_c, *_ = both_ways(
            x[:, part], given_hx, params, statistics, grad_output[:, part]
        )
        return output.swapaxes(0, 1), h, c, grad_x.swapaxes(0, 1), grad_h, grad_c

    whole = run(slice(None))
    for part in (slice(0, 1), slice(299, 300), slice(3, 5), slice(11, 280)):
        for alone, in_batch in zip(run(part), whole, strict=True):
            np.testing.assert_array_equal(alone, in_batch[part])
    _core._set_level(before)


def test_keeping_a_tape_changes_no_bit_and_a_tape_can_be_used_twice():
    rng = np.random.default_rng(0)
    x, params = rng.standard_normal((6, 9, 2)).astype(np.float32), draw_params(rng, 2, 19, np.float32)
    output, h_n, tape = ops.batch_norm_lstm(x, None, params, return_tape=True)
    for kept, plain in zip(flat((output, h_n)), flat(ops.batch_norm_lstm(x, None, params)), strict=True):
        np.testing.assert_array_equal(kept, plain)
    grad_output = rng.standard_normal(output.shape).astype(np.float32)
    output[...] = np.nan
    first, second = (flat(ops.batch_norm_lstm_grad(tape, grad_output)) for _ in range(2))
    for one, two in zip(first, second, strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_array_equal(one, two)


def test_batch_statistics_as_given_ones_give_the_same_bits():
    rng = np.random.default_rng(0)
    x, params = rng.standard_normal((5, 9, 2)).astype(np.float32), draw_params(rng, 2, 19, np.float32)
    output, _, tape = ops.batch_norm_lstm(x, None, params, return_tape=True)
    again, _ = ops.batch_norm_lstm(x, None, params, (tape.mean, tape.variance))
    np.testing.assert_array_equal(output, again)


def test_constant_inputs_stay_finite():
    """A pixel that is black in all images: variance 0, at the first step of the state's part too."""
    rng = np.random.default_rng(0)
    params = draw_params(rng, 1, 8, np.float32)
    for array in both_ways(np.zeros((4, 6, 1), np.float32), None, params, None, np.ones((4, 6, 8), np.float32)):
        assert np.isfinite(array).all()


def network_of(layer, *, dtype=np.float64, seed=0):
    return nn.Sequential(layer, seed=seed, dtype=dtype)


def test_running_statistics_follow_the_batches_as_in_pytorch():
    layer = nn.BatchNormLSTM(3, 4, momentum=0.25)
    network = network_of(layer)
    first_rows = torch.zeros(9 * 4, dtype=torch.float64), torch.ones(9 * 4, dtype=torch.float64)
    rng = np.random.default_rng(0)
    for _ in range(3):
        x = rng.standard_normal((6, 2, 3))
        _, saved = network.forward(x, rng)
        tape = saved[0]
        parts = (tape.input_part[0], tape.state_part[0], tape.cells[1])
        step = torch.from_numpy(np.concatenate([part.reshape(6, -1) for part in parts], axis=1))
        torch.nn.functional.batch_norm(step, *first_rows, training=True, momentum=0.25)
    for name, theirs in zip(("running_mean", "running_var"), first_rows, strict=True):
        assert layer.buffers[name].shape == (2, 9, 4)
        np.testing.assert_allclose(layer.buffers[name][0].ravel(), theirs, rtol=1e-12, atol=1e-14)


def test_evaluation_moves_nothing_and_longer_sequences_share_the_last_row():
    layer = nn.BatchNormLSTM(3, 4)
    network = network_of(layer)
    rng = np.random.default_rng(0)
    for steps in (2, 5, 3):
        network.forward(rng.standard_normal((6, steps, 3)), rng)
    assert layer.buffers["running_mean"].shape == (5, 9, 4)
    before = network.state_dict()
    x = rng.standard_normal((7, 11, 3))
    output = network.logits(x)
    network.vjp(x, np.ones_like(output))
    for name, array in network.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    repeated = [np.concatenate([array, np.repeat(array[-1:], 6, axis=0)]) for array in layer.buffers.values()]
    want, _ = ops.batch_norm_lstm(x, None, list(layer.parameters.values()), tuple(repeated), batch_first=True)
    np.testing.assert_array_equal(output, want)
    np.testing.assert_array_equal(output[:, :4], network.logits(x[:, :4]))


def test_new_rows_start_from_the_last_one():
    layer = nn.BatchNormLSTM(3, 4, momentum=1.0)
    network = network_of(layer)
    rng = np.random.default_rng(0)
    network.forward(rng.standard_normal((6, 2, 3)), rng)
    last = layer.buffers["running_mean"][-1].copy()
    layer.momentum = 1e-9
    network.forward(rng.standard_normal((6, 4, 3)), rng)
    for row in layer.buffers["running_mean"][2:]:
        np.testing.assert_allclose(row, last, atol=1e-7)


def test_states_carry_the_running_statistics():
    one, two = (network_of(nn.BatchNormLSTM(3, 4, output="last"), seed=seed) for seed in (0, 1))
    rng = np.random.default_rng(0)
    one.forward(rng.standard_normal((6, 5, 3)), rng)
    state, x = one.state_dict(), rng.standard_normal((2, 8, 3))
    assert list(state)[-2:] == ["0.running_mean", "0.running_var"]
    two.load_state_dict(state)
    np.testing.assert_array_equal(one.logits(x), two.logits(x))
    state["0.running_mean"][...] = 0
    assert two.buffers()["0.running_mean"].any()
    before = two.state_dict()
    wrong = {
        "state['0.running_mean'] must have shape (any, 9, 4), got (5, 9, 3)": {"0.running_mean": np.zeros((5, 9, 3))},
        "state['0.running_mean'] must have at least one row": {"0.running_mean": np.zeros((0, 9, 4))},
        "state['0.running_var'] must have shape (5, 9, 4), got (4, 9, 4)": {"0.running_var": np.ones((4, 9, 4))},
        "state['0.running_var'] must be at least 0, got -1": {"0.running_var": -np.ones((5, 9, 4))},
    }
    for text, part in wrong.items():
        with pytest.raises(ValueError, match=re.escape(text)):
            two.load_state_dict(state | part)
    with pytest.raises(ValueError, match=re.escape("['0.running_var'] missing")):
        two.load_state_dict({name: array for name, array in state.items() if name != "0.running_var"})
    for name, array in two.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_noise_on_the_first_state_is_the_generators_and_training_alone():
    layer = nn.BatchNormLSTM(3, 4, h0_noise=0.1)
    network = network_of(layer)
    x = np.random.default_rng(0).standard_normal((60, 2, 3))
    (one, saved), (same, _), (other, _) = (network.forward(x, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert saved[0].states[0].std() == pytest.approx(0.1, rel=0.2)
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(network.logits(x), network.logits(x))


@pytest.mark.parametrize("output", ["sequence", "last"])
def test_a_layer_takes_the_gradient_of_its_output(output):
    network = nn.Sequential(nn.BatchNormLSTM(3, 4, output=output, gamma=1.0), nn.Linear(4, 2), dtype=np.float64)
    rng = np.random.default_rng(0)
    x, direction = rng.standard_normal((2, 6, 5, 3))
    cotangent = rng.standard_normal(network.logits(x).shape)
    slope = (network.logits(x + 1e-6 * direction) - network.logits(x - 1e-6 * direction)) / 2e-6
    assert np.sum(network.vjp(x, cotangent) * direction) == pytest.approx(np.sum(slope * cotangent), rel=1e-6)
    layer = network.layers["0"]
    _, saved = network.forward(x, rng)
    _, gradients = network.backward(saved, cotangent, need_parameters=True)
    assert {name.removeprefix("0.") for name in gradients if name[0] == "0"} == set(layer.parameters)


def test_training_learns_and_is_the_same_for_any_number_of_threads():
    digits = advcore.data.digits()
    before, states = advcore.get_num_threads(), []
    for threads in (1, 2):
        advcore.set_num_threads(threads)
        network = models.lstm_classifier((1, 8, 8), hidden_size=24, batch_norm=True)
        nn.fit(network, digits.x_train, digits.y_train, epochs=4, batch_size=32, optimizer=nn.Adam(1e-2))
        states.append(network.state_dict())
    advcore.set_num_threads(before)
    assert nn.accuracy(network, digits.x_test, digits.y_test) >= 0.9
    for name, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][name])


def test_layer_describes_itself():
    layer = nn.BatchNormLSTM(3, 4, output="last", gamma=0.2)
    assert repr(layer) == "BatchNormLSTM(3, 4, output='last', gamma=0.2)"
    assert layer.parameter_count() == 16 * (3 + 4) + 3 * 16 + 2 * 4
    assert layer.flops((5, 3)) == 5 * 2 * 16 * (3 + 4)


X, P = np.ones((5, 3, 2), np.float32), draw_params(np.random.default_rng(0), 2, 4, np.float32)
S = (np.zeros((1, 9, 4), np.float32), np.ones((1, 9, 4), np.float32))
H = np.zeros((3, 4), np.float32)
_, _, TAPE = ops.batch_norm_lstm(X, None, P, return_tape=True)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: ops.batch_norm_lstm(X[0], None, P), ValueError, "input must have shape (T, N, I), got (3, 2)"),
        (lambda: ops.batch_norm_lstm(X[:0], None, P), ValueError, "at least one step, got shape (0, 3, 2)"),
        (lambda: ops.batch_norm_lstm(X[:, :1], None, P), ValueError, "at least 2 samples to give statistics, got 1"),
        (lambda: ops.batch_norm_lstm(X[:, :0], None, P), ValueError, "at least 2 samples to give statistics, got 0"),
        (lambda: ops.batch_norm_lstm(X, None, P[:6]), ValueError, "beta_c: 7 arrays, got 6"),
        (lambda: ops.batch_norm_lstm(X, None, [P[0][:3], *P[1:]]), ValueError, "params[0] must have shape (16, 2)"),
        (lambda: ops.batch_norm_lstm(X, None, [*P[:6], P[6][:3]]), ValueError, "params[6] must have shape (4,)"),
        (lambda: ops.batch_norm_lstm(X, None, [*P[:6], P[6].astype(float)]), TypeError, "params[6] must be of type"),
        (lambda: ops.batch_norm_lstm(X, H, P), TypeError, "hx must be a list or tuple, got ndarray"),
        (lambda: ops.batch_norm_lstm(X, (H[:1], H), P), ValueError, "hx[0] must have shape (3, 4), got (1, 4)"),
        (lambda: ops.batch_norm_lstm(X, None, P, eps=0.0), ValueError, "eps must be greater than 0, got 0"),
        (lambda: ops.batch_norm_lstm(X, None, P, S[0]), TypeError, "statistics must be a list or tuple"),
        (lambda: ops.batch_norm_lstm(X, None, P, (S[0][:0], S[1])), ValueError, "statistics[0] must have at least one"),
        (lambda: ops.batch_norm_lstm(X, None, P, (S[0][:, 1:], S[1])), ValueError, "must have shape (any, 9, 4)"),
        (lambda: ops.batch_norm_lstm(X, None, P, (S[0], -S[1])), ValueError, "must be at least 0, got -1 at index 0"),
        (lambda: ops.batch_norm_lstm(X, None, P, out=H), ValueError, "out must have shape (5, 3, 4), got (3, 4)"),
        (lambda: ops.batch_norm_lstm_grad(None, X), TypeError, "tape must be what batch_norm_lstm returns"),
        (lambda: ops.batch_norm_lstm_grad(TAPE, X), ValueError, "grad_output must have shape (5, 3, 4), got (5, 3, 2)"),
        (lambda: nn.BatchNormLSTM(0, 4), ValueError, "input_size must be at least 1, got 0"),
        (lambda: nn.BatchNormLSTM(3, 4, eps=0.0), ValueError, "eps must be greater than 0, got 0"),
        (lambda: nn.BatchNormLSTM(3, 4, momentum=0.0), ValueError, "momentum must be greater than 0, got 0"),
        (lambda: nn.BatchNormLSTM(3, 4, momentum=1.5), ValueError, "momentum must be at most 1, got 1.5"),
        (lambda: nn.BatchNormLSTM(3, 4, gamma=0.0), ValueError, "gamma must be greater than 0, got 0"),
        (lambda: nn.BatchNormLSTM(3, 4, h0_noise=-1.0), ValueError, "h0_noise must be at least 0, got -1"),
        (lambda: nn.BatchNormLSTM(3, 4, output="all"), ValueError, "output must be 'sequence' or 'last', got 'all'"),
    ],
)
def test_wrong_calls_say_what_was_expected_and_what_came(call, error, text):
    with pytest.raises(error, match=re.escape(text)):
        call()


def test_zero_samples_in_evaluation_and_out():
    output, h_n, tape = ops.batch_norm_lstm(X[:, :0], None, P, S, return_tape=True)
    assert [array.shape for array in flat((output, h_n))] == [(5, 0, 4), (0, 4), (0, 4)]
    assert ops.batch_norm_lstm_grad(tape, output)[0].shape == (5, 0, 2)
    out = np.empty((5, 3, 4), np.float32)
    assert ops.batch_norm_lstm(X, None, P, out=out)[0] is out
    np.testing.assert_array_equal(out, ops.batch_norm_lstm(X, None, P)[0])
