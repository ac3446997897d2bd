"""Broken defences, each of which the checklist must name; and sound networks, which pass it."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import advcore
from advcore import defenses, models, nn
from advcore.evaluation.checks import CHECKS, FAIL, NOT_RUN

_SPEC = importlib.util.spec_from_file_location("evaluation_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_conftest)
Wrapped = _conftest.Wrapped

GRADIENTS = "gradients are neither zero nor non-finite"
TREND = "the loss moves the attacker's way"
TWICE = "results hold when the model runs twice"
BATCH = "a sample's answer does not depend on its batch"
DETECTOR = "the detector holds against attackers who know it"


class Hinge(Wrapped):
    """Scores are clipped hinges: every class that is 1 behind the first has 0, and no gradient."""

    def logits(self, x):
        z = super().logits(x)
        return np.clip(z - z.max(axis=1, keepdims=True) + 1, 0, 1)

    def vjp(self, x, cotangent):
        z = super().logits(x)
        gap = z - z.max(axis=1, keepdims=True) + 1
        inner = np.where((gap > 0) & (gap < 1), cotangent, 0)
        inner[np.arange(len(x)), z.argmax(axis=1)] -= inner.sum(axis=1)
        return super().vjp(x, inner)


class Quantised(Wrapped):
    """Eight levels of grey; a staircase has no gradient."""

    def logits(self, x):
        return super().logits(np.round(x * 7) / x.dtype.type(7))

    def vjp(self, x, cotangent):
        return np.zeros_like(x)


class RandomLayer(Wrapped):
    """Noise on the input at every call."""

    def __init__(self, network):
        super().__init__(network)
        self.rng = np.random.default_rng(0)

    def noisy(self, x):
        return x + self.rng.normal(0, 0.1, x.shape).astype(x.dtype)

    def logits(self, x):
        return super().logits(self.noisy(x))

    def vjp(self, x, cotangent):
        return super().vjp(self.noisy(x), cotangent)


class RandomResize(RandomLayer):
    """The image at a random size between 6 and 10 pixels, cut or filled up to 8 at a random place."""

    def indices(self):
        size = self.rng.integers(6, 11)
        first = self.rng.integers(0, abs(size - 8) + 1)
        place = np.arange(8) + (first if size > 8 else -first)
        return np.clip(place * 8 // size, 0, 7), (place >= 0) & (place < size)

    def resized(self, x):
        rows, inside = self.indices()
        return x[:, :, rows][:, :, :, rows] * (inside[:, np.newaxis] & inside).astype(x.dtype)

    def noisy(self, x):
        return np.ascontiguousarray(self.resized(x))

    def vjp(self, x, cotangent):
        rows, inside = self.indices()
        kept = (inside[:, np.newaxis] & inside).astype(x.dtype)
        inner = Wrapped.vjp(self, np.ascontiguousarray(x[:, :, rows][:, :, :, rows] * kept), cotangent) * kept
        back = np.zeros_like(x)
        np.add.at(back, (slice(None), slice(None), rows[:, np.newaxis], rows), inner)
        return back


class Batched(Wrapped):
    """Looks at the other images: takes away half of their mean."""

    def shifted(self, x):
        return x - x.mean(axis=0, keepdims=True) / 2

    def logits(self, x):
        return super().logits(self.shifted(x))

    def vjp(self, x, cotangent):
        return super().vjp(self.shifted(x), cotangent)


class Flipped(Wrapped):
    """A gradient of the wrong sign."""

    def vjp(self, x, cotangent):
        return -super().vjp(x, cotangent)


class OneStatistic:
    """An alarm where the border, which is dark in digits, is bright: who knows it leaves the border alone."""

    def __init__(self, x):
        self.threshold = np.quantile(self.brightness(x), 0.95)

    def brightness(self, x):
        return x[:, 0][:, :, [0, 7]].mean(axis=(1, 2))

    def decision_function(self, x):
        return 40 * (self.brightness(x) - self.threshold)

    def score_gradient(self, x):
        gradient = np.zeros_like(x)
        gradient[:, 0, :, [0, 7]] = 40 / 16
        return self.decision_function(x), gradient


def distilled(network):
    """What distillation at T = 100 leaves: logits a hundred times as large."""
    return nn.Network({**network.layers, "temperature": nn.Scale(100.0)}, wiring=None)


def failed(report):
    return {check.name for check in report.checks if check.verdict == FAIL}


def evaluate(model, x, y, eps=(0.1,), **options):
    return advcore.evaluate(model, x, y, norm="linf", eps=eps, attacks="quick", **options)


@pytest.mark.parametrize("kind", ["plain", "robust"])
def test_sound_networks_pass(kind, request, x, y):
    report = evaluate(request.getfixturevalue(kind), x, y, eps=(0.05, 0.1))
    assert failed(report) == set()
    ran = {check.name for check in report.checks if check.verdict != NOT_RUN}
    assert len(ran) >= len(CHECKS) - 2  # no detector, and no other framework
    assert report.robust_accuracy[0.1] > (0.5 if kind == "robust" else 0.2)


def test_what_a_model_rejects_has_not_been_broken(digits, x, y):
    network = models.rbf_network((1, 8, 8), hidden=(64,), seed=0)
    options = {"epochs": 25, "optimizer": nn.Adam(1e-2), "schedule": "cosine", "loss": nn.losses.RBFLoss(10.0)}
    nn.fit(network, *defenses.with_noise_class(digits.x_train, digits.y_train, classes=10), **options)
    model = defenses.Rejecting(network, 2.5)
    assert 0.05 < (model.predict(x) == -1).mean() < 0.2
    report = evaluate(model, x[:60], y[:60], eps=(0.05,))
    assert failed(report) == set()
    assert report.accuracy == (model.predict(x[:60]) == y[:60]).mean()
    assert report.robust_accuracy[0.05] >= report.accuracy - 0.1


@pytest.mark.parametrize(
    ("defence", "name"),
    [
        (Hinge, GRADIENTS),
        (distilled, GRADIENTS),
        (Quantised, GRADIENTS),
        (Batched, BATCH),
        (Flipped, TREND),
    ],
)
def test_a_broken_defence_is_named(defence, name, plain, x, y):
    report = evaluate(defence(plain), x[:40], y[:40])
    assert name in failed(report)
    check = next(check for check in report.checks if check.name == name)
    assert check.evidence
    assert check.advice
    assert name in str(report).splitlines()[0] or len(failed(report)) > 1  # at the top


@pytest.mark.parametrize("defence", [RandomLayer, RandomResize])
def test_a_random_defence_is_named_and_averaged(defence, plain, x, y):
    options = {"norm": "linf", "eps": 0.1, "attacks": [("apgd", {"steps": 3})], "checks": "quick"}
    report = advcore.evaluate(defence(plain), x[:12], y[:12], **options)
    assert TWICE in failed(report)
    assert "averaged over 100 passes" in str(report)


def test_a_detector_on_one_statistic_is_named(plain, digits, x, y):
    report = evaluate(plain, x[:24], y[:24], eps=(0.2,), detector=OneStatistic(digits.x_train))
    assert DETECTOR in failed(report)
