"""Attacks and detection on real digits: five of them, and (slow) the whole campaign of docs/campaigns.md."""

import os
import runpy
from pathlib import Path

import pytest

MNIST = os.environ.get("ADVCORE_MNIST")
pytestmark = pytest.mark.skipif(not MNIST, reason="ADVCORE_MNIST names no folder")


@pytest.fixture(scope="module")
def campaign():
    return runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "mnist_campaign.py"))["campaign"]


def test_five_digits_are_fooled_after_a_short_training(campaign):
    measured = campaign(MNIST, train=5000, epochs=2, images=60, digits=5)
    assert measured["clean_accuracy"] >= 0.8
    assert measured["pgd_accuracy_left"] < 0.05
    assert measured["lid_auc"] > 0.5
    assert measured["zoo_fooled"] == 5
    assert measured["zoo_mean_l2"] <= 3


@pytest.mark.slow
def test_the_campaign(campaign):
    measured = campaign(MNIST)
    print(measured)
    assert measured["clean_accuracy"] >= 0.985
    assert measured["pgd_accuracy_left"] < 0.02
    assert measured["zoo_fooled"] >= 95
    assert measured["zoo_mean_l2"] <= 3
