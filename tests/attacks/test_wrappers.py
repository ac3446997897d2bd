"""Adaptive attacks: averages over randomness, replaced gradients, classifier and detector together."""

import numpy as np
import pytest

from advcore.attacks import backward_pass, expectation, fgsm, joint, pgd, zoo
from advcore.attacks._verdict import wilson


class Noisy:
    """A linear model with noise on its weights, drawn anew at every call."""

    randomised = True

    def __init__(self, base, level, seed=0):
        self.base, self.level, self.rng = base, level, np.random.default_rng(seed)

    def _weights(self):
        return self.base.w + self.level * self.rng.standard_normal(self.base.w.shape)

    def logits(self, x):
        return x.reshape(len(x), -1) @ self._weights().T + self.base.b

    def vjp(self, x, cotangent):
        return (cotangent @ self._weights()).reshape(x.shape)


def test_randomised_models_are_judged_by_a_hundred_passes(linear):
    setup = linear.problem(classes=3, count=30)
    model = Noisy(setup.model, 0.05)
    result = pgd(model, setup.x, setup.y, eps=0.2, steps=10, bounds=setup.bounds)
    assert (result.verification >= 100).all()
    assert ((result.votes >= 0) & (result.votes <= 1)).all()
    assert (result.votes[result.success] > 0.5).all()
    assert (result.votes[result.status == "failed"] < 0.5).all()
    low, high = wilson(100 * result.votes, 100)
    covers = (low <= 0.5) & (high >= 0.5)
    np.testing.assert_array_equal(result.status == "undecided", covers)
    assert not result.success[covers].any()


def test_randomness_is_found_out(linear):
    setup = linear.problem(classes=3, count=12)
    model = Noisy(setup.model, 0.05)
    model.randomised = None
    assert fgsm(model, setup.x, setup.y, eps=0.2, bounds=setup.bounds).votes is not None
    setup.model.randomised = None
    result = fgsm(setup.model, setup.x, setup.y, eps=0.2, bounds=setup.bounds)
    assert result.votes is None
    assert result.verification.max() <= 3
    assert setup.model.forwards == result.queries.sum() + result.verification.sum()


def test_expectation_sees_through_noise(linear):
    setup = linear.problem(classes=2, count=40)
    eps = float(np.quantile(linear.nearest(setup, "linf").min(axis=1), 0.6))
    single = fgsm(Noisy(setup.model, 2.0), setup.x, setup.y, eps=eps, bounds=setup.bounds)
    averaged = fgsm(expectation(Noisy(setup.model, 2.0), draws=200), setup.x, setup.y, eps=eps, bounds=setup.bounds)
    assert averaged.success.sum() > single.success.sum()
    assert single.gradient_error is None


def test_standard_error_is_that_of_the_mean(linear):
    """Of m draws of g + noise of level s in d entries: s sqrt(d / m) / |g|."""
    setup = linear.problem(classes=2, count=5, shape=(500,))
    level, draws = 0.3, 64
    model = expectation(Noisy(setup.model, level), draws=draws)
    result = fgsm(model, setup.x, setup.y, eps=0.001, bounds=setup.bounds, loss="margin")
    length = np.linalg.norm(setup.w[0] - setup.w[1])
    attacked = result.gradients > 0
    np.testing.assert_allclose(result.gradient_error[attacked], level * np.sqrt(2 * 500 / draws) / length, rtol=0.15)
    assert (result.gradients[attacked] == draws).all()
    with pytest.warns(UserWarning, match="mostly noise"):
        fgsm(expectation(Noisy(setup.model, 20.0), draws=2), setup.x, setup.y, eps=0.001, bounds=setup.bounds)


def test_the_budget_counts_every_draw(linear):
    setup = linear.problem(count=4)
    model = expectation(Noisy(setup.model, 0.01), draws=5)
    result = pgd(model, setup.x, setup.y, eps=0.01, steps=50, bounds=setup.bounds, max_queries=40)
    assert (result.queries <= 40).all()
    assert (result.queries > 20).all()


def test_backward_pass_goes_around_a_staircase(linear):
    setup = linear.problem(classes=3, count=20)

    def steps(x):
        return np.round(x * 1e3) / 1e3

    class Defended:
        randomised = False

        def logits(self, x):
            return setup.model.logits(steps(x))

        def vjp(self, x, cotangent):
            return np.zeros_like(x)

    arguments = {"eps": 0.4, "steps": 20, "bounds": setup.bounds}
    plain_sight = pgd(Defended(), setup.x, setup.y, random_start=False, **arguments)
    assert (plain_sight.status == "masked").all()
    plain = pgd(setup.model, setup.x, setup.y, **arguments)
    for model in (
        backward_pass(setup.model, forward=steps),
        backward_pass(setup.model, forward=steps, backward=lambda x, gradient: 2 * gradient),
        backward_pass(Defended(), stand_in=setup.model),
        backward_pass(Defended().logits, output="logits", stand_in=setup.model),
    ):
        result = pgd(model, setup.x, setup.y, **arguments)
        assert abs(int(result.success.sum()) - int(plain.success.sum())) <= 1
        assert result.success.sum() > 10
        np.testing.assert_array_equal(result.success, Defended().logits(result.examples).argmax(axis=1) != setup.y)


class FarFromZero:
    """Takes an input for adversarial where its first entry is above a threshold."""

    def __init__(self, threshold):
        self.threshold = threshold

    def decision_function(self, x):
        return x.reshape(len(x), -1)[:, 0] - self.threshold

    def score_gradient(self, x):
        gradient = np.zeros_like(x)
        gradient.reshape(len(x), -1)[:, 0] = 1.0
        return self.decision_function(x), gradient


@pytest.mark.parametrize("targeted", [False, True])
def test_joint_success_means_that_both_are_fooled(linear, targeted):
    setup = linear.problem(classes=3, count=40)
    detector = FarFromZero(0.0)
    targets = (setup.y + 1) % 3 if targeted else None
    arguments = {"eps": 0.5, "steps": 40, "bounds": setup.bounds, "targets": targets}
    result = pgd(joint(setup.model, detector, scale=5.0), setup.x, setup.y, **arguments)
    predicted = setup.model.logits(result.examples).argmax(axis=1)
    wrong = predicted != setup.y if targets is None else predicted == targets
    silent = detector.decision_function(result.examples) <= 0
    np.testing.assert_array_equal(result.success, wrong & silent)
    blind = pgd(setup.model, setup.x, setup.y, **arguments)
    caught = detector.decision_function(blind.examples) > 0
    assert (blind.success & caught).sum() > 5  # the plain attack walks into the detector
    assert result.success.sum() > (blind.success & ~caught).sum()


def test_joint_gradients_are_those_of_differences(linear):
    setup = linear.problem(classes=3, count=6)
    model = joint(setup.model, FarFromZero(0.1), scale=2.0)
    weights = np.random.default_rng(0).standard_normal((6, 1, 4))
    _, gradient = model.logits_and_gradients(setup.x, lambda logits: weights, 1)
    step = 1e-6 * np.random.default_rng(1).standard_normal(setup.x.shape)
    upper, lower = ((model.logits(setup.x + s) * weights[:, 0]).sum(axis=1) for s in (step, -step))
    np.testing.assert_allclose((gradient[:, 0] * step).sum(axis=(1, 2)), (upper - lower) / 2, rtol=1e-5)


def test_joint_of_joint_is_silent_where_both_detectors_are(linear):
    setup = linear.problem(classes=3, count=40)

    class FarBelow(FarFromZero):
        def decision_function(self, x):
            return super().decision_function(-x)

        def score_gradient(self, x):
            return self.decision_function(x), -super().score_gradient(x)[1]

    detectors = FarFromZero(0.4), FarBelow(0.4)
    model = joint(joint(setup.model, detectors[0], scale=5.0), detectors[1], scale=3.0)
    result = pgd(model, setup.x, setup.y, eps=0.5, steps=40, bounds=setup.bounds)
    wrong = setup.model.logits(result.examples).argmax(axis=1) != setup.y
    silent = [detector.decision_function(result.examples) <= 0 for detector in detectors]
    np.testing.assert_array_equal(result.success, wrong & silent[0] & silent[1])
    assert result.success.sum() > 5
    logits = model.logits(setup.x)
    assert logits.shape == (40, 4)
    rejects = (np.stack([detector.decision_function(setup.x) for detector in detectors]) > 0).any(axis=0)
    np.testing.assert_array_equal(logits.argmax(axis=1) == 3, rejects)
    weights = np.random.default_rng(0).standard_normal((40, 1, 4))
    _, gradient = model.logits_and_gradients(setup.x, lambda logits: weights, 1)
    step = 1e-6 * np.random.default_rng(1).standard_normal(setup.x.shape)
    upper, lower = ((model.logits(setup.x + s) * weights[:, 0]).sum(axis=1) for s in (step, -step))
    np.testing.assert_allclose((gradient[:, 0] * step).sum(axis=(1, 2)), (upper - lower) / 2, rtol=1e-5)


def test_a_detector_without_gradients_is_for_black_box_attacks(linear):
    setup = linear.problem(classes=3, count=4)

    class Silent:
        def decision_function(self, x):
            return np.full(len(x), -1.0)

    model = joint(setup.model, Silent())
    with pytest.raises(TypeError, match="pgd needs a model with vjp"):
        pgd(model, setup.x, setup.y, eps=0.1, bounds=setup.bounds)
    assert zoo(model, setup.x, setup.y, steps=60, c=10.0, bounds=setup.bounds).success.any()


def test_errors(linear):
    setup = linear.problem()
    with pytest.raises(ValueError, match="draws must be at least 2, got 1"):
        expectation(setup.model, draws=1)
    with pytest.raises(ValueError, match="must be given forward, backward or stand_in"):
        backward_pass(setup.model)
    with pytest.raises(TypeError, match="forward must be callable"):
        backward_pass(setup.model, forward=3)
    with pytest.raises(TypeError, match="model must have gradients"):
        backward_pass(setup.model.logits, output="logits", forward=np.round)
    with pytest.raises(TypeError, match="detector must have decision_function"):
        joint(setup.model, object())
    with pytest.raises(ValueError, match="scale must be greater than 0"):
        joint(setup.model, FarFromZero(0.0), scale=0.0)
