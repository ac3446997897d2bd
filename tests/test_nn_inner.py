"""Values inside a network: gradients from any layers, and dropout that stays on."""

import numpy as np
import pytest
import torch

from advcore import models, nn

SHAPE = (1, 16, 17)


@pytest.mark.parametrize("names", [["4", "9", "16"], ["0", "4"], ["16"], list(map(str, range(17)))])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-5), (np.float64, 1e-12)])
def test_gradients_from_inner_layers_are_pytorchs(names, dtype, tolerance):
    network = models.carlini_mnist(SHAPE, 5, seed=1, dtype=dtype)
    rng = np.random.default_rng(0)
    x = rng.random((4, *SHAPE)).astype(dtype)
    values, pull = network.activations_vjp(x, names)
    cotangents = {name: rng.standard_normal(value.shape).astype(dtype) for name, value in values.items()}
    leaf = torch.from_numpy(x.astype(np.float64)).requires_grad_()
    total, value = torch.zeros(()), leaf
    for name, layer in zip(network.layers, network.to_torch().double(), strict=True):
        value = layer(value)
        if name in names:
            np.testing.assert_allclose(values[name], value.detach().numpy(), rtol=0, atol=tolerance)
            total = total + (value * torch.from_numpy(cotangents[name])).sum()
    (want,) = torch.autograd.grad(total, leaf)
    for _ in range(2):  # it may be called again
        np.testing.assert_allclose(pull(cotangents), want, rtol=0, atol=tolerance * np.abs(want.numpy()).max())
    one = names[0]
    assert pull({one: cotangents[one]}).shape == x.shape
    np.testing.assert_array_equal(pull({}), 0)


def test_graphs_too():
    layers = {"a": nn.Linear(3, 3), "b": nn.Tanh(), "sum": nn.Add(), "c": nn.Linear(3, 2)}
    network = nn.Network(layers, wiring={"sum": ("b", "a")}, dtype=np.float64)
    x = np.random.default_rng(0).random((5, 3))
    values, pull = network.activations_vjp(x, ["b", "sum"])
    np.testing.assert_allclose(values["sum"] - values["b"], network.activations(x, ["a"])["a"])
    h, slopes = 1e-6, pull({"b": np.ones((5, 3)), "sum": 2 * np.ones((5, 3))})
    for axis in range(3):
        step = h * np.eye(3)[axis]
        ahead, behind = (network.activations(x + s, ["b", "sum"]) for s in (step, -step))
        want = ((ahead["b"] - behind["b"]) + 2 * (ahead["sum"] - behind["sum"])).sum(axis=1) / (2 * h)
        np.testing.assert_allclose(slopes[:, axis], want, rtol=1e-6)


def test_activations_have_the_same_bits_whichever_are_asked_for():
    network = models.carlini_mnist(SHAPE, 5, seed=1)
    x = np.random.default_rng(0).random((3, *SHAPE)).astype(np.float32)
    every = network.activations(x, list(network.layers))
    for names in (["4", "9"], ["1", "12"], ["0"], ["16"]):
        some, _ = network.activations_vjp(x, names)
        for name, value in network.activations(x, names).items():
            np.testing.assert_array_equal(value, every[name])
            np.testing.assert_array_equal(some[name], every[name])


@pytest.mark.parametrize("graph", [False, True])
def test_dropout_passes_have_the_expected_mean_and_their_own_gradient(graph):
    layers = {"a": nn.Linear(6, 5), "r": nn.Tanh(), "d": nn.Dropout(0.4), "b": nn.Linear(5, 5), "sum": nn.Add()}
    layers["out"] = nn.Linear(5, 3)
    wiring = {"sum": ("b", "r" if graph else "b")}
    network = nn.Network(layers, wiring=wiring, dtype=np.float64)
    x = np.random.default_rng(0).random((4, 6))
    logits, _ = network.dropout_passes(4000, seed=2).logits_vjp(x)
    assert logits.shape == (4000, 4, 3)
    error = logits.std(axis=0) / np.sqrt(4000)
    assert (np.abs(logits.mean(axis=0) - network.logits(x)) < 5 * error).all()  # all is linear after the dropout

    passes = network.dropout_passes(7)
    logits, pull = passes.logits_vjp(x)
    weights = np.random.default_rng(1).standard_normal(logits.shape)
    direction, h = np.random.default_rng(2).standard_normal(x.shape), 1e-6
    ahead, behind = (passes.logits_vjp(x + step * direction)[0] for step in (h, -h))
    slopes = ((ahead - behind) * weights).sum(axis=(0, 2)) / (2 * h)
    np.testing.assert_allclose((pull(weights) * direction).sum(axis=1), slopes, rtol=1e-5)


def test_dropout_that_is_the_first_layer():
    network = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 2), dtype=np.float64)
    x = np.ones((3, 4))
    passes = network.dropout_passes(50)
    logits, pull = passes.logits_vjp(x)
    assert len(np.unique(logits[:, 0, 0])) > 5
    weight = network.parameters()["1.weight"]
    kept = passes._factors["0"].sum(axis=(0, 1))
    np.testing.assert_allclose(pull(np.ones_like(logits)), np.tile(weight.sum(axis=0) * kept, (3, 1)), rtol=1e-12)


def test_errors():
    network = models.mlp((1, 4, 4), 3, hidden=(5,))
    x = np.zeros((2, 1, 4, 4), np.float32)
    with pytest.raises(TypeError, match="names must be a sequence of layer names, got the string '1'"):
        network.activations_vjp(x, "1")
    with pytest.raises(ValueError, match="names must be '0', '1', '2' or '3', got '9'"):
        network.activations_vjp(x, ["9"])
    _, pull = network.activations_vjp(x, ["1"])
    with pytest.raises(ValueError, match="cotangents must be '1', got '2'"):
        pull({"2": x})
    with pytest.raises(ValueError, match=r"cotangents\['1'\] must have shape \(2, 5\), got \(2, 1, 4, 4\)"):
        pull({"1": x})
    with pytest.raises(ValueError, match="network must have a Dropout layer with p > 0"):
        network.dropout_passes(3)
