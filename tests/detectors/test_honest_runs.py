"""What would make a detector look better than it is: useless gradients, copies, its own images, positions, ties."""

import numpy as np
import pytest

from advcore import detectors, evaluation, nn
from advcore.defenses import BitDepth
from advcore.evaluation import Adaptive, _rates, evaluate_detector


class Model:
    """Class 1 where the mean of an image is above a half."""

    def logits(self, x):
        mean = x.reshape(len(x), -1).mean(axis=1, dtype=float)
        return 10 * np.stack([0.5 - mean, mean - 0.5], axis=1)

    def vjp(self, x, cotangent):
        slope = (cotangent[:, 1] - cotangent[:, 0]) * 10 / x[0].size
        return np.broadcast_to(slope.reshape(-1, 1, 1), x.shape).astype(x.dtype).copy()


class Masked(Model):
    def vjp(self, x, cotangent):
        return np.zeros_like(x)


class ByColumn:
    """Looks at one column alone, and has no gradient."""

    def fit(self, X, y, **options):  # noqa: N803  scikit-learn's name
        return self

    def score_samples(self, X, **options):  # noqa: N803
        return X[:, :, 0].mean(axis=1)


class Useless(ByColumn):
    def __init__(self, value):
        self.value = value

    def score_gradient(self, X):  # noqa: N803
        if self.value is None:
            raise NotImplementedError("no slopes here")
        return self.score_samples(X), np.full_like(X, self.value)


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    x = np.clip(0.3 + rng.uniform(-0.05, 0.05, (60, 8, 8)), 0, 1)
    return x, np.zeros(60, np.int64), x + 0.3


@pytest.fixture
def of_two_classes():
    """A network, images of two classes by what it says, and for each another image that it takes for the other class."""
    rng = np.random.default_rng(3)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 2), seed=1, dtype=np.float64)
    x, pool = rng.random((60, 1, 8, 8)), rng.random((600, 1, 8, 8))
    said = network.logits(pool)
    network.parameters()["3.bias"][...] -= [np.median(said[:, 0] - said[:, 1]), 0]
    y, of_pool = network.logits(x).argmax(axis=1), network.logits(pool).argmax(axis=1)
    examples = x.copy()
    for label in (0, 1):
        examples[y == label] = pool[of_pool != label][: (y == label).sum()]
    return network, x, y, examples


@pytest.mark.parametrize(
    ("detector", "model", "reason"),
    [
        (Useless(0.0), Model(), "the detector's gradients are zero, or not finite"),
        (Useless(np.nan), Model(), "the detector's gradients are zero, or not finite"),
        (Useless(np.inf), Model(), "the detector's gradients are zero, or not finite"),
        (Useless(None), Model(), "gradients cannot be had: NotImplementedError: no slopes here"),
        (Useless(1.0), Masked(), "the model's gradients are zero, or not finite"),
    ],
)
def test_gradients_of_no_use_leave_the_search(images, detector, model, reason):
    want = evaluate_detector(ByColumn(), model, *images, adaptive=Adaptive(eps=0.4, images=20)).adaptive
    found = evaluate_detector(detector, model, *images, adaptive=Adaptive(eps=0.4, images=20)).adaptive
    assert (found.method, found.reason) == ("random search", reason)
    assert found.success == want.success == 1


def test_detection_among_ties_is_that_of_the_threshold():
    rng = np.random.default_rng(0)
    for _ in range(300):
        scores = {kind: rng.integers(0, 40, 70).astype(float) for kind in ("clean", "noisy", "adversarial")}
        negatives = np.concatenate([scores["clean"], scores["noisy"]])
        for rate, detected in _rates.rates(scores, (0.01, 0.05), 0).detection.items():
            assert detected == (scores["adversarial"] > _rates.threshold(negatives, rate)).mean()


def test_copies_of_an_image_are_on_one_side(images):
    x, y, examples = (np.concatenate([part, part]) for part in images)
    seen = []

    class Memory(ByColumn):
        def fit(self, X, y, **options):  # noqa: N803
            seen.append({one.tobytes() for one in X})
            return self

        def score_samples(self, X, **options):  # noqa: N803
            return np.array([one.tobytes() in seen[-1] for one in X], float)

    assert evaluate_detector(Memory(), Model(), x, y, examples, adaptive=None).auc == 0.5


def test_images_in_the_reference_are_not_their_own_neighbours(of_two_classes):
    network, x, y, examples = of_two_classes
    for make in (
        lambda: detectors.LID(network, x, k=10),
        lambda: detectors.Combination([detectors.MaxSoftmax(network), detectors.LID(network, x, k=10)]),
    ):
        given = evaluate_detector(make(), network, x, y, examples, adaptive=None, exclude=np.arange(len(x)))
        found = evaluate_detector(make(), network, x, y, examples, adaptive=None)
        assert found.auc == given.auc
        for wrong in (np.full(len(x), -1), np.roll(np.arange(len(x)), 1)):
            with pytest.raises(ValueError, match=r"exclude must name the image that x\[0\] is .* its own neighbour"):
                evaluate_detector(make(), network, x, y, examples, adaptive=None, exclude=wrong)


def test_a_clean_image_counts_once_whichever_attacks_fool_the_model(images):
    x, y, strong = images
    x = x + np.linspace(0, 0.1, 60).reshape(-1, 1, 1)
    weak = {f"weak {i}": np.where(np.arange(60).reshape(-1, 1, 1) >= 52, x + 0.3, x) for i in range(6)}
    one = evaluate_detector(ByColumn(), Model(), x, y, strong, adaptive=Adaptive(eps=0.01, images=2, queries=1))
    many = evaluate_detector(
        ByColumn(), Model(), x, y, {"strong": strong} | weak, adaptive=Adaptive(eps=0.01, images=2, queries=1)
    )
    clean = many.matrix["all", "strong"].scores["clean"]
    noisy = [many.matrix["all", name].scores["noisy"] for name in many.names]
    assert many.adaptive.threshold == _rates.threshold(np.concatenate([clean, *noisy]), 0.05)
    assert one.adaptive.threshold == _rates.threshold(np.concatenate([one.scores["clean"], one.scores["noisy"]]), 0.05)


def test_the_attacked_images_are_drawn_among_the_held_out(images):
    chosen = [
        evaluate_detector(ByColumn(), Model(), *images, seed=seed, adaptive=Adaptive(eps=0.1, images=9, queries=1))
        for seed in (0, 0, 1)
    ]
    first, again, other = (report.adaptive.images for report in chosen)
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(first)) == 9
    assert (first != np.sort(first)[0] + np.arange(9)).any()
    assert (first != other).any()


def test_the_row_of_an_attack_left_out_has_every_rate(images):
    report = evaluate_detector(ByColumn(), Model(), *images, fpr=0.1, adaptive=None)
    assert np.isnan(report.adaptive.detection[0.1])


def test_logits_that_are_no_numbers_are_refused(images):
    class Broken(Model):
        def logits(self, x):
            return np.where(np.arange(len(x))[:, None] == 7, np.nan, super().logits(x))

    with pytest.raises(ValueError, match="the model's logits must be numbers, got NaN for input 7"):
        evaluate_detector(ByColumn(), Broken(), *images)


def test_densities_of_nothing_are_named(of_two_classes):
    network, x, y, examples = of_two_classes
    keep = (y == 0) | (np.cumsum(y == 1) <= 1)  # one image of a class: without itself there is none
    x, y, examples = x[keep], y[keep], examples[keep]
    detector = detectors.KernelDensity(network, x, y, bandwidth=0.7, fpr=0.5)

    def until_it_is_held_out():
        for seed in range(20):
            evaluate_detector(detector, network, x, y, examples, adaptive=None, seed=seed)

    with pytest.raises(ValueError, match=r"must give finite scores, got inf for x\[\d+\]"):
        until_it_is_held_out()


def test_a_detector_is_saved_as_fit_saw_it(setting, tmp_path):
    path = tmp_path / "detector.safetensors"
    density = detectors.KernelDensity(setting.network, setting.reference, setting.labels, bandwidth=0.7).fit(setting.x)
    density.set_params(bandwidth=3.0)
    with pytest.raises(ValueError, match=r"bandwidth must be what fit saw, 0\.7, got 3\.0"):
        density.save(path)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 2), dtype=np.float64)
    lid = detectors.LID(network, setting.reference, k=6).fit(setting.x, setting.y)
    network.parameters()["1.weight"][...] *= 1.5
    with pytest.raises(ValueError, match="network must be what fit saw"):
        lid.save(path)
    assert not path.exists()
    squeezing = detectors.FeatureSqueezing(setting.network, [BitDepth(np.int64(3))]).fit(setting.x)
    squeezing.save(path)
    loaded = detectors.Detector.load(path, setting.network)
    np.testing.assert_array_equal(loaded.score_samples(setting.x), squeezing.score_samples(setting.x))


def test_evaluation_is_public():
    assert evaluation.evaluate_detector is evaluate_detector
