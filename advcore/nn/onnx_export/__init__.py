"""Networks as ONNX files. Imported by Network.to_onnx only, since onnx is optional."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

try:
    import onnx
except ImportError as error:
    raise ImportError("Network.to_onnx needs onnx: pip install 'advcore[onnx]'") from error

from advcore import _check, _files
from advcore._version import __version__
from advcore.nn.graph import INPUT
from advcore.nn.layer import Shape
from advcore.nn.onnx_export.table import LAYERS
from advcore.nn.onnx_export.writer import Writer

if TYPE_CHECKING:
    from advcore.nn.network import Network

OPSET = 21  # GELU came with 20, group normalisation as it is now with 21
IR_VERSION = 10  # of the same time: onnxruntime refuses files of the future
MOST_BYTES = 2**31 - 2**20  # protobuf's limit, less what the graph may take


def to_onnx(network: Network, path: str | os.PathLike[str], input_shape: Shape) -> None:
    """Write the network, for samples of one shape."""
    shapes = network._shapes(input_shape)
    size = sum(array.nbytes for array in network.parameters().values())
    if size > MOST_BYTES:
        raise ValueError(f"the parameters of an ONNX file must have at most {MOST_BYTES} bytes, got {size}")
    writer = Writer(network.dtype, tuple(network.layers))
    owners: dict[int, str] = {}
    for name, inputs in network.wiring.items():
        layer = network.layers[name]
        if type(layer) not in LAYERS:
            raise ValueError(f"layer {name}, {layer!r}, has no ONNX operator")
        writer.begin(name, owners.setdefault(id(layer), name), [shapes[source] for source in inputs], shapes[name])
        writer.end(LAYERS[type(layer)](writer, layer, [writer.values[source] for source in inputs]))
    element = onnx.helper.np_dtype_to_tensor_dtype(network.dtype)
    start, end = (
        onnx.helper.make_tensor_value_info(writer.values[which], element, ["N", *shapes[which]])
        for which in (INPUT, name)
    )
    graph = onnx.helper.make_graph(writer.nodes, "advcore", [start], [end], writer.tensors)
    model = onnx.helper.make_model(
        graph,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="advcore",
        producer_version=__version__,
    )
    _files.write(_check.path("path", path), model.SerializeToString())
