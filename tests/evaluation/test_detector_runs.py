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
        (lambda x: RuntimeError("no such scores"), "raises for the first images: RuntimeError: no such scores"),
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
