"""Layers that rearrange, stretch, cut off or average: values and gradients against torch, shapes that do not fit."""

import numpy as np
import pytest
import torch

from advcore import nn

F = torch.nn.functional
MEAN, STD = (0.5, 0.25, 0.125), (0.5, 1.0, 2.0)


def column(values):
    return torch.tensor(values, dtype=torch.float64)[:, None, None]


CASES = {
    "leaky_relu": (nn.LeakyReLU(0.2), lambda x: F.leaky_relu(x, 0.2)),
    "clip": (nn.Clip(-0.5, 0.25), lambda x: x.clamp(-0.5, 0.25)),
    "clip_below": (nn.Clip(high=0.25), lambda x: x.clamp(max=0.25)),
    "hardtanh": (nn.Clip(0, 1, inclusive=False), lambda x: F.hardtanh(x, 0, 1)),
    "normalize": (nn.Normalize(MEAN, STD), lambda x: (x - column(MEAN)) / column(STD)),
    "normalize_all": (nn.Normalize(0.5, 0.25), lambda x: (x - 0.5) / 0.25),
    "reshape": (nn.Reshape((2, -1)), lambda x: x.reshape(len(x), 2, -1)),
    "permute": (nn.Permute((3, 1, 2)), lambda x: x.permute(0, 3, 1, 2)),
    "pad": (nn.Pad(((0, 0), (1, 2), (0, 3)), 0.5), lambda x: F.pad(x, (0, 3, 1, 2), value=0.5)),
    "mean": (nn.Mean((2, 3)), lambda x: x.mean((2, 3))),
    "mean_keepdims": (nn.Mean((1, 3), keepdims=True), lambda x: x.mean((1, 3), keepdim=True)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_layer_is_torchs_function(name):
    layer, function = CASES[name]
    network = nn.Sequential(layer, dtype=np.float64)
    x = np.round(np.random.default_rng(0).standard_normal((5, 3, 4, 2)) * 8) / 8  # some at the limits
    leaf = torch.from_numpy(x).requires_grad_()
    want = function(leaf)
    got = network.logits(x)
    np.testing.assert_allclose(got, want.detach().numpy(), rtol=1e-14, atol=1e-15)
    assert network.output_shape(x.shape[1:]) == got.shape[1:]
    cotangent = np.random.default_rng(1).standard_normal(got.shape)
    want.backward(torch.from_numpy(cotangent))
    np.testing.assert_allclose(network.vjp(x, cotangent), leaf.grad.numpy(), rtol=1e-13, atol=1e-15)
    assert network.logits(x[:0]).shape == (0, *got.shape[1:])
    np.testing.assert_array_equal(network.logits(x[3:4]), got[3:4])
    assert repr(type(layer)(**layer.config())) == repr(layer)


@pytest.mark.parametrize(
    ("shape", "scale", "shift"), [((3, 1, 2), True, True), ((1, 4, 1), False, True), ((3, 4, 2), True, False)]
)
def test_affine_is_torchs(shape, scale, shift):
    network = nn.Sequential(nn.Affine(shape, scale, shift), dtype=np.float64)
    rng = np.random.default_rng(0)
    x, cotangent = rng.standard_normal((2, 5, 3, 4, 2))
    np.testing.assert_array_equal(network.logits(x), x)  # it starts as the identity
    state = {name: rng.standard_normal(shape) for name in network.parameters()}
    network.load_state_dict(state)
    leaves = {name: torch.from_numpy(array).requires_grad_() for name, array in state.items()}
    leaf = torch.from_numpy(x).requires_grad_()
    want = leaf * leaves.get("0.weight", torch.ones(1)) + leaves.get("0.bias", torch.zeros(1))
    want.backward(torch.from_numpy(cotangent))
    y, saved = network.forward(x)
    below, gradients = network.backward(saved, cotangent, need_parameters=True)
    np.testing.assert_allclose(y, want.detach().numpy(), rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(below, leaf.grad.numpy(), rtol=1e-14)
    assert gradients.keys() == leaves.keys()
    for name, array in gradients.items():
        np.testing.assert_allclose(array, leaves[name].grad.numpy(), rtol=1e-12)


def test_nan_passes():
    x = np.full((1, 2), np.nan, np.float32)
    for layer in (nn.LeakyReLU(), nn.Clip(0, 1), nn.Normalize(0.5, 1)):
        assert np.isnan(nn.Sequential(layer).logits(x)).all()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Clip(1, 0), ValueError, "low must be at most high, got 1 and 0"),
        (lambda: nn.Normalize((1, 2), (1, 2, 3)), ValueError, "one length, got 2 and 3"),
        (lambda: nn.Normalize(0, 0), ValueError, "std must be greater than 0, got 0"),
        (lambda: nn.Normalize((), 1), ValueError, "mean must not be empty"),
        (lambda: nn.Normalize("0", 1), TypeError, "mean must be a number"),
        (lambda: nn.Permute((0, 1)), ValueError, r"axes\[0\] must be at least 1"),
        (lambda: nn.Permute((1, 3)), ValueError, "a permutation of 1 to 2"),
        (lambda: nn.Reshape((-1, -1)), ValueError, "at most one -1"),
        (lambda: nn.Pad(((1, -1),)), ValueError, r"widths\[0\]\[1\] must be at least 0"),
        (lambda: nn.Mean((0,)), ValueError, r"axes\[0\] must be at least 1"),
    ],
)
def test_bad_options_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.Normalize(MEAN, STD), "expected 3 channels a sample"),
        (nn.Reshape((5, -1)), "a sample of .*'s size"),
        (nn.Permute((1, 2)), "expected 2 axes a sample"),
        (nn.Pad(((1, 1),)), "expected 1 axes a sample"),
        (nn.Mean((4,)), "expected at least 4 axes"),
        (nn.Affine((3, 1)), "can be stretched to"),
    ],
)
def test_samples_that_do_not_fit_are_refused(layer, message):
    with pytest.raises(ValueError, match=message):
        nn.Sequential(layer).logits(np.zeros((1, 2, 4, 4), np.float32))
