"""The attack on model and detector together: what it must break, what it cannot break, and that it is always told."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from advcore import attacks, data, detectors, evaluation, models, nn
from advcore.evaluation import Adaptive, evaluate_detector

SIDE = 8


class Model:
    """Class 1 where the mean of an image is above a half."""

    def logits(self, x):
        mean = x.reshape(len(x), -1).mean(axis=1)
        return np.stack([0.5 - mean, mean - 0.5], axis=1)


class WhiteBox(Model):
    def vjp(self, x, cotangent):
        slope = (cotangent[:, 1] - cotangent[:, 0]) / x[0].size
        return np.broadcast_to(slope.reshape(-1, 1, 1), x.shape).astype(x.dtype)


class ByLeftHalf:
    """Scores by the brightness of the left half, which an attack can leave alone."""

    def fit(self, X, y):  # noqa: N803  scikit-learn's name
        return self

    def score_samples(self, X):  # noqa: N803
        return X[:, :, : SIDE // 2].mean(axis=(1, 2))


class WithGradient(ByLeftHalf):
    def score_gradient(self, X):  # noqa: N803
        gradient = np.zeros_like(X)
        gradient[:, :, : SIDE // 2] = 2 / SIDE**2
        return self.score_samples(X), gradient


class ByBrightness(ByLeftHalf):
    """Scores by what makes the model wrong: whoever is misclassified is seen."""

    def score_samples(self, X):  # noqa: N803
        return X.mean(axis=(1, 2))

    def score_gradient(self, X):  # noqa: N803
        return self.score_samples(X), np.full_like(X, 1 / SIDE**2)


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    x = rng.uniform(0.35, 0.45, (40, SIDE, SIDE))
    return x, np.zeros(40, np.int64), x + 0.2


@pytest.mark.parametrize(
    ("detector", "model", "method"),
    [
        (WithGradient(), WhiteBox(), "gradient"),
        (ByLeftHalf(), WhiteBox(), "random search"),
        (WithGradient(), Model(), "random search"),
    ],
)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_detector_that_looks_away_is_exposed(images, detector, model, method, norm):
    """It is perfect on the attack that does not know it, and silent on one that brightens the other half."""
    eps = {"linf": 0.3, "l2": 0.3 * SIDE}[norm]
    report = evaluate_detector(detector, model, *images, adaptive=Adaptive(norm=norm, eps=eps, queries=400))
    assert report.auc == 1
    assert report.detection_rate == 1
    found = report.adaptive
    assert found.method == method
    assert found.success == 1
    assert (found.reason == "") == (method == "gradient")
    x = images[0][found.images]
    distance = {"linf": np.inf, "l2": 2}[norm]
    sizes = np.linalg.norm((found.examples - x).reshape(len(x), -1), distance, axis=1)
    assert (sizes <= eps).all()
    assert found.examples.min() >= 0
    assert found.examples.max() <= 1
    # Success is what model and detector say of the examples, asked once more.
    np.testing.assert_array_equal(found.misclassified, model.logits(found.examples).argmax(axis=1) == 1)
    np.testing.assert_array_equal(found.scores, detector.score_samples(found.examples))
    np.testing.assert_array_equal(found.undetected, found.scores <= found.threshold)


@pytest.mark.parametrize("model", [Model(), WhiteBox()])
def test_a_detector_that_cannot_be_passed_is_not(images, model):
    report = evaluate_detector(ByBrightness(), model, *images, adaptive=Adaptive(queries=50))
    assert report.auc == 1
    assert report.adaptive.success == 0
    assert report.adaptive.auc == 1 or not report.adaptive.misclassified.any()


def test_the_threshold_lets_five_percent_of_the_others_through(images):
    report = evaluate_detector(WithGradient(), WhiteBox(), *images)
    negatives = np.concatenate([report.scores["clean"], report.scores["noisy"]])
    above = (negatives > report.adaptive.threshold).mean()
    assert above <= 0.05
    assert (negatives >= report.adaptive.threshold).mean() > 0.05


def test_the_default_budget_is_the_median_size_of_the_smallest_attack(images):
    x, y, examples = images
    weak = np.clip(x + np.linspace(0.12, 0.16, 40).reshape(-1, 1, 1), 0, 1)
    report = evaluate_detector(WithGradient(), WhiteBox(), x, y, {"strong": examples, "weak": weak})
    held = report.adaptive.images
    assert len(held) == report.held_out
    assert report.adaptive.eps == pytest.approx(np.median((weak - x)[held].max(axis=(1, 2))))


def test_every_report_ends_with_the_adaptive_row(images):
    x, y, examples = images
    report = evaluate_detector(WithGradient(), WhiteBox(), x, y, examples)
    last = report.rows()[-1]
    assert last["tested_on"] == "adaptive"
    assert last["undetected_at_0.05"] == report.adaptive.success
    assert "adaptive" in str(report).splitlines()[-1]
    left_out = evaluate_detector(WithGradient(), WhiteBox(), x, y, examples, adaptive=None)
    assert left_out.adaptive.method == "NOT RUN"
    assert np.isnan(left_out.adaptive.success)
    assert "NOT RUN, the caller left it out" in str(left_out).splitlines()[-1]


def test_a_matrix_of_attacks_and_the_detector_of_all(images):
    x, y, examples = images
    named = {"bright": examples, "stripes": np.where(np.arange(SIDE) % 2, 0.9, x)}
    report = evaluate_detector(WithGradient(), WhiteBox(), x, y, named)
    assert set(report.matrix) == {(a, b) for a in ("bright", "stripes", "all") for b in named}
    assert [row["trained_on"] for row in report.rows()[::2]] == ["bright", "stripes", "all", "all"]
    assert report.auc == min(report.matrix[name, name].auc for name in named)
    with pytest.raises(ValueError, match=r"examples\['weak'\] must fool the model on at least 4 images .* got 0"):
        evaluate_detector(WithGradient(), WhiteBox(), x, y, named | {"weak": x})
    with pytest.raises(ValueError, match="strings other than 'all' as names"):
        evaluate_detector(WithGradient(), WhiteBox(), x, y, {"all": examples})
    with pytest.raises(ValueError, match="examples must have at least one attack"):
        evaluate_detector(WithGradient(), WhiteBox(), x, y, {})


def test_noise_for_an_attack_that_sets_pixels_sets_as_many(images):
    x, y, _ = images
    x = x.copy()
    x[:, 0] = 1.0  # cannot be brightened
    y = (x.mean(axis=(1, 2)) > 0.5).astype(int)
    rng = np.random.default_rng(1)
    examples = x.copy()
    for example in examples:
        example.reshape(-1)[rng.choice(np.arange(SIDE, SIDE**2), 20, replace=False)] = 1.0
    kept = []

    class Recorder(ByBrightness):
        def score_samples(self, X):  # noqa: N803
            kept.append(X)
            return super().score_samples(X)

    evaluate_detector(Recorder(), Model(), x, y, examples, adaptive=None)
    clean, noisy, adversarial = (part.reshape(len(part), -1) for part in kept)
    np.testing.assert_array_equal((noisy != clean).sum(axis=1), (adversarial != clean).sum(axis=1))
    assert (noisy[noisy != clean] == 1).all()
    assert ((noisy != clean) != (adversarial != clean)).any()


def test_intervals_cover_and_shrink(images):
    """The bootstrap's width against the spread over fresh draws of the images."""
    rng = np.random.default_rng(0)

    def measured(count):
        base = rng.standard_normal(count)
        scores = {"clean": base, "noisy": base + 0.1 * rng.standard_normal(count)}
        return scores | {"adversarial": base + 1 + 0.5 * rng.standard_normal(count)}

    from advcore.evaluation._rates import rates

    few, many = rates(measured(50), (0.05,), 0), rates(measured(800), (0.05,), 0)
    assert many.interval[0] < many.auc < many.interval[1]
    assert (few.interval[1] - few.interval[0]) > 2 * (many.interval[1] - many.interval[0])
    fresh = [roc_auc_score(np.repeat([0, 0, 1], 800), np.concatenate(list(measured(800).values()))) for _ in range(60)]
    assert many.interval[1] - many.interval[0] == pytest.approx(4 * np.std(fresh), rel=0.4)


@pytest.fixture(scope="module")
def digits():
    """A trained network, images it has not seen, and two attacks that do not know of detectors."""
    digits = data.digits()
    network = models.mlp(digits.input_shape, digits.classes, hidden=(64, 64), dropout=0.2)
    nn.fit(network, digits.x_train, digits.y_train, epochs=12)
    x, y = digits.x_test, digits.y_test
    found = {"fgsm": attacks.fgsm(network, x, y, eps=0.2), "pgd": attacks.pgd(network, x, y, eps=0.2, steps=10)}
    return digits, network, {name: result.examples for name, result in found.items()}


@pytest.mark.parametrize("name", ["lid", "density", "uncertainty", "squeezing", "mahalanobis", "softmax", "both"])
def test_known_detectors_fall(digits, name):
    """Each of them is known to be broken; an evaluation that does not show it would be worth nothing."""
    dataset, network, examples = digits
    reference, labels = dataset.x_train[:300], dataset.y_train[:300]
    lid = detectors.LID(network, reference, layers=["1", "5"], k=20)
    density = detectors.KernelDensity(network, reference, labels)
    detector = {
        "lid": lid,
        "density": density,
        "uncertainty": detectors.BayesianUncertainty(network, passes=20),
        "squeezing": detectors.FeatureSqueezing(network),
        "mahalanobis": detectors.Mahalanobis(network, reference, labels, layers=["3", "5"]),
        "softmax": detectors.MaxSoftmax(network),
        "both": detectors.Combination([lid, density]),
    }[name]
    report = evaluate_detector(
        detector,
        network,
        dataset.x_test,
        dataset.y_test,
        examples,
        adaptive=evaluation.Adaptive(images=24, steps=40),
    )
    assert report.adaptive.method == "gradient"
    assert report.adaptive.success > 0.8
    assert report.adaptive.detection[0.05] < 0.2


def test_any_attack_takes_model_and_detector_together(digits):
    dataset, network, examples = digits
    x, y = dataset.x_test[:24], dataset.y_test[:24]
    detector = detectors.LID(network, dataset.x_train[:300], layers=["1", "5"], k=20)
    detector.fit(np.concatenate([dataset.x_test, examples["pgd"]]), np.repeat([0, 1], len(dataset.x_test)))
    together = attacks.joint(network, detector)
    found = attacks.pgd(together, x, y, eps=0.2, steps=30)
    assert found.success.mean() > 0.5
    fooled = found.examples[found.success]
    assert (network.predict(fooled) != y[found.success]).all()
    assert (detector.predict(fooled) == 0).all()
