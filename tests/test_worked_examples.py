"""Worked examples with answers computed by hand."""

import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from advcore import nn, ops
from advcore.nn import losses

EXAMPLES = json.loads((Path(__file__).parent / "data" / "worked_examples.json").read_text())
close = pytest.approx


def array(value):
    return np.asarray(value, np.float64)


def test_mlp_forward():
    e = EXAMPLES["mlp_forward"]
    weights = [array(e["W1"]), array(e["W2"]), array([e["W3"]])]
    sizes = [3, *(len(w) for w in weights)]
    layers = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair, False), nn.ReLU())]
    network = nn.Sequential(*layers, dtype=np.float64)
    network.load_state_dict(dict(zip(network.parameters(), weights, strict=True)))
    x = array([e["x"]])
    hidden = network.activations(x, ["1", "3"])
    np.testing.assert_allclose(hidden["1"][0], e["h1"], atol=1e-6)
    np.testing.assert_allclose(hidden["3"][0], e["h2"], atol=1e-6)
    np.testing.assert_allclose(network.logits(x), [[e["y"]]], atol=1e-6)


def test_conv2d_cross_correlation():
    e = EXAMPLES["conv2d_cross_correlation"]
    got = ops.conv2d(array([[e["x"]]]), array([[e["kernel"]]]))
    np.testing.assert_allclose(got[0, 0], e["y"], atol=1e-6)


def test_pool_2x2_stride1():
    e = EXAMPLES["pool_2x2_stride1"]
    x = array([[e["x"]]])
    np.testing.assert_allclose(nn.MaxPool2d(2, 1).infer(x)[0, 0], e["max"], atol=1e-6)
    np.testing.assert_allclose(nn.AvgPool2d(2, 1).infer(x)[0, 0], e["avg"], atol=1e-6)


def test_conv_parameters():
    e = EXAMPLES["conv_parameters"]
    for text, counts in e.items():
        if not text.startswith("dense"):
            layer = eval(text, vars(nn))
            assert math.prod(layer.parameter_shapes["weight"]) == counts["weights"]
            assert math.prod(layer.parameter_shapes["bias"]) == counts["biases"]
            assert layer.parameter_count() == counts["weights"] + counts["biases"]
    dense = nn.Linear(224 * 224 * 3, 224 * 224 * 64, bias=False)
    assert dense.parameter_count() == e["dense 224x224x3 to 224x224x64"]


def test_pool_coverage():
    e = EXAMPLES["pool_coverage"]["AvgPool2d(2, stride=4) on 200x200"]
    network = nn.Sequential(nn.AvgPool2d(2, stride=4), dtype=np.float64)
    assert network.output_shape((1, 200, 200)) == (1, *e["output"])
    assert nn.AvgPool2d(2, stride=4).used_share((1, 200, 200)) == close(1 - e["inputs_unused_fraction"])
    gradient = network.vjp(np.zeros((1, 1, 200, 200)), np.ones((1, 1, 50, 50)))
    assert np.count_nonzero(gradient) == e["inputs_used"]
    assert np.mean(gradient == 0) == close(e["inputs_unused_fraction"])


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.AvgPool2d(2, stride=3, padding=1), (2, 9, 10)),
        (nn.AvgPool2d((3, 2), stride=(5, 1), ceil_mode=True), (1, 13, 7)),
        (nn.AdaptiveAvgPool2d((3, 2)), (1, 8, 5)),
    ],
)
def test_the_used_share_is_where_the_mean_has_a_gradient(layer, shape):
    network = nn.Sequential(layer, dtype=np.float64)
    gradient = network.vjp(np.zeros((1, *shape)), np.ones((1, *network.output_shape(shape))))
    assert layer.used_share(shape) == close(np.mean(gradient != 0))


def test_dilated_windows_leave_gaps():
    assert nn.MaxPool2d(2, stride=5, dilation=2).used_share((3, 10, 10)) == close((4 / 10) ** 2)


@pytest.mark.parametrize(("d_x", "d_h"), [(28, 64), (1, 1), (7, 3)])
def test_rnn_parameters_one_bias(d_x, d_h):
    e = EXAMPLES["rnn_parameters_one_bias"]
    for name, layer in (("gru", nn.GRU(d_x, d_h)), ("lstm", nn.LSTM(d_x, d_h))):
        assert layer.parameter_count(one_bias=True) == eval(e[name], {"d_x": d_x, "d_h": d_h})


def test_multiclass_hinge():
    e = EXAMPLES["multiclass_hinge"]
    loss, gradient = losses.multiclass_hinge(array([e["scores"]]), np.array([e["label"]]))
    assert loss[0] == close(e["loss"], abs=1e-6)
    np.testing.assert_array_equal(gradient[0], e["gradient"])
    _, at_kink = losses.multiclass_hinge(array([[2.0, 1.0]]), np.array([0]))
    np.testing.assert_array_equal(at_kink, [[-1, 1]])


def test_rbf_metric_loss():
    e = EXAMPLES["rbf_metric_loss"]
    distances = array([e["distances"]])
    loss, gradient = losses.rbf_metric_loss(distances, np.array([e["label"]]), lambda_=e["lambda"])
    assert loss[0] == close(e["loss"], abs=1e-6)
    np.testing.assert_array_equal(gradient, [[1, 0, -1]])


def test_noise_class_loss():
    e = EXAMPLES["noise_class_loss"]
    loss, gradient = losses.noise_class_loss(array([e["distances"]]), lambda_=e["lambda"])
    assert loss[0] == close(e["loss"], abs=1e-6)
    np.testing.assert_array_equal(gradient, [[-1, 0, -1]])


def test_laplacian_rbf_network():
    rng = np.random.default_rng(0)
    x, centres = rng.standard_normal((5, 3)), rng.standard_normal((4, 3))
    weights = rng.standard_normal(4)
    y, gradient = nn.laplacian_rbf_network(x, centres, weights)
    for sample, value, slope in zip(x, y, gradient, strict=True):
        a = [math.exp(-sum(abs(sample - c))) for c in centres]
        assert value == close(sum(w * bump for w, bump in zip(weights, a, strict=True)))
        expected = -sum(w * bump * np.sign(sample - c) for w, bump, c in zip(weights, a, centres, strict=True))
        np.testing.assert_allclose(slope, expected, atol=1e-12)
    total = np.abs(weights).sum()
    assert np.all(np.abs(gradient).sum(1) <= 3 * total)
    assert np.all(np.abs(gradient) <= total)


def test_tanh_rnn_two_steps():
    e = EXAMPLES["tanh_rnn_two_steps"]
    x1, x2, w, h0, t = (e[name] for name in ("x1", "x2", "W", "h0", "t"))
    params = [array([[w]]), array([[1.0]])]
    x, hx = array([[[x1], [x2]]]), array([[[h0]]])
    _, h_n, tape = ops.rnn_tanh(x, hx, params, batch_first=True, return_tape=True)
    h1 = math.tanh(x1 * w + h0)
    h2 = math.tanh(x2 * w + h1)
    assert h_n.item() == close(h2, abs=1e-12)
    _, _, of_params = ops.rnn_tanh_grad(tape, np.zeros((1, 2, 1)), array([[[2 * (h2 - t)]]]))
    expected = 2 * (h2 - t) * (1 - h2**2) * (x2 + (1 - h1**2) * x1)
    assert of_params[0].item() == close(expected, abs=1e-12)


def test_losses_at():
    e = EXAMPLES["losses_at"]
    y, t = array([0.3]), array([1.0])
    for name, options, tolerance in (
        ("squared", {}, 1e-6),
        ("absolute", {}, 1e-6),
        ("huber", {"delta": 0.5}, 1e-6),
        ("epsilon_insensitive", {"epsilon": 0.1}, 1e-6),
        ("log_cosh", {"beta": 2.0}, e["log_cosh_tolerance"]),
    ):
        assert getattr(losses, name)(y, t, **options)[0].item() == close(e[name], abs=tolerance), name


def test_binary_losses_at():
    e = EXAMPLES["binary_losses_at"]
    for name in ("perceptron", "log", "zero_one"):
        loss, _ = getattr(losses, name)(array([-0.4]), array([1.0]))
        assert loss.item() == close(e[name], abs=e["tolerance"]), name


def test_gelu_tanh():
    x = array(EXAMPLES["gelu_tanh"]["x"])
    expected = [0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))) for v in x]
    np.testing.assert_allclose(nn.GELU("tanh").infer(x), expected, atol=1e-6)


def test_hierarchical_accuracy():
    e = EXAMPLES["hierarchical_accuracy"]
    level = e["two_levels_each"]
    assert nn.hierarchical_accuracy([0.3, 0.7], [[level, level]] * 2) == close(e["path_accuracy"])
    assert nn.hierarchical_accuracy([0.3, 0.7], [[e["flat"]]] * 2) == close(e["flat"])
    assert nn.hierarchical_accuracy([0.25, 0.75], [[1.0], [0.5, 0.8]]) == close(0.25 + 0.75 * 0.4)
    for shares, paths, message in (
        ([0.5], [[1.0]], "leaf_shares must add to 1, got 0.5"),
        ([1.0], [], "path_accuracies must have 1 paths"),
        ([1.0], [[1.5]], r"path_accuracies\[0\] must be at most 1"),
    ):
        with pytest.raises(ValueError, match=message):
            nn.hierarchical_accuracy(shares, paths)


def test_lid_mle():
    e = EXAMPLES["lid_mle"]
    query = np.zeros((1, 1))
    assert ops.lid(query, array(e["distances_sorted"])[:, np.newaxis], e["k"])[0] == close(e["lid"], abs=1e-6)
    assert ops.lid(query, array([[0.0], [2.0], [4.0]]), 3)[0] == 0
    assert ops.lid(query, array([[3.0], [-3.0], [3.0]]), 3)[0] == np.inf


def test_two_hinge_pieces():
    e = EXAMPLES["two_hinge_pieces"]
    network = nn.Sequential(nn.Linear(2, 2, False), nn.ReLU(), nn.Linear(2, 1, False), dtype=np.float64)
    network.load_state_dict({"0.weight": array([[1, 1], [1, -1]]), "2.weight": array([[1, 1]])})
    for value in e["values"]:
        assert network.logits(array([value["x"]])).item() == close(value["y"])
    x = np.random.default_rng(0).standard_normal((200, 2))
    y = network.logits(x)[:, 0]
    for condition, formula in e["pieces"].items():
        names = {"x1": x[:, 0], "x2": x[:, 1]}
        inside = eval(condition.replace("|x2|", "abs(x2)").replace("|x1|", "abs(x1)"), {"abs": np.abs}, names)
        value = eval(formula.replace("2 x1", "2 * x1"), {}, names) + np.zeros(200)
        assert inside.any()
        np.testing.assert_allclose(y[inside], value[inside], atol=1e-12)
    boundary = [(0.5, s) for s in (-0.5, 0.0, 0.5)] + [(s, 1 - s) for s in (0.5, 0.0, -3.0)] + [(-1.0, -2.0)]
    np.testing.assert_allclose(network.logits(array(boundary)), 1)


def test_every_example_has_a_test():
    tests = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert set(EXAMPLES) - {"_about"} <= tests
