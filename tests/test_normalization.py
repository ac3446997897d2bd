"""Normalisation beyond the cases of the reference: running statistics, bits, large means, NaN, ONNX, what errors say."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import advcore
from advcore import ops

RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 6, 5)).astype(np.float32)
W, B = RNG.standard_normal((2, 6)).astype(np.float32)
ZEROS, ONES = np.zeros(6, np.float32), np.ones(6, np.float32)


def direct(x, axes, eps=1e-5):
    """The definition in float64."""
    x = x.astype(np.float64)
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_shape_is_the_definition(data):
    channels = data.draw(st.integers(1, 40)) * data.draw(st.sampled_from([1, 2, 3]))
    shape = (data.draw(st.integers(1, 9)), channels, *data.draw(st.lists(st.integers(1, 40), max_size=2)))
    dtype, threads = data.draw(st.sampled_from([np.float32, np.float64])), data.draw(st.sampled_from([1, 2, 3]))
    groups = data.draw(st.sampled_from([g for g in range(1, channels + 1) if channels % g == 0]))
    x = np.random.default_rng(data.draw(st.integers(0, 99))).standard_normal(shape).astype(dtype)
    tolerance = 2e-5 if dtype == np.float32 else 1e-11
    before = advcore.get_num_threads()
    advcore.set_num_threads(threads)
    try:
        grouped = x.reshape(shape[0], groups, -1)
        want = direct(grouped, (2,)).reshape(shape)
        np.testing.assert_allclose(ops.group_norm(x, groups), want, atol=tolerance)
        trailing = data.draw(st.integers(1, x.ndim))
        want = direct(x, tuple(range(x.ndim - trailing, x.ndim)))
        np.testing.assert_allclose(ops.layer_norm(x, shape[-trailing:]), want, atol=tolerance)
        if x.size > channels:
            axes = (0, *range(2, x.ndim))
            np.testing.assert_allclose(ops.batch_norm(x, None, None, training=True), direct(x, axes), atol=tolerance)
        if x.ndim > 2 and np.prod(shape[2:]) > 1:
            want = direct(x, tuple(range(2, x.ndim)))
            np.testing.assert_allclose(ops.instance_norm(x), want, atol=tolerance)
    finally:
        advcore.set_num_threads(before)


@pytest.mark.parametrize("shape", [(6, 5), (3, 5, 4), (2, 5, 3, 3)])
@pytest.mark.parametrize("momentum", [0.0, 0.1, 1.0])
def test_running_statistics_become_torchs(shape, momentum):
    x = np.random.default_rng(1).standard_normal(shape) * 3 + 5
    mean, var = np.arange(5.0), np.arange(1.0, 11.0)[::2]  # the second is no contiguous array
    expected = [torch.from_numpy(array.copy()) for array in (mean, var)]
    want = F.batch_norm(torch.from_numpy(x), *expected, training=True, momentum=momentum)
    np.testing.assert_allclose(ops.batch_norm(x, mean, var, training=True, momentum=momentum), want, atol=1e-12)
    np.testing.assert_allclose(mean, expected[0], rtol=1e-13)
    np.testing.assert_allclose(var, expected[1], rtol=1e-13)
    if len(shape) > 2:
        F.instance_norm(torch.from_numpy(x), *expected, momentum=momentum)
        ops.instance_norm(x, mean, var, momentum=momentum)
        np.testing.assert_allclose(mean, expected[0], rtol=1e-13)
        np.testing.assert_allclose(var, expected[1], rtol=1e-13)


def test_evaluation_and_batches_of_none_leave_running_statistics_alone():
    mean, var = ZEROS.copy(), ONES.copy()
    ops.batch_norm(X, mean, var)
    assert ops.batch_norm(X[:0], mean, var, training=True).shape == (0, 6, 5)
    np.testing.assert_array_equal([mean, var], [ZEROS, ONES])
    mean.flags.writeable = var.flags.writeable = False
    ops.batch_norm(X, mean, var)


def test_statistics_are_returned_and_spare_the_backward_pass_their_computation():
    grad = np.random.default_rng(2).standard_normal(X.shape).astype(np.float32)
    forward_and_backward = [
        (ops.batch_norm, ops.batch_norm_grad, (None, None), {"training": True}, (6,)),
        (ops.layer_norm, ops.layer_norm_grad, ((6, 5),), {}, (4,)),
        (ops.group_norm, ops.group_norm_grad, (3,), {}, (4, 3)),
        (ops.instance_norm, ops.instance_norm_grad, (), {}, (4, 6)),
    ]
    for forward, backward, arguments, options, shape in forward_and_backward:
        y, stats = forward(X, *arguments, **options, return_stats=True)
        np.testing.assert_array_equal(y, forward(X, *arguments, **options))
        assert [s.shape for s in stats] == [shape] * 2
        again = backward(grad, X, *arguments, **options)
        for one, two in zip(backward(grad, X, *arguments, **options, stats=stats), again, strict=True):
            np.testing.assert_array_equal(one, two)
        below, *others = backward(grad, X, *arguments, **options, need_parameters=False)
        np.testing.assert_array_equal(below, again[0])
        assert others == [None, None]
        out = tuple(np.empty_like(a) for a in again)
        for given_array, result in zip(out, backward(grad, X, *arguments, **options, out=out), strict=True):
            assert result is given_array
        np.testing.assert_array_equal(out[1], again[1])
    _, (mean, rstd) = ops.batch_norm(X, ZEROS, 4 * ONES, return_stats=True)
    np.testing.assert_array_equal(mean, ZEROS)
    np.testing.assert_allclose(rstd, 0.5 * ONES, rtol=1e-5)


def each_alone():
    def fixed(x, grad):
        mean, weight = (np.linspace(low, 1, x.shape[1]).astype(x.dtype) for low in (-1, 0.5))
        var = weight * weight
        return [
            ops.batch_norm(x, mean, var, weight, mean),
            ops.batch_norm_grad(grad, x, mean, var, weight)[0],
            ops.batch_norm_grad(grad, x, mean, var, weight, need_parameters=False)[0],
        ]

    def layer(x, grad):
        shape = x.shape[1:]
        weight = np.linspace(-1, 1, int(np.prod(shape))).astype(x.dtype).reshape(shape)
        return [ops.layer_norm(x, shape, weight, weight), ops.layer_norm_grad(grad, x, shape, weight)[0]]

    def group(x, grad):
        weight = np.linspace(-1, 1, x.shape[1]).astype(x.dtype)
        return [ops.group_norm(x, 4, weight, weight), ops.group_norm_grad(grad, x, 4, weight)[0]]

    def instance(x, grad):
        return [ops.instance_norm(x), ops.instance_norm_grad(grad, x)[0]] if x.ndim > 2 else []

    return [fixed, layer, group, instance]


@pytest.mark.parametrize("function", each_alone(), ids=["fixed", "layer", "group", "instance"])
@pytest.mark.parametrize("shape", [(300, 20), (37, 12, 5), (9, 8, 13, 11), (3, 4, 60, 50)])
def test_a_sample_alone_gives_the_bits_it_has_in_a_batch(function, shape):
    x, grad = np.random.default_rng(3).standard_normal((2, *shape)).astype(np.float32)
    for together, i in ((function(x, grad), i) for i in (0, 1, len(x) // 2, len(x) - 1)):
        for all_samples, alone in zip(together, function(x[i : i + 1], grad[i : i + 1]), strict=True):
            np.testing.assert_array_equal(alone[0], all_samples[i])


@pytest.mark.parametrize("shape", [(4096, 8), (9, 8, 40, 40), (2, 4, 7), (5, 8, 9, 9)])
def test_a_large_mean_costs_no_digits(shape):
    rng = np.random.default_rng(4)
    x = (rng.standard_normal(shape) + 1e4).astype(np.float32)
    grad = rng.standard_normal(shape).astype(np.float32)
    axes = (0, *range(2, x.ndim))
    np.testing.assert_allclose(ops.batch_norm(x, None, None, training=True), direct(x, axes), atol=2e-5)
    trailing = tuple(range(1, x.ndim))
    np.testing.assert_allclose(ops.layer_norm(x, shape[1:]), direct(x, trailing), atol=2e-5)
    np.testing.assert_allclose(ops.group_norm(x, 1), direct(x, trailing), atol=2e-5)
    for got, arguments in (
        (ops.batch_norm_grad(grad, x, None, None, training=True), None),
        (ops.layer_norm_grad(grad, x, shape[1:]), shape[1:]),
        (ops.group_norm_grad(grad, x, 2), 2),
    ):
        wide, of_output = x.astype(np.float64), grad.astype(np.float64)
        if arguments is None:
            want = advcore.ops.batch_norm_grad(of_output, wide, None, None, training=True)
        elif arguments == 2:
            want = ops.group_norm_grad(of_output, wide, 2)
        else:
            want = ops.layer_norm_grad(of_output, wide, arguments)
        for ours, theirs in zip(got, want, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=5e-5 * np.abs(theirs).max())
    if x.ndim > 2:
        np.testing.assert_allclose(ops.instance_norm(x), direct(x, tuple(range(2, x.ndim))), atol=2e-5)


def test_constant_numbers_become_the_bias():
    x = np.full((3, 6, 1000), 0.1, np.float32)
    for y in (
        ops.batch_norm(x, None, None, W, B, training=True),
        ops.group_norm(x, 2, W, B),
        ops.instance_norm(x, None, None, W, B),
    ):
        np.testing.assert_allclose(y, np.broadcast_to(B[:, None], x.shape), atol=1e-4)
    np.testing.assert_array_equal(ops.group_norm(X[:, :, 0], 6, W, B), np.broadcast_to(B, (4, 6)))


@pytest.mark.parametrize("plane", [(), (7,), (9, 31)])
def test_nan_stays_where_its_statistics_are(plane):
    x = np.random.default_rng(5).standard_normal((3, 8, *plane)).astype(np.float32)
    x[(1, 2, *(0 for _ in plane))] = np.nan
    samples, channels = np.arange(3)[:, None], np.arange(8)
    for y, hit in (
        (ops.batch_norm(x, None, None, training=True), channels == 2),
        (ops.layer_norm(x, x.shape[1:]), samples == 1),
        (ops.group_norm(x, 4), (samples == 1) & (channels // 2 == 1)),
    ):
        want = np.broadcast_to(hit, (3, 8)).reshape(3, 8, *(1 for _ in plane))
        np.testing.assert_array_equal(np.isnan(y), np.broadcast_to(want, x.shape))
    fixed = ops.batch_norm(x, np.zeros(8, np.float32), np.ones(8, np.float32))
    np.testing.assert_array_equal(np.isnan(fixed), np.isnan(x))


def evaluate(op, inputs, opset, **attributes):
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    names = [f"i{i}" for i in range(len(inputs))]
    value = lambda name, x: helper.make_tensor_value_info(name, TensorProto.DOUBLE, x.shape)  # noqa: E731
    node = helper.make_node(op, names, ["y"], **attributes)
    graph = helper.make_graph(
        [node], "g", [value(n, x) for n, x in zip(names, inputs, strict=True)], [value("y", inputs[0])]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    return ReferenceEvaluator(model).run(None, dict(zip(names, inputs, strict=True)))[0]


@pytest.mark.parametrize("seed", range(20))
def test_onnx_means_the_same(seed):
    pytest.importorskip("onnx")
    rng = np.random.default_rng(seed)
    groups, together = map(int, rng.integers(1, 5, 2))
    shape = (int(rng.integers(1, 5)), groups * together, *map(int, rng.integers(2, 8, rng.integers(1, 3))))
    x, eps = rng.standard_normal(shape), float(np.float32(rng.uniform(1e-6, 1e-2)))  # what the attribute holds
    weight, bias, mean = rng.standard_normal((3, shape[1]))
    var = rng.uniform(0.1, 2, shape[1])
    got = ops.batch_norm(x, mean, var, weight, bias, eps=eps)
    want = evaluate("BatchNormalization", [x, weight, bias, mean, var], 15, epsilon=eps)
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-11)
    got = ops.group_norm(x, groups, weight, bias, eps)
    want = evaluate("GroupNormalization", [x, weight, bias], 21, epsilon=eps, num_groups=groups)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)  # the evaluator computes in float32
    got = ops.instance_norm(x, None, None, weight, bias, eps=eps)
    want = evaluate("InstanceNormalization", [x, weight, bias], 6, epsilon=eps)
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-11)
    axis = int(rng.integers(1, x.ndim))
    scale, shift = rng.standard_normal((2, *shape[axis:]))
    got = ops.layer_norm(x, shape[axis:], scale, shift, eps)
    want = evaluate("LayerNormalization", [x, scale, shift], 17, epsilon=eps, axis=axis)
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-11)


def read_only(x):
    view = x.view()
    view.flags.writeable = False
    return view


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: ops.batch_norm(X[0, 0], None, None, training=True), ValueError, "input must have at least 2 axes"),
        (lambda: ops.batch_norm([1.0], None, None), TypeError, "input must be a NumPy array"),
        (lambda: ops.batch_norm(X, None, None), ValueError, "running_mean must be given where the input's own"),
        (lambda: ops.batch_norm(X, ZEROS, None), ValueError, "running_var must be given"),
        (lambda: ops.batch_norm(X, ZEROS[:5], ONES), ValueError, "running_mean must have shape (6,), got (5,)"),
        (lambda: ops.batch_norm(X, ZEROS, ONES[:1]), ValueError, "running_var must have shape (6,), got (1,)"),
        (lambda: ops.batch_norm(X, ZEROS, np.ones(6)), TypeError, "running_var must be of type float32"),
        (lambda: ops.batch_norm(X, ZEROS, -B * B), ValueError, "running_var must be at least 0, got -"),
        (lambda: ops.batch_norm(X, ZEROS.copy(), -ONES, training=True), ValueError, "running_var must be at least 0, got -1 at index 0"),
        (lambda: ops.batch_norm(X, read_only(ZEROS), ONES.copy(), training=True), ValueError, "running_mean must be writeable, got a read-only array"),
        (lambda: ops.batch_norm(X, ZEROS, ONES, W[:3]), ValueError, "weight must have shape (6,), got (3,)"),
        (lambda: ops.batch_norm(X, ZEROS, ONES, W, B[None]), ValueError, "bias must have shape (6,), got (1, 6)"),
        (lambda: ops.batch_norm(X, ZEROS, ONES, W.astype(np.float64)), TypeError, "weight must be of type float32"),
        (lambda: ops.batch_norm(X, ZEROS, ONES, eps=0), ValueError, "eps must be greater than 0, got 0"),
        (lambda: ops.batch_norm(X, None, None, training=True, eps=-1e-5), ValueError, "eps must be greater than 0"),
        (lambda: ops.batch_norm(X, ZEROS, ONES, momentum=1.1), ValueError, "momentum must be at most 1, got 1.1"),
        (lambda: ops.batch_norm(X, ZEROS, ONES, momentum=-0.1), ValueError, "momentum must be at least 0"),
        (lambda: ops.batch_norm(X, ZEROS, ONES, momentum=None), TypeError, "momentum must be a number"),
        (lambda: ops.batch_norm(X, ZEROS, ONES, training=1), TypeError, "training must be True or False"),
        (lambda: ops.batch_norm(X, ZEROS, ONES, return_stats=1), TypeError, "return_stats must be True or False"),
        (lambda: ops.batch_norm(X[:1, :, 0], None, None, training=True), ValueError, "input must have more than 1 value a channel to normalise by, got shape (1, 6)"),
        (lambda: ops.batch_norm_grad(X[:1, :, 0], X[:1, :, 0], None, None, training=True), ValueError, "more than 1 value a channel"),
        (lambda: ops.batch_norm_grad(X[:2], X, ZEROS, ONES), ValueError, "grad_output must have shape (4, 6, 5), got (2, 6, 5)"),
        (lambda: ops.batch_norm_grad(X, X, None, ONES), ValueError, "running_mean must be given"),
        (lambda: ops.batch_norm_grad(X, X, None, None, training=True, stats=ZEROS), TypeError, "stats must be a list or tuple"),
        (lambda: ops.batch_norm_grad(X, X, None, None, training=True, stats=(ZEROS, ONES[:2])), ValueError, "stats[1] must have shape (6,), got (2,)"),
        (lambda: ops.batch_norm_grad(X, X, ZEROS, ONES, need_parameters=None), TypeError, "need_parameters must be True or False"),
        (lambda: ops.batch_norm_grad(X, X, ZEROS, ONES, out=(None, None)), ValueError, "out must be three arrays, got 2 values"),
        (lambda: ops.batch_norm_grad(X, X, ZEROS, ONES, out=(None, ZEROS, ZEROS)), ValueError, "out must be three arrays that share no memory"),
        (lambda: ops.layer_norm(X, (6, 4)), ValueError, "normalized_shape must be the input's last axes, got (6, 4) for an input of shape (4, 6, 5)"),
        (lambda: ops.layer_norm(X, (1, 4, 6, 5)), ValueError, "normalized_shape must be the input's last axes"),
        (lambda: ops.layer_norm(X, ()), ValueError, "normalized_shape must have at least 1 axis, got ()"),
        (lambda: ops.layer_norm(X, 5.0), TypeError, "normalized_shape must be an integer, got float 5.0"),
        (lambda: ops.layer_norm(X, 5, W[:5, None]), ValueError, "weight must have shape (5,), got (5, 1)"),
        (lambda: ops.layer_norm(X, 5, eps=0.0), ValueError, "eps must be greater than 0"),
        (lambda: ops.layer_norm_grad(X, X, 5, stats=(ZEROS, ONES)), ValueError, "stats[0] must have shape (4, 6), got (6,)"),
        (lambda: ops.group_norm(X, 4), ValueError, "num_groups must divide the number of channels 6, got 4"),
        (lambda: ops.group_norm(X, 0), ValueError, "num_groups must be at least 1, got 0"),
        (lambda: ops.group_norm(X, 2.0), TypeError, "num_groups must be an integer"),
        (lambda: ops.group_norm(X, 2, W[:2]), ValueError, "weight must have shape (6,), got (2,)"),
        (lambda: ops.group_norm(X, 2, eps=np.nan), ValueError, "eps must be finite"),
        (lambda: ops.group_norm(X, 2, out=np.empty(3, np.float32)), ValueError, "out must have shape (4, 6, 5)"),
        (lambda: ops.group_norm_grad(X.astype(np.float64), X, 2), TypeError, "grad_output must be of type float32"),
        (lambda: ops.instance_norm(X[0]), ValueError, "input must have at least 3 axes"),
        (lambda: ops.instance_norm(X[:, :, :1]), ValueError, "more than 1 value a channel"),
        (lambda: ops.instance_norm(X, use_input_stats=False), ValueError, "running_mean must be given"),
        (lambda: ops.instance_norm(X, momentum=2.0), ValueError, "momentum must be at most 1"),
        (lambda: ops.instance_norm_grad(X, X, use_input_stats=0), TypeError, "use_input_stats must be True or False"),
    ],
)  # fmt: skip
def test_wrong_calls_say_what_was_expected_and_what_came(call, error, text):
    with pytest.raises(error, match=re.escape(text)):
        call()
