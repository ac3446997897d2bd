"""Squeezers before a model; what straight-through gradients show that exact ones hide."""

import numpy as np
import pytest

from advcore import attacks, defenses, models, nn

FLAT = np.zeros((3, 64), np.float32)


def test_the_median_passes_gradients_to_the_pixel_it_chose(digits):
    x = np.random.default_rng(0).random((2, 2, 6, 5))  # no ties
    grad = np.random.default_rng(1).standard_normal(x.shape)
    step = np.random.default_rng(2).standard_normal(x.shape)
    for size in (2, 3):
        median = defenses.MedianFilter(size)
        sides = [(median(x + sign * 1e-7 * step) * grad).sum() for sign in (1, -1)]
        assert (sides[0] - sides[1]) / 2e-7 == pytest.approx((median.vjp(x, grad) * step).sum(), rel=1e-6)


def test_bit_depth(digits):
    for bits in (1, 3, 8):
        squeezed = defenses.BitDepth(bits)(digits.x_test)
        levels = 2**bits - 1
        np.testing.assert_array_equal(squeezed, np.rint(digits.x_test * np.float32(levels)) / np.float32(levels))
        assert len(np.unique(squeezed)) <= 2**bits
    np.testing.assert_array_equal(
        defenses.BitDepth(1)(np.array([[0.49, 0.5, 0.51]], np.float32)), np.array([[0, 0, 1]], np.float32)
    )


def test_wrapped_networks_and_modules_agree(digits):
    network = models.wong_mnist((1, 8, 8), dtype=np.float64)
    x = digits.x_test[:5].astype(np.float64)
    squeezers = (defenses.BitDepth(3), defenses.MedianFilter(2))
    ours, theirs = (defenses.Squeezed(model, *squeezers) for model in (network, network.to_torch()))
    np.testing.assert_array_equal(ours.logits(x), network.logits(squeezers[1](squeezers[0](x))))
    cotangent = np.random.default_rng(0).standard_normal((5, 10))
    np.testing.assert_allclose(ours.vjp(x, cotangent), theirs.vjp(x, cotangent), atol=1e-12)
    np.testing.assert_array_equal(ours.predict(x), ours.logits(x).argmax(axis=1))
    assert not defenses.Squeezed(network, *squeezers, exact=True).vjp(x, cotangent).any()
    same = defenses.Squeezed(network, lambda x: x * 0.5).vjp(x, cotangent)
    np.testing.assert_array_equal(same, network.vjp(x * 0.5, cotangent))  # as it is, where nothing is said


def test_squeezing_stops_who_does_not_know_it_and_not_who_does(digits, plain):
    x, y = digits.x_test[:200], digits.y_test[:200]
    squeezers = (defenses.BitDepth(1), defenses.MedianFilter(2))
    network = models.wong_mnist((1, 8, 8), seed=0)
    squeezed = x
    train = digits.x_train
    for squeezer in squeezers:
        squeezed, train = squeezer(squeezed), squeezer(train)
    nn.fit(network, train, digits.y_train, epochs=15, optimizer=nn.Adam(5e-3), schedule="cosine")
    model, masked = (defenses.Squeezed(network, *squeezers, exact=exact) for exact in (False, True))
    assert (model.predict(x) == y).mean() >= 0.8
    options = {"eps": 0.3, "steps": 40}
    unaware = attacks.pgd(plain, x, y, **options).examples
    hidden = attacks.pgd(masked, x, y, **options)
    aware = attacks.pgd(model, x, y, **options)
    assert aware.robust_accuracy <= (model.predict(unaware) == y).mean() - 0.2
    assert (hidden.status == "masked").sum() == (~hidden.success).sum() > 0  # a failure that says nothing
    assert aware.robust_accuracy < hidden.robust_accuracy


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: defenses.BitDepth(0), ValueError, "bits must be at least 1, got 0"),
        (lambda: defenses.BitDepth(17), ValueError, "bits must be at most 16, got 17"),
        (lambda: defenses.MedianFilter(0), ValueError, "size must be at least 1, got 0"),
        (lambda: defenses.BitDepth(1)([0.5]), TypeError, "x must be a NumPy array of float32 or float64, got list"),
        (lambda: defenses.MedianFilter(2)(FLAT), ValueError, r"x must have shape \(N, C, H, W\), got \(3, 64\)"),
        (lambda: defenses.NonLocalMeans()(FLAT), ValueError, r"x must have shape \(N, C, H, W\), got \(3, 64\)"),
        (lambda: defenses.Squeezed(models.mlp()), ValueError, "squeezers must be at least one"),
        (lambda: defenses.Squeezed(models.mlp(), 3), TypeError, "squeezers must be functions, got int"),
        (lambda: defenses.Squeezed(5, defenses.BitDepth(1)), TypeError, "model must have logits"),
        (lambda: defenses.Squeezed(len, defenses.BitDepth(1)), TypeError, "model must have logits.*SimpleNamespace"),
        (
            lambda: defenses.Squeezed(models.mlp((64,)), np.copy, lambda x: x[:1]).predict(FLAT),
            ValueError,
            r"squeezers\[1\]\(x\) must have the 3 samples of x, got shape \(1, 64\)",
        ),
        (
            lambda: defenses.Squeezed(models.mlp((64,)), lambda x: None).predict(FLAT),
            TypeError,
            r"squeezers\[0\]\(x\) must be a NumPy array of float32 or float64, got NoneType",
        ),
    ],
)
def test_bad_settings(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_model_without_gradients_says_so(digits):
    class Scores:
        def logits(self, x):
            return x.reshape(len(x), -1)[:, :10]

    model = defenses.Squeezed(Scores(), defenses.BitDepth(2))
    assert model.predict(digits.x_test[:3]).shape == (3,)
    with pytest.raises(TypeError, match="the model behind the defence must have gradients"):
        attacks.pgd(model, digits.x_test[:3], digits.y_test[:3], eps=0.1)
