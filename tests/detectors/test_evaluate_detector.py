"""The evaluation of detectors, on detectors and models whose worth is known."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.metrics import roc_auc_score

from advcore import evaluation

SIDE = 8


def evaluate_detector(*arguments, **options):
    """Without the adaptive attack, which other tests are about."""
    return evaluation.evaluate_detector(*arguments, **({"adaptive": None} | options))


class Model:
    """Class 1 where the mean of an image is above a half."""

    def logits(self, x):
        mean = x.reshape(len(x), -1).mean(axis=1, dtype=np.float64)
        return np.stack([0.5 - mean, mean - 0.5], axis=1)


class Recorder(BaseEstimator):
    """Scores by a function, and keeps what it was given."""

    def __init__(self, score):
        self.score = score
        self.fitted, self.scored = [], []

    def fit(self, X, y, **options):  # noqa: N803  scikit-learn's name
        self.fitted.append((X, y, options))
        return self

    def score_samples(self, X, **options):  # noqa: N803
        self.scored.append((X, options))
        return self.score(X)


@pytest.fixture
def images():
    """Images, labels, and examples that are brighter by a constant and wrong for all but the first ten."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0.3, 0.49, (60, SIDE, SIDE))
    y = np.zeros(60, np.int64)
    examples = x + 0.3
    examples[:10] = x[:10] + 0.01
    y[10:15] = 1  # five that the model gets wrong
    return x, y, examples


def brightness(x):
    return x.reshape(len(x), -1).mean(axis=1)


def test_a_detector_that_knows_scores_one_and_one_that_guesses_a_half(images):
    knowing = evaluate_detector(Recorder(brightness), Model(), *images)
    assert (knowing.auc, knowing.auc_clean, knowing.auc_noisy, knowing.detection_rate) == (1, 1, 1, 1)
    guessing = evaluate_detector(Recorder(lambda x: np.zeros(len(x))), Model(), *images)
    assert (guessing.auc, guessing.detection_rate) == (0.5, 0)
    wrong = evaluate_detector(Recorder(lambda x: -brightness(x)), Model(), *images)
    assert wrong.auc == 0


def test_a_detector_of_noise_alone_is_exposed(images):
    """Whoever only asks "is it changed at all?" tells adversarial from clean, and not from noisy."""
    x = images[0]
    changed = Recorder(lambda z: np.array([float(not (x == one).all(axis=(1, 2)).any()) for one in z]))
    report = evaluate_detector(changed, Model(), *images)
    assert report.auc_clean == 1
    assert report.auc_noisy == 0.5


def test_all_versions_of_an_image_are_on_one_side(images):
    x, y, examples = images
    detector = Recorder(brightness)
    report = evaluate_detector(detector, Model(), x, y, examples)
    (fitted, labels, _), scored = detector.fitted[0], [part for part, _ in detector.scored]
    assert report.fitted + report.held_out == 45  # right when clean, wrong when attacked
    np.testing.assert_array_equal(labels, np.repeat([0, 0, 1], report.fitted))

    def sources(part, originals):
        return {int(np.argmax((originals == one).all(axis=(1, 2)))) for one in part}

    n = report.fitted
    assert sources(fitted[:n], x) == sources(fitted[2 * n :], examples)
    assert sources(scored[0], x) == sources(scored[2], examples)
    assert not sources(fitted[:n], x) & sources(scored[0], x)
    assert min(sources(fitted[:n], x) | sources(scored[0], x)) >= 15


def test_noise_has_the_size_of_the_attack_after_clipping(images):
    x, y, examples = images
    x = np.where(x < 0.39, 0.0, x)  # many black pixels, where half the noise is clipped away
    detector = Recorder(brightness)
    evaluate_detector(detector, Model(), x, y, examples)
    clean, noisy, adversarial = (part.reshape(len(part), -1) for part, _ in detector.scored)
    assert noisy.min() >= 0
    assert noisy.max() <= 1
    want = np.linalg.norm(adversarial - clean, axis=1)
    np.testing.assert_allclose(np.linalg.norm(noisy - clean, axis=1), want, rtol=1e-9)
    free = (clean > 0.05) & (noisy > 0) & (noisy < 1)
    z = ((noisy - clean) / (noisy - clean).std())[free]
    assert abs(z.mean()) < 0.15


def test_numbers_are_those_of_the_scores(images):
    rng = np.random.default_rng(1)
    report = evaluate_detector(Recorder(lambda x: brightness(x) + rng.normal(0, 0.3, len(x))), Model(), *images)
    negatives = np.concatenate([report.scores["clean"], report.scores["noisy"]])
    positives = report.scores["adversarial"]
    labels = np.repeat([0, 1], [len(negatives), len(positives)])
    assert report.auc == roc_auc_score(labels, np.concatenate([negatives, positives]))
    best = max((positives >= t).mean() for t in [*negatives, *positives, 9.0] if (negatives >= t).mean() <= 0.05)
    assert report.detection_rate == best
    assert len(report.scores["clean"]) == len(report.scores["noisy"]) == len(positives) == report.held_out


def test_excluded_reference_images_travel_with_their_images(images):
    x, y, examples = images
    detector = Recorder(brightness)
    evaluate_detector(detector, Model(), x, y, examples, exclude=np.arange(60))
    (fitted, _, options), n = detector.fitted[0], len(detector.fitted[0][0]) // 3
    np.testing.assert_array_equal(x[options["exclude"][:n]], fitted[:n])
    np.testing.assert_array_equal(options["exclude"], np.tile(options["exclude"][:n], 3))
    for part, given in detector.scored[:1]:
        np.testing.assert_array_equal(x[given["exclude"]], part)


def test_the_seed_decides_split_and_noise(images):
    runs = [Recorder(brightness) for _ in range(3)]
    for detector, seed in zip(runs, (0, 0, 1), strict=True):
        evaluate_detector(detector, Model(), *images, seed=seed)
    np.testing.assert_array_equal(runs[0].fitted[0][0], runs[1].fitted[0][0])
    assert (runs[0].fitted[0][0] != runs[2].fitted[0][0]).any()


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"examples": np.full((60, SIDE, SIDE), 0.4)}, ValueError, "fool the model on at least 4 images .* got 0"),
        ({"examples": np.full((60, SIDE, SIDE), 1.4)}, ValueError, "examples must be inside its bounds"),
        ({"examples": np.full((60, SIDE), 0.4)}, ValueError, r"examples must have shape \(60, 8, 8\)"),
        ({"y": np.zeros(3, int)}, ValueError, r"y must have shape \(60,\)"),
        ({"held_out": 0.0}, ValueError, "held_out must be greater than 0"),
        ({"held_out": 1.5}, ValueError, "held_out must be less than 1"),
        ({"fpr": -0.1}, ValueError, "fpr must be greater than 0"),
        ({"bounds": (1, 0)}, ValueError, "bounds must be a pair"),
    ],
)
def test_wrong_arguments(images, wrong, error, message):
    arguments = dict(zip(("x", "y", "examples"), images, strict=True)) | wrong
    with pytest.raises(error, match=message):
        evaluate_detector(Recorder(brightness), Model(), **arguments)


def test_a_classifier_that_rejects_is_refused(images):
    model = Model()
    model.rejects = True
    with pytest.raises(TypeError, match="model must be a classifier alone, got one that rejects"):
        evaluate_detector(Recorder(brightness), model, *images)


@pytest.mark.parametrize(
    ("detector", "error", "message"),
    [
        (3, TypeError, "detector must have fit and score_samples, got int"),
        (Recorder, TypeError, "detector must be an instance, got the class Recorder"),
        (Recorder(lambda x: np.full(len(x), np.nan)), ValueError, r"must give finite scores, got nan for x\[\d+\]"),
        (Recorder(lambda x: np.zeros((len(x), 1))), ValueError, "must give one score an input"),
    ],
)
def test_what_is_no_detector(images, detector, error, message):
    with pytest.raises(error, match=message):
        evaluate_detector(detector, Model(), *images)
