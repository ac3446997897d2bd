"""Evaluations with a detector: what alarms always or never proves nothing, and what cannot be asked is refused."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import advcore
from advcore.evaluation import checks, detection

_SPEC = importlib.util.spec_from_file_location("evaluation_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_conftest)


def evaluate(detector, norm="linf", eps=0.2, **more):
    options = {"norm": norm, "eps": eps, "attacks": [("pgd", {"steps": 5})], "checks": "quick"} | more
    return advcore.evaluate(_conftest.Sides(), *_conftest.sides(), detector=detector, **options)


def judged(report):
    return next(check for check in report.checks if check.name == checks.DETECTOR)


class Scores:
    """A detector of these scores, or one that raises them."""

    def __init__(self, scores):
        self.scores = scores

    def decision_function(self, x):
        scores = self.scores(x)
        if isinstance(scores, Exception):
            raise scores
        return scores


def test_a_detector_that_always_alarms_fails():
    check = judged(evaluate(Scores(lambda x: np.ones(len(x)))))
    assert check.verdict == checks.FAIL
    assert ", 0 where he does" in check.evidence
    assert "with 24 false alarms on 24 clean images" in check.evidence


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        (lambda x: RuntimeError("no such scores"), "cannot be used for the first images: RuntimeError: no such scores"),
        (lambda x: np.ones(len(x)) + 1j, "must return a finite score an image, got an array of shape .*, complex128"),
        (lambda x: np.full(len(x), np.nan), "must return a finite score an image, got NaN or infinity"),
        (lambda x: np.zeros((len(x), 2)), r"must return a finite score an image, got an array of shape \(.*, 2\)"),
        (lambda x: 0.0, r"must return a finite score an image, got an array of shape \(\)"),
    ],
)
def test_a_detector_that_gives_no_scores_is_refused(scores, expected):
    with pytest.raises(ValueError, match=expected):
        evaluate(Scores(scores))


class Flat(Scores):
    """Its gradient leads nowhere, so that the attack by scores follows."""

    def score_gradient(self, x):
        return self.decision_function(x), np.zeros_like(x)


@pytest.mark.parametrize("limit", [1, 2, 30, 31, 57])
def test_both_attackers_of_a_detector_share_a_samples_queries(limit):
    detector = Flat(lambda x: np.where(x[:, 0] > 0.1, 1.0, -1.0))
    report = evaluate(detector, eps=1e-3, max_queries=limit)
    assert report.results["errors"] == []
    spent = [row.queries for row in report.rows if row.attack in (detection.AWARE, detection.UNAWARE)]
    assert spent
    assert max(spent) <= limit


class OnTheGrid:
    """An alarm where a feature is between 8-bit values; it says that its gradient is this."""

    def __init__(self, gradient):
        self.gradient = gradient

    def decision_function(self, x):
        return np.abs(x * 255 - np.rint(x * 255)).max(axis=1) - 1e-2

    def score_gradient(self, x):
        return self.gradient(x)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_gradients_of_no_use_are_none(value):
    """Attackers who follow them get nowhere, and the detector would seem to hold."""
    lost = OnTheGrid(lambda x: (np.zeros(len(x)), np.full_like(x, value)))
    check = judged(evaluate(lost, eps=0.05))
    assert check.verdict == checks.NOT_RUN
    assert "had scores alone" in check.evidence
    check = judged(evaluate(lost, norm="l1", eps=0.3))
    assert check.verdict == checks.NOT_RUN
    assert "no attack by scores works in l1" in check.evidence


@pytest.mark.parametrize(
    ("gradient", "expected"),
    [
        (lambda x: np.ones_like(x), r"score_gradient must return \(scores, gradients\), got a ndarray"),
        (lambda x: (np.zeros(len(x)), np.ones(len(x))), "with gradients of shape"),
        (lambda x: 1 / 0, "score_gradient cannot be used for the first images: ZeroDivisionError"),
    ],
)
def test_gradients_of_another_shape_are_refused(gradient, expected):
    with pytest.raises(ValueError, match=expected):
        evaluate(OnTheGrid(gradient))


def test_who_knows_the_detector_has_what_others_find():
    """Its gradient leads astray, so that he fails where the attacker who does not know it passes."""
    astray = OnTheGrid(lambda x: (np.zeros(len(x)), -1e6 * np.ones_like(x)))
    report = evaluate(Flat(lambda x: np.full(len(x), -1.0)), eps=0.2)
    assert judged(report).verdict == checks.FAIL
    report = evaluate(astray, eps=0.2)
    at = {label: {row.sample: row.success for row in report.rows if row.attack == label} for label in detection.LABELS}
    assert at[detection.UNAWARE].keys() == at[detection.AWARE].keys()
    assert all(at[detection.AWARE][sample] for sample, hit in at[detection.UNAWARE].items() if hit)


def test_a_model_of_labels_has_no_attack_on_its_detector():
    sides = _conftest.Sides()
    report = advcore.evaluate(
        lambda x: sides.logits(x).argmax(axis=1),
        *_conftest.sides(),
        norm="linf",
        eps=0.2,
        answers="label",
        attacks=[("uniform_noise", {"draws": 5})],
        checks="quick",
        detector=Scores(lambda x: np.full(len(x), -1.0)),
    )
    check = judged(report)
    assert check.verdict == checks.NOT_RUN
    assert "the model gives a label alone" in check.evidence
