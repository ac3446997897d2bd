"""Adversarial training: it defends, is not masked, repeats and resumes itself; single steps and any attack."""

import functools

import numpy as np
import pytest
import torch

from advcore import _random, attacks, defenses, models, nn
from advcore.defenses.adversarial_training import InnerPGD
from advcore.defenses.noise_training import InputNoise

EPS = 0.15


@pytest.fixture(scope="module")
def trained(digits):
    network = models.wong_mnist((1, 8, 8), seed=0)
    settings = {"steps": 4, "warmup": 0.3, "optimizer": nn.Adam(1e-2), "schedule": "cosine"}
    defenses.adversarial_training(network, digits.x_train, digits.y_train, eps=EPS, epochs=15, **settings)
    return network


def test_it_defends(digits, plain, trained):
    x, y = digits.x_test, digits.y_test
    assert nn.accuracy(trained, x, y) >= 0.93
    left = [attacks.pgd(network, x, y, eps=EPS, steps=40, restarts=2).robust_accuracy for network in (plain, trained)]
    assert left[0] <= 0.3
    assert left[1] >= left[0] + 0.3


def test_it_is_not_masked(digits, trained):
    """What a masked defence gets wrong: the order of attacks, the growth with eps, and what transfers."""
    x, y = digits.x_test[:200], digits.y_test[:200]
    assert not defenses.vanished_gradients(trained, x, y).any()

    def left(eps=EPS, steps=40, **options):
        result = attacks.pgd(trained, x, y, eps=eps, steps=steps, **options)
        assert not (result.status == "masked").any()
        return result.robust_accuracy

    strong = left(restarts=3)
    assert strong <= attacks.fgsm(trained, x, y, eps=EPS).robust_accuracy
    assert strong <= left(steps=2, step_size=EPS) + 0.01
    assert abs(left(steps=100, restarts=3) - strong) <= 0.03  # more steps change nothing
    by_eps = [left(eps=eps) for eps in (0.0, 0.1, 0.2, 0.4, 1.0)]
    assert by_eps == sorted(by_eps, reverse=True)
    assert by_eps[-1] == 0  # an unbounded attack always succeeds
    noise = np.random.default_rng(0).choice([-EPS, EPS], (50, *x.shape)).astype(np.float32)
    random = np.all([trained.predict(np.clip(x + n, 0, 1)) == y for n in noise], axis=0).mean()
    assert random >= strong


def test_it_goes_on_from_a_checkpoint(digits, tmp_path):
    x, y = digits.x_train[:200], digits.y_train[:200]

    def train(checkpoint=None, callback=None):
        network = models.mlp((1, 8, 8), hidden=(16,))
        options = {"checkpoint": checkpoint, "checkpoint_steps": checkpoint and 1, "callback": callback}
        defenses.adversarial_training(network, x, y, eps=0.1, epochs=3, steps=2, warmup=0.5, batch_size=64, **options)
        return network.state_dict()

    def stop(epoch):
        if epoch.number == 2:
            raise KeyboardInterrupt

    whole = train()
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", stop)
    resumed = train(tmp_path / "run")
    for name, array in whole.items():
        np.testing.assert_array_equal(resumed[name], array)
    with pytest.raises(ValueError, match="another training: perturb"):
        defenses.adversarial_training(
            models.mlp((1, 8, 8), hidden=(16,)), x, y, eps=0.2, epochs=3, batch_size=64, checkpoint=tmp_path / "run"
        )


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_inner_steps_are_pytorchs(digits, norm):
    x, y = digits.x_train[:20].astype(np.float64), digits.y_train[:20]
    network = models.wong_mnist((1, 8, 8), dtype=np.float64)
    ids = np.arange(100, 120)
    inner = InnerPGD(0.3, norm, steps=4, step_size=0.1, random_start=False)
    examples = inner(network, nn.Batch(x, y, ids, 2, 0.9, 7))
    module, start = network.to_torch(), torch.from_numpy(x)
    current = start.clone()
    for _ in range(4):
        current.requires_grad_()
        loss = torch.nn.functional.cross_entropy(module(current), torch.from_numpy(y), reduction="sum")
        (g,) = torch.autograd.grad(loss, current)
        if norm == "linf":
            current = (current + 0.1 * g.sign()).detach().clamp(start - 0.3, start + 0.3).clamp(0, 1)
        else:
            delta = current.detach() + 0.1 * g / g.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1) - start
            delta = delta * (0.3 / delta.flatten(1).norm(dim=1)).clamp(max=1).reshape(-1, 1, 1, 1)
            current = (start + delta).clamp(0, 1)
    np.testing.assert_allclose(examples, current.numpy(), atol=1e-12)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_examples_stay_in_budget_and_box_and_do_not_depend_on_the_batch(digits, norm):
    x, y = digits.x_train[:30], digits.y_train[:30]
    network = models.mlp((1, 8, 8), hidden=(16,))
    for share, grown in ((0.25, 0.5), (0.9, 1.0)):
        inner = InnerPGD(0.4, norm, steps=3, warmup=0.5)
        whole = inner(network, nn.Batch(x, y, np.arange(30), 1, share, 0))
        part = inner(network, nn.Batch(x[7:9], y[7:9], np.array([7, 8]), 1, share, 0))
        np.testing.assert_array_equal(whole[7:9], part)
        delta = (whole - x).reshape(30, -1).astype(np.float64)
        size = np.abs(delta).max(axis=1) if norm == "linf" else np.linalg.norm(delta, axis=1)
        assert size.max() <= 0.4 * grown + 1e-6
        assert whole.min() >= 0
        assert whole.max() <= 1
    other = inner(network, nn.Batch(x, y, np.arange(30), 2, 0.9, 0))
    assert (other != whole).any()  # a fresh start in every epoch


def test_single_steps_with_a_random_start(digits):
    x, y = digits.x_train[:5], digits.y_train[:5]
    network = models.mlp((1, 8, 8), hidden=(16,))
    got = InnerPGD(0.1, steps=1)(network, nn.Batch(x, y, np.arange(5), 3, 0.0, 9))
    start = np.clip(
        x + _random.uniform(9, np.arange(5), 3, 64, low=-0.1, high=0.1, dtype=x.dtype).reshape(x.shape), 0, 1
    )
    moved = start + np.float32(0.125) * np.sign(network.loss_gradient(start, y))
    np.testing.assert_allclose(got, np.clip(np.clip(moved, x - 0.1, x + 0.1), 0, 1), atol=1e-6)


def test_any_attack_can_be_inside(digits):
    x, y = digits.x_train[:64], digits.y_train[:64]
    asked = []

    def shift(network, x, y, *, eps, bounds, seed, sample_ids):
        asked.append((eps, seed, sorted(sample_ids)))
        return np.clip(x + np.float32(eps), *bounds)

    network = models.mlp((1, 8, 8), hidden=(16,))
    defenses.adversarial_training(network, x, y, eps=0.3, epochs=2, attack=shift, seed=3)
    assert asked == [(0.3, 3 + 2**32, list(range(64))), (0.3, 3 + 2**33, list(range(64)))]
    expected = models.mlp((1, 8, 8), hidden=(16,))
    nn.fit(expected, np.clip(x + np.float32(0.3), 0, 1), y, epochs=2, seed=3)
    np.testing.assert_array_equal(network.logits(x), expected.logits(x))
    inside = functools.partial(attacks.pgd, steps=2, early_stop=False)
    history = defenses.adversarial_training(network, x, y, eps=0.3, epochs=1, attack=inside)
    assert np.isfinite(history.epochs[0].loss)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"eps": -0.1}, ValueError, "eps must be at least 0, got -0.1"),
        ({"norm": "l1"}, ValueError, "norm must be 'linf' or 'l2', got 'l1'"),
        ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
        ({"step_size": 0.0}, ValueError, "step_size must be greater than 0, got 0"),
        ({"warmup": 1.5}, ValueError, "warmup must be at most 1, got 1.5"),
        ({"bounds": (1, 0)}, ValueError, "bounds must be a pair"),
        ({"bounds": (0.5, 1)}, ValueError, "x must be inside its bounds"),
        ({"attack": "pgd"}, TypeError, "attack must be a function, got str"),
        ({"y": None}, TypeError, "y must be an array of integers, got NoneType"),
        ({"attack": lambda *a, **o: np.zeros(3, np.float32)}, ValueError, r"attack\(network, x, y\) must have shape"),
        (
            {"attack": lambda n, x, y, **o: x * np.float32(np.nan)},
            ValueError,
            r"attack\(network, x, y\) must be finite, got NaN",
        ),
        ({"attack": lambda n, x, y, **o: x + np.float32(50)}, ValueError, r"inside its bounds \[0, 1\], got 5\d"),
        (
            {"attack": lambda n, x, y, **o: 1 - x},
            ValueError,
            "must be within eps = 0.1 of x in linf, got one at 1",
        ),
        (
            {"attack": lambda n, x, y, **o: attacks.pgd(n, x, y, eps=0.3, steps=1)},
            ValueError,
            "must be within eps = 0.1 of x in linf, got one at 0.3",
        ),
        (
            {"attack": functools.partial(attacks.pgd, steps=1), "norm": "l2"},
            ValueError,
            "must be within eps = 0.1 of x in l2, got one at 0.",
        ),
    ],
)
def test_bad_settings(digits, settings, error, message):
    arguments = {"eps": 0.1, "epochs": 1, "x": digits.x_train[:8], "y": digits.y_train[:8]} | settings
    with pytest.raises(error, match=message):
        defenses.adversarial_training(models.mlp((1, 8, 8), hidden=(4,)), **arguments)


@pytest.mark.parametrize("network", [None, "network", torch.nn.Linear(64, 10)])
def test_only_networks_are_trained(digits, network):
    x, y = digits.x_train[:40], digits.y_train[:40]
    for train, options in (
        (defenses.adversarial_training, {"eps": 0.1, "epochs": 1}),
        (defenses.virtual_adversarial_training, {"eps": 0.1, "epochs": 1}),
        (defenses.noise_training, {"sigma": 0.1, "epochs": 1}),
        (defenses.vanished_gradients, {}),
    ):
        with pytest.raises(TypeError, match=r"network must be of type Network, got (NoneType|str|Linear)"):
            train(network, x, y, **options)


def test_noise_training_draws_anew_in_every_epoch(digits):
    x, y = digits.x_train[:40], digits.y_train[:40]
    seen = []
    network = models.mlp((1, 8, 8), hidden=(8,))
    inside = InputNoise(0.5, (0.0, 1.0))
    for epoch in (1, 2):
        seen.append(inside(network, nn.Batch(x, y, np.arange(40), epoch, 0.0, 0)))
    assert (seen[0] != seen[1]).any()
    assert min(noisy.min() for noisy in seen) == 0
    free = InputNoise(0.5)(network, nn.Batch(x, y, np.arange(40), 1, 0.0, 0))
    assert np.std(free - x) == pytest.approx(0.5, rel=0.05)
    first, second = (models.mlp((1, 8, 8), hidden=(8,)) for _ in range(2))
    for network in (first, second):
        defenses.noise_training(network, x, y, sigma=0.3, epochs=2)
    np.testing.assert_array_equal(first.logits(x), second.logits(x))
    with pytest.raises(ValueError, match="sigma must be at least 0, got -1"):
        defenses.noise_training(network, x, y, sigma=-1, epochs=1)
