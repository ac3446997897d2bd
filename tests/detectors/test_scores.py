"""Each detector's score against scikit-learn, SciPy, PyTorch or the formula written out."""

import numpy as np
import pytest
import torch
from sklearn.covariance import EmpiricalCovariance
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KernelDensity as ScikitDensity
from sklearn.utils.estimator_checks import check_estimator

from advcore import detectors, nn


def hidden(setting, x, name):
    return setting.network.activations(x, [name])[name]


def softmax(logits):
    return torch.softmax(torch.from_numpy(np.asarray(logits)), -1).numpy()


@pytest.mark.parametrize("name", ["FeatureClassifier", "ClassKernelDensity", "TiedGaussian"])
def test_estimators_of_features_are_scikit_learns(name):
    """Checks of pandas and of the array API leave themselves out where those are missing."""
    results = check_estimator(getattr(detectors, name)(), on_skip=None)
    assert sum(result["status"] == "passed" for result in results) > 30


def test_kernel_density_is_scikit_learns_within_the_predicted_class(setting):
    detector = setting.fitted("KernelDensity")
    points, queries = hidden(setting, setting.reference, "9"), hidden(setting, setting.x, "9")
    assert detector.layer_ == "9"
    predicted = setting.network.predict(setting.x)
    want = [
        ScikitDensity(bandwidth=0.7).fit(points[setting.labels == label]).score_samples(query[np.newaxis])[0]
        for query, label in zip(queries, predicted, strict=True)
    ]
    np.testing.assert_allclose(detector.score_samples(setting.x), -np.array(want), rtol=1e-10)


def test_kernel_density_leaves_an_excluded_image_out(setting):
    detector, own = setting.fitted("KernelDensity"), np.arange(20)
    left = setting.make("KernelDensity").prepare()
    scores = detector.score_samples(setting.reference[:20], exclude=own)
    for i in own:
        keep = np.arange(60) != i
        alone = detectors.KernelDensity(setting.network, setting.reference[keep], setting.labels[keep], bandwidth=0.7)
        query = setting.reference[i : i + 1]
        np.testing.assert_allclose(alone.prepare().features(query)[0, 0], scores[i], rtol=1e-9)
    assert (scores > left.features(setting.reference[:20])[:, 0]).any()


def test_kernel_density_needs_every_predicted_class(setting):
    predicted = setting.network.predict(setting.x)
    labels = np.full(60, (predicted[0] + 1) % 4)
    with pytest.raises(ValueError, match="labels must have every class that the network predicts, got none of"):
        detectors.KernelDensity(setting.network, setting.reference, labels).fit(setting.x)


def test_density_far_from_all_points_is_finite():
    density = detectors.ClassKernelDensity(0.01).fit(np.zeros((3, 2)))
    scores, gradient = density.within(np.array([[1e3, 0.0]]), np.zeros(1, int))
    assert scores[0] == pytest.approx(-(1e6) / (2 * 1e-4), rel=1e-6)
    np.testing.assert_allclose(gradient, [[-1e7, 0]])


def test_without_its_only_point_a_class_has_no_density():
    density = detectors.ClassKernelDensity().fit([[0.0], [1.0], [5.0]], ["a", "a", "b"])
    queries, classes = np.array([[5.0], [0.5], [5.0]]), np.array([1, 0, 1])
    scores, gradient = density.within(queries, classes, np.array([2, 0, -1]))
    assert scores[0] == -np.inf
    assert gradient[0] == 0
    assert np.isfinite(scores[1:]).all()
    assert np.isfinite(gradient).all()


def test_an_image_that_is_the_only_one_of_its_class_is_most_suspicious(setting):
    queries, own = setting.reference[:20], np.arange(20)
    predicted = int(setting.network.predict(queries)[0])
    labels = np.array([label for label in range(4) if label != predicted])[np.arange(60) % 3]
    labels[0] = predicted

    def fitted(fpr):
        detector = detectors.KernelDensity(setting.network, setting.reference, labels, bandwidth=0.7, fpr=fpr)
        return detector.fit(queries, exclude=own)

    detector = fitted(0.1)
    assert np.isfinite(detector.threshold_)
    assert detector.score_samples(queries, exclude=own)[0] == np.inf
    np.testing.assert_array_equal(detector.predict(queries, exclude=own), own == 0)
    assert np.isfinite(detector.score_gradient(queries, exclude=own)[1]).all()
    with pytest.raises(ValueError, match="the threshold must be finite, got inf: for more than fpr="):
        fitted(0.01)


def test_no_threshold_is_made_of_scores_that_are_no_numbers(setting):
    detector = setting.make("KernelDensity").prepare()
    with pytest.raises(ValueError, match="features must be numbers, got NaN for input 1"):
        detector.fit_features(np.array([[1.0], [np.nan], [2.0]]))
    with pytest.raises(NotFittedError):
        detector.predict(setting.x)


def test_densest_class_unless_one_is_named():
    density = detectors.ClassKernelDensity().fit([[0.0], [0.1], [5.0]], ["a", "a", "b"])
    queries = [[0.0], [5.0]]
    by_name = np.stack([density.score_samples(queries, [name] * 2) for name in "ab"])
    np.testing.assert_array_equal(density.score_samples(queries), by_name.max(axis=0))


def test_mahalanobis_distances_are_scikit_learns(setting):
    detector = setting.make("Mahalanobis").prepare()
    features = detector.features(setting.x)
    for column, name in enumerate(detector.layers_):
        points, queries = hidden(setting, setting.reference, name), hidden(setting, setting.x, name)
        if points.ndim > 2:
            points, queries = points.mean(axis=(2, 3)), queries.mean(axis=(2, 3))
        means = np.stack([points[setting.labels == label].mean(axis=0) for label in range(4)])
        tied = EmpiricalCovariance(assume_centered=True).fit(points - means[setting.labels])
        want = np.min([tied.mahalanobis(queries - mean) for mean in means], axis=0)
        np.testing.assert_allclose(features[:, column], want, rtol=1e-6)


def test_directions_without_variance_do_not_count():
    points = np.random.default_rng(0).standard_normal((30, 3)) * [1, 2, 0]
    gaussian = detectors.TiedGaussian().fit(points)
    assert gaussian.whitening_.shape == (3, 2)
    queries = np.array([[0.0, 0, 0], [0, 0, 9]])
    np.testing.assert_allclose(*gaussian.score_samples(queries), rtol=1e-12)


def test_max_softmax_orders_by_the_largest_probability(setting):
    detector = setting.fitted("MaxSoftmax")
    want = -np.log(softmax(setting.network.logits(setting.x)).max(axis=1))
    np.testing.assert_allclose(detector.score_samples(setting.x), want, rtol=1e-12)


def test_uncertainty_is_the_variance_over_passes(setting):
    """Each pass is a network whose dropout layers multiply with fixed factors."""
    detector, module = setting.fitted("BayesianUncertainty"), setting.network.to_torch()
    passes = setting.network.dropout_passes(9)
    passes.logits_vjp(setting.x[:1])
    probabilities = []
    for t in range(9):
        value = torch.from_numpy(setting.x)
        for name, layer in zip(setting.network.layers, module, strict=True):
            factors = passes._factors.get(name)
            value = layer(value) if factors is None else value * torch.from_numpy(factors[t])
        probabilities.append(torch.softmax(value, 1).detach().numpy())
    want = np.var(probabilities, axis=0).mean(axis=1)
    np.testing.assert_allclose(detector.score_samples(setting.x), want, rtol=1e-9)
    assert len({factors.tobytes() for factors in passes._factors["6"]}) == 9


def test_uncertainty_needs_dropout():
    with pytest.raises(ValueError, match="network must have a Dropout layer with p > 0"):
        detectors.BayesianUncertainty(nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.0))).prepare()


def test_rbf_rejects_beyond_lambda():
    class Distances:
        def logits(self, x):
            return x

    x = np.array([[3.0, 1.0], [0.2, 4.0], [2.0, 2.5]])
    detector = detectors.RBFRejection(Distances(), lambda_=1.5, output="distances").fit(x)
    np.testing.assert_array_equal(detector.score_samples(x), [1.0, 0.2, 2.0])
    np.testing.assert_array_equal(detector.predict(x), [0, 0, 1])
    np.testing.assert_array_equal(detectors.RBFRejection(Distances()).fit(-x).score_samples(-x), [1.0, 0.2, 2.0])


def test_combination_weighs_the_features_of_its_members(setting):
    detector = setting.fitted("Combination")
    members = [one.prepare().features(setting.x) for one in setting.make("Combination").detectors]
    np.testing.assert_array_equal(detector.features(setting.x), np.concatenate(members, axis=1))
    with pytest.raises(ValueError, match="at least one detector"):
        detectors.Combination([]).fit(setting.x, setting.y)
    with pytest.raises(TypeError, match=r"detectors\[0\] must be of type Detector"):
        detectors.Combination([3]).fit(setting.x, setting.y)
    other = [detectors.MaxSoftmax(setting.network), detectors.MaxSoftmax(nn.Sequential(nn.Linear(3, 2)))]
    with pytest.raises(ValueError, match="detectors must be of one network"):
        detectors.Combination(other).fit(setting.x, setting.y)


def test_published_lid_seeks_in_the_minibatch_and_drops_the_nearest(setting):
    reference = np.random.default_rng(5).random((150, 1, 8, 8))
    detector = detectors.LID(setting.network, reference, k=6, layers=["input"], published=True).prepare()
    own = np.array([3, 99, 100, 149])
    queries = reference[own] + 0.01
    features = detector.features(queries, exclude=own)
    for query, place, feature in zip(queries, own, features[:, 0], strict=True):
        minibatch = reference[:100] if place < 100 else reference[100:]
        distances = np.sort(np.linalg.norm((minibatch - query).reshape(len(minibatch), -1), axis=1))[1:7]
        assert feature == pytest.approx(-1 / np.log(distances / distances[-1]).mean(), rel=1e-9)
    with pytest.raises(ValueError, match="exclude must name the own clean image"):
        detector.features(queries)
    with pytest.raises(ValueError, match="the last minibatch of the reference must have more than k images, 6; got 6"):
        detectors.LID(setting.network, reference[:106], k=6, published=True).prepare()


def test_classifier_is_scaling_and_regression(setting):
    rng = np.random.default_rng(0)
    features = rng.standard_normal((50, 3)) * [1, 100, 0.01] + [0, 5, 7]
    labels = (features[:, 1] > 5).astype(int)
    classifier = detectors.FeatureClassifier().fit(features, labels)
    assert (classifier.predict(features) == labels).mean() > 0.9
    odds = features @ classifier.weights_ + classifier.offset_
    np.testing.assert_allclose(classifier.predict_proba(features)[:, 1], 1 / (1 + np.exp(-odds)), rtol=1e-9)


def test_classes_that_fit_has_not_seen_and_points_that_do_not_vary():
    points, classes = np.arange(12.0).reshape(6, 2), [0, 0, 2, 2, 2, 5]
    density = detectors.ClassKernelDensity().fit(points, classes)
    with pytest.raises(ValueError, match=r"y must have one class a row, \(2,\), got \(1,\)"):
        density.score_samples(points[:2], [0])
    with pytest.raises(ValueError, match="y must have classes that fit has seen, got 1 in row 1"):
        density.score_samples(points[:2], [0, 1])
    with pytest.raises(ValueError, match="X must vary within its classes"):
        detectors.TiedGaussian().fit(np.ones((6, 2)), classes)
    for bandwidth in (0.0, 1e-200, 1e200):
        with pytest.raises(ValueError, match="bandwidth must be at"):
            detectors.ClassKernelDensity(bandwidth).fit(points)
    with pytest.raises(ValueError, match="X must have squares that float64 holds"):
        detectors.TiedGaussian().fit(points * 1e200)
