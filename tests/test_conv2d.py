"""Convolution beyond the sweep: closed forms, bits, float64 gradients, random options, bad input."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import advcore
from advcore import ops
from advcore._cases import compare


def normal(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.fixture
def threads():
    before = advcore.get_num_threads()
    yield advcore.set_num_threads
    advcore.set_num_threads(before)


# input (N, C, H, W), weight (K, C / groups, R, S), options: tiles within a sample, over samples, with scattered results
LAYERS = [
    ((5, 3, 9, 11), (17, 3, 3, 3), {"padding": 1}),
    ((3, 33, 20, 21), (29, 33, 3, 3), {}),
    ((4, 16, 7, 7), (64, 16, 1, 1), {}),
    ((4, 540, 6, 7), (300, 540, 1, 1), {}),
    ((3, 34, 10, 10), (76, 17, 1, 1), {"groups": 2}),
    ((3, 270, 15, 15), (60, 270, 1, 1), {}),
    ((3, 4, 19, 23), (6, 2, 5, 3), {"stride": (2, 3), "padding": (2, 1), "groups": 2}),
    ((3, 70, 8, 9), (60, 70, 3, 3), {"stride": 2, "padding": 1}),
    ((5, 70, 9, 31), (2, 70, 3, 3), {"padding": 1}),
    ((5, 16, 14, 14), (32, 16, 4, 4), {"stride": 2, "padding": 1}),
    ((3, 75, 17, 21), (48, 75, 3, 2), {"dilation": (1, 2), "padding": (5, 1)}),
    ((3, 20, 47, 45), (80, 10, 5, 3), {"stride": (2, 3), "padding": (0, 2), "groups": 2}),
]


def output_shape(size, weight, options):
    return F.conv2d(torch.zeros(size), torch.zeros(weight), **options).shape


def test_identity_kernel_shifts_the_input():
    x = normal(2, 3, 5, 6)
    weight = np.zeros((3, 3, 3, 3), np.float32)
    weight[range(3), range(3), 0, 2] = 1  # looks one up and one to the right
    got = ops.conv2d(x, weight, padding=1)
    want = np.zeros_like(x)
    want[:, :, 1:, :-1] = x[:, :, :-1, 1:]
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_small_integers_are_exact(dtype):
    rng = np.random.default_rng(0)
    x = rng.integers(-3, 4, (3, 40, 13, 14)).astype(dtype)
    weight = rng.integers(-3, 4, (50, 40, 3, 3)).astype(dtype)
    want = F.conv2d(torch.from_numpy(x).double(), torch.from_numpy(weight).double(), stride=(1, 2), padding=2)
    np.testing.assert_array_equal(ops.conv2d(x, weight, stride=(1, 2), padding=2), want.numpy())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", [None, "relu", "gelu"])
@pytest.mark.parametrize(
    ("plane", "stride", "padding", "outputs"),
    [
        ((7, 7), 1, 1, 1),
        ((2, 5), 1, (2, 1), 2),
        ((9, 3), 1, (0, 2), 1),
        ((1, 1), 1, 1, 2),
        ((14, 14), 2, 1, 1),
        ((13, 75), 2, (0, 2), 2),
        ((3, 34), 2, (1, 0), 1),
        ((8, 5), 2, 2, 2),
        ((40, 66), 2, (2, 1), 1),
    ],
)
def test_a_plane_among_others_has_the_bits_of_a_plane_alone(plane, stride, padding, outputs, activation, dtype):
    # The first and the last planes of a batch may not be read beyond their ends: they are copied, others are not.
    channels = 47
    x, bias = normal(2, channels, *plane, dtype=dtype), normal(channels * outputs, dtype=dtype)
    weight = normal(channels * outputs, 1, 3, 3, dtype=dtype)
    options = {"stride": stride, "padding": padding, "activation": activation}
    got = ops.conv2d(x, weight, bias, groups=channels, **options)
    for n in range(2):
        for c in range(channels):
            own = slice(c * outputs, (c + 1) * outputs)
            twice = np.concatenate([weight[own]] * 2), np.concatenate([bias[own]] * 2)
            alone = ops.conv2d(x[n : n + 1, [c, c]], *twice, groups=2, **options)
            np.testing.assert_array_equal(got[n, own], alone[0, :outputs])
    double = [torch.from_numpy(array).double() for array in (x, weight, bias)]
    want = F.conv2d(*double, stride=stride, padding=padding, groups=channels)
    want = want if activation is None else want.relu() if activation == "relu" else F.gelu(want)
    np.testing.assert_allclose(got, want.numpy(), rtol=1e-4 if dtype == np.float32 else 1e-11, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("outputs", [1, 2, 3])
@pytest.mark.parametrize(
    ("size", "taps", "options"),
    [
        ((2, 64, 13, 30), (3, 3), {"padding": 1}),
        ((3, 70, 9, 8), (3, 3), {"padding": 1}),
        ((2, 33, 31, 13), (3, 3), {"stride": 2}),
        ((1, 50, 3, 700), (2, 3), {"dilation": 2, "padding": (1, 0)}),
        ((300, 70, 2, 3), (2, 2), {}),
    ],
)
def test_few_filters_have_the_bits_they_have_among_many(size, taps, options, outputs, dtype):
    x, weight = normal(*size, dtype=dtype), normal(8, size[1], *taps, dtype=dtype)
    bias = normal(8, dtype=dtype)
    many = ops.conv2d(x, weight, bias, algorithm="direct", activation="relu", **options)
    few = ops.conv2d(x, weight[:outputs], bias[:outputs], algorithm="direct", activation="relu", **options)
    np.testing.assert_array_equal(few, many[:, :outputs])


@pytest.mark.parametrize(("size", "weight_size", "options"), LAYERS)
def test_a_sample_alone_has_the_bits_it_has_in_a_batch(size, weight_size, options, threads):
    x, weight, bias = normal(*size), normal(*weight_size, seed=1), normal(weight_size[0], seed=2)
    g = normal(*output_shape(size, weight_size, options), seed=3)
    together = ops.conv2d(x, weight, bias, **options, activation="relu")
    gradient = ops.conv2d_input_grad(size, weight, g, **options)
    for count in (1, 3):
        threads(count)
        for n in range(size[0]):
            alone = ops.conv2d(x[n], weight, bias, **options, activation="relu")
            np.testing.assert_array_equal(alone, together[n])
            np.testing.assert_array_equal(ops.conv2d_input_grad(size[1:], weight, g[n], **options), gradient[n])


@pytest.mark.parametrize(("size", "weight_size", "options"), LAYERS)
def test_packed_weights_give_the_bits_of_conv2d(size, weight_size, options):
    x, weight, bias = normal(*size), normal(*weight_size, seed=1), normal(weight_size[0], seed=2)
    want = ops.conv2d(x, weight, bias, **options, activation="gelu")
    packed = ops.PackedConv2d(weight, bias, **options, input_size=size[1:], activation="gelu")
    weight[:], bias[:] = 0, 0  # it has copies of its own
    np.testing.assert_array_equal(packed(x), want)
    np.testing.assert_array_equal(packed(x[1]), want[1])
    assert packed(x[:0]).shape == (0, *want.shape[1:])
    out = np.full_like(want, np.nan)
    assert packed(x, out=out) is out
    np.testing.assert_array_equal(out, want)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_position_has_the_same_bits_on_planes_of_any_size(dtype):
    x, weight = normal(2, 530, 7, 7, dtype=dtype), normal(45, 530, 1, 1, dtype=dtype, seed=1)
    want = ops.conv2d(x, weight)
    for height, width in ((4, 4), (20, 20)):  # some of its positions, and a plane of which all are a corner
        other = np.zeros((2, 530, height, width), dtype)
        rows, cols = min(height, 7), min(width, 7)
        other[:, :, :rows, :cols] = x[:, :, :rows, :cols]
        np.testing.assert_array_equal(ops.conv2d(other, weight)[:, :, :rows, :cols], want[:, :, :rows, :cols])


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("plane", [(1, 64), (1, 65), (1, 100), (100, 1), (2, 50)])
def test_single_taps_on_planes_of_few_long_rows(plane, dtype, samples):
    x, weight = normal(samples, 300, *plane, dtype=dtype), normal(64, 300, 1, 1, dtype=dtype, seed=1)
    want = np.einsum("nchw,kc->nkhw", x.astype(np.float64), weight[:, :, 0, 0].astype(np.float64))
    assert compare(ops.conv2d(x, weight), want) < (1e-6 if dtype == np.float32 else 1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("plane", "taps", "options"),
    [
        ((15, 15), (3, 3), {"stride": 2}),
        ((33, 26), (5, 3), {"stride": (1, 3)}),
        ((20, 11), (1, 7), {"dilation": (1, 1)}),
        ((21, 22), (4, 4), {"dilation": 2, "stride": 2}),
        ((30, 22), (3, 3), {"dilation": (3, 2)}),
    ],
)
def test_taps_on_small_planes_have_the_bits_they_have_on_large_ones(plane, taps, options, dtype):
    x, weight, bias = (
        normal(3, 37, *plane, dtype=dtype),
        normal(48, 37, *taps, dtype=dtype, seed=1),
        normal(48, dtype=dtype),
    )
    small = ops.conv2d(x, weight, bias, activation="relu", **options)
    around = np.zeros((3, 37, 100, 90), dtype)
    around[:, :, : plane[0], : plane[1]] = x
    large = ops.conv2d(around, weight, bias, activation="relu", **options)
    np.testing.assert_array_equal(small, large[:, :, : small.shape[2], : small.shape[3]])
    want = F.conv2d(*(torch.from_numpy(array).double() for array in (x, weight, bias)), **options).relu().numpy()
    assert compare(small, want) < (1e-6 if dtype == np.float32 else 1e-14)
    padded = ops.conv2d(x, weight, bias, padding=(9, 12), **options)  # rows and columns of padding alone
    want = F.conv2d(*(torch.from_numpy(array).double() for array in (x, weight, bias)), padding=(9, 12), **options)
    assert compare(padded, want.numpy()) < (1e-6 if dtype == np.float32 else 1e-14)


def test_weight_gradient_of_a_large_batch_is_the_same_for_any_number_of_threads(threads):
    x, g = normal(300, 2, 9, 8), normal(300, 5, 7, 6, seed=1)
    results = []
    for count in (1, 2, 7):
        threads(count)
        results.append(ops.conv2d_weight_grad(x, (5, 2, 3, 3), g))
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def numpy_of(tensors):
    return [tensor.detach().numpy() for tensor in tensors]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_options_agree_with_autograd_in_float64(data):
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731  # a name for a long call
    groups = draw(1, 3)
    kernel, stride = (draw(1, 5), draw(1, 4)), (draw(1, 4), draw(1, 4))
    dilation, padding = (draw(1, 3), draw(1, 3)), (draw(0, 4), draw(0, 4))
    extent = [
        draw(max(1, d * (k - 1) + 1 - 2 * p), d * (k - 1) + 1 + 20)
        for k, d, p in zip(kernel, dilation, padding, strict=True)
    ]
    x = torch.from_numpy(normal(draw(1, 4), groups * draw(1, 20), *extent, dtype=np.float64)).requires_grad_()
    weight_size = (groups * draw(1, 20), x.shape[1] // groups, *kernel)
    weight = torch.from_numpy(normal(*weight_size, dtype=np.float64, seed=1)).requires_grad_()
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    y = F.conv2d(x, weight, **options)
    g = torch.from_numpy(normal(*y.shape, dtype=np.float64, seed=2))
    want = numpy_of((y, *torch.autograd.grad(y, (x, weight), g)))
    got = [
        ops.conv2d(x.detach().numpy(), weight.detach().numpy(), **options),
        ops.conv2d_input_grad(tuple(x.shape), weight.detach().numpy(), g.numpy(), **options),
        ops.conv2d_weight_grad(x.detach().numpy(), weight_size, g.numpy(), **options),
    ]
    assert all(compare([ours], [theirs]) < 1e-12 for ours, theirs in zip(got, want, strict=True))


def test_nan_and_infinity_reach_exactly_the_outputs_that_see_them():
    x = np.zeros((1, 1, 9, 40), np.float32)
    x[0, 0, 4, 20], x[0, 0, 0, 0] = np.nan, np.inf
    weight = np.ones((2, 1, 3, 3), np.float32)
    want = F.conv2d(torch.from_numpy(x), torch.from_numpy(weight), padding=1).numpy()
    np.testing.assert_array_equal(ops.conv2d(x, weight, padding=1), want)


def test_out_may_be_strided_or_overlap_the_input():
    x, weight = normal(2, 3, 8, 8), normal(3, 3, 3, 3, seed=1)
    want = ops.conv2d(x, weight, padding=1)
    wide = np.zeros((2, 3, 8, 16), np.float32)
    assert ops.conv2d(x, weight, padding=1, out=wide[..., ::2]) is not None
    np.testing.assert_array_equal(wide[..., ::2], want)
    np.testing.assert_array_equal(ops.conv2d(x, weight, padding=1, out=x), want)


def test_weight_gradient_of_an_empty_batch_is_zero():
    got = ops.conv2d_weight_grad(np.empty((0, 3, 5, 5), np.float32), (4, 3, 3, 3), np.empty((0, 4, 3, 3), np.float32))
    np.testing.assert_array_equal(got, np.zeros((4, 3, 3, 3), np.float32))


def test_strides_beyond_the_input_and_wide_padding():
    x, weight = normal(1, 2, 3, 4), normal(3, 2, 2, 2, seed=1)
    np.testing.assert_array_equal(ops.conv2d(x, weight, stride=2**40), ops.conv2d(x, weight)[..., :1, :1])
    wide = {"stride": 500, "padding": 1000}
    want = F.conv2d(torch.from_numpy(x).double(), torch.from_numpy(weight).double(), **wide).numpy()
    assert compare([ops.conv2d(x, weight, **wide)], [want]) < 1e-6


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize(
    ("size", "outputs", "options"),
    [
        ((3, 1, 1), 3, {"stride": 3, "padding": 1}),
        ((40, 1, 7), 7, {"stride": (4, 1), "padding": (1, 0)}),
        ((40, 7, 1), 7, {"stride": (1, 9), "padding": (0, 2)}),
    ],
)
def test_single_taps_that_see_the_padding_alone_give_zero(samples, size, outputs, options):
    x, weight = np.ones((samples, *size), np.float32), np.ones((outputs, size[0], 1, 1), np.float32)
    got = ops.conv2d(x, weight, **options)
    np.testing.assert_array_equal(got, np.zeros_like(got))
    np.testing.assert_array_equal(ops.PackedConv2d(weight, input_size=size, **options)(x), got)
    weight_grad = ops.conv2d_weight_grad(x, weight.shape, np.ones_like(got), **options)
    np.testing.assert_array_equal(weight_grad, np.zeros_like(weight))


X, W = normal(2, 4, 6, 7), normal(6, 4, 3, 3)
G = normal(2, 6, 4, 5)

BAD = [
    ("input .* shape", lambda: ops.conv2d(X[0, 0], W)),
    ("weight .* shape", lambda: ops.conv2d(X, W[0])),
    ("input must have 3 channels", lambda: ops.conv2d(X, W[:, :3])),
    ("input must have 8 channels", lambda: ops.conv2d(X, W, groups=2)),
    ("bias .* shape", lambda: ops.conv2d(X, W, X[0, 0, 0])),
    ("groups must divide", lambda: ops.conv2d(X, W[:, :1], groups=4)),
    ("groups must be at least 1", lambda: ops.conv2d(X, W, groups=0)),
    ("weight must not reach", lambda: ops.conv2d(X, normal(1, 4, 9, 3), padding=1)),
    ("stride must be at least 1, got 0", lambda: ops.conv2d(X, W, stride=0)),
    (r"stride\[1\] must be at least 1, got -1", lambda: ops.conv2d(X, W, stride=(1, -1))),
    ("stride must be an integer or a pair", lambda: ops.conv2d(X, W, stride=(1, 1, 1))),
    ("padding must be at least 0", lambda: ops.conv2d(X, W, padding=-1)),
    ("padding must leave", lambda: ops.conv2d(X, W, padding=2**40)),
    ("padding must be integers, 'same' or 'valid'", lambda: ops.conv2d(X, W, padding="full")),
    ("got 'same' and stride", lambda: ops.conv2d(X, W, padding="same", stride=2)),
    ("dilation must be at least 1", lambda: ops.conv2d(X, W, dilation=0)),
    ("it spans 2199023255553", lambda: ops.conv2d(X, W, dilation=2**40)),
    ("weight must have no axis of extent 0", lambda: ops.conv2d(X[:, :0], W[:, :0])),
    ("activation must be", lambda: ops.conv2d(X, W, activation="tanh")),
    ("algorithm must be", lambda: ops.conv2d(X, W, algorithm="fft")),
    (r"grad_output must have shape \(2, 6, 4, 5\)", lambda: ops.conv2d_input_grad(X.shape, W, G[:, :, :3])),
    (r"input_size must be \(N, C, H, W\)", lambda: ops.conv2d_input_grad(X.shape[1:], W, G)),
    (r"input_size\[2\] must be at least 0", lambda: ops.conv2d_input_grad((2, 4, -6, 7), W, G)),
    ("grad_output must have shape", lambda: ops.conv2d_weight_grad(X, W.shape, G[:1])),
    ("input must have 5 channels", lambda: ops.conv2d_weight_grad(X, (6, 5, 3, 3), G)),
    (r"weight_size must be \(K", lambda: ops.conv2d_weight_grad(X, (6, 4, 3), G)),
    ("input must have samples of shape", lambda: ops.PackedConv2d(W, input_size=(4, 9, 9))(X)),
    ("out must have shape", lambda: ops.conv2d(X, W, out=G[:1])),
]


@pytest.mark.parametrize(("message", "call"), BAD, ids=[message for message, _ in BAD])
def test_wrong_values_are_named(message, call):
    with pytest.raises(ValueError, match=message):
        call()


MIXED = [
    ("weight must be of type float32", lambda: ops.conv2d(X, W.astype(np.float64))),
    ("bias must be of type float32", lambda: ops.conv2d(X, W, np.zeros(6))),
    ("input must be a NumPy array", lambda: ops.conv2d(X.tolist(), W)),
    ("input must be of type float32 or float64, got float16", lambda: ops.conv2d(X.astype(np.float16), W)),
    ("stride must be an integer, got float 1.0", lambda: ops.conv2d(X, W, stride=1.0)),
    ("groups must be an integer, got bool True", lambda: ops.conv2d(X, W, groups=True)),
    ("grad_output must be of type float32", lambda: ops.conv2d_weight_grad(X, W.shape, G.astype(np.float64))),
    ("weight must be of type float32", lambda: ops.conv2d_input_grad(X.shape, W.astype(np.float64), G)),
    ("input_size must be a tuple", lambda: ops.conv2d_input_grad(5, W, G)),
    ("input must be of type float64", lambda: ops.PackedConv2d(W.astype(np.float64), input_size=X.shape[1:])(X)),
]


@pytest.mark.parametrize(("message", "call"), MIXED, ids=[message for message, _ in MIXED])
def test_wrong_types_are_named(message, call):
    with pytest.raises(TypeError, match=message):
        call()
