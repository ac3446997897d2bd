"""Random self-ensemble: fresh noise for who asks, a vote that repeats itself, and an attack that averages."""

import numpy as np
import pytest

from advcore import attacks, defenses, models, nn
from advcore.nn import Conv2d, Flatten, Linear, ReLU, Sequential


@pytest.fixture(scope="module")
def ensemble(digits):
    made = defenses.SelfEnsemble(models.wong_mnist((1, 8, 8), seed=0))
    nn.fit(made.network, digits.x_train, digits.y_train, epochs=15, optimizer=nn.Adam(5e-3), schedule="cosine")
    return made


def test_noise_comes_before_every_convolution():
    network = Sequential(Conv2d(1, 2, 3), ReLU(), Conv2d(2, 3, 3), ReLU(), Conv2d(3, 3, 3), Flatten(), Linear(12, 2))
    made = defenses.SelfEnsemble(network, sigma_first=0.3, sigma=0.05)
    layers = made.network.layers
    assert list(layers) == ["0_noise", "0", "1", "2_noise", "2", "3", "4_noise", "4", "5", "6"]
    assert [layers[f"{name}_noise"].sigma for name in "024"] == [0.3, 0.05, 0.05]
    assert layers["0"] is network.layers["0"]
    x = np.random.default_rng(0).random((3, 1, 8, 8), np.float32)
    np.testing.assert_array_equal(made.network.logits(x), network.logits(x))  # quiet in its own evaluation mode
    assert (made.network.forward(x, np.random.default_rng(0))[0] != network.logits(x)).any()


def test_noise_has_the_standard_deviations_and_is_drawn_anew(digits):
    first = Sequential(Conv2d(1, 1, 1, bias=False), Conv2d(1, 1, 1, bias=False), Flatten())
    for parameter in first.parameters().values():
        parameter[...] = 1
    made = defenses.SelfEnsemble(first, sigma_first=0.2, sigma=0.1)
    x = digits.x_test
    noise = [made.logits(x) - x.reshape(len(x), -1) for _ in range(3)]
    for drawn in noise:
        assert drawn.std() == pytest.approx(np.hypot(0.2, 0.1), rel=0.02)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.03
    alone = defenses.SelfEnsemble(first, sigma_first=0.2, sigma=0.0).logits(x) - x.reshape(len(x), -1)
    assert alone.std() == pytest.approx(0.2, rel=0.02)


def test_results_repeat_themselves(digits, ensemble):
    x = digits.x_test[:20]
    network = models.wong_mnist((1, 8, 8), seed=1)
    one, two = (defenses.SelfEnsemble(network, seed=5) for _ in range(2))
    np.testing.assert_array_equal(one.logits(x), two.logits(x))
    assert (one.logits(x) != one.logits(x)).any()
    vote = ensemble.vote(x)
    ensemble.logits(x)
    again = ensemble.vote(x[3:7], sample_ids=np.arange(3, 7))  # other calls and the rest of the batch change nothing
    np.testing.assert_array_equal(again.probabilities, vote.probabilities[3:7])
    assert (defenses.SelfEnsemble(network, seed=6).logits(x) != one.logits(x)).any()


def test_the_vote_is_the_mean_softmax(digits, ensemble, monkeypatch):
    passes = iter(np.array([[[2.0, 0, 0], [0, 3, 0]], [[0, 1, 0], [0, 3, 0]]], np.float32))
    monkeypatch.setattr(ensemble, "_pass", lambda x, ids, number, purpose: next(passes))
    monkeypatch.setattr(ensemble.network, "output_shape", lambda shape: (3,))
    vote = ensemble.vote(digits.x_test[:2], passes=2)
    shares = np.exp([2, 0, 0]) / np.exp([2, 0, 0]).sum(), np.exp([0, 1, 0]) / np.exp([0, 1, 0]).sum()
    np.testing.assert_allclose(vote.probabilities[0], np.mean(shares, axis=0), rtol=1e-6)
    np.testing.assert_array_equal(vote.prediction, [0, 1])
    np.testing.assert_allclose(vote.confidence, vote.probabilities.max(axis=1))
    np.testing.assert_array_equal(vote.agreement, [0.5, 1.0])


def test_an_ensemble_is_made_again_from_its_saved_network(digits, ensemble, tmp_path):
    ensemble.network.save(tmp_path / "ensemble.safetensors")
    loaded = nn.Network.load(tmp_path / "ensemble.safetensors")
    again = defenses.SelfEnsemble(loaded)
    assert list(again.network.layers) == list(ensemble.network.layers)
    x = digits.x_test[:20]
    np.testing.assert_array_equal(again.vote(x).probabilities, ensemble.vote(x).probabilities)
    np.testing.assert_array_equal(again.logits(x), defenses.SelfEnsemble(ensemble.network).logits(x))
    nn.fit(again.network, x, digits.y_test[:20], epochs=1)
    assert (again.vote(x).probabilities != ensemble.vote(x).probabilities).any()  # its layers are those of the network
    with pytest.raises(ValueError, match=r"GaussianNoise\(0.3\) in front of '0' as .* say, got GaussianNoise\(0.2\)"):
        defenses.SelfEnsemble(loaded, sigma_first=0.3)
    layers = {
        "0_noise": nn.Flatten(),
        "1": nn.Reshape((1, 8, 8)),
        "0": Conv2d(1, 1, 3),
        "2": Flatten(),
        "3": Linear(36, 2),
    }
    with pytest.raises(ValueError, match=r"network must have no layer '0_noise', .* got Flatten"):
        defenses.SelfEnsemble(nn.Network(layers))


def test_there_is_no_vote_on_what_overflows(digits, ensemble):
    x = digits.x_test[:6].copy()
    for value in (np.nan, np.inf):
        x[[3, 5], 0, 2, 2] = value
        with pytest.raises(ValueError, match="logits must be finite, got NaN or infinity in sample 3"):
            ensemble.predict(x)


def test_the_gradient_is_that_of_its_own_pass(digits):
    network = models.wong_mnist((1, 8, 8), dtype=np.float64)
    x = digits.x_test[:3].astype(np.float64)
    cotangent = np.random.default_rng(0).standard_normal((3, 10))
    logits, gradient = defenses.SelfEnsemble(network, seed=2).value_and_vjp(x, lambda z: cotangent)
    np.testing.assert_array_equal(logits, defenses.SelfEnsemble(network, seed=2).logits(x))
    np.testing.assert_array_equal(gradient, defenses.SelfEnsemble(network, seed=2).vjp(x, cotangent))
    step = np.random.default_rng(1).standard_normal(x.shape)
    sides = [
        (defenses.SelfEnsemble(network, seed=2).logits(x + sign * 1e-6 * step) * cotangent).sum() for sign in (1, -1)
    ]
    assert (sides[0] - sides[1]) / 2e-6 == pytest.approx((gradient * step).sum(), rel=1e-6)
    empty, nothing = defenses.SelfEnsemble(network).value_and_vjp(x[:0], lambda z: z)
    assert empty.shape == (0, 10)
    assert nothing.shape == x[:0].shape


def test_it_defends_and_is_weaker_under_expectation(digits, ensemble):
    """The published attack followed one noise a step; averaging over the noise breaks more, sample by sample."""
    x, y = digits.x_test[:200], digits.y_test[:200]
    vote = ensemble.vote(x)
    assert (vote.prediction == y).mean() >= 0.93
    assert vote.confidence[vote.prediction == y].mean() > vote.confidence[vote.prediction != y].mean()

    def attack(model):
        return attacks.pgd(model, x, y, eps=0.15, steps=10, loss="margin", early_stop=False)

    single, averaged = attack(ensemble), attack(attacks.expectation(ensemble, draws=20))
    assert 0.2 <= averaged.robust_accuracy < single.robust_accuracy <= 0.8
    assert (averaged.success & ~single.success).sum() > 2 * (single.success & ~averaged.success).sum()  # paired
    assert np.nanmedian(averaged.gradient_error) < 0.5


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"sigma": -0.1}, ValueError, "sigma must be at least 0, got -0.1"),
        ({"sigma_first": -1}, ValueError, "sigma_first must be at least 0, got -1"),
        ({"passes": 0}, ValueError, "passes must be at least 1, got 0"),
        ({"network": models.mlp((1, 8, 8))}, ValueError, "network must have a Conv2d layer"),
        ({"network": None}, TypeError, "network must be of type Network, got NoneType"),
    ],
)
def test_bad_settings(digits, settings, error, message):
    arguments = {"network": models.wong_mnist((1, 8, 8))} | settings
    with pytest.raises(error, match=message):
        defenses.SelfEnsemble(**arguments)
    with pytest.raises(ValueError, match="passes must be at least 1, got 0"):
        defenses.SelfEnsemble(models.wong_mnist((1, 8, 8))).vote(digits.x_test, passes=0)
