import subprocess
import sys
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

import advcore  # noqa: E402

PACKAGES = Path(advcore.__file__).parents[1]


def exported(module, *shape, fixed=False):
    """Return what torch.onnx.export writes for a module."""
    file = BytesIO()
    axes = {} if fixed else {"dynamic_axes": {"x": {0: "n"}, "y": {0: "n"}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that works without more packages is the older one
        torch.onnx.export(
            module.eval(), torch.zeros(3, *shape), file, dynamo=False, input_names=["x"], output_names=["y"], **axes
        )
    return file.getvalue()


def agrees(module, *shape, fixed=False, **options):
    """Import what torch exports; logits and input gradients must be torch's."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3)
    network = advcore.from_onnx(exported(module, *shape, fixed=fixed), **options)
    x = torch.rand(4, *shape, requires_grad=True)
    logits = module(x)
    cotangent = torch.randn_like(logits)
    (logits * cotangent).sum().backward()
    np.testing.assert_allclose(network.logits(x.detach().numpy()), logits.detach().numpy(), atol=1e-4, rtol=1e-4)
    gradient = network.vjp(x.detach().numpy(), cotangent.numpy())
    np.testing.assert_allclose(gradient, x.grad.numpy(), atol=1e-4, rtol=1e-4)
    assert network.imported.largest_difference < 1e-4
    return network


class Residual(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(6)
        self.conv2 = torch.nn.Conv2d(6, 6, 3, stride=2, padding=1, groups=2)
        self.down = torch.nn.Conv2d(6, 6, 1, stride=2)
        self.gate = torch.nn.Linear(6, 6)
        self.fc = torch.nn.Linear(12, 5)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        y = self.conv2(x) + self.down(x)
        y = y * torch.sigmoid(self.gate(y.mean((2, 3))))[:, :, None, None]
        y = torch.cat([torch.nn.functional.hardtanh(y, 0, 6), -torch.nn.functional.leaky_relu(y, 0.2)], 1)
        y = torch.nn.functional.adaptive_avg_pool2d(y, 1)
        return self.fc(y.view(y.size(0), -1))


class Recurrent(torch.nn.Module):
    def __init__(self, kind, bidirectional, last):
        super().__init__()
        self.cells = kind(5, 6, 2, batch_first=True, bidirectional=bidirectional)
        self.fc = torch.nn.Linear(12 if bidirectional else 6, 3)
        self.last = last

    def forward(self, x):
        output, state = self.cells(x)
        if self.last == "state":
            state = state[0] if isinstance(state, tuple) else state
            return self.fc(torch.cat(list(state[-2:]), 1) if self.cells.bidirectional else state[-1])
        return self.fc(output[:, -1] if self.last == "step" else output.mean(1))


@pytest.mark.parametrize("fixed", [False, True])
def test_a_residual_network(fixed):
    network = agrees(Residual(), 3, 9, 9, fixed=fixed)
    assert {"conv2.weight", "conv2.bias", "down.weight", "fc.weight", "gate.bias"} <= set(network.parameters())


@pytest.mark.parametrize("kind", [torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("last", ["state", "step", "mean"])
def test_recurrent_networks(kind, bidirectional, last):
    agrees(Recurrent(kind, bidirectional, last), 7, 5)


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (
            torch.nn.Sequential(
                torch.nn.Conv1d(3, 4, 3, padding=2, dilation=2), torch.nn.MaxPool1d(2), torch.nn.Flatten()
            ),
            (3, 11),
        ),
        (
            torch.nn.Sequential(
                torch.nn.MaxPool2d(3, 2, 1, ceil_mode=True), torch.nn.Flatten(), torch.nn.LogSoftmax(1)
            ),
            (2, 8, 7),
        ),
        (
            torch.nn.Sequential(
                torch.nn.AvgPool2d(3, 2, 1, ceil_mode=True), torch.nn.Flatten(2), torch.nn.Linear(20, 4)
            ),
            (2, 8, 7),
        ),
        (
            torch.nn.Sequential(torch.nn.ZeroPad2d((1, 0, 2, 1)), torch.nn.Conv2d(2, 3, 2), torch.nn.GELU("tanh")),
            (2, 5, 5),
        ),
        (
            torch.nn.Sequential(torch.nn.InstanceNorm2d(3, affine=True), torch.nn.GroupNorm(3, 3), torch.nn.Flatten()),
            (3, 4, 5),
        ),
        (torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.LayerNorm((3, 6)), torch.nn.Flatten()), (3, 4)),
        (
            torch.nn.Sequential(torch.nn.BatchNorm2d(3), torch.nn.ReLU(), torch.nn.BatchNorm2d(3, affine=False)),
            (3, 4, 5),
        ),
        (
            torch.nn.Sequential(
                torch.nn.Linear(6, 5, bias=False), torch.nn.Tanh(), torch.nn.Dropout(), torch.nn.Softmax(1)
            ),
            (4, 6),
        ),
        (
            torch.nn.Sequential(
                torch.nn.Linear(6, 5), torch.nn.ReLU6(), torch.nn.Unflatten(1, (2, 2)), torch.nn.Flatten()
            ),
            (4, 6),
        ),
    ],
)
def test_chains(module, shape):
    agrees(module, *shape)


def test_a_module_used_twice_stays_one():
    shared = torch.nn.Linear(5, 5)
    network = agrees(torch.nn.Sequential(shared, torch.nn.ReLU(), shared), 5)
    assert network.parameter_count() == 30


def test_mean_and_std():
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten())
    data, mean, std = exported(module, 3, 6, 6), (0.5, 0.4, 0.3), (0.2, 0.3, 0.1)
    network = advcore.from_onnx(data, mean=mean, std=std)
    x = np.random.default_rng(0).random((2, 3, 6, 6), np.float32)
    columns = [np.float32(values).reshape(3, 1, 1) for values in (mean, std)]
    with torch.no_grad():
        expected = module(torch.from_numpy((x - columns[0]) / columns[1])).numpy()
    np.testing.assert_allclose(network.logits(x), expected, atol=1e-5, rtol=1e-5)
    assert network.imported.largest_difference < 1e-4
    np.testing.assert_array_equal(advcore.from_onnx(data, std=1).logits(x), advcore.from_onnx(data).logits(x))
    with pytest.raises(ValueError, match="expected 2 channels"):
        advcore.from_onnx(data, mean=(0.5, 0.5), std=1)


class ChannelsLast(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x.permute(0, 3, 1, 2)).flatten(1)


def test_layout():
    module = ChannelsLast()
    data = exported(module, 6, 7, 3)
    network = advcore.from_onnx(data, layout="NHWC", mean=(0.1, 0.2, 0.3), std=0.5)
    x = np.random.default_rng(0).random((2, 3, 6, 7), np.float32)
    with torch.no_grad():
        pixels = (x - np.float32([0.1, 0.2, 0.3]).reshape(3, 1, 1)) / np.float32(0.5)
        expected = module(torch.from_numpy(pixels).permute(0, 2, 3, 1)).numpy()
    np.testing.assert_allclose(network.logits(x), expected, atol=1e-5, rtol=1e-5)
    assert "Permute" not in repr(network)  # the model's own turn undoes it
    with pytest.raises(ValueError, match="layout must be"):
        advcore.from_onnx(data, layout="CHWN")
    with pytest.raises(ValueError, match="NHWC needs a model of images"):
        advcore.from_onnx(exported(torch.nn.Linear(3, 2), 3), layout="NHWC")


def node_model(nodes, shape, opset=21, **tensors):
    start = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    end = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()]
    graph = helper.make_graph(nodes, "g", [start], [end], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10).SerializeToString()


def test_a_path_and_its_name(tmp_path):
    (tmp_path / "digits.onnx").write_bytes(node_model([helper.make_node("Relu", ["x"], ["y"])], ("N", 3)))
    network = advcore.from_onnx(tmp_path / "digits.onnx")
    assert network.imported.source.startswith("digits.onnx (onnx")
    assert list(network.layers) == ["y"]


def test_nothing_but_the_input():
    x = np.ones((2, 3), np.float32)
    proto = onnx.load_model_from_string(node_model([helper.make_node("Identity", ["x"], ["y"])], ("N", 3)))
    np.testing.assert_array_equal(advcore.from_onnx(proto.SerializeToString()).logits(x), x)
    del proto.graph.node[:]
    proto.graph.output[0].name = "x"
    np.testing.assert_array_equal(advcore.from_onnx(proto.SerializeToString()).logits(x), x)


def test_a_product_and_its_bias_are_one_layer():
    nodes = [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Add", ["b", "a"], ["y"])]
    network = advcore.from_onnx(node_model(nodes, ("N", 3), w=np.ones((3, 2), np.float32), b=np.ones(2, np.float32)))
    assert [type(layer).__name__ for layer in network.layers.values()] == ["Linear"]


def test_a_wrong_translation_is_refused(monkeypatch):
    from advcore.nn.onnx_import.table import OPERATORS

    monkeypatch.setitem(OPERATORS, "Relu", OPERATORS["Tanh"])
    with pytest.raises(ValueError, match="differ"):
        advcore.from_onnx(node_model([helper.make_node("Relu", ["x"], ["y"])], ("N", 3)))


@pytest.mark.parametrize(
    ("node", "shape", "tensors", "match"),
    [
        (("Flatten", {"axis": 0}), ("N", 3), {}, "would mix samples"),
        (("Reshape", {}), ("N", 4), {"c": np.array([-1, 2])}, "would mix samples"),
        (("Reshape", {}), ("N", 4), {"c": np.array([0, 5])}, "would mix samples, or does not fit"),
        (("Softmax", {"axis": 0}), ("N", 4), {}, "along the batch axis"),
        (("Add", {}), (2, 4), {"c": np.ones((2, 4), np.float32)}, "differs from sample to sample"),
        (("Add", {}), ("N", 4), {"c": np.ones(4)}, "must be of float32"),
        (("Add", {}), ("N", 1), {"c": np.ones(4, np.float32)}, "stretches the value"),
        (("MatMul", {}), ("N", 4), {"c": np.ones((2, 4, 3), np.float32)}, "must be a matrix or a vector"),
        (("Pad", {"mode": "reflect"}), ("N", 4), {"c": np.array([0, 1, 0, 1])}, "mode must be constant"),
        (("Transpose", {"perm": [1, 0]}), ("N", 4), {}, "must be the output's first axis"),
        (("Dropout", {}), ("N", 4), {"c": np.float32(0.5), "d": np.array(True)}, "training mode"),
        (("Gather", {"axis": 0}), ("N", 4), {"c": np.array(0)}, "along the batch axis"),
    ],
)
def test_what_a_network_cannot_do(node, shape, tensors, match):
    operator, attributes = node
    data = node_model([helper.make_node(operator, ["x", *tensors], ["y"], name="n", **attributes)], shape, **tensors)
    with pytest.raises((TypeError, ValueError), match=match):
        advcore.from_onnx(data)


def test_training_mode_of_batch_normalisation():
    values = {name: np.ones(3, np.float32) for name in "sbmv"}
    node = helper.make_node("BatchNormalization", ["x", *values], ["y", "", ""], training_mode=1)
    with pytest.raises(ValueError, match="training mode"):
        advcore.from_onnx(node_model([node], ("N", 3, 4), **values))


def test_without_onnxruntime(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    network = advcore.from_onnx(node_model([helper.make_node("Relu", ["x"], ["y"])], ("N", 3)))
    assert network.imported.source == f"the model (onnx {onnx.__version__})"


def test_without_onnx():
    code = """
import sys
sys.modules["onnx"] = None
import advcore
for call in (lambda: advcore.from_onnx(b"x"), lambda: advcore.models.mlp().to_onnx("x.onnx")):
    try:
        call()
    except ImportError as error:
        assert "advcore[onnx]" in str(error)
    else:
        raise SystemExit("no error")
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PACKAGES)
