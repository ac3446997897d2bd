"""The LID detector: what it computes, what it refuses, and that it separates attacks on a real network."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

import advcore
from advcore import attacks, data, models, nn, ops
from advcore.detectors import LID
from advcore.evaluation import evaluate_detector


@pytest.fixture(scope="module")
def digits():
    return data.digits()


@pytest.fixture(scope="module")
def network(digits):
    network = models.mlp(digits.input_shape, digits.classes, hidden=(64, 64))
    nn.fit(network, digits.x_train, digits.y_train, epochs=12)
    return network


@pytest.fixture(scope="module")
def attacked(network, digits):
    return attacks.pgd(network, digits.x_test, digits.y_test, eps=0.2, early_stop=False)


@pytest.fixture(scope="module")
def fitted(network, digits, attacked):
    x = np.concatenate([digits.x_test[:100], attacked.examples[:100]])
    return LID(network, digits.x_train[:300], k=20).fit(x, np.repeat([0, 1], 100))


def test_features_are_the_lid_of_each_layer(fitted, network, digits):
    x, reference = digits.x_test[100:110], digits.x_train[:300]
    features = fitted.features(x)
    assert fitted.layers_ == ["input", *network.layers]
    for column, name in enumerate(fitted.layers_):
        queries, neighbours = (
            images if name == "input" else network.activations(images, [name])[name] for images in (x, reference)
        )
        distances = np.linalg.norm(
            queries.reshape(10, 1, -1).astype(np.float64) - neighbours.reshape(1, 300, -1), axis=-1
        )
        nearest = np.sort(distances, axis=1)[:, :20]
        expected = -1 / np.log(nearest / nearest[:, -1:]).mean(axis=1)
        np.testing.assert_allclose(features[:, column], expected, rtol=1e-4)


def test_scores_decisions_and_predictions_agree(fitted, digits, attacked):
    x = np.concatenate([digits.x_test[100:160], attacked.examples[100:160]])
    scores = fitted.score_samples(x)
    np.testing.assert_allclose(fitted.decision_function(x), scores - fitted.threshold_)
    np.testing.assert_array_equal(fitted.predict(x), (scores > fitted.threshold_).astype(int))
    clean, adversarial = scores[:60], scores[60:]
    assert clean.mean() < adversarial.mean()
    of_fit = fitted.predict(digits.x_test[:100])
    assert of_fit.mean() <= fitted.fpr


def test_a_query_scores_the_same_alone_and_in_a_batch(fitted, digits):
    together = fitted.features(digits.x_test[:20])
    for i in range(20):
        np.testing.assert_array_equal(fitted.features(digits.x_test[i : i + 1])[0], together[i])


def test_an_excluded_reference_image_is_no_neighbour(fitted, digits):
    own = digits.x_train[:5]
    np.testing.assert_array_equal(fitted.features(own), 0)  # a distance of zero: dimension zero
    excluded = fitted.features(own, exclude=np.arange(5))
    assert (excluded[:, 0] > 0).all()
    np.testing.assert_array_equal(fitted.features(own, exclude=np.full(5, -1)), 0)


def test_infinite_dimensions_are_cut_at_the_largest_one_seen(network, digits):
    reference = np.concatenate([digits.x_train[:20], np.zeros((30, 1, 8, 8), np.float32)])
    detector = LID(network, reference, k=2, layers=["input"])
    far = digits.x_test[:8].copy()
    equidistant = np.full((2, 1, 8, 8), 1e-3, np.float32)  # nearest to the zeros, all equally far
    assert np.isinf(ops.lid(equidistant.reshape(2, -1), reference.reshape(50, -1), 2)).all()
    detector.fit(np.concatenate([far, equidistant]), np.array([0, 1] * 5))
    assert np.isfinite(detector.ceilings_).all()
    assert np.isinf(detector.features(equidistant)).all()
    at_most = detector.score_features(detector.ceilings_[np.newaxis])
    np.testing.assert_array_equal(detector.score_samples(equidistant), np.repeat(at_most, 2))


def test_empty_queries_give_empty_scores(fitted, digits):
    assert fitted.score_samples(digits.x_test[:0]).shape == (0,)
    assert fitted.predict(digits.x_test[:0]).shape == (0,)


def test_parameters_are_scikit_learns(network, digits):
    detector = LID(network, digits.x_train[:30], k=5)
    assert detector.get_params(deep=False)["k"] == 5
    assert detector.set_params(k=7).k == 7


def test_not_fitted(network, digits):
    with pytest.raises(NotFittedError):
        LID(network, digits.x_train[:30]).score_samples(digits.x_test[:2])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"k": 31}, ValueError, "k must be at most the number of reference images, 30; got 31"),
        ({"k": 1}, ValueError, "k must be at least 2, got 1"),
        ({"k": 2.5}, TypeError, "k must be an integer"),
        ({"layers": ["nowhere"]}, ValueError, "layers must be 'input', .* got 'nowhere'"),
        ({"layers": "input"}, TypeError, "layers must be a list or tuple, got str 'input'"),
        ({"network": None}, TypeError, "network must have activations and layers, got NoneType"),
        ({"network": nn.Sequential}, TypeError, "network must be an instance, got the class Sequential"),
        ({"layers": []}, ValueError, "layers must name at least one layer"),
        ({"fpr": 0.0}, ValueError, "fpr must be greater than 0"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
    ],
)
def test_wrong_parameters(network, digits, options, error, message):
    with pytest.raises(error, match=message):
        LID(reference=digits.x_train[:30], **({"network": network, "k": 5} | options)).fit(
            digits.x_test[:4], np.array([0, 1, 0, 1])
        )


def bad_image(x):
    x = x.copy()
    x[2, 0, 0, 0] = np.nan
    return x


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda x, y: (x, y * 0), ValueError, r"y must have both classes, 0 and 1; got \[0\]"),
        (lambda x, y: (x, y + 1), ValueError, r"y must be in \[0, 1\], got 2 at index 1"),
        (lambda x, y: (x, y[:2]), ValueError, r"y must have shape \(4,\), got \(2,\)"),
        (lambda x, y: (x[:, 0], y), ValueError, r"X must have shape \(any, 1, 8, 8\)"),
        (lambda x, y: (x.astype(np.float64), y), TypeError, "X must be of type float32"),
        (lambda x, y: (bad_image(x), y), ValueError, "X must be finite, got NaN or infinity in sample 2"),
    ],
)
def test_wrong_queries(network, digits, change, error, message):
    x, y = change(digits.x_test[:4], np.array([0, 1, 0, 1]))
    with pytest.raises(error, match=message):
        LID(network, digits.x_train[:30], k=5).fit(x, y)


def test_excluded_images_must_exist(network, digits):
    detector = LID(network, digits.x_train[:30], k=5)
    with pytest.raises(ValueError, match=r"exclude must be in \[-1, 29\], got 30 at index 3"):
        detector.fit(digits.x_test[:4], np.array([0, 1, 0, 1]), exclude=np.array([0, 1, -1, 30]))


def test_it_separates_attacks_from_clean_and_noisy_digits_it_has_not_seen(network, digits, attacked):
    detector = LID(network, digits.x_train[:400], k=20)
    report = evaluate_detector(detector, network, digits.x_test, digits.y_test, attacked.examples, adaptive=None)
    assert report.auc > 0.85
    assert report.auc_clean > 0.9
    assert report.auc_noisy > 0.75
    assert report.fitted + report.held_out <= attacked.success.sum()
    again = evaluate_detector(detector, network, digits.x_test, digits.y_test, attacked.examples, adaptive=None)
    for kind, scores in report.scores.items():
        np.testing.assert_array_equal(scores, again.scores[kind])


def test_detectors_are_found_from_the_top():
    assert advcore.detectors.LID is LID
