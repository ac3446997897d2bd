"""Small networks on digits: one trained plainly, one on adversarial examples, and inputs that they are asked about."""

import numpy as np
import pytest

from advcore import attacks, data, models, nn

IMAGES = 80


@pytest.fixture(scope="session")
def digits():
    return data.digits()


@pytest.fixture(scope="session")
def x(digits):
    return digits.x_test[:IMAGES]


@pytest.fixture(scope="session")
def y(digits):
    return digits.y_test[:IMAGES]


@pytest.fixture(scope="session")
def plain(digits):
    network = models.mlp((1, 8, 8), 10, hidden=(64,), seed=0)
    nn.fit(network, digits.x_train, digits.y_train, epochs=12, optimizer=nn.Adam(3e-3), seed=0)
    return network


@pytest.fixture(scope="session")
def robust(digits):
    """Trained on PGD's examples (Madry et al. 2018)."""
    network = models.mlp((1, 8, 8), 10, hidden=(64,), seed=0)
    x, y = digits.x_train, digits.y_train
    nn.fit(network, x, y, epochs=3, optimizer=nn.Adam(3e-3), seed=0)
    for epoch in range(10):
        examples = attacks.pgd(network, x, y, eps=0.1, steps=5, seed=epoch, early_stop=False).examples
        nn.fit(network, examples, y, epochs=1, optimizer=nn.Adam(3e-3), seed=epoch)
    return network


class Wrapped:
    """A model around a network."""

    def __init__(self, network):
        self.network = network

    def logits(self, x):
        return self.network.logits(x)

    def vjp(self, x, cotangent):
        return self.network.vjp(x, np.ascontiguousarray(cotangent, dtype=x.dtype))


class Sides:
    """Two classes by the sign of ``scale (x0 + x1 - x2 - x3)``."""

    signs = np.array([1, 1, -1, -1], np.float32)

    def __init__(self, scale=1.0):
        self.scale = np.float32(scale)

    def logits(self, x):
        side = self.scale * 255 * (x * self.signs).sum(axis=1)
        return np.stack([-side, side], axis=1).astype(x.dtype)

    def vjp(self, x, cotangent):
        return ((cotangent[:, 1] - cotangent[:, 0])[:, np.newaxis] * 255 * self.scale * self.signs).astype(x.dtype)


def sides(count=24):
    """Return 8-bit samples for Sides, half of each class, all 30 steps of 255 from the other class."""
    rng = np.random.default_rng(0)
    a, b, c = rng.integers(90, 130, (3, count))
    y = np.arange(count) % 2
    x = np.stack([a, b, c, a + b - c + np.where(y, -30, 30)], axis=1) / 255
    return x.astype(np.float32), y
