"""Files that someone else made: each way to break one is told, and none costs memory or time that it does not justify."""

import itertools
import json
import os
import resource
import struct
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advcore import _safetensors, nn
from advcore.nn import serialization

KEY = serialization.KEY


def network():
    shared = nn.Linear(5, 5)
    layers = {"a": nn.Conv2d(1, 2, 3, padding=1), "b": nn.ReLU(), "f": nn.Reshape((2, 5)), "c": shared, "d": shared}
    layers |= {"sum": nn.Add(), "g": nn.GRU(5, 3, output="last")}
    return nn.Network(layers, wiring={"sum": ("d", "f")})


GRAPH = json.loads(serialization.graph_json(network()))
ARRAYS = network().state_dict()
TENSOR = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def load(folder, content):
    file = folder / "file"
    file.write_bytes(content)
    return nn.Network.load(file)


def raw(header, data=b"", length=None):
    """Return a file of any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def with_graph(graph, arrays=None):
    text = graph if isinstance(graph, str) else json.dumps(graph)
    return _safetensors.to_bytes(ARRAYS if arrays is None else arrays, {KEY: text})


WHOLE = with_graph(GRAPH)


def changed(**fields):
    return with_graph(GRAPH | fields)


def one_layer(arrays=None, **entry):
    layer = {"name": "0", "class": "ReLU", "config": {}, "inputs": ["input"]} | entry
    return with_graph(GRAPH | {"layers": [layer]}, {} if arrays is None else arrays)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ends before its header"),
        (raw(b"", length=0), "must begin with a brace"),
        (raw(b"{}     ", length=7), "its metadata has no 'advcore.network'"),
        (raw(b"{}", length=3), "ends before its header does: 10 bytes"),
        (raw(b"{}", length=100_000_001), "ends before its header"),
        (raw(b"{}", length=2**63), "ends before its header"),
        (raw(b"{}", length=2**64 - 1), "ends before its header"),
        (raw(b"{" + b" " * 10_000_000), "at most 10000000 bytes, got 10000001"),
        (raw(b'{"\xff": 1}'), "invalid UTF-8"),
        (raw(b' {"a": 1}'), "must begin with a brace"),
        (raw(b"[1, 2]"), "must begin with a brace"),
        (raw(b'{"a": ' + b"[" * 100_000), "recursion limit"),
        (raw(b'{"a": %s, "a": %s}' % ((json.dumps(TENSOR).encode(),) * 2), b"1234"), "a name occurs twice"),
        (raw(b'{"__metadata__": {"a": "b", "a": "c"}}'), "a name occurs twice"),
        (raw(b'{"__metadata__": {}, "__metadata__": {}}'), "duplicate field"),
        (raw({"__metadata__": {KEY: 1}}), "expected a string"),
        (raw({"a": TENSOR | {"data_offsets": [4, 0]}}, b"1234"), "invalid offset|overflow"),
        (raw({"a": TENSOR | {"data_offsets": [-4, 0]}}, b"1234"), "invalid value|expected usize"),
        (raw({"a": TENSOR, "b": TENSOR}, b"1234"), "invalid offset"),
        (raw({"a": TENSOR, "b": TENSOR | {"data_offsets": [5, 9]}}, bytes(9)), "invalid offset"),
        (raw({"a": TENSOR}, b"123"), "not fully covered"),
        (raw({"a": TENSOR}, b"12345"), "not fully covered"),
        (raw({"a": TENSOR | {"shape": [2]}}, b"1234"), "shape"),
        (raw({"a": TENSOR | {"shape": [2**32, 2**32], "data_offsets": [0, 0]}}), "overflow"),
        (raw({"a": TENSOR | {"shape": [2**62, 4], "data_offsets": [0, 0]}}), "overflow"),
        (raw({"a": TENSOR | {"dtype": "F33"}}, b"1234"), "unknown variant"),
        (raw({"a": TENSOR | {"dtype": "I32"}}, b"1234"), "tensor 'a' must be of type F32 or F64, got I32"),
        (raw({"a": TENSOR | {"dtype": "F16", "shape": [2]}}, b"1234"), "must be of type F32 or F64"),
        (raw({"a": TENSOR}, b"1234"), "its metadata has no 'advcore.network'"),
        (WHOLE + b"x", "not fully covered"),
        (with_graph("nothing"), "the graph is no JSON"),
        (with_graph("[]"), "the graph must be a JSON object, got list"),
        (with_graph("[" * 50_000), "nested too deep"),
        (with_graph('{"a":' * 50_000), "nested too deep"),
        (with_graph('{"format": 1, "format": 1}'), "a name occurs twice"),
        (with_graph('{"format": NaN}'), "NaN is no JSON number"),
        (with_graph('{"format": 1' + "0" * 5000 + "}"), "an integer has 5001 digits"),
        (with_graph("{}"), "format must be of type int, got NoneType"),
        (changed(format=2), "its format must be 1, got 2: it may need another version of advcore"),
        (changed(format=True), "format must be of type int, got bool"),
        (changed(dtype="float16"), "dtype must be 'float32' or 'float64', got 'float16'"),
        (changed(dtype="float64"), r"tensor 'a.weight' must be .* of float64, got .* of float32"),
        (changed(layers={}), "layers must be of type list"),
        (changed(layers=[]), "tensors of no layer: a.bias"),
        (with_graph(GRAPH | {"layers": []}, {}), "layers must not be empty"),
        (changed(layers=[3]), "layer 0 must be an object, got int"),
        (changed(layers=GRAPH["layers"][:-1]), "it has tensors of no layer: g."),
        (changed(layers=[GRAPH["layers"][0], GRAPH["layers"][0]]), "two layers have the name 'a'"),
        (with_graph(GRAPH, {"a.weight": ARRAYS["a.weight"]}), "it has no tensor 'a.bias'"),
        (with_graph(GRAPH, ARRAYS | {"a.bias": np.zeros(3, np.float32)}), r"'a.bias' must be \(2,\) of float32, got \(3,\)"),
        (with_graph(GRAPH, ARRAYS | {"x": np.zeros(3, np.float32)}), "it has tensors of no layer: x"),
        (one_layer(**{"class": "Exec"}), "layer 0 must be of a class of advcore.nn, got 'Exec'"),
        (one_layer(**{"class": "Layer"}), "must be of a class of advcore.nn"),
        (one_layer(**{"class": "Network"}), "must be of a class of advcore.nn"),
        (one_layer(**{"class": ["ReLU"]}), "class must be of type str, got list"),
        (one_layer(config=[]), "config must be of type dict"),
        (one_layer(config={"seed": 1}), "layer 0, a ReLU, has no argument 'seed'"),
        (one_layer(config={"self": 1}), "has no argument 'self'"),
        (one_layer(config={"parameter_shapes": {"weight": [3]}}), "has no argument 'parameter_shapes'"),
        (one_layer(**{"class": "Linear", "config": {}}), "refuses its arguments: .*missing"),
        (one_layer(**{"class": "Linear", "config": {"in_features": "3", "out_features": 2}}), "in_features must be an integer"),
        (one_layer(**{"class": "Linear", "config": {"in_features": -3, "out_features": 2}}), "in_features must be at least 1"),
        (one_layer(**{"class": "Linear", "config": {"in_features": 10**19, "out_features": 2}}), "in_features must be at most"),
        (one_layer(**{"class": "Linear", "config": {"in_features": 10**9, "out_features": 10**9}}), "no tensor '0.weight'"),
        (one_layer(**{"class": "LSTM", "config": {"input_size": 1, "hidden_size": 1, "num_layers": 10**9}}), "num_layers must be at most 1000"),
        (one_layer(**{"class": "Dropout", "config": {"p": 1e400}}), "is no JSON number|p must be finite"),
        (one_layer(**{"class": "Pad", "config": {"widths": 3}}), "refuses its arguments"),
        (one_layer(**{"class": "Reshape", "config": {"shape": None}}), "refuses its arguments"),
        (one_layer(**{"class": "Reshape", "config": {"shape": json.loads("[" * 300 + "]" * 300)}}), "refuses its arguments"),
        (one_layer(name="input"), "'input' is the name of the network's input"),
        (one_layer(name=3), "name must be of type str"),
        (one_layer(inputs="input"), "inputs must be of type list"),
        (one_layer(inputs=[["input"]]), "the inputs of layer 0 must be strings"),
        (one_layer(inputs=["0"]), "must name earlier layers or 'input', got '0'"),
        (one_layer(inputs=[]), "must have 1 inputs, got 0"),
        (one_layer(same_as="0"), "layer 0 must be the same as an earlier one, got '0'"),
        (one_layer(same_as=None), "same_as must be of type str"),
    ],
)  # fmt: skip
def test_broken_files_are_told(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        load(tmp_path, content)
    assert str(tmp_path / "file") in str(caught.value)


def test_the_file_that_the_others_are_made_of_is_good(tmp_path):
    x = np.random.default_rng(0).random((3, 1, 1, 5), np.float32)
    np.testing.assert_array_equal(load(tmp_path, WHOLE).logits(x), network().logits(x))


def test_truncation_at_every_byte(tmp_path):
    for size in range(len(WHOLE)):
        with pytest.raises(ValueError, match="holds no network"):
            load(tmp_path, WHOLE[:size])


def test_what_is_no_file(tmp_path):
    tmp_path.joinpath("folder").mkdir()
    with pytest.raises(ValueError, match="it is no regular file"):
        nn.Network.load(tmp_path / "folder")
    with pytest.raises(ValueError, match="it is no regular file"):
        nn.Network.load("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="it is no regular file"):
        nn.Network.load(tmp_path / "pipe")
    with pytest.raises(ValueError, match="null"):
        nn.Network.load("a\0b")


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is told in other units")
def test_declared_sizes_take_no_memory_and_many_layers_no_time(tmp_path):
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    for kind, config in (
        ("Linear", {"in_features": 10**9, "out_features": 10**9}),
        ("Conv2d", {"in_channels": 10**6, "out_channels": 10**6, "kernel_size": 1000}),
        ("Affine", {"shape": [10**6, 10**6]}),
        ("LSTM", {"input_size": 10**9, "hidden_size": 10**9, "num_layers": 1000, "bidirectional": True}),
    ):
        with pytest.raises(ValueError, match=r"it has no tensor '0\.weight"):
            load(tmp_path, one_layer(**{"class": kind, "config": config}))
    names = ["input", *map(str, range(20_000))]
    layers = [
        {"name": name, "class": "ReLU", "config": {}, "inputs": [source]} for source, name in itertools.pairwise(names)
    ]
    load(tmp_path, with_graph(GRAPH | {"layers": layers}, {}))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB
    assert time.process_time() - start < 60  # seconds of work, not of waiting; a quadratic pass took minutes


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5)
    | st.sampled_from(["input", "a", "ReLU", "Conv2d", "GRU", "same_as", "class", 0, 1, 2, 3]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def places(value, path=()):
    """Yield the path to every value in JSON."""
    yield path
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(part, (*path, key))


PLACES = [path for path in places(GRAPH) if path]


def edited(path, value):
    graph = json.loads(json.dumps(GRAPH))
    target = graph
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return graph


def survives(folder, content):
    """Whatever a file holds, it loads, or is refused."""
    try:
        loaded = load(folder, content)
    except (ValueError, OSError):
        return
    assert isinstance(loaded, nn.Network)


@settings(max_examples=1000, deadline=None)
@given(path=st.sampled_from(PLACES), value=VALUES)
def test_graphs_with_any_value_anywhere(tmp_path_factory, path, value):
    survives(tmp_path_factory.getbasetemp(), with_graph(edited(path, value)))


def mutate(rng):
    content = bytearray(WHOLE)
    header = 8 + int.from_bytes(WHOLE[:8], "little")
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(0, header if rng.random() < 0.9 else len(content)))
        how = rng.integers(5)
        if how == 0:
            content[at] ^= 1 << rng.integers(8)
        elif how == 1:
            content[at] = rng.choice(list(b'0123456789{}[]",:-e.\\\x00\xff'))
        elif how == 2:
            del content[at : at + int(rng.integers(1, 20))]
        elif how == 3:
            content[at:at] = content[: int(rng.integers(1, 40))]
        else:
            content[at:at] = bytes(rng.choice(list(b"0123456789"), int(rng.integers(1, 30))).tolist())
        header = min(header, len(content))
        if header == 0:
            break
    if rng.random() < 0.5 and len(content) > 8:  # let the length fit, so that the rest is reached
        length = int.from_bytes(WHOLE[:8], "little") + len(content) - len(WHOLE)
        content[:8] = struct.pack("<Q", max(0, length))
    return bytes(content)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 8))])
def test_mutated_files_are_refused_or_load(tmp_path, seed):
    rng = np.random.default_rng(seed)
    for _ in range(1500):
        survives(tmp_path, mutate(rng))
