"""What holds for every detector: one interface, one threshold rule, gradients that are the scores', clear errors."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from advcore import detectors


def test_scores_decisions_and_predictions_agree(setting, kind):
    detector = setting.fitted(kind)
    scores = detector.score_samples(setting.x, **setting.options(kind))
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(
        detector.decision_function(setting.x, **setting.options(kind)), scores - detector.threshold_
    )
    np.testing.assert_array_equal(
        detector.predict(setting.x, **setting.options(kind)), (scores > detector.threshold_).astype(int)
    )
    if kind != "RBFRejection of distances":  # its threshold is its own
        assert (scores[setting.y == 0] > detector.threshold_).mean() <= detector.fpr


def test_gradients_are_those_of_the_scores(setting, kind):
    """Against central differences along random directions, in float64."""
    detector, rows = setting.fitted(kind), slice(0, 8)
    x, options = (
        setting.others[rows],
        setting.options(kind, rows),
    )  # at a ceiling, which fit's own have, there is a kink
    if kind.startswith("FeatureSqueezing"):  # squeezers have no gradient: see test_feature_squeezing
        return
    scores, gradient = detector.score_gradient(x, **options)
    np.testing.assert_allclose(scores, detector.score_samples(x, **options), rtol=1e-9)
    direction = np.random.default_rng(3).standard_normal(x.shape)
    h = 1e-6
    ahead, behind = (detector.score_samples(x + step * direction, **options) for step in (h, -h))
    slopes = (gradient * direction).reshape(len(x), -1).sum(axis=1)
    np.testing.assert_allclose(slopes, (ahead - behind) / (2 * h), rtol=1e-4, atol=1e-6 * np.abs(slopes).max())
    assert (slopes != 0).any()


def test_a_query_scores_the_same_alone_and_in_a_batch(setting, kind):
    detector = setting.fitted(kind)
    together, gradients = detector.score_gradient(setting.x, **setting.options(kind))
    for i in range(0, 40, 13):
        alone, gradient = detector.score_gradient(setting.x[i : i + 1], **setting.options(kind, slice(i, i + 1)))
        np.testing.assert_allclose(alone[0], together[i], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(gradient[0], gradients[i], rtol=1e-9, atol=1e-12)


def test_batches_change_nothing(setting, kind):
    detector = setting.fitted(kind)
    scores = detector.score_samples(setting.x, **setting.options(kind))
    detector.batch_size = 7
    again = detector.score_samples(setting.x, **setting.options(kind))
    np.testing.assert_allclose(scores, again, rtol=1e-12, atol=1e-12)


def test_no_queries_give_no_scores(setting, kind):
    detector = setting.fitted(kind)
    none, options = setting.x[:0], setting.options(kind, slice(0, 0))
    assert detector.score_samples(none, **options).shape == detector.predict(none, **options).shape == (0,)
    assert detector.score_gradient(none, **options)[1].shape == none.shape


def test_files_keep_scores(setting, kind, tmp_path):
    detector = setting.fitted(kind)
    detector.save(tmp_path / "detector")
    loaded = detectors.Detector.load(tmp_path / "detector", setting.network)
    assert type(loaded) is type(detector)
    assert loaded.threshold_ == detector.threshold_
    options = setting.options(kind)
    np.testing.assert_array_equal(
        loaded.score_samples(setting.x, **options), detector.score_samples(setting.x, **options)
    )
    for name, value in detector.get_params(deep=False).items():
        if name in ("k", "fpr", "bandwidth", "layers", "seed", "passes", "lambda_", "output", "published"):
            assert getattr(loaded, name) == value


def test_not_fitted(setting, kind, tmp_path):
    detector = setting.make(kind)
    for call in (detector.score_samples, detector.predict, detector.score_gradient, detector.features):
        with pytest.raises(NotFittedError):
            call(setting.x)
    with pytest.raises(NotFittedError):
        detector.save(tmp_path / "detector")


def test_a_network_that_overflows_is_no_clean_input(setting, kind, monkeypatch):
    """NaN is never above a threshold: it must not pass for clean."""
    detector, options = setting.fitted(kind), setting.options(kind)
    broken = detector.features(setting.x, **options)
    broken[2, 0] = np.nan
    monkeypatch.setattr(detector, "batch_size", len(setting.x))
    monkeypatch.setattr(detector, "_features", lambda *_: broken)
    monkeypatch.setattr(detector, "_features_vjp", lambda *_: (broken, lambda _: np.zeros_like(setting.x)))
    for call in (detector.score_samples, detector.predict, detector.score_gradient):
        with pytest.raises(ValueError, match="features must be numbers, got NaN for input 2"):
            call(setting.x, **options)


def test_bad_inputs_are_named(setting, kind):
    detector, options = setting.fitted(kind), setting.options(kind)
    bad = setting.x.copy()
    bad[3, 0, 2, 2] = np.nan
    with pytest.raises(ValueError, match="X must be finite, got NaN or infinity in sample 3"):
        detector.score_samples(bad, **options)
    with pytest.raises(ValueError, match="X must be finite"):
        setting.make(kind).fit(bad, setting.y, **options)
    with pytest.raises(TypeError, match="X must be a NumPy array"):
        detector.score_samples([[1.0]], **options)
    with pytest.raises(ValueError, match=r"y must have (class 0|both classes)"):
        setting.make(kind).fit(setting.x, np.ones(40, int), **options)
    with pytest.raises(ValueError, match=r"y must be in \[0, 1\], got 2"):
        setting.make(kind).fit(setting.x, setting.y + 1, **options)
    if detector.supervised:
        with pytest.raises(ValueError, match=r"y must have both classes, 0 and 1; got \[0\]"):
            setting.make(kind).fit(setting.x, **options)
    if not detector.excludes:
        with pytest.raises(ValueError, match="exclude must be None"):
            detector.score_samples(setting.x, exclude=setting.own)
    with pytest.raises(ValueError, match="fpr must be less than 1"):
        setting.make(kind).set_params(fpr=1.0).fit(setting.x, setting.y, **options)


def test_unsupervised_detectors_take_clean_inputs_alone(setting, kind):
    detector = setting.fitted(kind)
    if not detector.supervised:
        alone = setting.make(kind).fit(setting.x[:20])
        assert alone.threshold_ == detector.threshold_


def test_clones_share_the_network_and_are_not_fitted(setting, kind):
    detector = setting.fitted(kind)
    copy = clone(detector)
    assert copy.network is setting.network
    with pytest.raises(NotFittedError):
        copy.score_samples(setting.x)
    copy.fit(setting.x, setting.y, **setting.options(kind))
    assert copy.threshold_ == detector.threshold_


def test_features_of_another_width_are_refused(setting, kind):
    detector = setting.make(kind).prepare()
    width = detector._width()
    for wrong in (np.zeros((6, width + 1)), np.zeros(6)):
        with pytest.raises(ValueError, match="features"):
            detector.fit_features(wrong, np.arange(6) % 2)
    fitted = setting.fitted(kind)
    with pytest.raises(ValueError, match="features"):
        fitted.score_features(np.zeros((6, width + 1)))
