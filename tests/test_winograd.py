"""Winograd convolution: how exact it is, that its bits depend on nothing but the sample, and what it does to NaN."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.nn.functional import conv2d
from torch.nn.grad import conv2d_input, conv2d_weight

import advcore
from advcore import _core, ops
from advcore._cases.conv2d import _LAYERS
from advcore.ops._conv_algorithm import uses_transposed
from advcore.ops._conv_geometry import geometry


def normal(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape).astype(dtype)


def distance(got, want):
    want = want.detach().numpy()
    return np.linalg.norm(got.astype(np.float64) - want) / np.linalg.norm(want)


def wide(*arrays):
    return [torch.from_numpy(array.astype(np.float64)) for array in arrays]


def directions(x, weight, padding, algorithm="auto", groups=1):
    """The three directions and their references in float64."""
    options = {"padding": padding, "groups": groups}
    wide_x, wide_weight = wide(x, weight)
    y = conv2d(wide_x, wide_weight, **options)
    gradient = normal(*y.shape, dtype=x.dtype, seed=2)
    (wide_gradient,) = wide(gradient)
    options["algorithm"] = algorithm
    return [
        (ops.conv2d(x, weight, **options), y),
        (
            ops.conv2d_input_grad(x.shape, weight, gradient, **options),
            conv2d_input(x.shape, wide_weight, wide_gradient, padding=padding, groups=groups),
        ),
        (
            ops.conv2d_weight_grad(x, weight.shape, gradient, **options),
            conv2d_weight(wide_x, weight.shape, wide_gradient, padding=padding, groups=groups),
        ),
    ]


LAYERS = {
    name: (c, extent, k, kernel, padding)
    for name, (c, extent, k, kernel, stride, padding) in _LAYERS.items()
    if kernel in (3, 5) and stride == 1 and extent < 100
}


@pytest.mark.parametrize(("algorithm", "bound"), [("auto", 1e-5), ("direct", 1e-6)])
@pytest.mark.parametrize("layer", LAYERS)
def test_errors_on_published_layers(layer, algorithm, bound):
    c, extent, k, kernel, padding = LAYERS[layer]
    weight = normal(k, c, kernel, kernel, seed=1)
    for got, want in directions(normal(1, c, extent, extent), weight, padding, algorithm):
        assert distance(got, want) <= bound


@pytest.mark.parametrize("layer", ["alex2", "mnist4", "res3_3x3", "res5_3x3"])
def test_errors_of_each_output_channel_when_the_scales_of_the_inputs_differ(layer):
    c, extent, k, kernel, padding = LAYERS[layer]
    x, weight = normal(2, c, extent, extent), normal(k, c, kernel, kernel, seed=1)
    x *= np.logspace(-3, 3, c, dtype=np.float32)[:, np.newaxis, np.newaxis]
    got, want = directions(x, weight, padding)[0]
    assert max(distance(got[:, i], want[:, i]) for i in range(k)) <= 1e-5


@settings(max_examples=60, deadline=None)
@given(
    taps=st.sampled_from([3, 5]),
    samples=st.integers(1, 5),
    groups=st.integers(1, 2),
    channels=st.integers(12, 40),
    outputs=st.integers(12, 40),
    extent=st.tuples(st.integers(5, 30), st.integers(5, 30)),
    padding=st.tuples(st.integers(0, 5), st.integers(0, 5)),
)
def test_any_shape_agrees_with_float64(taps, samples, groups, channels, outputs, extent, padding):
    x = normal(samples, groups * channels, *extent, dtype=np.float64)
    weight = normal(groups * outputs, channels, taps, taps, dtype=np.float64, seed=1)
    for got, want in directions(x, weight, padding, groups=groups):
        assert distance(got, want) <= 1e-13


@pytest.mark.parametrize("taps", [3, 5])
@pytest.mark.parametrize("shape", [(70, 16, 14, 14), (3, 300, 7, 9), (9, 12, 30, 50)])
def test_same_bits_for_any_batch_any_threads_and_packed(shape, taps):
    x, weight, bias = normal(*shape), normal(40, shape[1], taps, taps, seed=1), normal(40)
    packed = ops.PackedConv2d(weight, bias, padding=1, input_size=shape[1:], activation="gelu")
    before, results = advcore.get_num_threads(), []
    for threads in (1, 2, 3):
        advcore.set_num_threads(threads)
        y = ops.conv2d(x, weight, bias, padding=1, activation="gelu")
        results.append((y, ops.conv2d_input_grad(shape, weight, y, padding=1)))
        weight_grad = ops.conv2d_weight_grad(x, weight.shape, y, padding=1)
        np.testing.assert_array_equal(weight_grad, ops.conv2d_weight_grad(x, weight.shape, y, padding=1))
        results[-1] += (weight_grad,)
        np.testing.assert_array_equal(packed(x), y)
        for part in (slice(0, 1), slice(1, 3), slice(len(x) - 1, None)):
            np.testing.assert_array_equal(ops.conv2d(x[part], weight, bias, padding=1, activation="gelu"), y[part])
            np.testing.assert_array_equal(
                ops.conv2d_input_grad(x[part].shape, weight, y[part], padding=1), results[-1][1][part]
            )
    advcore.set_num_threads(before)
    for other in results[1:]:
        for first, second in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(first, second)


@settings(max_examples=40, deadline=None)
@given(
    dtype=st.sampled_from([np.float32, np.float64]),
    samples=st.sampled_from([1, 2, 9, 70]),
    channels=st.sampled_from([12, 64, 65, 130]),
    outputs=st.sampled_from([31, 32, 33, 64, 71]),
    extent=st.integers(1, 12),
    groups=st.integers(1, 2),
)
def test_planes_of_few_tiles_whose_channels_lie_across_the_registers(dtype, samples, channels, outputs, extent, groups):
    x = normal(samples, groups * channels, extent, extent, dtype=dtype)
    weight, bias = normal(groups * outputs, channels, 3, 3, dtype=dtype, seed=1), normal(groups * outputs, dtype=dtype)
    options = {"padding": 1, "groups": groups, "activation": "relu"}
    got = ops.conv2d(x, weight, bias, **options)
    want = conv2d(*wide(x, weight, bias), padding=1, groups=groups).relu()
    assert distance(got, want) <= (1e-5 if dtype == np.float32 else 1e-13)
    packed = ops.PackedConv2d(weight, bias, input_size=x.shape[1:], **options)
    np.testing.assert_array_equal(packed(x), got)
    np.testing.assert_array_equal(packed(x[-1]), got[-1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [2048, 2049, 4096])
def test_planes_of_few_tiles_with_as_many_channels_as_the_scratch_memory_holds(dtype, channels):
    x, weight = normal(3, channels, 12, 12, dtype=dtype), normal(32, channels, 3, 3, dtype=dtype, seed=1)
    got = ops.conv2d(x, weight, padding=1)
    assert distance(got, conv2d(*wide(x, weight), padding=1)) <= (1e-5 if dtype == np.float32 else 1e-13)
    np.testing.assert_array_equal(ops.PackedConv2d(weight, padding=1, input_size=x.shape[1:])(x[:1]), got[:1])


@pytest.mark.parametrize(
    ("taps", "seen", "tiles"),  # outputs that see it, and those of tiles of 4 x 4 or 2 x 2 that do
    [(3, np.s_[0, :, 8:11, 7:10], np.s_[0, :, 8:12, 4:12]), (5, np.s_[0, :, 6:11, 5:10], np.s_[0, :, 6:12, 4:10])],
)
def test_nan_reaches_every_output_that_sees_it_and_no_further_than_its_tiles(taps, seen, tiles):
    x, weight = normal(2, 16, 20, 20), normal(16, 16, taps, taps, seed=1)
    x[0, 3, 10, 9] = np.nan
    got = np.isnan(ops.conv2d(x, weight))
    assert got[seen].all()
    got[tiles] = False
    assert not got.any()
    direct = np.isnan(ops.conv2d(x, weight, algorithm="direct"))
    assert direct[seen].all()
    assert direct.sum() == 16 * taps**2


def is_transposed(shape, weight, padding=0, groups=1):
    plan = geometry(shape, weight.shape, 1, padding, 1, groups)
    return uses_transposed(weight.shape, plan, shape[-2:])


SIDES = st.builds(lambda tiles, less: 4 * tiles - less, st.integers(1, 5), st.integers(0, 1))  # of tiles' outputs


@settings(max_examples=60, deadline=None)
@given(
    level=st.sampled_from(_core.available_levels()),
    dtype=st.sampled_from([np.float32, np.float64]),
    samples=st.sampled_from([1, 2, 21, 90]),
    channels=st.sampled_from([12, 13, 64, 140]),
    outputs=st.sampled_from([12, 33, 64, 200]),
    extent=st.tuples(SIDES, SIDES),
    padding=st.sampled_from([(0, 0), (0, 1), (1, 0)]),
    groups=st.integers(1, 2),
)
@example(
    _core.available_levels()[0], np.float32, 2, 12, 270, (32, 31), (0, 0), 1
)  # 8 x 8 tiles, and terms of two blocks
@example(
    _core.available_levels()[0], np.float32, 3, 12, 12, (4, 9), (0, 3), 1
)  # padding that an input's window does not reach over
def test_input_gradients_by_the_transposed_transforms(
    level, dtype, samples, channels, outputs, extent, padding, groups
):
    extent = tuple(side + 2 - 2 * before for side, before in zip(extent, padding, strict=True))
    shape = (samples if extent[0] * extent[1] < 200 else 2, groups * channels, *extent)
    weight = normal(groups * outputs, channels, 3, 3, dtype=dtype, seed=1)
    assert is_transposed(shape, weight, padding, groups)
    wide_weight = wide(weight)[0]
    gradient = normal(
        *conv2d(torch.zeros(shape), wide_weight.float(), padding=padding, groups=groups).shape, dtype=dtype
    )
    options = {"padding": padding, "groups": groups}
    before = _core.level()
    _core._set_level(level)
    try:
        got = ops.conv2d_input_grad(shape, weight, gradient, **options)
    finally:
        _core._set_level(before)
    want = conv2d_input(shape, wide_weight, *wide(gradient), **options)
    assert distance(got, want) <= (1e-5 if dtype == np.float32 else 1e-13)


@pytest.mark.parametrize("shape", [(9, 32, 26, 26), (90, 64, 10, 10), (3, 270, 6, 5), (2, 12, 33, 34)])
def test_transposed_input_gradients_have_the_same_bits_for_any_batch_and_threads(shape):
    weight = normal(40, shape[1], 3, 3, seed=1)
    assert is_transposed(shape, weight)
    gradient = normal(shape[0], 40, shape[2] - 2, shape[3] - 2)
    before = advcore.get_num_threads()
    try:
        advcore.set_num_threads(1)
        expected = ops.conv2d_input_grad(shape, weight, gradient)
        for threads in (1, 2, 3):
            advcore.set_num_threads(threads)
            for part in (slice(None), slice(0, 1), slice(1, 8)):
                got = ops.conv2d_input_grad((len(gradient[part]), *shape[1:]), weight, gradient[part])
                np.testing.assert_array_equal(got, expected[part])
    finally:
        advcore.set_num_threads(before)


def test_nan_in_a_gradient_reaches_every_input_that_it_saw_and_no_further_than_its_tile():
    shape, weight = (2, 16, 14, 14), normal(16, 16, 3, 3, seed=1)
    assert is_transposed(shape, weight)
    gradient = normal(2, 16, 12, 12)
    gradient[1, 3, 6, 9] = np.nan
    got = np.isnan(ops.conv2d_input_grad(shape, weight, gradient))
    assert got[1, :, 6:9, 9:12].all()
    got[1, :, 4:10, 8:14] = False
    assert not got.any()


def test_the_algorithm_depends_on_the_layer_alone():
    wide_layer, narrow = normal(2, 16, 9, 9), normal(2, 4, 9, 9)
    for x, taps, differs in ((wide_layer, 3, True), (wide_layer, 5, True), (narrow, 3, False), (wide_layer, 7, False)):
        weight = normal(16, x.shape[1], taps, taps, seed=1)
        auto, direct = (ops.conv2d(x, weight, algorithm=algorithm) for algorithm in ("auto", "direct"))
        assert (auto != direct).any() == differs
