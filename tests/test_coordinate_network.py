"""Differences that are propagated through networks, against whole passes in float64: shapes, ties, borders, bits."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import advcore
from advcore import models, nn, ops
from advcore._perturb import Perturbed
from advcore.nn._coordinates import CoordinateProbe

ONE, TWO = (1, 1), (2, 2)


def pair(draw, low, high):
    return draw(st.integers(low, high)), draw(st.integers(low, high))


@st.composite
def networks(draw):
    """Draw a network on small images, some kernels of which are zero, and a shape of its samples."""
    shape = (draw(st.integers(1, 3)), draw(st.integers(3, 8)), draw(st.integers(3, 8)))
    layers, wiring = {}, {}

    def add(layer, inputs=None):
        nonlocal shape
        try:
            after = layer.output_shape(shape) if inputs is None else layer.output_shape_all([shapes[i] for i in inputs])
        except ValueError:
            return False
        if 0 in after:
            return False
        name = f"layer{len(layers)}"
        if inputs is not None:
            wiring[name] = inputs
        layers[name], shapes[name], shape = layer, after, after
        return True

    shapes = {"input": shape}
    kinds = ["conv", "conv", "depthwise", "max", "average", "norm", "residual", "concatenate", "point", "point"]
    for kind in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=6)):
        before = list(layers)[-1] if layers else "input"
        channels = shape[0]
        if kind in ("conv", "depthwise"):
            groups = (
                channels if kind == "depthwise" else draw(st.sampled_from([g for g in (1, 2) if channels % g == 0]))
            )
            outputs = channels * draw(st.integers(1, 2)) if kind == "depthwise" else groups * draw(st.integers(1, 9))
            options = {"stride": pair(draw, 1, 3), "padding": pair(draw, 0, 2), "dilation": pair(draw, 1, 2)}
            if add(nn.Conv2d(channels, outputs, pair(draw, 1, 3), groups=groups, **options)) and draw(st.booleans()):
                add(nn.ReLU())
        elif kind == "max":
            kernel = pair(draw, 1, 3)
            padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
            add(nn.MaxPool2d(kernel, pair(draw, 1, 3), padding, pair(draw, 1, 2), draw(st.booleans())))
        elif kind == "average":
            kernel = pair(draw, 1, 3)
            padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
            add(
                draw(
                    st.sampled_from(
                        [
                            nn.AvgPool2d(kernel, pair(draw, 1, 3), padding, draw(st.booleans()), draw(st.booleans())),
                            nn.AdaptiveAvgPool2d(pair(draw, 1, 4)),
                        ]
                    )
                )
            )
        elif kind == "norm":
            add(draw(st.sampled_from([nn.BatchNorm(channels), nn.Normalize(0.3, 0.7), nn.Scale(-1.5, 0.2)])))
        elif kind == "residual":
            add(nn.Conv2d(channels, channels, 3, padding=1))
            if draw(st.booleans()):
                add(nn.ReLU())
            add(draw(st.sampled_from([nn.Add(), nn.Subtract()])), (list(layers)[-1], before))
            if draw(st.booleans()):
                add(nn.ReLU())
        elif kind == "concatenate":
            if add(nn.Conv2d(channels, 3, 1)):
                add(nn.Concatenate(), (list(layers)[-1], before))
        else:
            points = [nn.ReLU(), nn.LeakyReLU(0.2), nn.Clip(-0.5, 0.5), nn.Tanh(), nn.Sigmoid(), nn.GELU()]
            add(draw(st.sampled_from([*points, nn.GELU("tanh"), nn.Dropout(0.5)])))
    add(nn.Flatten())
    add(nn.Linear(shape[0], 5))
    if draw(st.booleans()):
        add(draw(st.sampled_from([nn.ReLU(), nn.LogSoftmax(), nn.Softmax()])))
    seed = draw(st.integers(0, 2**20))
    network = nn.Network(layers, wiring=wiring, seed=seed, dtype=draw(st.sampled_from([np.float32, np.float64])))
    rng = np.random.default_rng(seed)
    state = network.state_dict()
    for name, array in state.items():
        if name.endswith("running_var"):
            array[...] = rng.uniform(0.5, 2, array.shape)
        elif array.ndim > 1 and draw(st.booleans()):
            array[rng.integers(len(array))] = 0  # a zero kernel
    network.load_state_dict(state)
    return network, shapes["input"], rng


@settings(deadline=None, max_examples=60)
@given(networks(), st.booleans(), st.sampled_from([1e-3, 0.25]), st.sampled_from([None, (0.0, 1.0)]))
def test_random_networks(assert_agree, drawn, flat, h, bounds):
    network, shape, rng = drawn
    x = rng.uniform(0, 1, (2, *shape)).astype(network.dtype)
    if flat:
        x = np.round(x * 2) / 2  # ties, and numbers at the bounds
    assume(np.isfinite(network.logits(x)).all())  # the maximum of a window of padding alone is not
    coordinates = np.stack([rng.permutation(x[0].size)[:7] for _ in x]) if x[0].size >= 7 else np.zeros((2, 1), int)
    rtol = 1e-6 if network.dtype == np.float64 else 1e-3  # of the largest difference
    if network.dtype == np.float32 and flat:
        return  # rounding of the layers before decides ties otherwise than float64 does
    assert_agree(network, x, coordinates, h, bounds, rtol)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("background", [0.0, 0.7, None])
def test_carlini(assert_agree, dtype, background):
    network = models.carlini_mnist(dtype=dtype)
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (2, 1, 28, 28)).astype(dtype)
    if background is not None:
        x[:, :, :9], x[:, :, :, 20:] = background, background
    borders = np.array([0, 27, 28 * 27, 783, 14, 28 * 14, 28 * 14 + 27, 400, 401, 700])
    got = assert_agree(network, x, np.stack([borders, borders[::-1]]), 1e-4, rtol=1e-6 if dtype == np.float64 else 1e-4)
    if background is None:
        assert got.reflected > 10


def test_cosine_with_the_gradient_in_float32(whole):
    network = models.carlini_mnist()
    x = np.random.default_rng(3).uniform(0, 1, (1, 1, 28, 28)).astype(np.float32)
    coordinates = np.arange(0, 784, 5)
    gradient = ops.coordinate_gradient(network, x[0], coordinates, objective=lambda z: z[:, 3] - z[:, 4], h=1e-4)
    _, plus, minus = whole(network, x, coordinates[None], 1e-4)
    distances = Perturbed(x, coordinates[None], 1e-4).distances[0]
    truth = ((plus - minus)[0] @ (np.eye(10)[3] - np.eye(10)[4])) / distances
    assert gradient @ truth / np.linalg.norm(gradient) / np.linalg.norm(truth) >= 0.99999


def test_nothing_changes_where_nothing_reaches():
    network = nn.Sequential(nn.Conv2d(2, 3, 1, stride=3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4))
    x = np.random.default_rng(0).uniform(0, 1, (1, 2, 6, 6)).astype(np.float32)
    values = CoordinateProbe(network).values(x, np.arange(72)[None], 0.1)
    reached = np.zeros((2, 6, 6), bool)
    reached[:, ::3, ::3] = True
    moved = (values.plus != values.base[:, None]).any(axis=2) | (values.minus != values.base[:, None]).any(axis=2)
    np.testing.assert_array_equal(moved[0], reached.ravel())


def test_zero_kernels_change_nothing():
    network = models.carlini_mnist()
    network.parameters()["2.weight"][...] = 0
    x = np.zeros((1, 1, 28, 28), np.float32)
    values = CoordinateProbe(network).values(x, np.arange(5)[None], 0.1)
    np.testing.assert_array_equal(values.plus, np.broadcast_to(values.base[:, None], values.plus.shape))


def test_a_tie_in_a_pooling_window_is_a_kink():
    network = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1, 2, bias=False), dtype=np.float64)
    network.parameters()["2.weight"][...] = [[1.0], [-2.0]]
    tied = CoordinateProbe(network).values(np.full((1, 1, 2, 2), 0.5), np.array([[0, 3]]), 0.25)
    np.testing.assert_array_equal(tied.plus[0], [[0.75, -1.5]] * 2)
    np.testing.assert_array_equal(tied.minus[0], [[0.5, -1.0]] * 2)
    assert tied.reflected == 0
    x = np.array([0.875, 0.5, 0.5, 0.5]).reshape(1, 1, 2, 2)
    clear = CoordinateProbe(network).values(x, np.array([[0, 3]]), 0.125)
    np.testing.assert_allclose(clear.minus[0], [[0.75, -1.5], [0.875, -1.75]])
    assert clear.reflected == 2


@pytest.mark.parametrize("network", [models.carlini_mnist(), models.lenet()])
def test_same_bits_for_any_threads_and_company(network):
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 1, (3, 1, 28, 28)).astype(np.float32)
    coordinates = np.stack([rng.permutation(784)[:50] for _ in x])
    before = advcore.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            advcore.set_num_threads(threads)
            results.append(CoordinateProbe(network).values(x, coordinates, 1e-2))
        for one, two in zip(results[0][:4], results[1][:4], strict=True):
            np.testing.assert_array_equal(one, two)
    finally:
        advcore.set_num_threads(before)
    for n in range(3):
        alone = CoordinateProbe(network).values(x[n : n + 1], coordinates[n : n + 1, ::-1][:, :3].copy(), 1e-2)
        np.testing.assert_array_equal(alone.plus[0], results[0].plus[n, ::-1][:3])
        np.testing.assert_array_equal(alone.minus[0], results[0].minus[n, ::-1][:3])


def test_layers_that_do_not_propagate_run_whole(assert_agree):
    network = models.lstm_classifier((1, 5, 4), 2, hidden_size=3, batch_norm=True)
    x = np.random.default_rng(0).uniform(0, 1, (2, 1, 5, 4)).astype(np.float32)
    assert_agree(network, x, np.array([[0, 19, 7]] * 2), 1e-4, rtol=1e-9, propagated=False)


def test_bounds_and_long_steps(assert_agree):
    network = models.carlini_mnist(dtype=np.float64)
    x = np.zeros((1, 1, 28, 28))
    x[..., 10:15, 10:15] = 1
    coordinates = np.array([[0, 290, 291, 10 * 28 + 9, 783]])
    got = assert_agree(network, x, coordinates, 0.4, (0.0, 1.0))
    np.testing.assert_array_equal(got.minus[0, 0], got.base[0])
    np.testing.assert_array_equal(got.plus[0, 1], got.base[0])


def test_rows_of_numbers(assert_agree):
    network = nn.Sequential(nn.Linear(300, 40), nn.ReLU(), nn.Linear(40, 3), dtype=np.float64)
    x = np.random.default_rng(0).normal(size=(3, 300))
    assert_agree(network, x, np.array([[0, 299, 1, 256]] * 3), 1e-2)


def test_changed_weights_are_noticed_and_copies_are_independent(assert_agree):
    network = models.carlini_mnist()
    x = np.random.default_rng(0).uniform(0, 1, (1, 1, 28, 28)).astype(np.float32)
    coordinates = np.array([[5, 100, 391]])
    before = network.coordinate_values(x, coordinates, 1e-3)
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        np.testing.assert_array_equal(other.coordinate_values(x, coordinates, 1e-3).plus, before.plus)
    network.parameters()["16.weight"][...] *= 2
    after = network.coordinate_values(x, coordinates, 1e-3)
    assert not np.array_equal(after.plus, before.plus)
    assert_agree(network, x, coordinates, 1e-3, rtol=1e-4)


def test_no_samples_and_no_coordinates():
    network = models.carlini_mnist()
    values = network.coordinate_values(np.empty((0, 1, 28, 28), np.float32), np.empty((0, 4), np.int64), 1e-3)
    assert values.base.shape == (0, 10)
    assert values.plus.shape == (0, 4, 10)
    values = network.coordinate_values(np.zeros((2, 1, 28, 28), np.float32), np.empty((2, 0), np.int64), 1e-3)
    assert values.minus.shape == (2, 0, 10)


def test_values_come_back_from_ops():
    network = models.carlini_mnist(dtype=np.float64)
    x = np.random.default_rng(0).uniform(0, 1, (1, 28, 28))
    asked = np.array([3, 300, 301])
    options = {"objective": lambda z: z[:, 0] ** 2, "h": 1e-3, "bounds": (0, 1), "return_values": True}
    through_layers = ops.coordinate_gradient(network, x, asked, **options)
    called = ops.coordinate_gradient(lambda batch: network.logits(batch), x, asked, **options)
    for ours, theirs in zip(through_layers, called, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    with pytest.raises(TypeError, match="x must be of type float64"):
        ops.coordinate_gradient(network, x.astype(np.float32), asked, objective=lambda z: z[:, 0])
