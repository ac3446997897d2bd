"""Layers with running statistics: training beside torch, what a state carries, pieces of a batch, fit."""

import copy

import numpy as np
import pytest
import torch

from advcore import nn
from advcore.nn import runnable


def classifier(seed=0, dtype=np.float32):
    layers = (nn.Conv2d(1, 4, 3), nn.BatchNorm(4), nn.ReLU(), nn.GroupNorm(2, 4), nn.Flatten(), nn.LayerNorm(144))
    return nn.Sequential(
        *layers, nn.Linear(144, 10), nn.BatchNorm(10), nn.ReLU(), nn.Linear(10, 3), seed=seed, dtype=dtype
    )


def samples(count, dtype=np.float32):
    rng = np.random.default_rng(0)
    return rng.standard_normal((count, 1, 8, 8)).astype(dtype), rng.integers(0, 3, count)


def test_steps_of_training_are_torchs():
    network = classifier(dtype=np.float64)
    module = network.to_torch().train()
    x, y = samples(12, np.float64)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    ours = nn.SGD(lr=0.1)
    for _ in range(3):
        logits, saved = network.forward(x, np.random.default_rng(0))
        want = module(torch.from_numpy(x))
        np.testing.assert_allclose(logits, want.detach(), rtol=1e-9, atol=1e-10)
        gradient = torch.autograd.grad(
            torch.nn.functional.cross_entropy(want, torch.from_numpy(y)), want, retain_graph=True
        )
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(want, torch.from_numpy(y)).backward()
        _, gradients = network.backward(saved, gradient[0].numpy(), need_parameters=True)
        for (name, got), parameter in zip(
            ((n, gradients[n]) for n in network.parameters()), module.parameters(), strict=True
        ):
            np.testing.assert_allclose(got, parameter.grad, rtol=1e-7, atol=1e-9, err_msg=name)
        optimizer.step()
        ours.step(network.parameters(), gradients)
    state = module.state_dict()
    for name, array in network.state_dict().items():
        np.testing.assert_allclose(array, state[name], rtol=1e-7, atol=1e-9, err_msg=name)
    np.testing.assert_allclose(network.logits(x), module.eval()(torch.from_numpy(x)).detach(), rtol=1e-8, atol=1e-9)


def test_a_state_carries_running_statistics():
    network, other = classifier(), classifier(seed=1)
    x, y = samples(40)
    nn.fit(network, x, y, epochs=2, batch_size=10)
    assert set(network.buffers()) == {f"{i}.{n}" for i in (1, 7) for n in ("running_mean", "running_var")}
    assert not set(network.buffers()) & set(network.parameters())
    assert (network.buffers()["1.running_mean"] != 0).all()
    other.load_state_dict(network.state_dict())
    np.testing.assert_array_equal(other.logits(x), network.logits(x))
    np.testing.assert_allclose(network.to_torch()(torch.from_numpy(x)).detach(), network.logits(x), atol=1e-5)
    state = network.state_dict()
    state["1.running_mean"] += 1
    assert not np.array_equal(state["1.running_mean"], network.buffers()["1.running_mean"])
    del state["7.running_var"]
    with pytest.raises(ValueError, match=r"\['7.running_var'\] missing"):
        other.load_state_dict(state)
    copied = copy.deepcopy(network)
    nn.fit(network, x, y, epochs=1)
    np.testing.assert_array_equal(copied.logits(x), other.logits(x))
    with pytest.raises(TypeError, match="layer 0 must have parameters of type float64, got float32"):
        nn.Sequential(nn.Sequential(nn.BatchNorm(4, affine=False)).layers["0"], dtype=np.float64)


def test_evaluation_changes_nothing_and_a_sample_has_its_bits(monkeypatch):
    network = classifier()
    x, y = samples(21)
    nn.fit(network, x, y, epochs=1)
    before = network.state_dict()
    logits, gradient = network.logits(x), network.loss_gradient(x, y)
    for name, array in network.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    monkeypatch.setattr(runnable, "MEMORY", 0)
    network._plans.clear()
    np.testing.assert_array_equal(network.logits(x), logits)
    np.testing.assert_array_equal(network.loss_gradient(x, y), gradient)
    np.testing.assert_array_equal(network.loss_gradient(x[5:6], y[5:6]), gradient[5:6])


def test_fit_takes_batches_as_they_are(monkeypatch):
    x, y = samples(31)
    results = []
    for memory in (2**27, 0):
        monkeypatch.setattr(runnable, "MEMORY", memory)
        network = classifier()
        nn.fit(network, x, y, epochs=1, batch_size=16)
        results.append(network.state_dict())
    for name, array in results[0].items():
        np.testing.assert_array_equal(array, results[1][name])


def test_one_sample_that_is_left_joins_the_batch_before():
    x, y = samples(21)
    sizes = []

    def loss(logits, labels):
        sizes.append(len(labels))
        return np.zeros(len(labels), np.float32), np.zeros_like(logits)

    nn.fit(classifier(), x, y, epochs=1, batch_size=10, loss=loss)
    assert sizes == [10, 11]
    sizes.clear()
    nn.fit(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), x, y, epochs=1, batch_size=10, loss=loss)
    assert sizes == [10, 10, 1]
    with pytest.raises(ValueError, match="more than 1 value a channel"):
        nn.fit(classifier(), x, y, epochs=1, batch_size=1)


def test_normalisation_makes_ill_scaled_input_learnable():
    x, _ = samples(200)
    y = (x.mean(axis=(1, 2, 3)) > 0).astype(np.int64)
    x = x * np.geomspace(1e-2, 1e2, 8, dtype=np.float32) + 50
    plain = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    normalised = nn.Sequential(nn.Flatten(), nn.BatchNorm(64), nn.Linear(64, 2))
    for network in (plain, normalised):
        nn.fit(network, x, y, epochs=30, batch_size=20, optimizer=nn.SGD(lr=0.05))
    assert nn.accuracy(normalised, x, y) > 0.95
    assert nn.accuracy(normalised, x, y) > nn.accuracy(plain, x, y)
