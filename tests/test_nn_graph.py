"""Networks that are graphs: against the same torch module, shared layers, wiring that does not fit."""

import numpy as np
import pytest
import torch

from advcore import nn


class Residual(torch.nn.Module):
    """A branch and a shortcut added, a gate of the channels, both inputs side by side, one convolution used twice."""

    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = torch.nn.Conv2d(8, 8, 3, padding=1)
        self.gate = torch.nn.Conv2d(8, 8, 1)
        self.head = torch.nn.Linear(11, 5)

    def forward(self, x):
        first = torch.relu(self.conv1(x))
        total = torch.relu(self.conv2(self.conv2(first)) + first - first * 0)
        gated = total * torch.sigmoid(self.gate(total.mean((2, 3), keepdim=True)))
        both = torch.cat([gated, x], 1).mean((2, 3))
        return self.head(both)


def graph(dtype=np.float32):
    conv2 = nn.Conv2d(8, 8, 3, padding=1)
    layers = {
        "conv1": nn.Conv2d(3, 8, 3, padding=1),
        "relu1": nn.ReLU(),
        "conv2": conv2,
        "again": conv2,
        "sum": nn.Add(),
        "relu2": nn.ReLU(),
        "pool": nn.AdaptiveAvgPool2d(1),
        "gate": nn.Conv2d(8, 8, 1),
        "sigmoid": nn.Sigmoid(),
        "gated": nn.Multiply(),
        "both": nn.Concatenate(),
        "mean": nn.AdaptiveAvgPool2d(1),
        "flat": nn.Flatten(),
        "head": nn.Linear(11, 5),
    }
    wiring = {"sum": ("again", "relu1"), "gated": ("relu2", "sigmoid"), "both": ("gated", "input")}
    return nn.Network(layers, wiring=wiring, seed=3, dtype=dtype)


def test_a_graph_is_torchs_module():
    network, module = graph(np.float64), Residual().double()
    state = {name: torch.from_numpy(array) for name, array in network.state_dict().items()}
    module.load_state_dict(state)
    rng = np.random.default_rng(0)
    x, y = rng.random((6, 3, 7, 9)), rng.integers(0, 5, 6)
    leaf = torch.from_numpy(x).requires_grad_()
    logits = module(leaf)
    torch.nn.functional.cross_entropy(logits, torch.from_numpy(y), reduction="sum").backward()
    np.testing.assert_allclose(network.logits(x), logits.detach().numpy(), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(network.loss_gradient(x, y), leaf.grad.numpy(), rtol=1e-9, atol=1e-13)

    values, saved = network.forward(x)
    _, gradient = nn.losses.cross_entropy(values, y)
    below, gradients = network.backward(saved, gradient, need_input=False, need_parameters=True)
    assert below is None
    assert gradients.keys() == network.parameters().keys()
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(gradients[name], parameter.grad.numpy(), rtol=1e-9, atol=1e-13)


def test_a_sample_of_a_graph_keeps_its_bits():
    network = graph()
    x = np.random.default_rng(1).random((9, 3, 8, 8), dtype=np.float32)
    logits, gradient = network.logits(x), network.loss_gradient(x, np.arange(9) % 5)
    np.testing.assert_array_equal(network.logits(x[4:5]), logits[4:5])
    np.testing.assert_array_equal(network.loss_gradient(x[4:5], [4]), gradient[4:5])


def test_what_a_graph_says_of_itself():
    network = graph()
    assert network.wiring["sum"] == ("again", "relu1")
    assert network.wiring["relu1"] == ("conv1",)
    assert "sum: Add() of again, relu1" in repr(network)
    assert network.parameter_count() == sum(array.size for array in network.parameters().values())
    assert "again.weight" not in network.parameters()
    assert network.output_shape((3, 7, 9)) == (5,)
    conv2 = 2 * 8 * 8 * 9 * 7 * 9
    assert network.flops((3, 7, 9)) == 2 * 8 * 3 * 9 * 7 * 9 + 2 * conv2 + 2 * 8 * 8 + 2 * 11 * 5
    activations = network.activations(np.zeros((2, 3, 7, 9), np.float32), ["sum", "both", "flat"])
    assert {name: array.shape[1:] for name, array in activations.items()} == {
        "sum": (8, 7, 9),
        "both": (11, 7, 9),
        "flat": (11,),
    }


def test_training_a_graph_lowers_its_loss():
    network = graph()
    rng = np.random.default_rng(0)
    x, y = rng.random((64, 3, 8, 8), dtype=np.float32), rng.integers(0, 5, 64)
    x += y[:, None, None, None]
    history = nn.fit(network, x, y, epochs=8, batch_size=16, seed=0)
    assert history.epochs[-1].loss < 0.8 * history.epochs[0].loss


def relus(count):
    return {str(index): nn.ReLU() for index in range(count)}


@pytest.mark.parametrize(
    ("layers", "wiring", "error", "message"),
    [
        (relus(2), {"2": ("0",)}, ValueError, "wiring must name layers, got '2'"),
        (relus(2), {"1": ("1",)}, ValueError, r"wiring\['1'\] must name earlier layers or 'input', got '1'"),
        (relus(2), {"1": "0"}, TypeError, r"wiring\['1'\] must be a sequence of names, got str"),
        (relus(2), {"1": ("0", "0")}, ValueError, r"layer 1, ReLU\(\), must have 1 inputs, got 2"),
        (relus(3), {"2": ("0",)}, ValueError, "the output of every layer but the last must be used, got 1 unused"),
        ({"a": nn.Add()}, {}, ValueError, r"layer a, Add\(\), must have at least 2 inputs, got 1"),
        ({"input": nn.ReLU()}, {}, ValueError, "'input' is the name of the network's input"),
    ],
)
def test_wiring_that_does_not_fit_is_refused(layers, wiring, error, message):
    with pytest.raises(error, match=message):
        nn.Network(layers, wiring=wiring)


@pytest.mark.parametrize(
    ("layers", "wiring", "message"),
    [
        ({"f": nn.Flatten(), "a": nn.Add()}, {"a": ("f", "input")}, r"layer a, Add\(\): expected inputs of one shape"),
        ({"f": nn.Flatten(), "m": nn.Multiply()}, {"m": ("f", "input")}, "but for axes of extent 1"),
        ({"p": nn.MaxPool2d(2), "c": nn.Concatenate()}, {"c": ("p", "input")}, "differ in axis 0 alone"),
        ({"c": nn.Concatenate(4)}, {"c": ("input", "input")}, "at least 4 axes"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(layers, wiring, message):
    with pytest.raises(ValueError, match=message):
        nn.Network(layers, wiring=wiring).logits(np.zeros((1, 2, 4, 4), np.float32))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 8, 3, stride=2, padding="valid", groups=1, bias=False),
        nn.Linear(3, 4),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.AvgPool2d(2, count_include_pad=False),
        nn.AdaptiveAvgPool2d((2, 3)),
        nn.GRU(3, 4, num_layers=2, output="last", reset="before"),
        nn.LSTM(3, 4, bidirectional=True),
        nn.RNN(3, 4, bias=False),
        nn.Dropout(0.25),
        nn.GELU("tanh"),
        nn.Concatenate(2),
        nn.Flatten(),
        nn.RowsAsSteps(),
    ],
    ids=repr,
)
def test_a_configuration_makes_the_same_layer(layer):
    assert repr(type(layer)(**layer.config())) == repr(layer)


def test_concatenate_refuses_other_numbers_of_axes() -> None:
    """Without their last axis these agree."""
    with pytest.raises(ValueError, match="expected shapes that differ in axis 1 alone"):
        nn.Concatenate(axis=2).output_shape_all([(3, 4), (3,)])
