"""Every layer against PyTorch in float64: output, gradients for the input and the parameters, shapes, repr."""

import numpy as np
import pytest
import torch

from advcore import nn

IMAGE = (3, 9, 8)
SEQUENCE = (5, 7)

LAYERS = [
    (lambda: nn.Linear(7, 4), SEQUENCE),
    (lambda: nn.Linear(7, 4, bias=False), (7,)),
    (lambda: nn.Conv2d(3, 5, 3), IMAGE),
    (lambda: nn.Conv2d(3, 6, (3, 2), (2, 1), (1, 0), (1, 2), 3, False), IMAGE),
    (lambda: nn.Conv2d(3, 4, 3, padding="same"), IMAGE),
    (lambda: nn.Conv2d(3, 4, (2, 4), padding="same", dilation=2), IMAGE),
    (lambda: nn.Conv2d(3, 4, 3, stride=2, padding="valid"), IMAGE),
    (lambda: nn.MaxPool2d(2), IMAGE),
    (lambda: nn.MaxPool2d((3, 2), (2, 1), (1, 0), (1, 2), True), IMAGE),
    (lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True), IMAGE),
    (lambda: nn.AvgPool2d(2), IMAGE),
    (lambda: nn.AvgPool2d((3, 2), 2, (1, 0), True, False), IMAGE),
    (lambda: nn.AdaptiveAvgPool2d((2, 3)), IMAGE),
    (lambda: nn.AdaptiveAvgPool2d(1), IMAGE),
    (lambda: nn.ReLU(), IMAGE),
    (lambda: nn.GELU(), IMAGE),
    (lambda: nn.GELU("tanh"), IMAGE),
    (lambda: nn.Sigmoid(), IMAGE),
    (lambda: nn.Tanh(), IMAGE),
    (lambda: nn.Softmax(), SEQUENCE),
    (lambda: nn.LogSoftmax(), SEQUENCE),
    (lambda: nn.Flatten(), IMAGE),
    (lambda: nn.RowsAsSteps(), IMAGE),
    (lambda: nn.Dropout(0.3), IMAGE),
    (lambda: nn.BatchNorm(3), IMAGE),
    (lambda: nn.BatchNorm(7, 1e-3, 0.3), (7,)),
    (lambda: nn.BatchNorm(5, affine=False), SEQUENCE),
    (lambda: nn.LayerNorm(7), SEQUENCE),
    (lambda: nn.LayerNorm((9, 8), 1e-3), IMAGE),
    (lambda: nn.LayerNorm(IMAGE, elementwise_affine=False), IMAGE),
    (lambda: nn.GroupNorm(3, 3), IMAGE),
    (lambda: nn.GroupNorm(2, 6, 1e-3), (6,)),
    (lambda: nn.GroupNorm(1, 5, affine=False), SEQUENCE),
    (lambda: nn.InstanceNorm(3), IMAGE),
    (lambda: nn.InstanceNorm(5, 1e-3, True), SEQUENCE),
    *(
        (lambda kind=kind, options=options: kind(7, 6, **options), SEQUENCE)
        for kind in (nn.RNN, nn.GRU, nn.LSTM)
        for options in (
            {},
            {"output": "last"},
            {"num_layers": 2, "bidirectional": True},
            {"num_layers": 2, "bidirectional": True, "output": "last", "bias": False},
        )
    ),
]


@pytest.mark.parametrize(("make", "shape"), LAYERS, ids=[repr(make()) for make, _ in LAYERS])
def test_output_and_gradients_are_pytorchs(make, shape):
    layer = make()
    network = nn.Sequential(layer, seed=3, dtype=np.float64)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4, *shape))
    y, saved = network.forward(x)
    cotangent = rng.standard_normal(y.shape)
    gradient, of_parameters = network.backward(saved, cotangent, need_parameters=True)

    module = network.to_torch()
    leaf = torch.from_numpy(x).requires_grad_()
    expected = module(leaf)
    parameters = list(module.parameters())
    grads = torch.autograd.grad(expected, [leaf, *parameters], torch.from_numpy(cotangent))

    np.testing.assert_allclose(y, expected.detach(), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(network.logits(x), y, rtol=0, atol=0)
    np.testing.assert_allclose(gradient, grads[0], rtol=1e-10, atol=1e-12)
    assert len(of_parameters) == len(parameters) == len(layer.parameter_shapes)
    for name, want in zip(network.parameters(), grads[1:], strict=True):
        np.testing.assert_allclose(of_parameters[name], want, rtol=1e-10, atol=1e-12)
    assert network.output_shape(shape) == y.shape[1:]
    assert layer.parameter_count() == sum(p.numel() for p in parameters)
    assert all(layer.parameters[name].shape == want for name, want in layer.parameter_shapes.items())


@pytest.mark.parametrize(("make", "shape"), LAYERS, ids=[repr(make()) for make, _ in LAYERS])
def test_repr_constructs_the_same_layer(make, shape):
    layer = make()
    assert repr(eval(repr(layer), vars(nn))) == repr(layer)


@pytest.mark.parametrize(("make", "shape"), LAYERS, ids=[repr(make()) for make, _ in LAYERS])
def test_gradient_agrees_with_differences(make, shape):
    network = nn.Sequential(make(), seed=1, dtype=np.float64)
    rng = np.random.default_rng(5)
    x, direction = rng.standard_normal((2, 1, *shape))
    cotangent = rng.standard_normal(network.logits(x).shape)
    h = 1e-6
    slope = (network.logits(x + h * direction) - network.logits(x - h * direction)) / (2 * h)
    expected = np.sum(slope * cotangent)
    got = np.sum(network.vjp(x, cotangent) * direction)
    assert got == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_gru_that_resets_before_the_product():
    network = nn.Sequential(nn.GRU(3, 4, reset="before", output="last"), dtype=np.float64)
    w_ih, w_hh, b_ih, b_hh = (torch.from_numpy(array) for array in network.state_dict().values())
    x = np.random.default_rng(0).standard_normal((2, 5, 3))
    leaf = torch.from_numpy(x).requires_grad_()
    h = torch.zeros(2, 4, dtype=torch.float64)
    for step in leaf.unbind(1):
        i_r, i_z, i_n = (step @ w_ih.T + b_ih).chunk(3, 1)
        u_r, u_z, u_n = w_hh.chunk(3)
        c_r, c_z, c_n = b_hh.chunk(3)
        r, z = torch.sigmoid(i_r + h @ u_r.T + c_r), torch.sigmoid(i_z + h @ u_z.T + c_z)
        h = (1 - z) * torch.tanh(i_n + (r * h) @ u_n.T + c_n) + z * h
    cotangent = np.ones((2, 4))
    np.testing.assert_allclose(network.logits(x), h.detach(), rtol=1e-12)
    h.backward(torch.from_numpy(cotangent))
    np.testing.assert_allclose(network.vjp(x, cotangent), leaf.grad, rtol=1e-10)
    with pytest.raises(ValueError, match="no PyTorch module"):
        network.to_torch()


def test_dropout_only_in_training():
    layer = nn.Dropout(0.25)
    x = np.ones((50, 40), np.float32)
    assert layer.infer(x) is x
    y, factors = layer.forward(x, np.random.default_rng(0))
    assert y.dtype == np.float32
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert np.mean(y == 0) == pytest.approx(0.25, abs=0.04)
    gradient, _ = layer.backward(factors, x)
    np.testing.assert_array_equal(gradient, y)


def test_initial_parameters_are_torchs_uniform():
    for layer, bound in (
        (nn.Linear(50, 80), 50**-0.5),
        (nn.Conv2d(8, 40, 3, groups=2), 36**-0.5),
        (nn.GRU(9, 25), 0.2),
    ):
        nn.Sequential(layer, seed=1)
        for name, values in layer.parameters.items():
            assert np.abs(values).max() <= np.float32(bound), name
            if values.size > 500:
                assert np.std(values) == pytest.approx(bound / np.sqrt(3), rel=0.06), name


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Linear(0, 4), ValueError, "in_features must be at least 1, got 0"),
        (lambda: nn.Linear(3, 2.5), TypeError, "out_features must be an integer"),
        (lambda: nn.Linear(3, 2, bias=1), TypeError, "bias must be True or False"),
        (lambda: nn.Conv2d(4, 6, 3, groups=3), ValueError, "groups must divide"),
        (lambda: nn.Conv2d(4, 6, 0), ValueError, "kernel_size must be at least 1"),
        (lambda: nn.Conv2d(4, 6, 3, stride=-1), ValueError, "stride must be at least 1"),
        (lambda: nn.Conv2d(4, 6, 3, padding=-1), ValueError, "padding must be at least 0"),
        (lambda: nn.Conv2d(4, 6, 3, padding="full"), ValueError, "padding must be 'same' or 'valid', got 'full'"),
        (lambda: nn.Conv2d(4, 6, 3, 2, "same"), ValueError, "padding 'same' needs stride 1"),
        (lambda: nn.MaxPool2d(2, padding=2), ValueError, "at most half of kernel_size"),
        (lambda: nn.AvgPool2d((2, 2, 2)), ValueError, "kernel_size must be an integer or a pair"),
        (lambda: nn.AdaptiveAvgPool2d(0), ValueError, "output_size must be at least 1"),
        (lambda: nn.GELU("fast"), ValueError, "approximate must be 'none' or 'tanh', got 'fast'"),
        (lambda: nn.BatchNorm(0), ValueError, "num_features must be at least 1, got 0"),
        (lambda: nn.BatchNorm(3, eps=0), ValueError, "eps must be greater than 0, got 0"),
        (lambda: nn.BatchNorm(3, momentum=1.5), ValueError, "momentum must be at most 1, got 1.5"),
        (lambda: nn.LayerNorm(()), ValueError, "normalized_shape must have at least 1 axis"),
        (lambda: nn.LayerNorm((3, 0)), ValueError, r"normalized_shape\[1\] must be at least 1, got 0"),
        (lambda: nn.LayerNorm(3, elementwise_affine=1), TypeError, "elementwise_affine must be True or False"),
        (lambda: nn.GroupNorm(4, 6), ValueError, "num_groups must divide num_channels 6, got 4"),
        (lambda: nn.InstanceNorm(3, affine=None), TypeError, "affine must be True or False"),
        (lambda: nn.Dropout(1.0), ValueError, "p must be less than 1"),
        (lambda: nn.Dropout(-0.1), ValueError, "p must be at least 0"),
        (lambda: nn.GRU(3, 0), ValueError, "hidden_size must be at least 1"),
        (lambda: nn.GRU(3, 4, reset="never"), ValueError, "reset must be 'after' or 'before'"),
        (lambda: nn.LSTM(3, 4, output="all"), ValueError, "output must be 'sequence' or 'last'"),
    ],
)
def test_bad_options_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (nn.Linear(7, 4), (6,), r"layer 0, Linear\(7, 4\): expected \(..., 7\) a sample, got \(6,\)"),
        (nn.Linear(7, 4), (), "expected"),
        (nn.Conv2d(3, 4, 3), (2, 9, 9), r"expected \(C=3, H, W\) a sample, got \(2, 9, 9\)"),
        (nn.Conv2d(3, 4, 5, dilation=3), (3, 9, 20), "kernel covers 13 pixels, the padded input has 9"),
        (nn.MaxPool2d(4), (3, 3, 9), "kernel covers 4 pixels"),
        (nn.AdaptiveAvgPool2d(2), (9, 9), r"expected \(C, H, W\)"),
        (nn.BatchNorm(4), (3, 9), r"expected \(C=4, ...\) a sample, got \(3, 9\)"),
        (nn.GroupNorm(2, 4), (), r"expected \(C=4, ...\) a sample, got \(\)"),
        (nn.InstanceNorm(4), (4, 1, 1), r"more than 1 value a channel"),
        (nn.LayerNorm((3, 4)), (2, 4), r"expected \(..., 3, 4\) a sample, got \(2, 4\)"),
        (nn.RowsAsSteps(), (9, 9), r"expected \(C, H, W\)"),
        (nn.GRU(3, 4), (5, 4), r"expected \(T, features=3\)"),
        (nn.GRU(3, 4), (0, 3), "at least 1 step"),
    ],
)
def test_an_input_that_does_not_fit_names_the_layer(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        nn.Sequential(layer).logits(np.zeros((2, *shape), np.float32))
