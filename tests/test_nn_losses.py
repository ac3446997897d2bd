"""Losses against PyTorch, closed forms and differences; stability and subgradients."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from advcore import models
from advcore.nn import losses

RNG = np.random.default_rng(0)
LOGITS = 3 * RNG.standard_normal((11, 6))
LABELS = RNG.integers(0, 6, 11)
LAMBDA = {"lambda_": 1.5}

ELEMENTWISE = [
    (losses.squared, {}),
    (losses.absolute, {}),
    (losses.huber, {"delta": 0.7}),
    (losses.epsilon_insensitive, {"epsilon": 0.3}),
    (losses.log_cosh, {"beta": 2.5}),
]
BINARY = [losses.perceptron, losses.log, losses.zero_one]
CLASSIFICATION = [
    (losses.cross_entropy, {}),
    (losses.cross_entropy, {"temperature": 2.5}),
    (losses.multiclass_hinge, {}),
    (losses.margin, {}),
    (losses.rbf_metric_loss, LAMBDA),
]


def torch_loss(function, target):
    """Return torch's loss a sample and its gradient."""
    leaf = torch.from_numpy(LOGITS).requires_grad_()
    values = function(leaf, target)
    (gradient,) = torch.autograd.grad(values.sum(), leaf)
    return values.detach().numpy(), gradient.numpy()


def test_cross_entropy_is_pytorchs():
    want = torch_loss(lambda z, y: F.cross_entropy(z, y, reduction="none"), torch.from_numpy(LABELS))
    for got, expected in zip(losses.cross_entropy(LOGITS, LABELS), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)


def test_cross_entropy_of_soft_targets_is_pytorchs():
    target = RNG.random(LOGITS.shape)  # not normalised: torch takes that too
    want = torch_loss(lambda z, y: F.cross_entropy(z, y, reduction="none"), torch.from_numpy(target))
    for got, expected in zip(losses.cross_entropy(LOGITS, target), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("soft", [False, True])
def test_cross_entropy_at_a_temperature_is_pytorchs(soft):
    target = RNG.random(LOGITS.shape) if soft else LABELS
    want = torch_loss(lambda z, y: F.cross_entropy(z / 7, y, reduction="none"), torch.from_numpy(target))
    for got, expected in zip(losses.cross_entropy(LOGITS, target, temperature=7), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13)


def test_a_capped_loss_stops_paying():
    logits = np.array([[1.0, 4, 2], [9, 1, 2], [5.25, 0, 0], [5, 0, 0]])
    labels = np.zeros(4, np.int64)
    capped = losses.Capped(losses.margin, eps=0.25)
    values, gradient = capped(logits, labels)
    np.testing.assert_array_equal(values, [3, -5.25, -5.25, -5])
    np.testing.assert_array_equal(gradient, [[-1, 1, 0], [0, 0, 0], [-1, 1, 0], [-1, 1, 0]])
    single = losses.Capped(losses.LOSSES["squared"], floor=2.0)
    values, gradient = single(np.array([[1.0, 2.0], [1.0, 0.5]]), np.zeros((2, 2)))
    np.testing.assert_array_equal(values, [5, 2])
    np.testing.assert_array_equal(gradient, [[2, 4], [0, 0]])
    elementwise, slope = losses.Capped(losses.squared, floor=2.0)(np.array([[1.0, 2.0]]), np.zeros((1, 2)))
    np.testing.assert_array_equal([elementwise, slope], [[[2, 4]], [[0, 4]]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", losses.LOSSES)
def test_a_network_takes_every_loss_by_name(name, dtype):
    network = models.mlp((4,), 6, dtype=dtype)
    x = RNG.random((11, 4)).astype(dtype)
    target = LABELS if name in losses.CLASSIFICATION else np.sign(LOGITS).astype(dtype)
    values, gradient = losses.LOSSES[name](network.logits(x), target)
    assert values.shape == (11,)
    assert values.dtype == gradient.dtype == dtype
    np.testing.assert_array_equal(network.loss_gradient(x, target, name), network.vjp(x, gradient))
    assert losses.LOSSES[name](network.logits(x[:0]), target[:0])[0].shape == (0,)
    if name not in losses.CLASSIFICATION:
        each = getattr(losses, name)(network.logits(x), target)[0]
        np.testing.assert_allclose(values, each.sum(axis=1), rtol=1e-5)


def test_hinge_is_the_sum_of_pytorchs():
    def hinge(z, y):
        violations = F.relu(z - z.gather(1, y[:, None]) + 1)
        return violations.sum(1) - 1

    want = torch_loss(hinge, torch.from_numpy(LABELS))
    for got, expected in zip(losses.multiclass_hinge(LOGITS, LABELS), want, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13)


def test_hinge_without_violation_is_exactly_zero():
    values, gradient = losses.multiclass_hinge(np.array([[5.0, 3.9, -7.0]]), np.array([0]))
    assert values[0] == 0
    assert not gradient.any()


def test_margin_takes_the_best_other_class():
    logits = np.array([[1.0, 4, 2], [3, 3, 3], [9, 1, 2], [-np.inf, 5, -np.inf], [5, -np.inf, -np.inf]])
    values, gradient = losses.margin(logits, np.array([0, 1, 0, 1, 0]))
    np.testing.assert_array_equal(values, [3, 0, -7, -np.inf, -np.inf])
    np.testing.assert_array_equal(gradient, [[-1, 1, 0], [1, -1, 0], [-1, 0, 1], [1, -1, 0], [-1, 1, 0]])


@pytest.mark.parametrize(("loss", "options"), CLASSIFICATION)
def test_gradients_agree_with_differences(loss, options):
    _, gradient = loss(LOGITS, LABELS, **options)
    h = 1e-6
    for k in range(6):
        step = np.zeros(6)
        step[k] = h
        slope = (loss(LOGITS + step, LABELS, **options)[0] - loss(LOGITS - step, LABELS, **options)[0]) / (2 * h)
        np.testing.assert_allclose(gradient[:, k], slope, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("loss", "options"), CLASSIFICATION)
def test_a_sample_has_the_same_bits_alone_and_type_is_kept(loss, options, dtype):
    logits = np.random.default_rng(1).standard_normal((50, 37)).astype(dtype)
    labels = np.arange(50) % 37
    values, gradient = loss(logits, labels, **options)
    assert values.dtype == gradient.dtype == dtype
    for i in (0, 3, 49):
        value, grad = loss(logits[i : i + 1], labels[i : i + 1], **options)
        assert value[0] == values[i]
        np.testing.assert_array_equal(grad[0], gradient[i])


def test_cross_entropy_of_huge_logits():
    values, gradient = losses.cross_entropy(np.array([[1000.0, -1000.0], [-1e30, 1e30]]), np.array([1, 1]))
    np.testing.assert_array_equal(values, [2000, 0])
    np.testing.assert_array_equal(gradient, [[1, -1], [0, 0]])
    soft, _ = losses.cross_entropy(np.array([[0.0, -np.inf]]), np.array([[1.0, 0.0]]))
    assert soft[0] == 0


@pytest.mark.parametrize(("loss", "options"), ELEMENTWISE)
def test_regression_gradients_agree_with_differences(loss, options):
    prediction, target = RNG.standard_normal((2, 100))
    _, gradient = loss(prediction, target, **options)
    h = 1e-6
    slope = (loss(prediction + h, target, **options)[0] - loss(prediction - h, target, **options)[0]) / (2 * h)
    np.testing.assert_allclose(gradient, slope, atol=1e-6)


def test_huber_is_pytorchs():
    prediction, target = 3 * RNG.standard_normal((2, 50))
    want = F.huber_loss(torch.from_numpy(prediction), torch.from_numpy(target), reduction="none", delta=0.7)
    np.testing.assert_allclose(losses.huber(prediction, target, delta=0.7)[0], want, rtol=1e-13)


def test_losses_at_zero_and_at_huge_residuals():
    zero, huge = np.zeros(1), np.array([1e6])
    for loss, options in ELEMENTWISE:
        assert [part[0] for part in loss(zero, zero, **options)] == [0, 0]
    value, slope = losses.log_cosh(huge, zero, beta=3.0)
    assert (value[0], slope[0]) == (pytest.approx(1e6 - np.log(2) / 3, rel=1e-15), 1)


@pytest.mark.parametrize("loss", BINARY)
def test_binary_gradients_agree_with_differences(loss):
    score, label = RNG.standard_normal(100), np.sign(RNG.standard_normal(100))
    h = 1e-6
    slope = (loss(score + h, label)[0] - loss(score - h, label)[0]) / (2 * h)
    np.testing.assert_allclose(loss(score, label)[1], slope, atol=1e-6)


def test_log_loss_of_huge_scores():
    values, slopes = losses.log(np.array([1e4, -1e4]), np.array([1.0, 1.0]))
    np.testing.assert_array_equal(values, [0, 1e4])
    np.testing.assert_array_equal(slopes, [0, -1])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: losses.cross_entropy(LOGITS[0], LABELS), ValueError, r"logits must have shape \(N, K\)"),
        (lambda: losses.cross_entropy(LOGITS, LABELS - 1), ValueError, r"labels must be in \[0, 5\], got -1"),
        (lambda: losses.cross_entropy(LOGITS, LOGITS[:3]), ValueError, r"target must have shape \(11, 6\)"),
        (lambda: losses.cross_entropy(LOGITS, LABELS, temperature=0), ValueError, "temperature must be greater than 0"),
        (lambda: losses.Capped("margin"), TypeError, "loss must be a function, got str"),
        (lambda: losses.Capped(losses.margin, eps=-1), ValueError, "eps must be at least 0"),
        (lambda: losses.Capped(losses.margin, floor=np.nan), ValueError, "floor must be finite"),
        (lambda: losses.margin(LOGITS[:, :1], LABELS * 0), ValueError, "at least 2 classes"),
        (lambda: losses.rbf_metric_loss(LOGITS, LABELS, lambda_=0), ValueError, "lambda_ must be greater than 0"),
        (lambda: losses.noise_class_loss(LOGITS, lambda_=np.nan), ValueError, "lambda_ must be finite"),
        (lambda: losses.huber(LOGITS, LOGITS, delta=0), ValueError, "delta must be greater than 0"),
        (lambda: losses.epsilon_insensitive(LOGITS, LOGITS, epsilon=-1), ValueError, "epsilon must be at least 0"),
        (lambda: losses.log_cosh(LOGITS, LOGITS, beta=0), ValueError, "beta must be greater than 0"),
        (lambda: losses.squared(LOGITS, LOGITS[:1]), ValueError, r"target must have shape \(11, 6\)"),
        (lambda: losses.log(LOGITS, LOGITS), ValueError, r"label must be -1 or \+1"),
        (lambda: losses.perceptron(LOGITS, np.ones(6)), ValueError, "label must have shape"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
