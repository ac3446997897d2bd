"""ONNX files with random damage: an error or a network, never a crash, nor memory that the file does not justify."""

import random
import resource
import warnings

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import AttributeProto, ModelProto, TensorProto, helper, numpy_helper  # noqa: E402
from onnx_models import model, tensor  # noqa: E402

import advcore  # noqa: E402

LARGEST = 2**63 - 1


def small_models():
    """Return models that have every kind of operator and field."""
    values = [tensor("w", (4, 3, 3, 3)), tensor("b", (4,)), tensor("m", (4 * 16, 5)), tensor("n", (5,))]
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["a"], pads=[1, 0, 1, 2], strides=[1, 1]),
        helper.make_node("Clip", ["a"], ["c"]),
        helper.make_node("AveragePool", ["c"], ["d"], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 1, 1, 1]),
        helper.make_node("Shape", ["d"], ["s"]),
        helper.make_node("Constant", [], ["zero"], value=numpy_helper.from_array(np.array([0], np.int64))),
        helper.make_node("Gather", ["s", "zero"], ["batch"]),
        helper.make_node("Constant", [], ["rest"], value_ints=[-1]),
        helper.make_node("Concat", ["batch", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["d", "target"], ["flat"]),
        helper.make_node("Gemm", ["flat", "m", "n"], ["y"], alpha=0.5),
    ]
    yield model(nodes, values).SerializeToString()
    cell = [tensor("W", (2, 12, 5)), tensor("R", (2, 12, 4)), tensor("B", (2, 24))]
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node("GRU", ["t", "W", "R", "B"], ["h", "l"], hidden_size=4, direction="bidirectional"),
        helper.make_node("ReduceMean", ["h"], ["r"], axes=[0, 1], keepdims=0),
        helper.make_node("Softmax", ["r"], ["y"], axis=1),
    ]
    yield model(nodes, cell, ("N", 6, 5), opset=14).SerializeToString()
    pads = numpy_helper.from_array(np.array([0, 0, 1, 0, 0, 2], np.int64), "p")
    nodes = [
        helper.make_node("Pad", ["x", "p"], ["q"]),
        helper.make_node("Split", ["q"], ["e", "f"], axis=2, num_outputs=2),
        helper.make_node("Mul", ["e", "f"], ["g"]),
        helper.make_node("MaxPool", ["g"], ["k"], kernel_shape=[2], auto_pad="SAME_UPPER"),
        helper.make_node("Squeeze", ["k"], ["y"]),
    ]
    yield model(nodes, [pads], (2, 3, 7)).SerializeToString()


def mutated(data, rng):
    """Return the bytes with a few of them changed, cut out, doubled, or a field edited."""
    kind = rng.randrange(5)
    if kind == 0:
        data = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        begin = rng.randrange(len(data))
        data = data[:begin] + data[begin + rng.randint(1, 20) :]
    elif kind == 2:
        begin = rng.randrange(len(data))
        data = data[:begin] + data[begin : begin + rng.randint(1, 30)] + data[begin:]
    elif kind == 3:
        data = data[: rng.randrange(len(data))]
    else:
        proto = ModelProto.FromString(data)
        for _ in range(rng.randint(1, 3)):
            edit(proto.graph, rng)
        data = proto.SerializeToString()
    return bytes(data)


def edit(graph, rng):
    """Change a field of a graph to something that has the right type."""
    number = rng.choice([0, -1, 1, 2, 3, 7, 100, 2**31, 2**40, LARGEST, -LARGEST - 1])
    node = rng.choice(graph.node)
    names = [name for other in graph.node for name in (*other.input, *other.output)] + [""]
    kind = rng.randrange(7)
    if kind == 0 and node.attribute:
        attribute = rng.choice(node.attribute)
        if attribute.type == AttributeProto.INTS and attribute.ints:
            attribute.ints[rng.randrange(len(attribute.ints))] = number
        elif attribute.type == AttributeProto.INT:
            attribute.i = number
        elif attribute.type == AttributeProto.FLOAT:
            attribute.f = rng.choice([0.0, float("nan"), float("inf"), -1e38])
    elif kind == 1 and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice(names)
    elif kind == 2:
        node.op_type = rng.choice(
            ["Add", "Mul", "Relu", "Concat", "Reshape", "Flatten", "Identity", "Expand", "If", "LSTM"]
        )
    elif kind == 3 and graph.initializer:
        held = rng.choice(graph.initializer)
        if held.dims:
            held.dims[rng.randrange(len(held.dims))] = number
    elif kind == 4:
        dims = graph.input[0].type.tensor_type.shape.dim
        dims[rng.randrange(len(dims))].dim_value = number
    elif kind == 5 and graph.initializer:
        held = rng.choice(graph.initializer)
        held.data_type = rng.choice(list(TensorProto.DataType.values()))
    else:
        graph.node.insert(rng.randrange(len(graph.node)), graph.node.pop())


def mutate(count, seed):
    rng, models = random.Random(seed), list(small_models())
    for data in models:
        assert advcore.from_onnx(data).imported.largest_difference < 1e-5
    imported = 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for index in range(count):
        data = mutated(models[index % len(models)], rng)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what onnx itself computes with strange numbers
                advcore.from_onnx(data)
            imported += 1
        except (TypeError, ValueError):
            pass
    assert 0 < imported < count
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # KiB: less than 1 GiB more


def test_a_thousand_mutated_files():
    mutate(1000, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_ten_thousand_mutated_files(seed):
    mutate(1000, seed)
