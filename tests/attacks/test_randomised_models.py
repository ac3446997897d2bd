"""Attacks on models that answer at random: one lucky answer makes no example."""

import numpy as np
import pytest

from advcore.attacks import carlini_wagner, ddn, deepfool, expectation, fmn, pgd, square
from advcore.attacks._problem import CONFIRMED

MINIMUM_NORM = {
    "carlini_wagner": lambda model, setup, **more: carlini_wagner(
        model, setup.x, setup.y, steps=60, search_steps=6, initial_c=0.1, bounds=setup.bounds, **more
    ),
    "ddn": lambda model, setup, **more: ddn(model, setup.x, setup.y, steps=60, bounds=setup.bounds, **more),
    "fmn": lambda model, setup, **more: fmn(model, setup.x, setup.y, steps=60, bounds=setup.bounds, **more),
    "deepfool": lambda model, setup, **more: deepfool(model, setup.x, setup.y, bounds=setup.bounds, **more),
}


class Shaken:
    """A linear model of two classes with noise on its margin, of standard deviation 1; it counts the rows."""

    randomised = True

    def __init__(self, setup, seed=0):
        self.w, self.b, self.rng, self.forwards = setup.w, setup.b, np.random.default_rng(seed), 0

    def logits(self, x):
        self.forwards += len(x)
        noise = self.rng.standard_normal(len(x))
        return x.reshape(len(x), -1) @ self.w.T + self.b + np.stack([noise, -noise], axis=1) / 2

    def vjp(self, x, cotangent):
        self.forwards += len(x)
        return (cotangent @ self.w).reshape(x.shape)


@pytest.mark.parametrize("averaged", [False, True])
@pytest.mark.parametrize("attack", MINIMUM_NORM)
def test_the_shortest_example_is_one_that_most_answers_agree_on(attack, averaged, linear):
    setup = linear.problem(count=12)
    margins = -np.diff(np.sort(setup.scores, axis=1), axis=1)[:, 0]
    setup.x, setup.y = setup.x[margins < -2.5], setup.y[margins < -2.5]  # what noise alone hardly breaks
    model = Shaken(setup)
    result = MINIMUM_NORM[attack](expectation(model, draws=4) if averaged else model, setup)
    assert result.success.mean() > 0.8
    assert result.votes[result.success].min() > 0.6
    slope = np.linalg.norm(setup.w[0] - setup.w[1])
    scores = setup.x.reshape(len(setup.x), -1) @ setup.w.T + setup.b
    nearest = np.abs(scores[:, 0] - scores[:, 1]) / slope
    past = (result.distances["l2"] - nearest)[result.success] * slope  # the margin of the mean answer
    assert (past > 0).all()
    assert np.median(past) < 3.0


@pytest.mark.parametrize("early", [False, True])
def test_a_model_that_errs_now_and_then_is_not_broken(early, linear):
    setup = linear.problem(count=10)

    class Careless(Shaken):
        def logits(self, x):
            right = np.where(self.rng.random(len(x)) < 0.3, -1.0, 1.0)
            return np.stack([right, -right], axis=1)

        def vjp(self, x, cotangent):
            return np.ones_like(x)

    labels = np.zeros(10, int)
    result = pgd(Careless(setup), setup.x, labels, eps=0.1, steps=20, bounds=setup.bounds, early_stop=early)
    assert not result.success.any()
    found = ddn(Careless(setup), setup.x, labels, steps=20, bounds=setup.bounds)
    assert not found.success.any()
    assert (found.queries_to_success == -1).all()


def test_an_early_stop_is_not_for_luck(linear):
    setup = linear.problem(count=30)
    eps = float(np.quantile(linear.nearest(setup, "linf").min(axis=1), 0.7)) * 1.5
    options = {"eps": eps, "steps": 40, "bounds": setup.bounds}
    stopping = pgd(Shaken(setup), setup.x, setup.y, **options)
    going = pgd(Shaken(setup), setup.x, setup.y, **options, early_stop=False)
    assert stopping.success.sum() >= going.success.sum() - 1
    assert stopping.queries.sum() < going.queries.sum() + 2 * CONFIRMED * len(setup.x)


@pytest.mark.parametrize("limit", [1, 7, 30, 45, 100])
def test_asking_again_is_paid_for(limit, linear):
    setup = linear.problem(count=8)
    for attack in (
        lambda model: ddn(model, setup.x, setup.y, steps=40, bounds=setup.bounds, max_queries=limit),
        lambda model: square(model, setup.x, setup.y, eps=2.0, steps=90, bounds=setup.bounds, max_queries=limit),
    ):
        model = Shaken(setup)
        result = attack(model)
        assert result.queries.max() <= limit
        assert model.forwards == result.queries.sum() + result.verification.sum()


def test_a_larger_budget_breaks_no_fewer(linear):
    """With its last queries a sample cannot ask again: what it has by then is not replaced by a lucky answer."""
    setup = linear.problem(count=20)
    few, many = (
        ddn(Shaken(setup), setup.x, setup.y, steps=400, bounds=setup.bounds, max_queries=limit).success.mean()
        for limit in (200, 500)
    )
    assert few > 0.8
    assert many >= few - 0.1


def test_successes_that_nobody_could_look_at_are_in_the_curve(linear):
    setup = linear.problem(count=40)
    setup.x = np.rint((setup.x + 10) / 20 * 255) / 255 * 20 - 10
    result = square(setup.model, setup.x, setup.y, eps=2.0, steps=90, bounds=setup.bounds, quantize=255, max_queries=2)
    assert result.success.any()
    assert (result.queries_to_success[result.success] > 0).all()


def test_noise_on_the_input_does_not_make_a_step_infinite(linear):
    setup = linear.problem(count=40)
    for seed in range(30):  # inputs at the boundary, which noise puts on the other side now and then
        model = Shaken(setup, seed)
        result = deepfool(model, setup.x, setup.y, bounds=setup.bounds)
        assert np.isfinite(result.examples).all()
