"""Virtual adversarial training: its perturbation and targets against PyTorch, what it is for, repeats and resumes."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from advcore import _random, defenses, models, nn
from advcore.defenses.virtual_adversarial_training import VirtualAdversary


@pytest.fixture(scope="module")
def few(digits):
    """Four labelled samples of each class, and the others without labels."""
    own = np.concatenate([np.flatnonzero(digits.y_train == k)[:4] for k in range(10)])
    return digits.x_train[own], digits.y_train[own], np.delete(digits.x_train, own, axis=0)


@pytest.mark.parametrize("iterations", [1, 3])
def test_the_perturbation_is_pytorchs(digits, plain, iterations):
    x, y = digits.x_train[:20].astype(np.float64), digits.y_train[:20]
    network = models.wong_mnist((1, 8, 8), dtype=np.float64)
    network.load_state_dict({name: array.astype(np.float64) for name, array in plain.state_dict().items()})
    ids = np.arange(100, 120)
    inner = VirtualAdversary(x, y, eps=0.7, xi=0.2, power_iterations=iterations)
    r = inner.perturbation(network, nn.Batch(x, y, ids, 2, 0.5, 7), network.logits(x))
    module, given = network.to_torch(), torch.from_numpy(x)
    clean = F.log_softmax(module(given), dim=1).detach()
    d = torch.from_numpy(_random.normal(7, ids, 2, 64).reshape(x.shape))
    for _ in range(iterations):
        d = 0.2 * d / d.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
        d.requires_grad_()
        moved = F.log_softmax(module(given + d), dim=1)
        (d,) = torch.autograd.grad(F.kl_div(moved, clean, log_target=True, reduction="sum"), d)
    expected = 0.7 * d / d.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(r, expected.numpy(), atol=1e-9)


def test_one_update_follows_the_gradient_of_both_terms(digits):
    x, y, free = digits.x_train[:30].astype(np.float64), np.arange(30) % 10, digits.x_train[30:50].astype(np.float64)
    network = models.mlp((1, 8, 8), hidden=(16,), dtype=np.float64)
    everything = np.concatenate([x, free])
    batch = nn.Batch(everything, np.zeros(50, np.int64), np.arange(50), 1, 0.0, 5)
    order = np.random.default_rng((5, 1)).permutation(50)
    batch = batch._replace(x=everything[order], samples=order)
    inner = VirtualAdversary(x, y, eps=0.5, weight=0.3, labelled_batch=30)
    r = inner.perturbation(network, batch, network.logits(batch.x))
    module = network.to_torch()
    clean = F.softmax(module(torch.from_numpy(batch.x)), dim=1).detach()
    divergence = F.kl_div(F.log_softmax(module(torch.from_numpy(batch.x + r)), dim=1), clean, reduction="batchmean")
    loss = F.cross_entropy(module(torch.from_numpy(x)), torch.from_numpy(y)) + 0.3 * divergence
    gradients = torch.autograd.grad(loss, list(module.parameters()))
    before = network.state_dict()
    options = {"eps": 0.5, "weight": 0.3, "epochs": 1, "batch_size": 50, "optimizer": nn.SGD(0.1), "seed": 5}
    defenses.virtual_adversarial_training(network, x, y, free, **options)
    for (name, after), gradient in zip(network.state_dict().items(), gradients, strict=True):
        np.testing.assert_allclose((before[name] - after) / 0.1, gradient.numpy(), atol=1e-10)


def test_points_without_labels_help(digits, few):
    x, y, free = few
    alone, both = models.mlp((1, 8, 8), hidden=(64,)), models.mlp((1, 8, 8), hidden=(64,))
    options = {"schedule": "cosine", "seed": 0}
    nn.fit(alone, x, y, epochs=100, optimizer=nn.Adam(5e-3), **options)
    settings = options | {"eps": 0.5, "epochs": 15, "batch_size": 128, "optimizer": nn.Adam(5e-3)}
    history = defenses.virtual_adversarial_training(both, x, y, free, **settings)
    errors = [1 - nn.accuracy(network, digits.x_test, digits.y_test) for network in (alone, both)]
    assert errors[1] <= errors[0] - 0.03
    assert history.epochs[-1].accuracy >= 0.8
    assert history.epochs[-1].loss < history.epochs[0].loss


def test_the_default_step_finds_the_direction_of_a_tiny_one(digits, plain):
    x, y = digits.x_test[:100], digits.y_test[:100]
    exact = models.wong_mnist((1, 8, 8), dtype=np.float64)
    exact.load_state_dict({name: array.astype(np.float64) for name, array in plain.state_dict().items()})

    def direction(network, samples, **options):
        batch = nn.Batch(samples, y, np.arange(100), 1, 0.0, 0)
        found = VirtualAdversary(samples, y, 1.0, **options).perturbation(network, batch, network.logits(samples))
        return found.reshape(100, -1).astype(np.float64)

    tiny = direction(exact, x.astype(np.float64), xi=1e-6)
    alike = [(direction(plain, x, **options) * tiny).sum(axis=1) for options in ({}, {"xi": 1e-6})]
    assert np.mean(alike[0] > 0.99) >= 0.8
    assert np.mean(alike[1] > 0.99) <= 0.7  # float32 rounds it away


def test_it_goes_on_from_a_checkpoint(few, tmp_path):
    x, y, free = few[0], few[1], few[2][:100]

    def train(eps=0.5, **options):
        network = models.mlp((1, 8, 8), hidden=(16,))
        settings = {"eps": eps, "epochs": 3, "labelled_batch": 8, "batch_size": 64} | options
        defenses.virtual_adversarial_training(network, x, y, free, **settings)
        return network.state_dict()

    def stop(epoch):
        if epoch.number == 2:
            raise KeyboardInterrupt

    whole, file = train(), {"checkpoint": tmp_path / "run", "checkpoint_steps": 1}
    with pytest.raises(KeyboardInterrupt):
        train(callback=stop, **file)
    resumed = train(**file)
    for name, array in whole.items():
        np.testing.assert_array_equal(resumed[name], array)
    with pytest.raises(ValueError, match="another training: perturb"):
        train(eps=0.6, **file)


def test_a_sample_is_perturbed_the_same_in_any_batch(digits):
    x, y = digits.x_train[:30], digits.y_train[:30]
    network = models.mlp((1, 8, 8), hidden=(16,))
    inner = VirtualAdversary(x, y, 0.4)
    whole = inner.perturbation(network, nn.Batch(x, y, np.arange(30), 1, 0.0, 0), network.logits(x))
    part = inner.perturbation(network, nn.Batch(x[7:9], y[7:9], np.array([7, 8]), 1, 0.0, 0), network.logits(x[7:9]))
    np.testing.assert_array_equal(whole[7:9], part)
    np.testing.assert_allclose(np.linalg.norm(whole.reshape(30, -1), axis=1), 0.4, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"eps": -0.1}, ValueError, "eps must be at least 0, got -0.1"),
        ({"xi": 0.0}, ValueError, "xi must be greater than 0, got 0"),
        ({"power_iterations": 0}, ValueError, "power_iterations must be at least 1, got 0"),
        ({"weight": 0.0}, ValueError, "weight must be greater than 0, got 0"),
        ({"labelled_batch": 0}, ValueError, "labelled_batch must be at least 1, got 0"),
        ({"epochs": 0}, ValueError, "epochs must be at least 1, got 0"),
        ({"loss": "margin"}, TypeError, "loss must not be given"),
        ({"y": None}, TypeError, "y must be an array of integers, got NoneType"),
        ({"y": np.arange(20) % 9}, ValueError, "y must have a label of each of the 10 classes, got none of class 9"),
        ({"x": np.zeros((0, 1, 8, 8), np.float32), "y": []}, ValueError, "got none of class 0"),
        ({"unlabelled": np.zeros((3, 64), np.float32)}, ValueError, r"unlabelled must have shape \(any, 1, 8, 8\)"),
        ({"unlabelled": np.full((3, 1, 8, 8), np.nan, np.float32)}, ValueError, "unlabelled must be finite"),
        ({"unlabelled": [1]}, TypeError, "unlabelled must be a NumPy array"),
    ],
)
def test_bad_settings(digits, settings, error, message):
    arguments = {"eps": 0.1, "epochs": 1, "x": digits.x_train[:20], "y": np.arange(20) % 10} | settings
    with pytest.raises(error, match=message):
        defenses.virtual_adversarial_training(models.mlp((1, 8, 8), hidden=(4,)), **arguments)
