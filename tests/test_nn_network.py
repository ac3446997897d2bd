"""Networks: against the same torch network, the bits of a sample, pieces of the batch, names, bad input."""

import copy

import numpy as np
import pytest
import torch

import advcore
from advcore import models, nn
from advcore.nn import runnable

MODELS = {
    "mlp": lambda **o: models.mlp((1, 8, 8), 5, hidden=(30, 20), activation="gelu", dropout=0.2, **o),
    "small_cnn": lambda **o: models.small_cnn((2, 9, 8), 5, **o),
    "lenet": lambda **o: models.lenet((1, 14, 15), 5, **o),
    "carlini_mnist": lambda **o: models.carlini_mnist((1, 16, 17), 5, **o),
    "gru_classifier": lambda **o: models.gru_classifier((2, 8, 8), 5, hidden_size=19, **o),
    "lstm_classifier": lambda **o: models.lstm_classifier(
        (1, 8, 8), 5, hidden_size=9, num_layers=2, bidirectional=True, **o
    ),
}
SHAPES = {
    "mlp": (1, 8, 8),
    "small_cnn": (2, 9, 8),
    "lenet": (1, 14, 15),
    "carlini_mnist": (1, 16, 17),
    "gru_classifier": (2, 8, 8),
    "lstm_classifier": (1, 8, 8),
}


def samples(name, count, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((count, *SHAPES[name])).astype(dtype), rng.integers(0, 5, count)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-5), (np.float64, 1e-12)])
def test_logits_and_gradients_are_pytorchs(name, dtype, tolerance):
    network = MODELS[name](seed=4, dtype=dtype)
    x, y = samples(name, 6, dtype)
    cotangent = np.random.default_rng(1).standard_normal((6, 5)).astype(dtype)
    module = network.to_torch().double()
    leaf = torch.from_numpy(x.astype(np.float64)).requires_grad_()
    logits = module(leaf)
    (gradient,) = torch.autograd.grad(logits, leaf, torch.from_numpy(cotangent.astype(np.float64)), retain_graph=True)
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(y), reduction="sum")
    (loss_gradient,) = torch.autograd.grad(loss, leaf)

    def close(got, want):
        want = want.detach().numpy()
        np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * np.abs(want).max())
        assert got.dtype == dtype

    close(network.logits(x), logits)
    close(network.vjp(x, cotangent), gradient)
    close(network.loss_gradient(x, y), loss_gradient)
    np.testing.assert_array_equal(network.predict(x), logits.argmax(1))
    assert network.predict(x).dtype == np.int64


@pytest.mark.parametrize("loss", ["cross_entropy", "multiclass_hinge", "margin"])
@pytest.mark.parametrize("name", MODELS)
def test_a_sample_alone_has_the_bits_it_has_in_a_batch(name, loss):
    network = MODELS[name](seed=4)
    x, y = samples(name, 37)
    logits, gradient = network.logits(x), network.loss_gradient(x, y, loss)
    for part in (slice(0, 1), slice(17, 18), slice(36, 37), slice(5, 22)):
        np.testing.assert_array_equal(network.logits(x[part]), logits[part])
        np.testing.assert_array_equal(network.loss_gradient(x[part], y[part], loss), gradient[part])


@pytest.mark.parametrize("name", MODELS)
def test_threads_and_pieces_change_no_bits(name, monkeypatch):
    network = MODELS[name](seed=4)
    x, y = samples(name, 13)
    names = list(network.layers)
    before = advcore.get_num_threads()

    def results():
        return [network.logits(x), network.loss_gradient(x, y), *network.activations(x, names).values()]

    advcore.set_num_threads(1)
    expected = results()
    advcore.set_num_threads(2)
    of_two_threads = results()
    advcore.set_num_threads(before)
    monkeypatch.setattr(runnable, "MEMORY", 0)
    network._plans.clear()
    of_pieces = results()
    for want, two, pieces in zip(expected, of_two_threads, of_pieces, strict=True):
        np.testing.assert_array_equal(two, want)
        np.testing.assert_array_equal(pieces, want)


def test_value_and_vjp_calls_back_once_with_the_whole_batch(monkeypatch):
    network = MODELS["small_cnn"]()
    x, _ = samples("small_cnn", 9)
    results = []
    for memory in (2**27, 0):
        monkeypatch.setattr(runnable, "MEMORY", memory)
        network._plans.clear()
        calls = []
        results.append(network.value_and_vjp(x, lambda z, calls=calls: calls.append(z.copy()) or np.tanh(z)))
        assert len(calls) == 1
        np.testing.assert_array_equal(calls[0], network.logits(x))
    for logits, gradient in results:
        np.testing.assert_array_equal(logits, network.logits(x))
        np.testing.assert_array_equal(gradient, network.vjp(x, np.tanh(logits)))


def test_activations_are_the_layers_outputs():
    network = MODELS["small_cnn"]()
    x, _ = samples("small_cnn", 3)
    got = network.activations(x, ["1", "0", "8"])
    assert list(got) == ["1", "0", "8"]
    np.testing.assert_array_equal(got["0"], network.layers["0"].infer(x))
    np.testing.assert_array_equal(got["1"], np.maximum(got["0"], 0))
    np.testing.assert_array_equal(got["8"], network.logits(x))


def test_an_empty_batch_gives_empty_results():
    for name, make in MODELS.items():
        network = make()
        x, y = samples(name, 0)
        assert network.logits(x).shape == (0, 5)
        assert network.predict(x).shape == (0,)
        assert network.vjp(x, np.zeros((0, 5), np.float32)).shape == x.shape
        assert network.loss_gradient(x, y).shape == x.shape
        assert network.activations(x, ["1"])["1"].shape[0] == 0


def test_results_are_the_callers_own():
    network = nn.Sequential(nn.Flatten())
    x = np.ones((2, 3, 4), np.float32)
    network.logits(x)[...] = 5
    network.activations(x, ["0"])["0"][...] = 5
    network.vjp(x, np.ones((2, 12), np.float32))[...] = 5
    assert np.all(x == 1)
    twins = nn.Sequential(nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.ReLU()).activations(x, list("0123"))
    for values in twins.values():
        assert np.all(values == 1)
        values[...] = 5


def test_strided_read_only_and_byte_swapped_inputs():
    network = MODELS["small_cnn"]()
    x, _ = samples("small_cnn", 4)
    expected = network.logits(x)
    np.testing.assert_array_equal(network.logits(np.asfortranarray(x)), expected)
    np.testing.assert_array_equal(network.logits(x[::-1])[::-1], expected)
    np.testing.assert_array_equal(network.logits(x.astype(">f4")), expected)
    x.flags.writeable = False
    np.testing.assert_array_equal(network.logits(x), expected)


def test_nan_propagates_to_its_own_sample_only():
    network = MODELS["small_cnn"]()
    x, _ = samples("small_cnn", 3)
    expected = network.logits(x)
    x[1, 0, 4, 4] = np.nan
    got = network.logits(x)
    assert np.isnan(got[1]).all()
    np.testing.assert_array_equal(got[[0, 2]], expected[[0, 2]])


def test_a_layer_with_two_hinges():
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False))
    network.load_state_dict(
        {"0.weight": np.array([[1, 1], [1, -1]], np.float32), "2.weight": np.ones((1, 2), np.float32)}
    )
    x = np.array([[3, 1], [-1, 2], [1, -2], [-2, 1]], np.float32)
    gradient = network.vjp(x, np.ones((4, 1), np.float32))
    np.testing.assert_array_equal(gradient, [[2, 0], [1, 1], [1, -1], [0, 0]])


def test_state_dict_round_trip():
    one, two = MODELS["small_cnn"](seed=1), MODELS["small_cnn"](seed=2)
    x, _ = samples("small_cnn", 2)
    assert not np.array_equal(one.logits(x), two.logits(x))
    state = one.state_dict()
    two.load_state_dict(state)
    np.testing.assert_array_equal(one.logits(x), two.logits(x))
    state["0.weight"][...] = 0
    assert one.parameters()["0.weight"].any()
    assert list(state) == [f"{index}.{name}" for index in (0, 2, 6, 8) for name in ("weight", "bias")]


def test_seed_decides_the_parameters():
    one, same, other = (MODELS["lenet"](seed=seed) for seed in (1, 1, 2))
    for name, array in one.parameters().items():
        np.testing.assert_array_equal(array, same.parameters()[name])
        assert not np.array_equal(array, other.parameters()[name])


def test_layers_of_another_network_are_shared_and_copies_are_not():
    network = MODELS["small_cnn"]()
    x, y = samples("small_cnn", 20)
    features = nn.Sequential(*list(network.layers.values())[:-1], seed=7)
    copied = copy.deepcopy(network)
    before = copied.logits(x)
    nn.fit(network, x, y, epochs=1)
    np.testing.assert_array_equal(features.logits(x), network.activations(x, ["7"])["7"])
    np.testing.assert_array_equal(copied.logits(x), before)
    assert not np.array_equal(network.logits(x), before)
    with pytest.raises(TypeError, match="layer 0 must have parameters of type float64, got float32"):
        nn.Sequential(*network.layers.values(), dtype=np.float64)


def test_carlinis_network_is_the_published_one():
    network = models.carlini_mnist()
    assert network.parameter_count() == 312_202
    assert network.output_shape((1, 28, 28)) == (10,)
    assert network.flops((1, 28, 28)) == pytest.approx(19.8e6, rel=0.01)
    shapes = [a.shape[1:] for a in network.activations(np.zeros((1, 1, 28, 28), np.float32), list("0259")).values()]
    assert shapes == [(32, 26, 26), (32, 24, 24), (64, 10, 10), (64, 4, 4)]


def test_bad_states_change_nothing():
    network = MODELS["mlp"]()
    before = network.state_dict()
    bad = {name: np.zeros_like(array) for name, array in before.items()}
    with pytest.raises(
        ValueError, match=r"state\['9.bias'\] must have shape|got \['1.bias'\] missing and \[\] unknown"
    ):
        network.load_state_dict({name: array for name, array in bad.items() if name != "1.bias"})
    with pytest.raises(ValueError, match=r"\['x'\] unknown"):
        network.load_state_dict(bad | {"x": np.zeros(1)})
    with pytest.raises(ValueError, match=r"state\['1.bias'\] must have shape \(30,\), got \(1,\)"):
        network.load_state_dict(bad | {"1.bias": np.zeros(1, np.float32)})
    with pytest.raises(TypeError, match=r"state\['1.bias'\] must be of type float32"):
        network.load_state_dict(bad | {"1.bias": np.zeros(30)})
    for name, array in network.parameters().items():
        np.testing.assert_array_equal(array, before[name])


X = np.zeros((3, 1, 8, 8), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda n: n.logits(X[..., :7]), ValueError, r"x does not fit layer 1, Linear\(64, 30\)"),
        (lambda n: n.logits(np.float32(1)), TypeError, "x must be a NumPy array"),
        (lambda n: n.logits(np.array(1, np.float32)), ValueError, "x must have at least 1 axes"),
        (lambda n: n.logits(X.astype(np.float64)), TypeError, "x must be of type float32"),
        (lambda n: n.logits(X.astype(np.float16)), TypeError, "x must be of type float32 or float64, got float16"),
        (lambda n: n.logits(X.tolist()), TypeError, "x must be a NumPy array"),
        (
            lambda n: n.vjp(X, np.zeros((3, 4), np.float32)),
            ValueError,
            r"cotangent must have shape \(3, 5\), got \(3, 4\)",
        ),
        (lambda n: n.vjp(X, np.zeros((3, 5))), TypeError, "cotangent must be of type float32"),
        (lambda n: n.value_and_vjp(X, lambda z: z[:1]), ValueError, r"cotangent\(logits\) must have shape \(3, 5\)"),
        (
            lambda n: n.loss_gradient(X, np.array([0, 1, 5])),
            ValueError,
            r"labels must be in \[0, 4\], got 5 at index 2",
        ),
        (lambda n: n.loss_gradient(X, np.array([0, 1])), ValueError, r"labels must have shape \(3,\), got \(2,\)"),
        (lambda n: n.loss_gradient(X, np.array([0.0, 1, 2])), TypeError, "target must be of type float32"),
        (
            lambda n: n.loss_gradient(X, [0, 1, 2], "hinge"),
            ValueError,
            "loss must be 'cross_entropy', 'multiclass_hinge'",
        ),
        (lambda n: n.activations(X, ["99"]), ValueError, "names must be '0'.*got '99'"),
        (lambda n: n.activations(X, "0"), TypeError, "names must be a sequence of layer names"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(MODELS["mlp"]())


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Sequential(), ValueError, "layers must not be empty"),
        (lambda: nn.Sequential(nn.Linear(2, 2), "relu"), TypeError, "layer 1 must be a Layer, got str"),
        (lambda: nn.Sequential(nn.Linear(2, 2), seed=-1), ValueError, "seed must be at least 0"),
        (lambda: nn.Sequential(nn.Linear(2, 2), dtype=np.float16), TypeError, "dtype must be float32 or float64"),
        (lambda: models.mlp((0, 8, 8)), ValueError, r"input_shape\[0\] must be at least 1"),
        (lambda: models.mlp(64), TypeError, "input_shape must be a tuple of integers, got int 64"),
        (lambda: models.mlp(activation="swish"), ValueError, "activation must be 'relu'"),
        (lambda: models.lenet((8, 8)), ValueError, r"input_shape must be \(C, H, W\), got \(8, 8\)"),
        (lambda: models.carlini_mnist((1, 8, 8)), ValueError, r"input_shape \(1, 8, 8\) is too small"),
        (lambda: models.gru_classifier(classes=0), ValueError, "out_features must be at least 1"),
    ],
)
def test_bad_networks_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_no_class_is_predicted_of_nan():
    network = nn.Sequential(nn.Linear(2, 3), seed=0)
    network.layers["0"].parameters["bias"][1] = np.nan
    x = np.ones((4, 2), np.float32)
    assert network.predict(x).tolist() == [-1] * 4
    assert nn.accuracy(network, x, np.zeros(4, np.int64)) == 0.0
