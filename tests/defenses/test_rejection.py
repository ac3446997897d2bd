"""Networks of distances: their losses, rejection, and what it costs clean images."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from advcore import attacks, defenses, models, nn
from advcore.nn import losses

LAMBDA = 10.0


@pytest.fixture(scope="module")
def trained(digits):
    network = models.rbf_network((1, 8, 8), hidden=(64,), seed=0)
    x, targets = defenses.with_noise_class(digits.x_train, digits.y_train, classes=10)
    loss = losses.RBFLoss(LAMBDA)
    nn.fit(network, x, targets, epochs=25, optimizer=nn.Adam(1e-2), schedule="cosine", loss=loss)
    return network


def test_worked_examples():
    logits = -np.array([[3.0, 700.0, 400.0], [100.0, 600.0, 500.0]])
    targets = np.array([[1.0, 0, 0], [0, 0, 0]])
    values, gradient = losses.RBFLoss(550.0)(logits, targets)
    np.testing.assert_array_equal(values, [153.0, 500.0])
    np.testing.assert_array_equal(gradient, [[-1, 0, 1], [1, 0, 1]])
    np.testing.assert_array_equal(losses.RBFLoss(550.0)(logits[:1], np.array([0]))[0], [153.0])


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 5), st.integers(1, 6), st.integers(1, 4), st.sampled_from([1.0, 1.5, 2.0, 3.0]), st.integers(0, 99)
)
def test_distances_and_their_gradient(count, classes, units, p, seed):
    rng = np.random.default_rng(seed)
    x, grad = rng.standard_normal((count, classes * units)), rng.standard_normal((count, classes))
    layer = nn.NegativeDistance(classes, p)
    y, saved = layer.forward(x, None)
    leaf = torch.tensor(x, requires_grad=True)
    expected = -(leaf.reshape(count, classes, units).abs() ** p).sum(dim=2)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-12, atol=1e-12)
    expected.backward(torch.tensor(grad))
    np.testing.assert_allclose(layer.backward(saved, grad)[0], leaf.grad.numpy(), rtol=1e-9, atol=1e-9)
    assert layer.output_shape((classes * units,)) == (classes,)


@pytest.mark.parametrize("soft", [False, True])
def test_loss_is_the_formula_and_its_gradient_pytorchs(soft):
    rng = np.random.default_rng(0)
    logits, labels = -rng.uniform(0, 30, (8, 5)), rng.integers(0, 5, 8)
    values, gradient = losses.RBFLoss(12.0, soft=soft)(logits, labels)
    leaf = torch.tensor(logits, requires_grad=True)
    gap = 12.0 + leaf
    others = torch.nn.functional.softplus(gap) if soft else gap.clamp(min=0)
    mask = torch.nn.functional.one_hot(torch.tensor(labels), 5).bool()
    total = torch.where(mask, -leaf, others).sum(dim=1)
    np.testing.assert_allclose(values, total.detach().numpy())
    total.sum().backward()
    np.testing.assert_allclose(gradient, leaf.grad.numpy())
    extreme, slope = losses.RBFLoss(1.0, soft=True)(np.array([[-1e4, 0.0, -1e4]], np.float32), np.array([1]))
    assert np.isfinite(extreme).all()
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("replaced", [False, True])
def test_noise_has_no_class_and_no_accuracy(digits, replaced):
    x, y = digits.x_train[:50], digits.y_train[:50]
    both, targets = defenses.with_noise_class(x, y, classes=10, count=25)
    network = models.rbf_network((1, 8, 8), hidden=(64,), seed=0)
    before = nn.accuracy(network, x, y)

    def accuracy(x, targets):
        given = (
            {"x": both[:13], "y": targets[:13], "perturb": lambda n, b: (x, targets)}
            if replaced
            else {"x": x, "y": targets}
        )
        (epoch,) = nn.fit(
            models.rbf_network((1, 8, 8), hidden=(64,), seed=0), **given, epochs=1, loss=losses.RBFLoss(LAMBDA)
        ).epochs
        return epoch.accuracy

    assert accuracy(both, targets) == pytest.approx(before)
    assert accuracy(both[50:], targets[50:]) is None


def test_it_predicts_the_nearest_class_or_rejects(digits, trained, tmp_path):
    x, y = digits.x_test, digits.y_test
    model = defenses.Rejecting(trained, LAMBDA)
    distances = model.distances(x)
    np.testing.assert_array_equal(distances, -trained.logits(x))
    assert (distances >= 0).all()
    expected = np.where(distances.min(axis=1) > LAMBDA, -1, distances.argmin(axis=1))
    np.testing.assert_array_equal(model.predict(x), expected)
    assert (trained.predict(x) == y).mean() >= 0.93
    trained.save(tmp_path / "rbf.safetensors")
    np.testing.assert_array_equal(nn.Network.load(tmp_path / "rbf.safetensors").logits(x), trained.logits(x))


def test_noise_is_rejected_which_costs_clean_images(digits, trained):
    noise = defenses.noise_images(200, (1, 8, 8), seed=1)  # other noise than in training
    assert (defenses.Rejecting(trained, LAMBDA).predict(noise) == -1).mean() >= 0.95
    untrained = models.rbf_network((1, 8, 8), hidden=(64,), seed=0)
    options = {"epochs": 25, "optimizer": nn.Adam(1e-2), "schedule": "cosine", "loss": losses.RBFLoss(LAMBDA)}
    nn.fit(untrained, digits.x_train, digits.y_train, **options)
    assert (defenses.Rejecting(untrained, LAMBDA).predict(noise) == -1).mean() < 0.95  # the noise class teaches it
    curve = defenses.rejection_curve(trained, digits.x_test, digits.y_test, lambdas=[LAMBDA / 8, LAMBDA / 2, LAMBDA])
    assert (np.diff(curve.rejected) <= 0).all()
    assert curve.rejected[0] > 0.02  # a threshold that means something refuses clean images too
    assert curve.accuracy[0] >= curve.accuracy[-1]


def test_an_attacker_who_knows_the_rejection_gets_past_it(digits, trained):
    x, y = digits.x_test[:200], digits.y_test[:200]
    model = defenses.Rejecting(trained, LAMBDA)
    unaware = attacks.pgd(trained, x, y, eps=0.3, steps=40, early_stop=False).examples
    result = attacks.pgd(model, x, y, eps=0.3, steps=40, loss="margin")
    predicted = model.predict(result.examples)
    np.testing.assert_array_equal(result.success, (predicted != y) & (predicted != -1))  # accepted, and wrong
    assert result.success.mean() >= 0.7
    assert result.success.mean() >= ((model.predict(unaware) != y) & (model.predict(unaware) != -1)).mean()


def test_the_gradient_of_rejection(digits, trained):
    x = digits.x_test[:4]
    model = defenses.Rejecting(trained, LAMBDA)
    cotangent = np.random.default_rng(0).standard_normal((4, 11)).astype(np.float32)
    logits, gradient = model.value_and_vjp(x, lambda z: cotangent)
    assert logits.shape == (4, 11)
    assert (logits[:, 10] == -LAMBDA).all()
    np.testing.assert_array_equal(gradient, trained.vjp(x, np.ascontiguousarray(cotangent[:, :10])))
    np.testing.assert_array_equal(model.vjp(x, cotangent), gradient)


def test_wrappers_of_a_model_that_rejects_reject_too(digits, trained):
    x, y = digits.x_test[:60], digits.y_test[:60]
    model = defenses.Rejecting(trained, LAMBDA / 4)
    refused = model.predict(x) == -1
    assert 0.05 < refused.mean() < 0.95
    squeezed = defenses.Squeezed(model, lambda x: x)
    np.testing.assert_array_equal(squeezed.predict(x), model.predict(x))
    broken = ~refused & (model.predict(x) != y)
    smoothed = defenses.RandomisedSmoothing(model, sigma=1e-6)
    for wrapper in (squeezed, attacks.expectation(smoothed, draws=2)):
        np.testing.assert_array_equal(attacks.pgd(wrapper, x, y, eps=0.0, steps=1).success, broken)
    np.testing.assert_array_equal(smoothed.predict(x), model.predict(x))
    made = smoothed.certify(x, n=100)
    np.testing.assert_array_equal(made.prediction, model.predict(x))
    assert (made.radius[refused] == 0).all()
    assert (made.radius[~refused] > 0).all()


def test_modules_and_callables_may_say_that_they_reject(digits):
    class Module(torch.nn.Module):
        rejects = True

        def forward(self, x):
            return torch.cat([x.flatten(1)[:, :10], torch.full((len(x), 1), 2.0)], dim=1)  # whatever it sees

    def function(x):
        return Module()(torch.tensor(x)).numpy()

    function.rejects = True
    x, y = digits.x_test[:5], digits.y_test[:5]
    for model in (Module(), function, attacks.retrying(function)):
        output = None if isinstance(model, Module) else "logits"
        assert not attacks.square(model, x, y, eps=0.1, steps=3, output=output).success.any()


def test_the_curve_counts(digits):
    class Given:
        def logits(self, x):
            return -np.array([[1.0, 5], [2, 1], [4, 3], [9, 8]])

    curve = defenses.rejection_curve(Given(), digits.x_test[:4], [0, 0, 1, 1], lambdas=[0.5, 1, 3, 10])
    np.testing.assert_array_equal(curve.rejected, [1, 0.5, 0.25, 0])
    np.testing.assert_array_equal(curve.right, [0, 0.25, 0.5, 0.75])
    np.testing.assert_array_equal(curve.wrong, [0, 0.25, 0.25, 0.25])
    np.testing.assert_allclose(curve.accuracy, [np.nan, 0.5, 2 / 3, 0.75])
    assert len(defenses.rejection_curve(Given(), digits.x_test[:4], [0, 0, 1, 1]).lambdas) == 101


def test_what_is_no_number_has_no_place_on_the_curve(digits, trained):
    x, y = digits.x_test[:20].copy(), digits.y_test[:20]
    x[[4, 9], 0, 3, 3] = np.nan
    model = defenses.Rejecting(trained, LAMBDA)
    for call in (
        lambda: defenses.rejection_curve(trained, x, y),
        lambda: defenses.with_noise_class(x, y, classes=10),
    ):
        with pytest.raises(ValueError, match="x must be finite, got NaN or infinity in sample 4"):
            call()
    for predict in (model.predict, defenses.Squeezed(model, np.copy).predict):
        with pytest.raises(ValueError, match="logits must be numbers, got NaN for input 4"):
            predict(x)

    class Overflows:
        def logits(self, x):
            return np.where(np.arange(len(x))[:, np.newaxis] == 7, -np.inf, trained.logits(x))

    with pytest.raises(ValueError, match="distances must be finite, got NaN or infinity in sample 7"):
        defenses.rejection_curve(Overflows(), digits.x_test[:20], y)
    for rejecting in (model, defenses.Squeezed(model, np.copy)):
        with pytest.raises(TypeError, match="model must give distances alone, got one that rejects: give its network"):
            defenses.rejection_curve(rejecting, digits.x_test[:20], y)


def test_with_noise_class(digits):
    x, y = digits.x_train[:30], digits.y_train[:30]
    both, targets = defenses.with_noise_class(x, y, classes=10, count=7, seed=3)
    assert both.shape == (37, 1, 8, 8)
    np.testing.assert_array_equal(both[:30], x)
    np.testing.assert_array_equal(targets[:30].argmax(axis=1), y)
    assert not targets[30:].any()
    np.testing.assert_array_equal(both[30:], defenses.noise_images(7, (1, 8, 8), seed=3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda d: losses.RBFLoss(0.0), ValueError, "lambda_ must be greater than 0, got 0"),
        (lambda d: losses.RBFLoss(-5), ValueError, "lambda_ must be greater than 0, got -5"),
        (
            lambda d: losses.soft_ml_loss(np.ones((2, 3)), [0, 1], lambda_=0),
            ValueError,
            "lambda_ must be greater than 0",
        ),
        (
            lambda d: losses.RBFLoss(1.0)(np.zeros((1, 3)), np.array([[0.5, 0.5, 0]])),
            ValueError,
            "rows with a single 1",
        ),
        (lambda d: losses.RBFLoss(1.0)(np.zeros((1, 3)), None), TypeError, "labels must be an array of integers"),
        (lambda d: defenses.Rejecting(models.mlp(), 0.0), ValueError, "lambda_ must be greater than 0, got 0"),
        (lambda d: defenses.Rejecting("no", 1.0), TypeError, "network must be of type Network"),
        (lambda d: models.rbf_network(p=0.5), ValueError, "p must be at least 1, got 0.5"),
        (lambda d: models.rbf_network(units=0), ValueError, "units must be at least 1, got 0"),
        (lambda d: nn.NegativeDistance(3).output_shape((7,)), ValueError, "expected a multiple of 3 numbers"),
        (lambda d: defenses.with_noise_class(d.x_train, None, classes=10), TypeError, "y must be an array of integers"),
        (
            lambda d: defenses.with_noise_class(d.x_train, d.y_train, classes=10, count=0),
            ValueError,
            "count must be at",
        ),
        (lambda d: defenses.noise_images(0, (1, 8, 8)), ValueError, "count must be at least 1, got 0"),
        (lambda d: defenses.noise_images(-1, (1, 8, 8)), ValueError, "count must be at least 1, got -1"),
        (lambda d: defenses.rejection_curve(models.mlp((1, 8, 8)), d.x_test[:0], []), ValueError, "at least 1 sample"),
        (
            lambda d: defenses.rejection_curve(models.mlp((1, 8, 8)), d.x_test, d.y_test, lambdas=[0]),
            ValueError,
            "greater",
        ),
    ],
)
def test_bad_settings(digits, call, error, message):
    with pytest.raises(error, match=message):
        call(digits)
