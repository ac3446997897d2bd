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


class Corner(ByColumn):
    """Looks at a corner, with its exact gradient; `late` spoils a later answer."""

    def __init__(self, late=None):
        self.late, self.calls = late, 0

    def score_samples(self, X, **options):  # noqa: N803
        return X[:, :3, :3].mean(axis=(1, 2))

    def score_gradient(self, X):  # noqa: N803
        self.calls += 1
        if self.late == "raises" and self.calls > 3:
            raise RuntimeError("late")
        slope = np.zeros_like(X)
        slope[:, :3, :3] = 1 / 9
        return self.score_samples(X), slope


class Saturated(Model):
    """Has gradients within 0.005 of its boundary only."""

    def vjp(self, x, cotangent):
        near = np.abs(x.reshape(len(x), -1).mean(axis=1) - 0.5) < 0.005
        return super().vjp(x, cotangent) * near[:, None, None]


class OfOneImage(Model):
    def vjp(self, x, cotangent):
        return super().vjp(x, cotangent) * (np.arange(len(x)) == 0)[:, None, None]


@pytest.mark.parametrize(
    ("detector", "model", "method"),
    [
        (Corner(), Saturated(), "random search"),
        (Corner(), OfOneImage(), "gradient, then random search"),
        (Corner("raises"), Model(), "random search"),
    ],
)
def test_what_gradients_leave_is_searched(images, detector, model, method):
    x, y, _ = images
    near = x + (0.502 - x.reshape(60, -1).mean(axis=1))[:, None, None]
    found = evaluate_detector(detector, model, x, y, near, adaptive=Adaptive(eps=0.3, images=20)).adaptive
    assert found.method == method
    assert ("late" in found.reason) == (detector.late == "raises")
    assert found.success == 1


def test_no_score_is_an_alarm_and_no_logits_are_no_label(images):
    class Bounded(ByColumn):
        def score_samples(self, X, **options):  # noqa: N803
            scores = super().score_samples(X)
            return np.where(scores > 0.66, [np.inf, np.nan][len(X) % 2], scores)

    class Failing(Model):
        def logits(self, x):
            return np.where(x.reshape(len(x), -1).max(axis=1)[:, None] > 0.68, np.nan, super().logits(x))

    searched = Adaptive(eps=0.4, images=20)
    x, y, examples = images
    assert np.isfinite(evaluate_detector(Bounded(), Model(), x, y, examples, adaptive=searched).adaptive.auc)
    assert evaluate_detector(ByColumn(), Failing(), x, y, examples, adaptive=searched).adaptive.success == 1


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


def test_references_with_copies_or_others_spelling_are_seen(of_two_classes):
    network, x, y, examples = of_two_classes
    x = x.copy()
    x[:, :, 0, :3] = 0
    y = network.logits(x).argmax(axis=1)
    minus, lid = x.copy(), lambda reference: detectors.LID(network, reference, k=10)
    minus[:, :, 0, :3] = -0.0
    want = evaluate_detector(lid(x), network, x, y, examples, adaptive=None)
    for reference in (minus, x.astype(">f8"), np.asfortranarray(x)):
        assert evaluate_detector(lid(reference), network, x, y, examples, adaptive=None).auc == want.auc
    with pytest.raises(ValueError, match=r"reference must hold x\[\d+\] once at most, got it at \d+ and \d+"):
        evaluate_detector(lid(np.concatenate([x, x])), network, x, y, examples, adaptive=None)
    apart = detectors.Combination([lid(x[:30]), detectors.KernelDensity(network, x[30:], y[30:])])
    with pytest.raises(ValueError, match="detectors must have the same reference"):
        evaluate_detector(apart, network, x, y, examples, adaptive=None)
    wrong = y.copy()
    wrong[0] = 1 - y[0]  # an image that does not count need not be named
    exclude = np.r_[-1, np.arange(1, len(x))]
    evaluate_detector(lid(x), network, x, wrong, examples, adaptive=None, exclude=exclude)


def test_copies_make_no_interval_narrower():
    rng = np.random.default_rng(0)
    scores = {kind: rng.random(40) for kind in ("clean", "noisy", "adversarial")}
    want = _rates.rates(scores, (0.05,), 0).interval
    copies = {kind: np.repeat(values, 20) for kind, values in scores.items()}
    assert _rates.rates(copies, (0.05,), 0, np.repeat(np.arange(40), 20)).interval == pytest.approx(want, abs=1e-12)
    low, high = _rates.rates(copies, (0.05,), 0).interval
    assert high - low < 0.5 * (want[1] - want[0])


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
    for change in (density, density.prepare()):  # prepared anew it is not fitted anew
        with pytest.raises(ValueError, match="bandwidth must be what fit saw"):
            change.save(path)
    density.set_params(bandwidth=0.7)
    density.batch_size = 8
    density.save(path)
    path.unlink()
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 2), dtype=np.float64)
    lid = detectors.LID(network, setting.reference, k=6).fit(setting.x, setting.y)
    network.parameters()["1.weight"][...] *= 1.5
    with pytest.raises(ValueError, match="network must be what fit saw"):
        lid.save(path)
    lid = detectors.LID(setting.network, setting.reference, k=6, layers=["input", "7"]).fit(setting.x, setting.y)
    lid.layers[0] = "2"
    with pytest.raises(ValueError, match="layers must be what fit saw"):
        lid.save(path)
    both = detectors.Combination([detectors.MaxSoftmax(setting.network), density]).fit(setting.x, setting.y)
    both.detectors[0] = detectors.BayesianUncertainty(setting.network, passes=4)
    with pytest.raises(ValueError, match="detectors must be what fit saw"):
        both.save(path)
    squeezing = detectors.FeatureSqueezing(setting.network, [BitDepth(5)]).fit(setting.x)
    squeezing.squeezers[0] = BitDepth(1)
    with pytest.raises(ValueError, match="squeezers must be what fit saw"):
        squeezing.save(path)
    assert not path.exists()
    squeezing = detectors.FeatureSqueezing(setting.network, [BitDepth(np.int64(3))]).fit(setting.x)
    squeezing.save(path)
    loaded = detectors.Detector.load(path, setting.network)
    np.testing.assert_array_equal(loaded.score_samples(setting.x), squeezing.score_samples(setting.x))


def test_evaluation_is_public():
    assert evaluation.evaluate_detector is evaluate_detector


def test_a_network_of_any_kind_is_taken():
    class Network:
        def __init__(self):
            self.layers = {"first": None, "last": None}
            self.itself = self  # what refers to itself cannot be looked through

        def logits(self, x):
            return 9 * x.reshape(len(x), -1)[:, :3]

        def activations(self, x, names):
            return {name: x.reshape(len(x), -1)[:, :5] for name in names}

    x = np.random.default_rng(0).random((40, 1, 4, 4))
    assert detectors.MaxSoftmax(Network()).fit(x).predict(x).sum() <= 2
    assert detectors.FeatureSqueezing(Network(), [lambda x: 0.9 * x]).fit(x).predict(x).sum() <= 2
