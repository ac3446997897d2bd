"""Models small enough to know the answers of."""

from types import SimpleNamespace

import numpy as np
import pytest


class Linear:
    """Logits w x + b, computed a sample at a time so that the batch changes no bit; counts the rows it is asked for."""

    randomised = False  # no need to find out

    def __init__(self, w, b):
        self.w, self.b = w, b
        self.forwards = self.backwards = self.calls = self.largest = 0

    def logits(self, x):
        self._count(x)
        return (x.reshape(len(x), 1, -1) * self.w).sum(axis=-1) + self.b

    def vjp(self, x, cotangent):
        self._count(x)
        self.backwards += len(x)
        return (cotangent[:, :, np.newaxis] * self.w).sum(axis=1).reshape(x.shape)

    def _count(self, x):
        self.forwards += len(x)
        self.calls += 1
        self.largest = max(self.largest, len(x))


class Combined(Linear):
    """The same with both passes in one."""

    def value_and_vjp(self, x, cotangent):
        logits = self.logits(x)
        self.backwards += len(x)
        return logits, (cotangent(logits)[:, :, np.newaxis] * self.w).sum(axis=1).reshape(x.shape)


class Masked(Linear):
    """A linear model behind a staircase of tiny steps: the same answers, and a gradient that is zero."""

    def logits(self, x):
        return super().logits(np.round(x * 1e4) / 1e4)

    def vjp(self, x, cotangent):
        return np.zeros_like(super().vjp(x, cotangent))


def problem(classes=2, shape=(4, 5), count=12, dtype=np.float64, kind=Linear, seed=0):
    """A random linear model, inputs in [-1, 1] with the model's own labels, and each sample's margins."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((classes, int(np.prod(shape)))).astype(dtype)
    b = (0.1 * rng.standard_normal(classes)).astype(dtype)
    x = rng.uniform(-1, 1, (count, *shape)).astype(dtype)
    scores = x.reshape(count, -1).astype(np.float64) @ w.T.astype(np.float64) + b
    y = scores.argmax(axis=1)
    return SimpleNamespace(model=kind(w, b), x=x, y=y, scores=scores, w=w, b=b, bounds=(-10.0, 10.0))


def nearest(setup, norm):
    """The distance of each sample to the nearest other class: margin over the dual norm of the weights' difference."""
    order = {"l2": 2, "linf": 1}[norm]
    distances = np.full(setup.scores.shape, np.inf)
    for i, label in enumerate(setup.y):
        for other in range(len(setup.w)):
            if other != label:
                slope = np.linalg.norm((setup.w[label] - setup.w[other]).astype(np.float64), order)
                distances[i, other] = (setup.scores[i, label] - setup.scores[i, other]) / slope
    return distances


@pytest.fixture(scope="session")
def linear():
    return SimpleNamespace(problem=problem, nearest=nearest, Linear=Linear, Combined=Combined, Masked=Masked)
