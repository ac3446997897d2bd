"""Networks that keep channels side by side within: the bits of their layers one by one, each of which has planes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import advcore
from advcore import _core, nn

WINDOWS = [(2, 2), (3, 3), (2, 1), ((2, 3), (2, 3)), (3, 2)]  # kernel and stride; two of them overlap


@st.composite
def networks(draw):
    """Draw layers, their wiring and the size of an image."""
    height, width = size = draw(st.sampled_from([(28, 28), (13, 18), (9, 31), (17, 8)]))
    channels = draw(st.sampled_from([1, 3, 16]))
    image = (channels, *size)
    layers, wiring = {}, {}
    for i in range(draw(st.integers(2, 4))):
        taps = draw(st.sampled_from([3, 3, 5, 1]))
        padding = draw(st.integers(0, taps // 2 + 1))
        if min(height, width) + 2 * padding < taps:
            break
        height, width = height + 2 * padding - taps + 1, width + 2 * padding - taps + 1
        rows = draw(st.sampled_from([16, 32, 48, 160, 24]))
        layers[f"conv{i}"] = nn.Conv2d(channels, rows, taps, padding=padding, bias=draw(st.booleans()))
        channels = rows
        kind = draw(st.sampled_from(["none", "relu", "relu", "gelu"]))
        if kind != "none":
            layers[f"{kind}{i}"] = nn.ReLU() if kind == "relu" else nn.GELU()
        last = next(reversed(layers))
        if draw(st.booleans()):  # a residual sum: of planes with channels that lie last, or of two of either
            layers[f"beside{i}"] = nn.Conv2d(channels, channels, draw(st.sampled_from([1, 3])), padding="same")
            layers[f"sum{i}"] = nn.Add()
            wiring[f"sum{i}"] = (f"beside{i}", last)
        if draw(st.booleans()) and min(height, width) >= 3:
            kernel, stride = draw(st.sampled_from(WINDOWS))
            pool = nn.MaxPool2d(kernel, stride) if draw(st.booleans()) else nn.AvgPool2d(kernel, stride)
            layers[f"pool{i}"] = pool
            _, height, width = pool.output_shape((channels, height, width))
    layers["flat"] = nn.Flatten()
    layers["head"] = nn.Linear(channels * height * width, 5)
    return layers, wiring, image


@settings(max_examples=60, deadline=None)
@given(networks(), st.sampled_from([np.float32, np.float64]), st.integers(1, 2), st.integers(0, 2**16))
def test_the_bits_are_those_of_the_layers(drawn, dtype, threads, seed):
    layers, wiring, image = drawn
    network = nn.Network(layers, wiring=wiring, seed=seed, dtype=dtype)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((7, *image)).astype(dtype)
    x[2] = 0.5  # flat: ties
    cotangent = rng.standard_normal((7, 5)).astype(dtype)
    expected, saved = network.forward(x)
    gradient, _ = network.backward(saved, cotangent)
    before = advcore.get_num_threads()
    advcore.set_num_threads(threads)
    try:
        logits, result = network.logits(x), network.vjp(x, cotangent)
        np.testing.assert_array_equal(network.logits(x[3:4]), logits[3:4])
        np.testing.assert_array_equal(network.vjp(x[3:4], cotangent[3:4]), result[3:4])
    finally:
        advcore.set_num_threads(before)
    np.testing.assert_array_equal(logits, expected)
    np.testing.assert_array_equal(result, gradient)


def test_layers_of_full_registers_and_moderate_weights_are_kept_so():
    assert _core.gains_channels_last(1, 32, 64)
    assert not _core.gains_channels_last(1, 24, 64)
    assert not _core.gains_channels_last(2, 32, 32)
    assert not _core.gains_channels_last(1, 256, 256)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_poolings_take_nan_and_infinity_as_the_layers_do(value):
    layers = [nn.Conv2d(1, 16, 3), nn.Conv2d(16, 16, 3), nn.MaxPool2d(3), nn.Flatten(), nn.Linear(16 * 16, 5)]
    network = nn.Sequential(*layers, seed=1)
    x = np.zeros((2, 1, 16, 16), np.float32)
    x[0, 0, 7, 7] = value
    with np.errstate(invalid="ignore"):
        expected, saved = network.forward(x)
        gradient, _ = network.backward(saved, np.ones((2, 5), np.float32))
        np.testing.assert_array_equal(network.logits(x), expected)
        np.testing.assert_array_equal(network.vjp(x, np.ones((2, 5), np.float32)), gradient)
