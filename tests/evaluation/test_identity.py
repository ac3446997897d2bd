"""What tells one run from another: parts of models, what they answer, detectors, arrays among options."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

import advcore
from advcore import attacks, detectors, models
from advcore.evaluation import handle, identity

_SPEC = importlib.util.spec_from_file_location("evaluation_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_conftest)
Sides, sides = _conftest.Sides, _conftest.sides


def evaluate(model, folder, count=24, **options):
    options = {"attacks": [("square", {"steps": 3})], "checks": False} | options
    return advcore.evaluate(model, *sides(count), norm="linf", eps=0.05, output=folder, **options)


class Late(Sides):
    """Another class for one sample that is not among the first."""

    def logits(self, x):
        found = super().logits(x)
        found[(x == sides()[0][20]).all(axis=1)] *= -1
        return found


class Turned(Sides):
    """The same answers, another gradient."""

    def vjp(self, x, cotangent):
        return -super().vjp(x, cotangent)


class Noisy:
    """Answers at random."""

    randomised = True

    def __init__(self, network):
        self.network, self.rng, self.calls = network, np.random.default_rng(0), 0

    def logits(self, x):
        self.calls += 1
        return self.network.logits(x) + self.rng.normal(0, 0.1, (len(x), 2)).astype(x.dtype)


def own_names(kind):
    """Call a class what Sides is called, so that its answers alone tell it from Sides."""
    kind.__qualname__, kind.__module__ = Sides.__qualname__, Sides.__module__
    return kind


def forward(x):
    return x


def forward_too(x):
    return x


OTHERS = {
    "the third digit of the logits": (Sides(), lambda: Sides(1.001)),
    "a class beyond the first images": (Sides(), lambda: own_names(Late)()),
    "the gradient": (Sides(), lambda: own_names(Turned)()),
    "a function in front": (
        attacks.backward_pass(Sides(), forward=forward),
        lambda: attacks.backward_pass(Sides(), forward=forward_too),
    ),
    "the parts of a pair": ((Sides().logits, Sides().vjp), lambda: (Late().logits, Sides().vjp)),
    "the network of a randomised model": (
        Noisy(models.mlp((4,), 2, hidden=(3,), seed=2)),
        lambda: Noisy(models.mlp((4,), 2, hidden=(3,), seed=5)),
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_model_is_told_by(what, tmp_path):
    model, other = OTHERS[what]
    first = evaluate(model, tmp_path)
    assert evaluate(model, tmp_path).rows == first.rows  # nothing to do
    with pytest.raises(ValueError, match="another model: give the same model"):
        evaluate(other(), tmp_path)


def test_wrappers_are_told_by_their_parts():
    network = models.mlp((4,), 2, hidden=(3,), seed=0)
    detector = detectors.MaxSoftmax(network)
    wrapped = [
        network,
        attacks.expectation(network, draws=3),
        attacks.expectation(network, draws=4),
        attacks.expectation(models.mlp((4,), 2, hidden=(3,), seed=1), draws=3),
        attacks.joint(network, detector),
        attacks.joint(network, detector, scale=2.0),
        attacks.backward_pass(network, forward=forward),
        attacks.backward_pass(network, forward=forward, stand_in=Sides()),
    ]
    told = [b"\0".join(identity.parts(model)) for model in wrapped]
    assert len(set(told)) == len(wrapped)
    assert told == [b"\0".join(identity.parts(model)) for model in wrapped]


FACTORIES = """
import os
import numpy as np
from advcore import models

class Random:
    randomised = True
    def __init__(self, network):
        self.network = network
    def logits(self, x):
        return self.network.logits(x) + np.random.default_rng().normal(0, 0.1, (len(x), 2)).astype(x.dtype)

def network():
    found = models.mlp((4,), 2, hidden=(3,), seed=int(os.environ["SEED"]))
    for array in found.parameters().values():
        array *= array.dtype.type(os.environ["SCALE"])
    return found

def at_random():
    return Random(network())

def labels():
    inner = network()
    return lambda x: np.where(inner.logits(x)[:, 0] > 1e9, 1, 0)
"""


@pytest.mark.parametrize("factory", ["network", "at_random", "labels"])
def test_what_a_factory_makes_is_told_by_its_parameters(factory, tmp_path, monkeypatch):
    """Its name stays the same, and its answers may."""
    (tmp_path / "own_factories.py").write_text(FACTORIES)
    monkeypatch.syspath_prepend(tmp_path)

    def digest(seed, scale):
        monkeypatch.setenv("SEED", seed)
        monkeypatch.setenv("SCALE", scale)
        monkeypatch.setattr(handle, "_OPEN", {})  # as in another process
        return handle.Handle("factory", f"own_factories:{factory}", (4,)).digest

    first = digest("0", "1")
    assert digest("0", "1") == first
    assert len({first, digest("1", "1"), digest("0", "1.000001")}) == 3


class Above:
    """An alarm above a threshold."""

    def __init__(self, threshold):
        self.threshold = threshold

    def decision_function(self, x):
        return x.sum(axis=1) - self.threshold


def test_another_detector_is_refused(tmp_path):
    evaluate(Sides(), tmp_path, detector=Above(2.0))
    evaluate(Sides(), tmp_path, detector=Above(2.0))
    for other in (Above(1.9), None):
        with pytest.raises(ValueError, match="another detector: give the same detector"):
            evaluate(Sides(), tmp_path, detector=other)


def test_a_detector_of_the_package_is_known_by_its_file():
    x, _ = sides()
    network = models.mlp((4,), 2, hidden=(3,), seed=0)
    lax, strict = (detectors.MaxSoftmax(network, fpr=fpr).fit(x) for fpr in (0.05, 0.5))
    same = identity.of_detector(detectors.MaxSoftmax(network, fpr=0.05).fit(x), x[:0])
    assert identity.of_detector(lax, x[:0]) == same
    assert identity.of_detector(strict, x[:0]) != same


def test_another_source_is_refused(tmp_path):
    evaluate(Sides(), tmp_path, source=Sides().logits)
    evaluate(Sides(), tmp_path, source=Sides().logits)
    for other in (Sides(1.001).logits, None):
        with pytest.raises(ValueError, match="another source model: give the same source model"):
            evaluate(Sides(), tmp_path, source=other)


def test_arrays_among_options_are_told_by_their_content(tmp_path):
    mask = np.ones((1, 4), np.bool_)
    evaluate(Sides(), tmp_path, attacks=[("pgd", {"steps": 2, "mask": mask})])
    (found,) = json.loads((tmp_path / "results.json").read_text())["settings"]["plan"]
    assert found["options"]["mask"].startswith("array of shape (1, 4), bool, sha256 ")
    assert "sha256" in (tmp_path / "report.html").read_text()
    large = np.zeros(10_000)
    other = large.copy()
    other[5000] = 1  # which str() leaves out
    assert identity.plain({"a": large}) != identity.plain({"a": other})
    assert identity.plain({"a": large}) == identity.plain({"a": large.copy()})
    own = {"own_inputs": np.zeros((2, 4), np.float32), "build": forward, "eps": float("inf"), "n": np.int64(3)}
    json.dumps(identity.plain(own), allow_nan=False)
