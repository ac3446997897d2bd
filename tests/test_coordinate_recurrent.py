"""Differences that are propagated through recurrent layers, against whole passes in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import advcore
from advcore import models, nn
from advcore.nn._coordinates import CoordinateProbe

CELLS = {
    "rnn": nn.RNN,
    "gru after": nn.GRU,
    "gru before": lambda *sizes, **options: nn.GRU(*sizes, reset="before", **options),
    "lstm": nn.LSTM,
}


def drawn_coordinates(rng, x, count):
    return np.stack([rng.permutation(x[0].size)[:count] for _ in x])


@st.composite
def sequences(draw):
    """Draw a network on sequences: recurrent layers, what may stand between them, and a linear layer at the end."""
    steps, features = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    shape, layers = (steps, features), []
    if draw(st.booleans()):
        layers.append(draw(st.sampled_from([nn.Scale(2.0, 0.5), nn.Tanh(), nn.Linear(features, 4)])))
        shape = layers[0].output_shape(shape)
    for last in [False] * draw(st.integers(0, 1)) + [True]:
        layer = CELLS[draw(st.sampled_from(sorted(CELLS)))](
            shape[1],
            draw(st.integers(1, 18)),
            draw(st.integers(1, 2)),
            draw(st.booleans()),
            bidirectional=draw(st.booleans()),
            output=draw(st.sampled_from(["sequence", "last"])) if last else "sequence",
        )
        layers.append(layer)
        shape = layer.output_shape(shape)
        if draw(st.booleans()):
            between = [nn.ReLU(), nn.LayerNorm(shape[-1]), nn.Linear(shape[-1], 3), nn.Softmax(), nn.Sigmoid()]
            if len(shape) == 2:
                between += [
                    nn.BatchNorm(steps),
                    nn.Mean((1,)),
                    nn.Slice(1, 0, -1 if steps > 1 else None),
                    nn.Permute((2, 1)),
                ]
            layers.append(draw(st.sampled_from(between)))
            shape = layers[-1].output_shape(shape)
            if len(shape) == 1:
                break
    layers += [nn.Flatten(), nn.Linear(int(np.prod(shape)), 4)]
    seed = draw(st.integers(0, 2**20))
    network = nn.Sequential(*layers, seed=seed, dtype=draw(st.sampled_from([np.float32, np.float64])))
    return network, (steps, features), np.random.default_rng(seed)


@settings(deadline=None, max_examples=60)
@given(sequences(), st.sampled_from([1e-3, 0.5]), st.sampled_from([None, (0.0, 1.0)]))
def test_random_sequences(assert_agree, drawn, h, bounds):
    network, shape, rng = drawn
    x = rng.uniform(0, 1, (2, *shape)).astype(network.dtype)
    coordinates = drawn_coordinates(rng, x, min(x[0].size, 8))
    assert_agree(network, x, coordinates, h, bounds, 1e-8 if network.dtype == np.float64 else 1e-4)


@pytest.mark.parametrize("kind", sorted(CELLS))
@pytest.mark.parametrize("bidirectional", [False, True])
def test_every_cell_in_float64(assert_agree, kind, bidirectional):
    rng = np.random.default_rng(0)
    cell = CELLS[kind](5, 19, 2, bidirectional=bidirectional, output="last")
    network = nn.Sequential(cell, nn.Linear(19 * (1 + bidirectional), 3), dtype=np.float64)
    x = rng.normal(size=(2, 7, 5))
    assert_agree(network, x, drawn_coordinates(rng, x, 20), 1e-2, rtol=1e-10)


@pytest.mark.parametrize("model", [models.gru_classifier, models.lstm_classifier])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 8, 9)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_classifiers(assert_agree, model, shape, dtype):
    network = model(shape, hidden_size=20, dtype=dtype)
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 1, (2, *shape)).astype(dtype)
    assert_agree(network, x, drawn_coordinates(rng, x, 30), 1e-2, rtol=1e-10 if dtype == np.float64 else 2e-6)


def test_float32_differences_keep_their_digits(whole):
    network = models.lstm_classifier()
    rng = np.random.default_rng(2)
    x = rng.uniform(0, 1, (1, 1, 28, 28)).astype(np.float32)
    coordinates, h = drawn_coordinates(rng, x, 40), 1e-4
    got = CoordinateProbe(network).values(x, coordinates, h)
    _, plus, minus = whole(network, x, coordinates, h)
    copies = np.repeat(x.reshape(1, -1), 80, axis=0)
    rows = np.arange(40)
    copies[rows, coordinates[0]] += np.float32(h)
    copies[rows + 40, coordinates[0]] -= np.float32(h)
    subtracted = network.logits(copies.reshape(-1, 1, 28, 28))
    error = np.abs((got.plus - got.minus) - (plus - minus)).max()
    error_subtracted = np.abs((subtracted[:40] - subtracted[40:]) - (plus - minus)[0]).max()
    assert error < 1e-4 * error_subtracted


@pytest.mark.parametrize("kind", sorted(CELLS))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_saturated_gates_and_far_moves(assert_agree, kind, dtype):
    rng = np.random.default_rng(3)
    network = nn.Sequential(CELLS[kind](3, 8, output="last"), nn.Linear(8, 2), dtype=dtype)
    for name, parameter in network.parameters().items():
        if "weight" in name:
            parameter *= 40
    x = rng.normal(size=(4, 5, 3)).astype(dtype)
    for h in (1e-3, 1.0, 300.0, 3e4):  # sums far beyond what exp can take
        assert_agree(network, x, drawn_coordinates(rng, x, 15), h, rtol=1e-8 if dtype == np.float64 else 2e-2)
    got = CoordinateProbe(network).values(x, drawn_coordinates(rng, x, 15), 1e30)
    assert np.isfinite(got.plus).all()


def test_steps_before_the_touched_one_do_not_change():
    features = np.full((6, 4), 0.3, np.float32)
    for bidirectional in (False, True):
        layer = nn.GRU(4, 5, bidirectional=bidirectional)
        network = nn.Sequential(layer, nn.Flatten())
        values = CoordinateProbe(network).values(features[None], np.arange(24)[None], 0.1)
        moved = (values.plus != values.base[:, None])[0].reshape(6, 4, 6, 1 + bidirectional, 5).any(axis=(1, 4))
        np.testing.assert_array_equal(moved[:, :, 0], np.triu(np.ones((6, 6), bool)))
        if bidirectional:
            np.testing.assert_array_equal(moved[:, :, 1], np.tril(np.ones((6, 6), bool)))


@pytest.mark.parametrize("network", [models.lstm_classifier(num_layers=2, bidirectional=True, hidden_size=17)])
def test_same_bits_for_any_threads_and_company(network):
    rng = np.random.default_rng(4)
    x = rng.uniform(0, 1, (3, 1, 28, 28)).astype(np.float32)
    coordinates = drawn_coordinates(rng, x, 50)
    before = advcore.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            advcore.set_num_threads(threads)
            results.append(CoordinateProbe(network).values(x, coordinates, 1e-2))
        for one, two in zip(results[0][:4], results[1][:4], strict=True):
            np.testing.assert_array_equal(one, two)
    finally:
        advcore.set_num_threads(before)
    for n in range(3):
        alone = CoordinateProbe(network).values(x[n : n + 1], coordinates[n : n + 1, ::-1][:, :3].copy(), 1e-2)
        np.testing.assert_array_equal(alone.plus[0], results[0].plus[n, ::-1][:3])
        np.testing.assert_array_equal(alone.minus[0], results[0].minus[n, ::-1][:3])


def test_costs_of_steps():
    network = models.lstm_classifier((1, 10, 6), hidden_size=16)
    lstm, linear = nn.coordinate_costs(network, np.random.default_rng(5).uniform(0, 1, (1, 10, 6)).astype(np.float32))
    steps = 5.5  # from the touched one on, in the mean
    assert (lstm.name, lstm.full, lstm.window, lstm.size) == ("1 l0", 10 * 64 * (6 + 16), (1, 1), (1, 1))
    assert lstm.reached == 64 * (1 + steps * 16)
    assert linear.reached == linear.full == 160
    assert lstm.done <= lstm.reached + 64 * 5  # rows of a panel share the terms that are not zero
