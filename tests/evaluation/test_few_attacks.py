"""Runs of few attacks: which comparisons there is something for, and what the others say."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import advcore
from advcore.evaluation import checks

_SPEC = importlib.util.spec_from_file_location("evaluation_conftest", Path(__file__).with_name("conftest.py"))
_conftest = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_conftest)


def check(name, attacks, norm="linf", eps=0.05):
    x, y = _conftest.sides()
    report = advcore.evaluate(_conftest.Sides(), x, y, norm=norm, eps=eps, attacks=attacks, checks="quick")
    assert report.results["errors"] == []
    return next(found for found in report.checks if found.name == name)


@pytest.mark.parametrize(
    "attacks", [["fgsm"], ["deepfool"], ["jsma"], [("pgd", {"steps": 1})], [("square", {"steps": 30})]]
)
def test_one_step_is_not_compared_with_what_takes_no_more(attacks):
    found = check(checks.ITERATIVE, attacks, norm="l2" if attacks == ["jsma"] else "linf")
    assert found.verdict == checks.NOT_RUN
    assert "no attack by gradients that takes several steps within a budget was run" in found.evidence


@pytest.mark.parametrize("attacks", [["fgsm", "bim"], ["bim", "fgsm"], ["deepfool", "bim"]])
def test_one_step_is_compared_with_the_first_attack_of_several(attacks):
    found = check(checks.ITERATIVE, attacks)
    assert found.verdict == checks.PASS
    assert "where one step wins and bim does not" in found.evidence


class OneStepIsAhead(_conftest.Sides):
    """Its gradient is right at x alone, so that one step succeeds and several turn back."""

    def __init__(self, x):
        super().__init__()
        self.x = x

    def vjp(self, x, cotangent):
        at_x = (x[:, np.newaxis] == self.x).all(axis=2).any(axis=1)
        return super().vjp(x, cotangent) * np.where(at_x, 1, -1)[:, np.newaxis].astype(x.dtype)


@pytest.mark.parametrize("attacks", [["fgsm", "bim"], ["bim", "fgsm"]])
def test_one_step_that_is_ahead_is_seen_whatever_the_order(attacks):
    x, y = _conftest.sides()
    report = advcore.evaluate(OneStepIsAhead(x), x, y, norm="linf", eps=0.05, attacks=attacks, checks="quick")
    found = next(found for found in report.checks if found.name == checks.ITERATIVE)
    assert found.verdict == checks.FAIL


@pytest.mark.parametrize("attacks", [["square", "pgd"], ["pgd", "square"]])
def test_an_attack_by_scores_that_is_ahead_is_seen_whatever_the_order(attacks):
    class Lost(_conftest.Sides):
        def vjp(self, x, cotangent):
            return -super().vjp(x, cotangent)

    x, y = _conftest.sides(100)
    named = [(name, {"steps": 200 if name == "square" else 5}) for name in attacks]
    report = advcore.evaluate(Lost(), x, y, norm="linf", eps=0.05, attacks=named, checks="quick")
    found = next(found for found in report.checks if found.name == "white-box attacks beat black-box ones")
    assert found.verdict == checks.FAIL


@pytest.mark.parametrize("attacks", [["jsma", "square"], ["ddn", "square"]])
def test_gradients_in_another_norm_are_compared_with_nothing(attacks):
    """They look for few features, or little L2: that random squares find more in Linf is no fault of the model's."""
    x, y = _conftest.sides()
    report = advcore.evaluate(_conftest.Sides(), x, y, norm="linf", eps=0.05, attacks=attacks, checks="quick")
    found = {check.name: check for check in report.checks}
    for name in ("white-box attacks beat black-box ones", checks.TRANSFER):
        assert found[name].verdict == checks.NOT_RUN
        assert "by gradients in linf" in found[name].evidence


@pytest.mark.parametrize(
    ("eps", "verdict", "evidence"),
    [
        ((1e-6, 2e-6), checks.NOT_RUN, "pgd broke nothing at any eps"),
        ((1e-6, 0.2), checks.PASS, ""),
        ((0.2,), checks.NOT_RUN, "it takes two values of eps"),
    ],
)
def test_success_grows_where_there_is_any(eps, verdict, evidence):
    found = check("success grows with eps", [("pgd", {"steps": 5})], eps=eps)
    assert found.verdict == verdict
    assert evidence in found.evidence
