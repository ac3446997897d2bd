"""Squeezers against the formulas written out, and the score of feature squeezing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advcore.defenses import BitDepth, MedianFilter, NonLocalMeans
from advcore.detectors import FeatureSqueezing


def images(count=2, channels=2, height=6, width=5, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).random((count, channels, height, width)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bits", [1, 5, 16])
def test_bit_depth(bits, dtype):
    x = images(dtype=dtype)
    squeezed = BitDepth(bits)(x)
    assert squeezed.dtype == dtype
    steps = 2**bits - 1
    np.testing.assert_allclose(squeezed, np.round(x.astype(np.float64) * steps) / steps, atol=1.1 / steps)
    assert len(np.unique(squeezed)) <= 2**bits
    np.testing.assert_array_equal(BitDepth(bits)(squeezed), squeezed)


def test_the_median_of_an_even_window_is_the_upper_one():
    x = images()
    padded = np.pad(x, ((0, 0), (0, 0), (1, 0), (1, 0)), mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2, 2), axis=(2, 3))
    want = np.sort(windows.reshape(*x.shape, 4), axis=-1)[..., 2]
    np.testing.assert_array_equal(MedianFilter(2)(x), want)


@pytest.mark.parametrize(("search", "patch"), [(5, 3), (3, 5), (1, 3), (5, 1), (9, 7)])  # the last is wider than x
def test_non_local_means_is_the_weighted_mean_of_alike_patches(search, patch):
    x, strength = images(), 0.4
    got = NonLocalMeans(search, patch, strength)(x)
    reach, half = search // 2, patch // 2
    edge = reach + half
    wide = np.pad(x, ((0, 0), (0, 0), (edge, edge), (edge, edge)), mode="symmetric")

    def around(n, i, j):
        return wide[n, :, edge + i - half : edge + i + half + 1, edge + j - half : edge + j + half + 1]

    for n, i, j in np.ndindex(len(x), *x.shape[2:]):
        total, weights = 0.0, 0.0
        for di in range(-reach, reach + 1):
            for dj in range(-reach, reach + 1):
                weight = np.exp(-((around(n, i, j) - around(n, i + di, j + dj)) ** 2).mean() / strength**2)
                total, weights = total + weight * wide[n, :, edge + i + di, edge + j + dj], weights + weight
        np.testing.assert_allclose(got[n, :, i, j], total / weights, rtol=1e-9)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 3), st.integers(1, 3), st.integers(2, 7), st.integers(2, 7), st.integers(0, 99))
def test_squeezers_keep_shapes_and_work_image_by_image(count, channels, height, width, seed):
    x = images(count, channels, height, width, seed, np.float32)
    medians = (MedianFilter(size) for size in range(1, min(height, width, 3) + 1))
    for squeezer in (BitDepth(3), *medians, NonLocalMeans(5, 3, 0.1)):
        squeezed = squeezer(x)
        assert squeezed.shape == x.shape
        assert squeezed.dtype == x.dtype
        for i in range(count):
            np.testing.assert_array_equal(squeezer(x[i : i + 1])[0], squeezed[i])
        assert count == 0 or (squeezed.min() >= 0 and squeezed.max() <= 1)


def test_constant_images_stay(setting):
    flat = np.full((2, 1, 8, 8), 1.0)
    for squeezer in (BitDepth(1), MedianFilter(2), NonLocalMeans()):
        np.testing.assert_allclose(squeezer(flat), flat, rtol=1e-12)
    np.testing.assert_allclose(setting.fitted("FeatureSqueezing").score_samples(flat), 0, atol=1e-12)


def test_the_score_is_the_largest_change_of_the_probabilities(setting):
    detector = FeatureSqueezing(setting.network, [BitDepth(1), MedianFilter(2)]).fit(setting.x)

    def probabilities(x):
        powers = np.exp(setting.network.logits(x))
        return powers / powers.sum(axis=1, keepdims=True)

    changes = [
        np.abs(probabilities(setting.x) - probabilities(squeezer(setting.x))).sum(axis=1)
        for squeezer in (BitDepth(1), MedianFilter(2))
    ]
    np.testing.assert_allclose(detector.score_samples(setting.x), np.max(changes, axis=0), rtol=1e-9)


def test_the_way_back_takes_squeezers_for_the_identity(setting):
    """With squeezers that add constants that is exact."""
    offsets = [np.linspace(-0.3, 0.3, 64).reshape(1, 8, 8), np.linspace(0.2, -0.4, 64).reshape(1, 8, 8) ** 2]
    detector = FeatureSqueezing(setting.network, [lambda x, o=offset: x + o for offset in offsets]).fit(setting.x)
    scores, gradient = detector.score_gradient(setting.x)
    direction, h = np.random.default_rng(1).standard_normal(setting.x.shape), 1e-6
    ahead, behind = (detector.score_samples(setting.x + step * direction) for step in (h, -h))
    slopes = (gradient * direction).reshape(len(scores), -1).sum(axis=1)
    np.testing.assert_allclose(slopes, (ahead - behind) / (2 * h), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda n: BitDepth(0), ValueError, "bits must be at least 1"),
        (lambda n: MedianFilter(0), ValueError, "size must be at least 1"),
        (lambda n: NonLocalMeans(4), ValueError, "search must be odd, got 4"),
        (lambda n: NonLocalMeans(strength=0.0), ValueError, "strength must be greater than 0"),
        (lambda n: FeatureSqueezing(n, []).prepare(), ValueError, "squeezers must have at least one squeezer"),
        (lambda n: FeatureSqueezing(n, [3]).prepare(), TypeError, r"squeezers\[0\] must have __call__"),
        (lambda n: FeatureSqueezing(n, BitDepth(3)).prepare(), TypeError, "squeezers must be a list or tuple"),
        (lambda n: FeatureSqueezing(n).fit(np.zeros((3, 64))), ValueError, r"X must have shape \(N, C, H, W\)"),
        (
            lambda n: FeatureSqueezing(n, [lambda x: x[:1]]).fit(np.zeros((3, 1, 8, 8))),
            ValueError,
            r"squeezers\[0\]\(X\) must have shape",
        ),
    ],
)
def test_wrong_arguments(setting, make, error, message):
    with pytest.raises(error, match=message):
        make(setting.network)
