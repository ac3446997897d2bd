"""An ONNX file, which nobody vouches for, as plain Python objects: every name, size and attribute has been checked."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

from advcore import _check
from advcore._check import Array
from advcore.nn.layer import Shape
from advcore.nn.onnx_import import tensors, wire

MOST_BYTES = 2**31 - 1  # protobuf's own limit
MOST_NODES = 20_000
OLDEST_OPSET = 6
DOMAINS = ("", "ai.onnx")
CONTROL_FLOW = ("If", "Loop", "Scan", "SequenceMap")


@dataclass
class Node:
    """One operation. ``attributes`` has the operator's defaults; an input or output that is left out is ""."""

    name: str
    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.name} ({self.op})"


@dataclass
class Model:
    """What is needed of a file to compute its output.

    ``batch`` is the fixed number of samples that it was made for, if any; ``sample`` the input's other extents.
    ``proto`` is the model with the needed nodes and tensors only.
    """

    source: str
    size: int
    proto: ModelProto
    opset: int
    nodes: list[Node]
    input: str
    output: str
    dtype: Any
    batch: int | None
    sample: Shape
    uses: Counter[str]
    _tensors: Mapping[str, TensorProto]
    _arrays: dict[str, Array] = field(default_factory=dict)

    def serialize(self) -> bytes:
        """Return the bytes of the needed part, and forget everything else of the file."""
        data: bytes = self.proto.SerializeToString()
        self._arrays, self._tensors, self.proto = {}, {}, ModelProto()
        return data

    def holds(self, name: str) -> bool:
        """Return whether the file has a tensor of this name."""
        return name in self._tensors

    def initializer(self, name: str) -> Array | None:
        """Return a tensor of the file, if there is one of this name."""
        if name in self._tensors and name not in self._arrays:
            self._arrays[name] = tensors.array(self._tensors[name])
        return self._arrays.get(name)


def read(path_or_bytes: object, supported: Mapping[str, Any]) -> Model:
    """Read and check a model, whose needed operators must be among the supported.

    Raises
    ------
    TypeError
        If it is neither a path nor bytes.
    OSError
        If the file cannot be read.
    ValueError
        If something is wrong with the file, or not supported.
    """
    data, source = _bytes(path_or_bytes)
    wire.scan(data, ModelProto.DESCRIPTOR)
    try:
        model = ModelProto.FromString(data)
    except DecodeError as error:
        raise ValueError(f"not a readable ONNX file: {error}") from None
    opset = _opset(model)
    if model.functions:
        raise ValueError("a model with functions of its own is not supported: inline them with onnx.inliner")
    if model.training_info:
        raise ValueError("a model in training mode (with training information) is not supported")
    graph = model.graph
    known, outputs = _initializers(graph), [info.name for info in graph.output]
    free = [info for info in graph.input if info.name not in known]
    if len(free) != 1 or len(outputs) != 1:
        inputs = ", ".join(info.name for info in free) or "none"
        raise ValueError(
            f"the model must have one input and one output, got {inputs} and {', '.join(outputs) or 'none'}"
        )
    protos = _needed(graph, known, free[0].name, outputs[0])
    _check_supported(protos, supported)
    nodes = [_node(proto, index, opset) for index, proto in enumerate(protos)]
    dtype, batch, sample = _input(free[0])
    uses = Counter([outputs[0], *(name for node in nodes for name in node.inputs)])
    if free[0].name not in uses:
        raise ValueError(f"the output {outputs[0]!r} does not depend on the input {free[0].name!r}")
    for name in known.keys() & uses.keys():
        tensors.check(known[name])
    start = free[0].name
    _prune(model, protos, uses, start)
    held = {tensor.name: tensor for tensor in graph.initializer}
    return Model(source, len(data), model, opset, nodes, start, outputs[0], dtype, batch, sample, uses, held)


def _bytes(path_or_bytes: object) -> tuple[bytes, str]:
    if isinstance(path_or_bytes, (bytes, bytearray, memoryview)):
        data, source = bytes(path_or_bytes), "the model"
    elif isinstance(path_or_bytes, (str, os.PathLike)):
        path = Path(path_or_bytes)
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # a pipe must not keep us waiting
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ValueError(f"{path} must be a file, got something else")
            if status.st_size > MOST_BYTES:
                raise ValueError(f"{path} must have at most {MOST_BYTES} bytes, got {status.st_size}")
            data, source = file.read(MOST_BYTES), path.name
    else:
        raise TypeError(f"path_or_bytes must be a path or bytes, got {type(path_or_bytes).__name__}")
    if not data:
        raise ValueError(f"{source} is not a readable ONNX file: it is empty")
    return data, source


def _opset(model: ModelProto) -> int:
    versions = [entry.version for entry in model.opset_import if entry.domain in DOMAINS]
    newest = onnx.defs.onnx_opset_version()
    if len(versions) != 1:
        raise ValueError(f"the model must name one version of ONNX's operators, got {versions or 'none'}")
    if not OLDEST_OPSET <= versions[0] <= newest:
        raise ValueError(f"the model must be of opset {OLDEST_OPSET} to {newest}, got {versions[0]}")
    return int(versions[0])


def _initializers(graph: GraphProto) -> dict[str, TensorProto]:
    if graph.sparse_initializer:
        raise ValueError("sparse tensors are not supported")
    known: dict[str, TensorProto] = {}
    for tensor in graph.initializer:
        if not tensor.name or tensor.name in known:
            raise ValueError(f"every tensor must have a name of its own, got {tensor.name!r} twice or empty")
        known[tensor.name] = tensor
    names = [info.name for info in graph.input]
    if not all(names) or len(set(names)) != len(names):
        raise ValueError(f"every input must have a name of its own, got {', '.join(map(repr, names))}")
    return known


def _needed(graph: GraphProto, known: Mapping[str, TensorProto], start: str, output: str) -> list[NodeProto]:
    """Return the nodes that the output depends on; all must be in an order in which they can be computed."""
    if len(graph.node) > MOST_NODES:
        raise ValueError(f"the model must have at most {MOST_NODES} nodes, got {len(graph.node)}")
    defined = {*known, start}
    for node in graph.node:
        for name in node.input:
            if name and name not in defined:
                raise ValueError(f"node {node.name or node.op_type} takes {name!r}, which no node before it computes")
        for name in filter(None, node.output):
            if name in defined:
                raise ValueError(f"two values are called {name!r}")
            defined.add(name)
    if output not in defined:
        raise ValueError(f"the output {output!r} is computed nowhere")
    wanted, needed = {output}, []
    for node in reversed(graph.node):
        if wanted.intersection(filter(None, node.output)):
            wanted.update(node.input)
            needed.append(node)
    return needed[::-1]


def _check_supported(nodes: list[NodeProto], supported: Mapping[str, Any]) -> None:
    for node in nodes:
        where = f"node {node.name or node.output[0]}"
        if node.op_type in CONTROL_FLOW:
            raise ValueError(f"{where} is control flow that depends on data ({node.op_type}), which is not supported")
        if node.domain not in DOMAINS or node.op_type not in supported:
            operator = node.op_type if node.domain in DOMAINS else f"{node.domain}.{node.op_type}"
            listed = ", ".join(sorted(supported))
            raise ValueError(f"{where} has the operator {operator}, which is not supported; supported are {listed}")


def _node(proto: NodeProto, index: int, opset: int) -> Node:
    """Check a node against the operator's definition, and fill in the defaults."""
    name = proto.name or next(filter(None, proto.output))
    node = Node(name, proto.op_type, list(proto.input), list(proto.output), {})
    try:
        schema = onnx.defs.get_schema(proto.op_type, opset, "")
    except onnx.defs.SchemaError:
        raise ValueError(f"node {node}: there is no such operator in opset {opset}") from None
    if schema.deprecated:
        raise ValueError(f"node {node}: the operator has no meaning in opset {opset}")
    for what, names, least, most in (
        ("inputs", node.inputs, schema.min_input, schema.max_input),
        ("outputs", node.outputs, schema.min_output, schema.max_output),
    ):
        if not least <= len(names) <= most:
            raise ValueError(f"node {node} must have {least} to {most} {what}, got {len(names)}")
    given = {attribute.name: attribute for attribute in proto.attribute}
    if len(given) != len(proto.attribute) or given.keys() - schema.attributes.keys():
        got = ", ".join(attribute.name for attribute in proto.attribute)
        raise ValueError(f"node {node} must have each attribute once, of {', '.join(schema.attributes)}; got {got}")
    for key, definition in schema.attributes.items():
        value = given.get(key, definition.default_value)
        if key not in given and definition.required:
            raise ValueError(f"node {node} lacks the attribute {key}")
        kind: Any = definition.type  # pybind11's enumeration
        if key in given and value.type != int(kind.value):
            raise ValueError(f"node {node}: the attribute {key} is of another type than the operator's")
        node.attributes[key] = _attribute(node, key, value)
    return node


def _attribute(node: Node, key: str, value: AttributeProto) -> Any:
    kinds = AttributeProto
    if value.ref_attr_name:
        raise ValueError(f"node {node}: the attribute {key} refers to a function's, which is not supported")
    if value.type == kinds.UNDEFINED:  # left out, and there is no default
        return None
    if value.type == kinds.FLOAT:
        return _decimal(value.f)
    if value.type == kinds.INT:
        return int(value.i)
    if value.type in (kinds.STRING, kinds.STRINGS):
        try:
            texts = [text.decode() for text in (value.strings if value.type == kinds.STRINGS else [value.s])]
        except UnicodeDecodeError:
            raise ValueError(f"node {node}: the attribute {key} must be text") from None
        return texts if value.type == kinds.STRINGS else texts[0]
    if value.type == kinds.FLOATS:
        return [_decimal(number) for number in value.floats]
    if value.type == kinds.INTS:
        return [int(number) for number in value.ints]
    if value.type == kinds.TENSOR:
        tensors.check(value.t)
        return tensors.array(value.t)
    raise ValueError(f"node {node}: the attribute {key} is of a type that is not supported")


def _decimal(number: float) -> float:
    """Return the shortest number that rounds to this one of 32 bits: what somebody has written."""
    return float(str(np.float32(number)))


def _input(info: ValueInfoProto) -> tuple[Any, int | None, Shape]:
    """Return the type, the fixed batch or None, and a sample's shape."""
    name, kind = info.name, info.type.tensor_type
    if not info.type.HasField("tensor_type") or not kind.HasField("shape"):
        raise ValueError(f"the input {name} must be a tensor with a shape")
    if kind.elem_type not in (TensorProto.FLOAT, TensorProto.DOUBLE):
        raise ValueError(f"the input {name} must be of float32 or float64, got {tensors.type_name(kind.elem_type)}")
    dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim]
    if not 1 <= len(dims) <= tensors.MOST_AXES:
        raise ValueError(f"the input {name} must have 1 to {tensors.MOST_AXES} axes, got {len(dims)}")
    if any(extent is not None and extent < 1 for extent in dims):
        raise ValueError(f"the input {name} must have positive extents, got {_check.shape_text(dims)}")
    sample = tuple(extent for extent in dims[1:] if extent is not None)
    if len(sample) != len(dims) - 1:
        text = _check.shape_text(dims)
        raise ValueError(
            f"only the batch may be left open, got the input {name} of shape {text}: fix the other extents"
        )
    return tensors.TYPES[kind.elem_type][0].newbyteorder("="), dims[0], sample


def _prune(model: ModelProto, needed: list[NodeProto], uses: Counter[str], start: str) -> None:
    """Leave of the model what its output needs, in place; what the file says of its values' shapes goes too."""
    graph = model.graph
    if len(needed) != len(graph.node):
        kept = [NodeProto.FromString(node.SerializeToString()) for node in needed]
        del graph.node[:]
        graph.node.extend(kept)
    for index in reversed(range(len(graph.initializer))):
        if graph.initializer[index].name not in uses:
            del graph.initializer[index]
    for index in reversed(range(len(graph.input))):
        if graph.input[index].name != start:
            del graph.input[index]
    del graph.value_info[:], graph.quantization_annotation[:], model.metadata_props[:]
    graph.output[0].type.tensor_type.ClearField("shape")
    graph.output[0].type.tensor_type.elem_type = graph.input[0].type.tensor_type.elem_type
