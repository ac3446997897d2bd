import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
from onnx.reference import ReferenceEvaluator  # noqa: E402

import advcore  # noqa: E402
from advcore import models, nn  # noqa: E402
from advcore.nn.onnx_export.table import LAYERS  # noqa: E402


def written(network, file, *shape):
    """Write a network, and check the file, what others compute from it, and what comes back."""
    x = np.random.default_rng(0).standard_normal((3, *shape)).astype(network.dtype)
    expected = network.logits(x)
    network.to_onnx(file)
    onnx.checker.check_model(str(file), full_check=True)
    inferred = onnx.shape_inference.infer_shapes(onnx.load(file), strict_mode=True, data_prop=True)
    dims = inferred.graph.output[0].type.tensor_type.shape.dim
    assert dims[0].dim_param == "N"
    assert tuple(dim.dim_value for dim in dims[1:]) == expected.shape[1:]
    tolerance = {"atol": 2e-5, "rtol": 2e-5} if network.dtype == np.float32 else {"atol": 1e-7, "rtol": 1e-7}
    if network.dtype == np.float32:  # it lacks operators for float64
        session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
        np.testing.assert_allclose(session.run(None, {"input": x})[0], expected, **tolerance)
    back = advcore.from_onnx(file)
    np.testing.assert_allclose(back.logits(x), expected, **tolerance)
    return x, expected, back


LAYER_CASES = [
    (nn.Affine((2, 1, 6)), (2, 5, 6)),
    (nn.Affine((2, 1, 6), scale=False), (2, 5, 6)),
    (nn.AvgPool2d(3, 2, 1, True), (2, 8, 7)),
    (nn.AvgPool2d(3, 2, 1, True, False), (2, 8, 7)),
    (nn.AvgPool2d((2, 3), 2, (1, 0)), (2, 8, 7)),
    (nn.AvgPool2d(2, 3, ceil_mode=True), (2, 9, 10)),
    (nn.AdaptiveAvgPool2d(1), (2, 8, 7)),
    (nn.AdaptiveAvgPool2d((4, 7)), (2, 8, 7)),
    (nn.AdaptiveAvgPool2d((3, 2)), (2, 8, 7)),
    (nn.BatchNorm(2, 1e-3, 0.2), (2, 5, 6)),
    (nn.BatchNorm(4, affine=False), (4,)),
    (nn.Clip(-0.5, 0.5), (7,)),
    (nn.Clip(low=0.1), (7,)),
    (nn.Clip(), (7,)),
    (nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), 2), (4, 9, 8)),
    (nn.Conv2d(2, 3, 4, padding="same", bias=False), (2, 6, 5)),
    (nn.Dropout(0.3), (7,)),
    (nn.Flatten(), (2, 3, 4)),
    (nn.GELU(), (7,)),
    (nn.GELU("tanh"), (7,)),
    (nn.GRU(3, 4, 2, bidirectional=True), (5, 3)),
    (nn.GRU(3, 4, reset="before", output="last"), (5, 3)),
    (nn.GroupNorm(2, 6), (6, 4, 3)),
    (nn.GroupNorm(2, 6, affine=False), (6, 4)),
    (nn.InstanceNorm(3, affine=True), (3, 4, 5)),
    (nn.InstanceNorm(3), (3, 7)),
    (nn.LSTM(3, 4, 2, bidirectional=True, output="last"), (5, 3)),
    (nn.LSTM(3, 4, bias=False), (5, 3)),
    (nn.LayerNorm((4, 5)), (3, 4, 5)),
    (nn.LayerNorm(5, elementwise_affine=False), (3, 5)),
    (nn.LeakyReLU(0.2), (7,)),
    (nn.Linear(6, 4), (6,)),
    (nn.Linear(6, 4, bias=False), (3, 6)),
    (nn.Linear(6, 4), (2, 3, 6)),
    (nn.LogSoftmax(), (2, 7)),
    (nn.MaxPool2d(3, 2, 1, ceil_mode=True), (2, 8, 7)),
    (nn.MaxPool2d((2, 3), dilation=(2, 1)), (2, 8, 7)),
    (nn.Mean((1, 3)), (2, 3, 4)),
    (nn.Mean((2,), keepdims=True), (2, 3, 4)),
    (nn.Normalize((0.1, 0.2), (0.5, 0.6)), (2, 3, 4)),
    (nn.Pad(((0, 1), (2, 0)), -1.5), (3, 4)),
    (nn.Permute((3, 1, 2)), (2, 3, 4)),
    (nn.RNN(3, 4, bidirectional=True, output="last"), (5, 3)),
    (nn.ReLU(), (7,)),
    (nn.Reshape((4, -1)), (2, 3, 4)),
    (nn.RowsAsSteps(), (2, 3, 4)),
    (nn.Scale(2.0, -1.0), (7,)),
    (nn.Sigmoid(), (7,)),
    (nn.Slice(2, None, None, -2), (2, 5)),
    (nn.Slice(1, -2), (5, 2)),
    (nn.Softmax(), (2, 7)),
    (nn.Tanh(), (7,)),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("layer", "shape"), LAYER_CASES, ids=lambda value: repr(value)[:50])
def test_a_layer(layer, shape, dtype, tmp_path):
    fresh = type(layer)(**layer.config())
    network = nn.Network({"only": fresh}, dtype=dtype)
    for array in network.parameters().values():
        array[...] = np.random.default_rng(1).standard_normal(array.shape)
    for array in network.buffers().values():
        array[...] = np.random.default_rng(2).uniform(0.5, 2, array.shape)
    x, expected, _ = written(network, tmp_path / "a.onnx", *shape)
    reference = ReferenceEvaluator(str(tmp_path / "a.onnx")).run(None, {"input": x})[0]
    np.testing.assert_allclose(reference, expected, atol=2e-5, rtol=2e-5)


def test_every_layer_is_among_the_cases():
    merges = {nn.Add, nn.Subtract, nn.Multiply, nn.Concatenate}
    assert {type(layer) for layer, _ in LAYER_CASES} | merges == set(LAYERS)


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (models.carlini_mnist(), (1, 28, 28)),
        (models.lenet(), (1, 28, 28)),
        (models.gru_classifier(), (1, 28, 28)),
        (models.lstm_classifier(), (1, 28, 28)),
    ],
    ids=["carlini", "lenet", "gru", "lstm"],
)
def test_models_come_back_with_the_same_bits_and_names(network, shape, tmp_path):
    x, expected, back = written(network, tmp_path / "model.onnx", *shape)
    np.testing.assert_array_equal(back.logits(x), expected)
    assert list(back.parameters()) == list(network.parameters())


@st.composite
def graphs(draw):
    """Return a network of a few layers on images, with branches that are joined again, and its input's shape."""
    channels = draw(st.integers(1, 4))
    shape = (channels, draw(st.integers(5, 9)), draw(st.integers(5, 9)))
    layers, wiring, shapes = {}, {}, {"input": shape}

    def put(layer, *inputs):
        name = f"{type(layer).__name__.lower()}{len(layers)}"
        layers[name], wiring[name] = layer, inputs
        given = [shapes[source] for source in inputs]
        shapes[name] = layer.output_shape_all(given) if len(inputs) > 1 else layer.output_shape(given[0])
        return name

    at = "input"
    for _ in range(draw(st.integers(1, 5))):
        c, h, w = shapes[at]
        kind = draw(
            st.sampled_from(["conv", "pool", "activation", "residual", "gate", "concatenate", "affine", "turn"])
        )
        if kind == "conv":
            k, p, s = draw(st.integers(1, 3)), draw(st.integers(0, 1)), draw(st.integers(1, 2))
            if min(h, w) + 2 * p >= k:
                at = put(nn.Conv2d(c, draw(st.integers(1, 5)), k, s, p, bias=draw(st.booleans())), at)
        elif kind == "pool" and min(h, w) >= 3:
            pool = draw(st.sampled_from([nn.MaxPool2d, nn.AvgPool2d]))
            at = put(pool(draw(st.integers(2, 3)), draw(st.integers(1, 2)), 1, ceil_mode=draw(st.booleans())), at)
        elif kind == "activation":
            at = put(draw(st.sampled_from([nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.LeakyReLU]))(), at)
        elif kind == "residual":
            branch = put(nn.Conv2d(c, c, 3, padding=1), at)
            at = put(draw(st.sampled_from([nn.Add, nn.Subtract]))(), branch, at)
        elif kind == "gate":
            mean = put(nn.Mean((2, 3), keepdims=True), at)
            at = put(nn.Multiply(), at, put(nn.Sigmoid(), mean))
        elif kind == "concatenate":
            at = put(nn.Concatenate(draw(st.integers(1, 3))), at, put(nn.ReLU(), at), at)
        elif kind == "affine":
            at = put(nn.Affine((c, 1, 1)), at)
        elif kind == "turn":
            at = put(nn.Permute(draw(st.permutations([1, 2, 3]))), at)
    at = put(nn.Flatten(), at)
    put(nn.Linear(shapes[at][0], 4), at)
    return nn.Network(layers, wiring=wiring, seed=draw(st.integers(0, 9))), shape


@settings(max_examples=40, deadline=None)
@given(graphs())
def test_random_graphs(tmp_path_factory, drawn):
    network, shape = drawn
    written(network, tmp_path_factory.mktemp("graph") / "g.onnx", *shape)


def test_shared_layers_stay_shared(tmp_path):
    layer = nn.Linear(5, 5)
    network = nn.Network({"a": layer, "b": nn.ReLU(), "c": layer})
    _, _, back = written(network, tmp_path / "shared.onnx", 5)
    assert list(back.parameters()) == ["a.weight", "a.bias"]


def test_the_shape_of_the_input(tmp_path):
    network = nn.Sequential(nn.ReLU())
    with pytest.raises(
        ValueError, match="input_shape must be given: the network has been run on samples of shape none"
    ):
        network.to_onnx(tmp_path / "a.onnx")
    network.to_onnx(tmp_path / "a.onnx", (3, 4))
    assert onnx.load(tmp_path / "a.onnx").graph.input[0].type.tensor_type.shape.dim[2].dim_value == 4
    network.logits(np.zeros((1, 2), np.float32))
    network.logits(np.zeros((1, 3), np.float32))
    with pytest.raises(ValueError, match=r"\(2,\), \(3,\)"):
        network.to_onnx(tmp_path / "a.onnx")
    with pytest.raises(ValueError, match="x does not fit layer 0"):
        nn.Sequential(nn.Linear(3, 2)).to_onnx(tmp_path / "b.onnx", (4,))
    assert not (tmp_path / "b.onnx").exists()


def test_a_layer_without_an_operator(tmp_path):
    class Own(nn.ReLU):
        pass

    with pytest.raises(ValueError, match=r"layer 0, Own.*, has no ONNX operator"):
        nn.Sequential(Own()).to_onnx(tmp_path / "a.onnx", (3,))
