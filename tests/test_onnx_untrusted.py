"""ONNX files from anyone: a clear error, no other file read, no memory beyond what the size justifies, no crash."""

import os

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import ModelProto, TensorProto, helper, numpy_helper  # noqa: E402
from onnx_models import model, tensor  # noqa: E402

import advcore  # noqa: E402

LARGEST = 2**63 - 1


def relu(x, y):
    return helper.make_node("Relu", [x], [y], name=f"relu {y}")


def conv(**attributes):
    return model([helper.make_node("Conv", ["x", "w"], ["y"], name="conv", **attributes)], [tensor("w", (4, 3, 3, 3))])


def refused(proto, match):
    data = proto.SerializeToString() if isinstance(proto, ModelProto) else proto
    with pytest.raises((TypeError, ValueError), match=match):
        advcore.from_onnx(data)


# Bytes


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "empty"),
        (b"\x08", "cut off"),
        (b"\x3a\x7f", "cut off"),
        (b"\x08" + b"\xff" * 10 + b"\x01", "more than 64 bits"),
        (b"\x0b\x0c", "wire type 3"),
        (b"\x12\x02\xff\xfe", "UTF-8"),
        (b"not a model at all", "not a readable ONNX file"),
    ],
)
def test_bytes_that_are_no_model(data, match):
    refused(data, match)


def test_nesting():
    inner = b""
    for _ in range(200):  # graph > node > attribute > graph > ...
        for tag in (b"\x32", b"\x2a", b"\x0a"):
            size, header = len(inner), b""
            while size > 127:
                header, size = header + bytes([size & 127 | 128]), size >> 7
            inner = tag + header + bytes([size]) + inner
    refused(b"\x3a" + _varint(len(inner)) + inner, "nested more than")


def _varint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def test_a_million_empty_nodes():
    body = b"\x0a\x00" * 1_000_000
    refused(b"\x3a" + _varint(len(body)) + body, "more than 524288 fields")


def test_truncation_at_every_byte():
    data = conv().SerializeToString()
    assert advcore.from_onnx(data).imported is not None
    for end in range(len(data)):
        with pytest.raises((TypeError, ValueError)):
            advcore.from_onnx(data[:end])


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path):
        with pytest.raises((ValueError, OSError)):
            advcore.from_onnx(path)
    with pytest.raises(FileNotFoundError):
        advcore.from_onnx(tmp_path / "missing.onnx")
    with pytest.raises(TypeError, match="path or bytes"):
        advcore.from_onnx(3)


# Tensors


@pytest.mark.parametrize(
    "where", ["../secret", "/etc/passwd", "data.bin", "", "a\0b", "/dev/zero", "*/_ORT_MEM_ADDR_/*"]
)
@pytest.mark.parametrize("length", ["16", "-1", str(2**60)])
def test_external_data_is_never_read(where, length):
    proto = conv()
    weight = proto.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", where), ("offset", str(2**63)), ("length", length)):
        weight.external_data.add(key=key, value=value)
    refused(proto, "another file, which is never read")
    weight.data_location = TensorProto.DEFAULT
    refused(proto, "another file, which is never read")


def test_external_data_in_an_attribute():
    value = tensor("c", (3, 1, 1))
    value.data_location = TensorProto.EXTERNAL
    nodes = [helper.make_node("Constant", [], ["c"], value=value), helper.make_node("Add", ["x", "c"], ["y"])]
    refused(model(nodes), "another file")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda w: w.dims.__setitem__(0, -4), "negative extent"),
        (lambda w: w.dims.__setitem__(0, LARGEST), "must have .* bytes"),
        (lambda w: w.dims.extend([LARGEST] * 3), "must have .* bytes"),
        (lambda w: w.dims.extend([1] * 1100), "at most 8 axes"),
        (lambda w: setattr(w, "raw_data", w.raw_data[:-4]), "must have 432 bytes, got 428"),
        (lambda w: setattr(w, "raw_data", w.raw_data + b"1234"), "must have 432 bytes, got 436"),
        (lambda w: setattr(w, "raw_data", w.raw_data[:-1]), "must have 432 bytes, got 431"),
        (lambda w: w.float_data.append(1.0), "one place"),
        (lambda w: setattr(w, "data_type", TensorProto.FLOAT16), "half precision"),
        (lambda w: setattr(w, "data_type", TensorProto.BFLOAT16), "half precision"),
        (lambda w: setattr(w, "data_type", TensorProto.STRING), "float32, float64 or integers, got string"),
        (lambda w: setattr(w, "data_type", 999), "number 999"),
        (lambda w: setattr(w, "data_type", TensorProto.DOUBLE), "must have 864 bytes"),
    ],
)
def test_tensors_that_are_not_what_they_say(change, match):
    proto = conv()
    change(proto.graph.initializer[0])
    refused(proto, match)


# Graphs


def test_structure():
    refused(model([relu("x", "a"), relu("b", "y"), relu("a", "b")]), "'b', which no node before it computes")
    refused(model([relu("y", "y")]), "no node before it computes")
    refused(model([relu("x", "a"), relu("x", "a")], output="a"), "two values are called 'a'")
    refused(model([relu("x", "a")], output="nothing"), "'nothing' is computed nowhere")
    refused(model([relu("missing", "y")]), "'missing', which no node before it computes")
    refused(model([relu("x", "y")], [tensor("w", (1,)), tensor("w", (1,))]), "name of its own")
    refused(model([helper.make_node("Constant", [], ["y"], value_float=1.0)]), "does not depend on the input")
    refused(model([relu("x", "y")], opset=5), "opset 6 to")
    refused(model([relu("x", "y")], opset=LARGEST), "opset 6 to")
    proto = model([relu("x", "y")])
    proto.opset_import.add(domain="", version=20)
    refused(proto, "one version")
    proto = model([relu("x", "y")])
    proto.graph.output.add(name="z")
    refused(proto, "one input and one output")
    refused(ModelProto(ir_version=10).SerializeToString(), "one version")


@pytest.mark.parametrize(
    ("shape", "match"),
    [
        (("N", 3, "H", 8), "only the batch may be left open"),
        (("N", 3, 0, 8), "positive extents"),
        (("N", 3, -1, 8), "positive extents"),
        (("N", LARGEST, LARGEST, 8), "at most 67108864 numbers"),
        (("N", *[1] * 20), "1 to 8 axes"),
        ((), "1 to 8 axes"),
    ],
)
def test_input_shapes(shape, match):
    refused(model([relu("x", "y")], shape=shape), match)


def test_a_huge_batch_is_not_run():
    network = advcore.from_onnx(model([relu("x", "y")], shape=(2**40, 3, 8, 8)).SerializeToString())
    assert network.imported.largest_difference is None


def test_types_of_the_input():
    proto = model([relu("x", "y")])
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    refused(proto, r"float16 \(half precision\)")
    proto.graph.input[0].type.ClearField("tensor_type")
    refused(proto, "must be a tensor")
    cast = helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT16)
    refused(model([cast]), "half precision")


def test_control_flow_and_functions():
    body = helper.make_graph([relu("x", "z")], "b", [], [helper.make_tensor_value_info("z", 1, None)])
    condition = numpy_helper.from_array(np.array(True), "c")
    branch = helper.make_node("If", ["c"], ["y"], name="choice", then_branch=body, else_branch=body)
    refused(model([relu("x", "a"), branch], [condition]), "node choice is control flow that depends on data")
    for operator in ("Loop", "Scan"):
        loop = helper.make_node(operator, ["x"], ["y"], body=body)
        refused(model([loop]), "control flow")
    proto = model([helper.make_node("f", ["x"], ["y"], domain="own")])
    call = helper.make_node("f", ["x"], ["y"], domain="own")
    proto.functions.append(helper.make_function("own", "f", ["x"], ["y"], [call], [helper.make_opsetid("own", 1)]))
    refused(proto, "functions of its own")
    del proto.functions[:]
    refused(proto, "operator own.f, which is not supported; supported are Add, AveragePool, ")
    refused(model([helper.make_node("Det", ["x"], ["y"], name="d")]), "node d has the operator Det, which is not supp")
    proto = model([relu("x", "y")])
    proto.training_info.add()
    refused(proto, "training mode")


def test_attributes():
    refused(conv(surprise=1), "each attribute once")
    proto = conv(group=1)
    proto.graph.node[0].attribute.append(helper.make_attribute("group", 3))
    refused(proto, "each attribute once")
    refused(conv(strides=2), "another type")
    refused(conv(auto_pad="MAYBE"), "auto_pad must be")
    proto = conv(group=1)
    proto.graph.node[0].attribute[0].ref_attr_name = "g"
    refused(proto, "refers to a function's")
    refused(model([helper.make_node("Relu", ["x", "x"], ["y"])]), "1 to 1 inputs, got 2")
    refused(model([helper.make_node("Conv", ["x"], ["y"])]), "2 to 3 inputs, got 1")
    refused(model([helper.make_node("Concat", ["x", "x"], ["y"])]), "lacks the attribute axis")


@pytest.mark.parametrize("value", [0, -1, -LARGEST - 1, LARGEST, 2**32])
@pytest.mark.parametrize("name", ["strides", "dilations", "kernel_shape", "group", "pads"])
def test_windows(name, value):
    if (name, value) == ("pads", 0):
        return
    given = value if name == "group" else [value] * (4 if name == "pads" else 2)
    refused(conv(**{name: given}), "conv")
    if name != "group":
        pool = {"kernel_shape": [2, 2]} | {name: given}
        for operator in ("MaxPool", "AveragePool"):
            refused(model([helper.make_node(operator, ["x"], ["y"], name="pool", **pool)]), "pool")


def test_weights_that_do_not_fit():
    refused(model([helper.make_node("Conv", ["x", "w"], ["y"])], [tensor("w", (4, 3, 3))]), "must have 4 axes")
    refused(
        model([helper.make_node("Conv", ["x", "w"], ["y"])], [tensor("w", (4, 5, 3, 3))]), "does not fit 3 channels"
    )
    refused(model([helper.make_node("Gemm", ["x", "w"], ["y"])], [tensor("w", (4, 5))], ("N", 3)), "expected")
    for shapes in ([(1, 6, 4)], [(1, 11, 4), (1, 12, 4)], [(1, 12), (1, 12, 4)]):
        tensors = [tensor(f"w{i}", shape) for i, shape in enumerate(shapes)]
        inputs = ["t", *(t.name for t in tensors)]
        for operator in ("GRU", "LSTM"):
            nodes = [helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2])]
            nodes.append(helper.make_node(operator, inputs, ["y"], hidden_size=4, name="cell"))
            refused(model(nodes, tensors, ("N", 5, 4)), "cell")


def test_constants_that_grow():
    huge = numpy_helper.from_array(np.array([LARGEST, LARGEST], np.int64), "s")
    large = numpy_helper.from_array(np.array([2**20, 2**20], np.int64), "s")
    one = tensor("one", (1, 1))
    for shape in (huge, large):
        for node in (
            helper.make_node("ConstantOfShape", ["s"], ["c"]),
            helper.make_node("Expand", ["one", "s"], ["c"]),
        ):
            refused(
                model([node, helper.make_node("Add", ["x", "c"], ["y"])], [shape, one]), "does not justify|too large"
            )
    doubled = [helper.make_node("Concat", [f"c{i}"] * 2, [f"c{i + 1}"], axis=0) for i in range(60)]
    refused(model([*doubled, helper.make_node("Add", ["x", "c60"], ["y"])], [tensor("c0", (1,))]), "does not justify")
    limits = [numpy_helper.from_array(np.array(n, np.int64), f"l{i}") for i, n in enumerate((0, 2**60, 1))]
    steps = helper.make_node("Range", ["l0", "l1", "l2"], ["c"])
    refused(model([steps, helper.make_node("Reshape", ["x", "c"], ["y"])], limits), "does not justify")


def test_padding_that_grows():
    for size in (2**20, 2**31, LARGEST):
        pads = numpy_helper.from_array(np.array([0, 0, size, size, 0, 0, size, size], np.int64), "p")
        refused(model([helper.make_node("Pad", ["x", "p"], ["y"])], [pads]), "at most|two integers")


def test_layers_share_what_the_file_has_once():
    nodes = [helper.make_node("MatMul", ["x" if i == 0 else f"a{i}", "w"], [f"a{i + 1}"]) for i in range(200)]
    nodes.append(relu("a200", "y"))
    weight = numpy_helper.from_array(np.eye(300, dtype=np.float32), "w")
    network = advcore.from_onnx(model(nodes, [weight], ("N", 300)).SerializeToString())
    assert network.parameter_count() == 300 * 300
