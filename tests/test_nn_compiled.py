"""Compiled networks: the bits of their layers one by one, changed weights, copies, several threads at once."""

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import advcore
from advcore import nn, ops
from advcore._bench import memory
from advcore.nn import compiled, passes
from advcore.ops._conv_algorithm import uses_transposed
from advcore.ops._conv_geometry import geometry


def every_step(dtype=np.float32):
    """Return a network with every kind of compiled step."""
    layers = {
        "winograd": nn.Conv2d(3, 16, 3, padding=1),
        "relu1": nn.ReLU(),
        "again": nn.Conv2d(16, 16, 3, padding=1, bias=False),
        "sum": nn.Add(),
        "relu2": nn.ReLU(),
        "depthwise": nn.Conv2d(16, 16, 3, padding=1, groups=16),
        "strided": nn.Conv2d(16, 12, 3, stride=2, padding=1),
        "gelu": nn.GELU(),
        "five": nn.Conv2d(12, 8, 5, padding=2, groups=2),
        "tanh": nn.Tanh(),
        "one": nn.Conv2d(12, 8, 1),
        "sigmoid": nn.Sigmoid(),
        "both": nn.Concatenate(),
        "pool": nn.MaxPool2d(2, ceil_mode=True),
        "mean": nn.AvgPool2d(3, 1, padding=1, count_include_pad=False),
        "adaptive": nn.AdaptiveAvgPool2d((3, 2)),
        "gelu_tanh": nn.GELU("tanh"),
        "flat": nn.Flatten(),
        "dropout": nn.Dropout(0.5),
        "head": nn.Linear(16 * 6, 9),
        "log": nn.LogSoftmax(),
    }
    wiring = {"sum": ("again", "relu1"), "one": ("gelu",), "both": ("tanh", "sigmoid")}
    return nn.Network(layers, wiring=wiring, seed=5, dtype=dtype)


SHAPE = (3, 19, 14)


def images(count, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal((count, *SHAPE)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_compiled_network_has_the_bits_of_its_layers(dtype, threads):
    network, x = every_step(dtype), images(11, dtype)
    cotangent = np.random.default_rng(1).standard_normal((11, 9)).astype(dtype)
    logits, saved = network.forward(x)
    gradient, _ = network.backward(saved, cotangent)
    before = advcore.get_num_threads()
    advcore.set_num_threads(threads)
    try:
        np.testing.assert_array_equal(network.logits(x), logits)
        np.testing.assert_array_equal(network.vjp(x, cotangent), gradient)
        both = network.value_and_vjp(x, lambda z: cotangent)
        np.testing.assert_array_equal(both[0], logits)
        np.testing.assert_array_equal(both[1], gradient)
        for part in (slice(0, 1), slice(3, 8)):
            np.testing.assert_array_equal(network.logits(x[part]), logits[part])
            np.testing.assert_array_equal(network.vjp(x[part], cotangent[part]), gradient[part])
    finally:
        advcore.set_num_threads(before)


def pooled_after_relu(dtype):
    """Return a network whose poolings take a ReLU's output: alone, with others, and the ReLU of a sum of such."""
    layers = {
        "a": nn.Conv2d(3, 8, 3, padding=1),
        "relu_a": nn.ReLU(),
        "pool_a": nn.MaxPool2d(3, 2, 1),
        "b": nn.Conv2d(8, 8, 3, padding=1),
        "relu_b": nn.ReLU(),
        "sum": nn.Add(),
        "relu_sum": nn.ReLU(),
        "pool_sum": nn.MaxPool2d(2),
        "c": nn.Conv2d(8, 8, 1),
        "relu_c": nn.ReLU(),
        "pool_c": nn.MaxPool2d(3, 1, 1),
        "beside": nn.Add(),
        "flat": nn.Flatten(),
        "d": nn.Linear(8 * 5 * 3, 6),
        "relu_d": nn.ReLU(),
        "head": nn.Linear(6, 9),
    }
    wiring = {"sum": ("relu_b", "pool_a"), "beside": ("pool_c", "relu_c")}
    network = nn.Network(layers, wiring=wiring, seed=3, dtype=dtype)
    for name, array in network.parameters().items():
        if name.endswith("bias"):
            array -= 0.2  # many zeros
    return network


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_poolings_after_relu_have_the_gradients_of_the_layers_one_by_one(dtype):
    network, x = pooled_after_relu(dtype), images(7, dtype)
    x[3] = 0.25  # flat: ties
    cotangent = np.random.default_rng(1).standard_normal((7, 9)).astype(dtype)
    nodes = network._nodes
    logits, saved = passes.forward(nodes, x, None)
    gradient, parts = passes.backward(nodes, saved, cotangent, frozenset(network.layers), True)
    np.testing.assert_array_equal(network.vjp(x, cotangent), gradient)
    joint_logits, saved = network.forward(x)
    joint, joint_parts = network.backward(saved, cotangent, need_parameters=True)
    np.testing.assert_array_equal(joint_logits, logits)
    np.testing.assert_array_equal(joint, gradient)
    for name, part in parts.items():
        np.testing.assert_array_equal(joint_parts[name], part, err_msg=name)
    inside = network.activations(x, ["relu_a", "pool_sum"])
    np.testing.assert_array_equal(inside["relu_a"], dict(passes.values(nodes, x))["relu_a"])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("groups", [1, 2])
def test_input_gradients_by_the_transposed_transforms_have_the_bits_of_the_operation(dtype, groups):
    conv = nn.Conv2d(24, 32, 3, groups=groups)
    network = nn.Sequential(conv, seed=2, dtype=dtype)
    cotangent = np.random.default_rng(0).standard_normal((5, 32, 8, 8)).astype(dtype)
    x = np.zeros((5, 24, 10, 10), dtype)
    weight = conv.parameters["weight"]
    expected = ops.conv2d_input_grad(x.shape, weight, cotangent, groups=groups)
    np.testing.assert_array_equal(network.vjp(x, cotangent), expected)
    assert uses_transposed(weight.shape, geometry(x.shape, weight.shape, 1, 0, 1, groups), (10, 10))
    with_norm = nn.Sequential(conv, nn.BatchNorm(32), seed=2, dtype=dtype)
    with_norm.layers["1"].buffers["running_var"][...] = 4.0
    folded = ops.conv2d_input_grad(x.shape, weight * dtype(0.5), cotangent, groups=groups)
    tolerance = 1e-4 if dtype == np.float32 else 1e-5  # batch normalisation's own eps beside the variance
    np.testing.assert_allclose(with_norm.vjp(x, cotangent), folded, rtol=tolerance, atol=tolerance)


def test_poolings_after_relu_have_torchs_gradients():
    torch = pytest.importorskip("torch")
    network, x = pooled_after_relu(np.float64), images(7, np.float64)
    given = torch.tensor(x, requires_grad=True)
    cotangent = np.random.default_rng(1).standard_normal((7, 9))
    network.to_torch()(given).backward(torch.tensor(cotangent))
    expected = given.grad.numpy()
    np.testing.assert_allclose(network.vjp(x, cotangent), expected, rtol=1e-9, atol=1e-12 * abs(expected).max())


def test_it_is_the_program_that_runs(monkeypatch):
    network, x = every_step(), images(3)

    def refuse(*_):
        raise AssertionError("a layer ran by itself")

    monkeypatch.setattr(passes, "values", refuse)
    monkeypatch.setattr(passes, "forward", refuse)
    assert network.logits(x).shape == (3, 9)
    assert network.loss_gradient(x, [0, 1, 2]).shape == x.shape


def test_a_layer_without_a_compiled_form_leaves_the_network_to_its_layers():
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.LeakyReLU(0.2))
    x = np.random.default_rng(0).standard_normal((5, 3, 4)).astype(np.float32)
    np.testing.assert_array_equal(network.logits(x), network.forward(x)[0])
    only_reshapes = nn.Sequential(nn.Flatten())
    assert not compiled.compiles(compiled.join(only_reshapes._nodes), {"input": (3, 4), "0": (12,)})


def test_linear_layers_alone_keep_nothing_and_have_gradients():
    x, logit = np.zeros((3, 4), np.float32), np.eye(2, dtype=np.float32)[[0, 1, 0]]
    network = nn.Sequential(nn.Linear(4, 2))
    weight = network.parameters()["0.weight"]
    np.testing.assert_array_equal(network.value_and_vjp(x, lambda logits: logit)[1], weight[[0, 1, 0]])
    both = network.value_and_vjps(x, lambda logits: np.stack([logit, 2 * logit]), 2)[1]
    np.testing.assert_array_equal(both, [weight[[0, 1, 0]], 2 * weight[[0, 1, 0]]])


def test_values_that_are_used_twice_gather_their_gradients():
    layers = {"a": nn.Linear(6, 6), "twice": nn.Add(), "c": nn.Linear(6, 6), "all": nn.Add()}
    network = nn.Network(layers, wiring={"twice": ("a", "a"), "all": ("c", "a", "input", "twice")}, dtype=np.float64)
    x, cotangent = np.random.default_rng(0).standard_normal((2, 7, 6))
    a, c = network.parameters()["a.weight"], network.parameters()["c.weight"]
    expected = cotangent @ (np.eye(6) + (2 * c + 3 * np.eye(6)) @ a)
    np.testing.assert_allclose(network.vjp(x, cotangent), expected, rtol=1e-12)


def test_weights_that_change_are_noticed():
    network, x = every_step(), images(2)
    other = every_step()
    other.load_state_dict({name: array * 1.5 for name, array in network.state_dict().items()})

    def check(message):
        np.testing.assert_array_equal(network.logits(x), network.forward(x)[0], err_msg=message)

    before = network.logits(x)
    network.load_state_dict(other.state_dict())
    assert not np.array_equal(network.logits(x), before)
    check("a loaded state")
    handed_out = network.parameters()["head.bias"]
    handed_out += 1
    check("an array changed at once")
    handed_out[0] -= 3
    check("the same array changed later")
    network.layers["winograd"].parameters["weight"][0, 0, 0, 0] += 1
    check("a layer's parameters")
    before = network.logits(x)
    nn.fit(network, images(32), np.arange(32) % 9, epochs=1, batch_size=16)
    assert not np.array_equal(network.logits(x), before)
    check("trained")


def test_weights_that_change_between_logits_and_gradients_are_noticed():
    network, x = every_step(), images(2)
    cotangent = np.ones((2, 9), np.float32)
    network.logits(x)  # the way back is not made yet, and the weights are the network's own
    for array in network.parameters().values():
        array *= 1.25
    _, saved = network.forward(x)
    np.testing.assert_array_equal(network.vjp(x, cotangent), network.backward(saved, cotangent)[0])


@pytest.mark.skipif(not memory.SUPPORTED, reason="the system has no /proc")
def test_weights_are_kept_once_where_they_serve_as_they_are():
    network = nn.Sequential(nn.Linear(4000, 4000), nn.ReLU(), nn.Linear(4000, 3))
    x = np.ones((2, 4000), np.float32)
    memory.trim()
    before = memory.held()
    network.loss_gradient(x, np.array([0, 2]))
    memory.trim()
    assert memory.held() - before < 4 * 4000 * 4000 / 2


def test_layers_shared_with_a_network_that_is_trained():
    network, x = every_step(), images(2)
    features = nn.Network(dict(list(network.layers.items())[:2]))
    before = features.logits(x)
    nn.fit(network, images(16), np.arange(16) % 9, epochs=1)
    assert not np.array_equal(features.logits(x), before)
    np.testing.assert_array_equal(features.logits(x), network.activations(x, ["relu1"])["relu1"])


def test_copies_are_compiled_anew():
    network, x = every_step(), images(2)
    logits = network.logits(x)
    copied = copy.deepcopy(network)
    np.testing.assert_array_equal(copied.logits(x), logits)
    copied.parameters()["head.bias"][...] = 7
    np.testing.assert_array_equal(network.logits(x), logits)
    assert not np.array_equal(copied.logits(x), logits)


def test_several_threads_may_call_one_network():
    network, x = every_step(), images(24)
    logits, gradient = network.logits(x), network.loss_gradient(x, np.arange(24) % 9)

    def ask(index):
        part = slice(index % 20, index % 20 + 4)
        labels = np.arange(24)[part] % 9
        return part, network.logits(x[part]), network.loss_gradient(x[part], labels)

    with ThreadPoolExecutor(4) as pool:
        for part, own, own_gradient in pool.map(ask, range(40)):
            np.testing.assert_array_equal(own, logits[part])
            np.testing.assert_array_equal(own_gradient, gradient[part])


def test_samples_of_many_shapes():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    for size in range(3, 16):
        x = np.random.default_rng(size).random((2, 1, size, size + 1), dtype=np.float32)
        np.testing.assert_array_equal(network.logits(x), network.forward(x)[0])


def test_nan_and_infinity_pass():
    network, x = every_step(), images(3)
    expected = network.logits(x)
    x[1] = np.nan
    got = network.logits(x)
    assert np.isnan(got[1]).all()
    np.testing.assert_array_equal(got[[0, 2]], expected[[0, 2]])


def residual(dtype):
    """Return a residual block: batch normalisations after convolutions and a linear layer, and a sum before a ReLU."""
    layers = {
        "conv1": nn.Conv2d(3, 16, 3, padding=1, bias=False),
        "norm1": nn.BatchNorm(16),
        "relu1": nn.ReLU(),
        "conv2": nn.Conv2d(16, 16, 3, padding=1),
        "norm2": nn.BatchNorm(16, affine=False),
        "sum": nn.Add(),
        "relu2": nn.ReLU(),
        "pool": nn.AdaptiveAvgPool2d(1),
        "flat": nn.Flatten(),
        "hidden": nn.Linear(16, 12),
        "norm3": nn.BatchNorm(12),
        "head": nn.Linear(12, 4),
    }
    network = nn.Network(layers, wiring={"sum": ("norm2", "relu1")}, seed=1, dtype=dtype)
    rng = np.random.default_rng(3)
    state = {name: array + 0.5 * rng.random(array.shape) for name, array in network.state_dict().items()}
    network.load_state_dict({name: array.astype(dtype) for name, array in state.items()})
    return network


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-13)])
def test_batch_normalisations_are_folded_into_products(dtype, tolerance):
    network, x = residual(dtype), images(7, dtype)
    steps = compiled.join(network._nodes)
    assert [step.name for step in steps] == ["relu1", "norm2", "relu2", "pool", "flat", "norm3", "head"]
    cotangent = np.random.default_rng(1).standard_normal((7, 4)).astype(dtype)
    logits, saved = network.forward(x)
    gradient, _ = network.backward(saved, cotangent)
    np.testing.assert_allclose(network.logits(x), logits, rtol=0, atol=tolerance * np.abs(logits).max())
    np.testing.assert_allclose(
        network.vjp(x, cotangent), gradient, rtol=0, atol=10 * tolerance * np.abs(gradient).max()
    )
    np.testing.assert_array_equal(network.logits(x[2:3]), network.logits(x)[2:3])


def test_new_running_statistics_are_noticed():
    network, x = residual(np.float32), images(5)
    before = network.logits(x)
    network.forward(x, np.random.default_rng(0))  # training mode
    after = network.logits(x)
    assert not np.array_equal(after, before)
    np.testing.assert_allclose(after, network.forward(x)[0], rtol=0, atol=1e-4 * np.abs(after).max())
