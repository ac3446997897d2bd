"""Randomised smoothing: certificates against closed forms, and an attack that stays within them."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import beta, binomtest, norm

from advcore import attacks, defenses, models, nn


class Halfspace:
    """Class 1 where w x + b > 0: smoothing has the closed form Phi((w x + b) / (sigma |w|))."""

    def __init__(self, w, b):
        self.w, self.b = w, b

    def logits(self, x):
        side = x.reshape(len(x), -1) @ self.w + self.b
        return np.stack([-side, side], axis=1)

    def vjp(self, x, cotangent):
        return ((cotangent[:, 1] - cotangent[:, 0])[:, np.newaxis] * self.w).reshape(x.shape)


W = np.random.default_rng(0).standard_normal(12)
POINTS = np.random.default_rng(1).random((30, 3, 4))
PLANE = Halfspace(W, -float(np.median(POINTS.reshape(30, -1) @ W)))


def test_certificates_of_a_halfspace():
    """The certified radius is below the true distance to the plane, and close to it where 10,000 draws can tell."""
    made = defenses.RandomisedSmoothing(PLANE, sigma=0.5).certify(POINTS, n=10_000)
    distance = np.abs(POINTS.reshape(30, -1) @ PLANE.w + PLANE.b) / np.linalg.norm(PLANE.w)
    certified = made.prediction >= 0
    assert certified.mean() >= 0.8
    np.testing.assert_array_equal(made.prediction[certified], PLANE.logits(POINTS).argmax(axis=1)[certified])
    assert (made.radius <= distance).all()
    near = certified & (distance < 1.0)
    assert near.any()
    assert (made.radius[near] >= distance[near] - 0.06).all()
    assert (made.radius[~certified] == 0).all()


def test_the_bound_is_clopper_and_pearsons():
    made = defenses.RandomisedSmoothing(PLANE, sigma=0.5)
    for n, alpha in ((100, 0.05), (1000, 0.001)):
        for row in range(5):
            hits = made._counts(POINTS[row], row, row, n, 1)
            chosen = int(made._counts(POINTS[row], row, row, 100, 0).argmax())
            lower = beta.ppf(alpha, hits[chosen], n - hits[chosen] + 1)
            exact = binomtest(int(hits[chosen]), n).proportion_ci(1 - 2 * alpha, method="exact").low
            assert lower == pytest.approx(exact, rel=1e-6)
            one = made.certify(POINTS[row : row + 1], n=n, alpha=alpha, sample_ids=[row])
            assert one.lower[0] == pytest.approx(lower, rel=1e-9)
            assert one.radius[0] == pytest.approx(0.5 * norm.ppf(lower) if lower > 0.5 else 0.0, rel=1e-9)
    sure = defenses.RandomisedSmoothing(Halfspace(W, 1e6), sigma=0.5).certify(POINTS[:1], n=1000, alpha=0.001)
    assert sure.lower[0] == pytest.approx(0.001 ** (1 / 1000))  # all draws agree


def test_a_function_of_logits_is_wrapped_as_the_error_says():
    want, got = (
        defenses.RandomisedSmoothing(model, sigma=0.5).certify(POINTS[:3], n=100)
        for model in (PLANE, SimpleNamespace(logits=PLANE.logits))
    )
    np.testing.assert_array_equal(got.radius, want.radius)


def test_it_abstains_where_the_classes_tie():
    x = POINTS[:10] - (POINTS[:10].reshape(10, -1) @ W + PLANE.b)[:, None, None] * W.reshape(3, 4) / (W @ W)
    smoothed = defenses.RandomisedSmoothing(PLANE, sigma=0.5)  # all on the plane
    assert (smoothed.certify(x, n=1000).prediction == -1).mean() >= 0.9
    assert (smoothed.predict(x) == -1).mean() >= 0.9
    far = defenses.RandomisedSmoothing(Halfspace(W, 1e6), sigma=0.5)
    np.testing.assert_array_equal(far.predict(x), np.ones(10))
    with pytest.raises(ValueError, match="radii must be at least 0"):
        far.certify(x[:1], n=10).accuracy([1], -1.0)


def test_prediction_tests_two_sided():
    """At 100 draws and alpha .001 a class needs 67 of them: 2 P(67 or more heads) = .00087."""

    class Votes:
        def __init__(self, first):
            self.first = first

        def logits(self, x):
            return np.eye(2)[(np.arange(len(x)) >= self.first).astype(int)]

    for first, expected in ((67, 0), (66, -1), (34, -1), (33, 1)):
        smoothed = defenses.RandomisedSmoothing(Votes(first), sigma=1.0)
        assert smoothed.predict(POINTS[:1])[0] == expected
        assert (binomtest(first, 100).pvalue <= 0.001) == (expected >= 0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nothing_is_certified_of_logits_that_are_no_numbers(value):
    class Overflows:
        def logits(self, x):
            scores = PLANE.logits(x)
            scores[x[:, 0, 0] > 100, 1] = value
            return scores

    x = POINTS.copy()
    x[[7, 9], 0, 0] = 1000.0
    smoothed = defenses.RandomisedSmoothing(Overflows(), sigma=0.5)
    for call in (smoothed.certify, smoothed.predict):
        with pytest.raises(ValueError, match="what the model returns must be finite, got NaN or infinity in sample 7"):
            call(x, n=20)


def test_noise_depends_on_seed_and_sample_alone():
    smoothed = defenses.RandomisedSmoothing(PLANE, sigma=0.5)
    whole = smoothed.certify(POINTS, n=300)
    small = defenses.RandomisedSmoothing(PLANE, sigma=0.5, batch_size=7)
    part = small.certify(POINTS[4:6], n=300, sample_ids=[4, 5])
    np.testing.assert_array_equal(part.lower, whole.lower[4:6])
    other = defenses.RandomisedSmoothing(PLANE, sigma=0.5, seed=1).certify(POINTS, n=300)
    assert (other.lower != whole.lower).any()
    first, second = smoothed.logits(POINTS), smoothed.logits(POINTS)
    assert (first != second).any()
    np.testing.assert_array_equal(small.logits(POINTS), first)  # the first call of each
    empty = smoothed.certify(POINTS[:0])
    assert empty.prediction.shape == empty.radius.shape == (0,)


def test_certified_accuracy():
    made = defenses.Certificates(np.array([1, -1, 0, 1]), np.array([0.5, 0.0, 0.2, 1.0]), np.zeros(4))
    np.testing.assert_array_equal(made.accuracy([1, 1, 0, 0], [0.0, 0.2, 0.3, 0.6]), [0.5, 0.5, 0.25, 0])


def test_no_attack_breaks_a_certificate(digits):
    network = models.wong_mnist((1, 8, 8), seed=0)
    options = {"epochs": 15, "optimizer": nn.Adam(5e-3), "schedule": "cosine"}
    defenses.noise_training(network, digits.x_train, digits.y_train, sigma=0.25, **options)
    smoothed = defenses.RandomisedSmoothing(network, sigma=0.25)
    x, y = digits.x_test[:40], digits.y_test[:40]
    made = smoothed.certify(x, n=1000)
    assert made.accuracy(y)[0] >= 0.8
    assert made.accuracy(y, 0.25)[0] >= 0.5
    aware = attacks.expectation(smoothed, draws=16)
    for radius in (0.3, 1.0):
        options = {"norm": "l2", "eps": radius, "steps": 10, "loss": "margin", "early_stop": False}
        examples = attacks.pgd(aware, x, y, **options).examples
        after = smoothed.predict(examples, n=1000)
        within = (made.prediction == y) & (made.radius >= radius)
        assert (after[within] == y[within]).all()
    assert (after == y).mean() < made.accuracy(y)[0]  # it does break what is not certified


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: defenses.RandomisedSmoothing(PLANE, sigma=0.0), ValueError, "sigma must be greater than 0, got 0"),
        (lambda: defenses.RandomisedSmoothing(PLANE, sigma=-1.0), ValueError, "sigma must be greater than 0, got -1"),
        (lambda: defenses.RandomisedSmoothing(PLANE, sigma=1).certify(POINTS, n=0), ValueError, "n must be at least 1"),
        (
            lambda: defenses.RandomisedSmoothing(PLANE, sigma=1).certify(POINTS, n0=0),
            ValueError,
            "n0 must be at least 1",
        ),
        (
            lambda: defenses.RandomisedSmoothing(PLANE, sigma=1).certify(POINTS, alpha=0),
            ValueError,
            "alpha must be greater",
        ),
        (
            lambda: defenses.RandomisedSmoothing(PLANE, sigma=1).certify(POINTS, alpha=1),
            ValueError,
            "alpha must be less",
        ),
        (
            lambda: defenses.RandomisedSmoothing(PLANE, sigma=1).certify(np.full((1, 3, 4), np.nan)),
            ValueError,
            "finite",
        ),
        (
            lambda: defenses.RandomisedSmoothing(PLANE, sigma=1).certify(POINTS).accuracy(None),
            TypeError,
            "y must be an array",
        ),
        (
            lambda: defenses.RandomisedSmoothing(PLANE, sigma=1).certify(POINTS[:0]).accuracy([]),
            ValueError,
            "at least 1 sample, got certificates of 0",
        ),
        (lambda: defenses.RandomisedSmoothing(3, sigma=1), TypeError, "model must have logits"),
        (
            lambda: defenses.RandomisedSmoothing(PLANE.logits, sigma=1),
            TypeError,
            r"got a method: give types.SimpleNamespace\(logits=model\) if",
        ),
    ],
)
def test_bad_settings(call, error, message):
    with pytest.raises(error, match=message):
        call()
