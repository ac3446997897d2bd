"""Networks in files: one safetensors file, the parameters as its tensors and the graph as JSON in its metadata.

A file is data and nothing else: the classes of layers come from the list below, their arguments pass the checks of
their constructors, and no parameter takes memory that the file does not have.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from advcore import _check, _files, _safetensors
from advcore._check import Array
from advcore.nn._watch import by_the_network
from advcore.nn.activations import GELU, Clip, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from advcore.nn.affine import Affine, Normalize, Scale
from advcore.nn.batch_norm_lstm import BatchNormLSTM
from advcore.nn.conv import Conv2d
from advcore.nn.distance import NegativeDistance
from advcore.nn.dropout import Dropout
from advcore.nn.layer import Layer
from advcore.nn.linear import Linear
from advcore.nn.merge import Add, Concatenate, Multiply, Subtract
from advcore.nn.network import Network
from advcore.nn.noise import GaussianNoise
from advcore.nn.normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm
from advcore.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from advcore.nn.recurrent import GRU, LSTM, RNN
from advcore.nn.reshape import Flatten, Mean, Pad, Permute, Reshape, RowsAsSteps
from advcore.nn.slicing import Slice

FORMAT = 1
KEY = "advcore.network"

# A class that is not here cannot be saved, and a file cannot name it.
LAYERS: dict[str, type[Layer]] = {
    layer.__name__: layer
    for layer in (
        *(GELU, Clip, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh),
        *(Affine, Normalize, Scale, Conv2d, Dropout, GaussianNoise, Linear, NegativeDistance),
        *(BatchNorm, GroupNorm, InstanceNorm, LayerNorm, BatchNormLSTM),
        *(Add, Concatenate, Multiply, Subtract),
        *(AdaptiveAvgPool2d, AvgPool2d, MaxPool2d),
        *(GRU, LSTM, RNN),
        *(Flatten, Mean, Pad, Permute, Reshape, RowsAsSteps, Slice),
    )
}


def save(network: Network, path: object) -> None:
    """Write a network to a file; see Network.save."""
    file = _check.path("path", path)
    _files.write(file, to_bytes(network))


def to_bytes(network: Network) -> bytes:
    """Return the content of a network's file."""
    return _safetensors.to_bytes(network.state_dict(), {KEY: graph_json(network)})


def from_bytes(content: bytes) -> Network:
    """Return the network in a file's content; ValueError where there is none."""
    return _network(*_safetensors.from_bytes(content))


def load(path: object) -> Network:
    """Read a network from a file; see Network.load."""
    file = _check.path("path", path)
    try:
        return _network(*_safetensors.read(file))
    except ValueError as error:
        raise ValueError(f"{file} holds no network that can be loaded: {error}") from None


def graph_json(network: Network) -> str:
    """Return everything but the parameters as JSON: the layers in order, with their arguments and inputs."""
    first: dict[int, str] = {}
    entries: list[dict[str, object]] = []
    for name, layer in network.layers.items():
        entry: dict[str, object] = {"name": name, "inputs": network.wiring[name]}
        if id(layer) in first:
            entry["same_as"] = first[id(layer)]
        else:
            if LAYERS.get(type(layer).__name__) is not type(layer):
                raise ValueError(f"layer {name} must be of a class of advcore.nn to be saved, got {type(layer)}")
            entry |= {"class": type(layer).__name__, "config": layer.config()}
            first[id(layer)] = name
        entries.append(entry)
    return json.dumps({"format": FORMAT, "dtype": network.dtype.name, "layers": entries}, allow_nan=False)


def _network(arrays: dict[str, Array], metadata: Mapping[str, str]) -> Network:
    if KEY not in metadata:
        raise ValueError(f"its metadata has no {KEY!r}")
    graph = _safetensors.parse_json(metadata[KEY], "the graph")
    version = _field(graph, "format", int)
    if version != FORMAT:
        raise ValueError(f"its format must be {FORMAT}, got {version}: it may need another version of advcore")
    dtype = np.dtype(_check.choice("dtype", _field(graph, "dtype", str), ("float32", "float64")))
    layers: dict[str, Layer] = {}
    wiring: dict[str, list[str]] = {}
    for number, entry in enumerate(_field(graph, "layers", list)):
        if not isinstance(entry, dict):
            raise ValueError(f"layer {number} must be an object, got {type(entry).__name__}")
        name, inputs = _field(entry, "name", str), _field(entry, "inputs", list)
        if name in layers:
            raise ValueError(f"two layers have the name {name!r}")
        if not all(isinstance(source, str) for source in inputs):
            raise ValueError(f"the inputs of layer {name} must be strings")
        if "same_as" in entry:
            owner = _field(entry, "same_as", str)
            if owner not in layers:
                raise ValueError(f"layer {name} must be the same as an earlier one, got {owner!r}")
            layers[name] = layers[owner]
        else:
            layers[name] = _layer(name, entry)
            with by_the_network():
                _fill(name, layers[name], arrays, dtype)
        wiring[name] = inputs
    if arrays:
        raise ValueError(f"it has tensors of no layer: {', '.join(sorted(arrays)[:5])}")
    try:
        return Network(layers, wiring=wiring, dtype=dtype)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _layer(name: str, entry: Mapping[str, Any]) -> Layer:
    """Return the layer that an entry describes, without parameters."""
    kind = _field(entry, "class", str)
    if kind not in LAYERS:
        raise ValueError(f"layer {name} must be of a class of advcore.nn, got {kind!r}")
    config = _field(entry, "config", dict)
    unknown = set(config) - set(LAYERS[kind].arguments())
    if unknown:
        raise ValueError(f"layer {name}, a {kind}, has no argument {min(unknown)!r}")
    make: Callable[..., Layer] = LAYERS[kind]
    try:
        return make(**{argument: _tuples(value) for argument, value in config.items()})
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"layer {name}, a {kind}, refuses its arguments: {error}") from None


def _tuples(value: object) -> object:
    return tuple(_tuples(part) for part in value) if isinstance(value, list) else value


def _fill(name: str, layer: Layer, arrays: dict[str, Array], dtype: np.dtype[Any]) -> None:
    """Give a layer its parameters and buffers: the arrays of the file, so that none is drawn. They are taken out."""
    for parameter, shape in layer.parameter_shapes.items():
        key = f"{name}.{parameter}"
        if key not in arrays:
            raise ValueError(f"it has no tensor {key!r}")
        array = arrays.pop(key)
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(f"tensor {key!r} must be {shape} of {dtype}, got {array.shape} of {array.dtype}")
        layer.parameters[parameter] = array
    for buffer in layer.buffer_shapes:
        if f"{name}.{buffer}" not in arrays:
            raise ValueError(f"it has no tensor {name}.{buffer!r}")
    try:
        layer.buffers.update(layer.check_buffers(f"{name}.", arrays, dtype))
    except TypeError as error:
        raise ValueError(str(error)) from None
    for buffer in layer.buffer_shapes:
        del arrays[f"{name}.{buffer}"]


def _field(entry: Mapping[str, Any], name: str, kind: type) -> Any:
    if type(entry.get(name)) is not kind:
        raise ValueError(f"{name} must be of type {kind.__name__}, got {type(entry.get(name)).__name__}")
    return entry[name]
