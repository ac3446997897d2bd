"""The source and the network side by side on random inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from advcore._check import Array
from advcore._config import get_num_threads
from advcore.nn.graph import INPUT
from advcore.nn.imported import Import, compare
from advcore.nn.layer import Layer, Shape
from advcore.nn.network import Network
from advcore.nn.onnx_import.reading import Model
from advcore.nn.pooling import AvgPool2d, MaxPool2d

SAMPLES = 2
# Operations that a comparison may take: a file must be as large as its claims. VGG-16 takes 3e10 and has 5e8 bytes.
FREE_OPERATIONS = 2**30
OPERATIONS_A_BYTE = 2**12
OPERATIONS_A_NUMBER = 32  # what writing a number to memory counts


def compare_with_source(
    model: Model, network: Network, shapes: Mapping[str, Shape], preparation: Sequence[Layer]
) -> Import:
    """Run both and return what they say, or raise ValueError where they do not agree.

    ``shapes`` has those of a sample at every layer; ``preparation`` the layers that come before the model's own.
    """
    count = model.batch or SAMPLES
    if count * _operations(network, shapes) > FREE_OPERATIONS + OPERATIONS_A_BYTE * model.size:
        return Import(model.source, None)
    x = np.random.default_rng(0).random((count, *shapes[INPUT])).astype(network.dtype)
    logits = network.logits(x)
    for layer in preparation:
        x = layer.infer(x)
    try:
        expected, peer = _run(model, x)
    except Exception as error:  # whatever two other libraries raise
        raise ValueError(f"{model.source} cannot be run by others, so nothing can be compared: {error}") from None
    return compare(f"{model.source} ({peer})", expected, logits)


def _operations(network: Network, shapes: Mapping[str, Shape]) -> int:
    """Return about how many operations a sample takes."""
    total = 0
    for name, sources in network.wiring.items():
        layer, inputs = network.layers[name], [shapes[source] for source in sources]
        total += layer.flops(inputs[0]) + _window_size(layer) * math.prod(shapes[name])
        total += OPERATIONS_A_NUMBER * sum(math.prod(shape) for shape in (*inputs, shapes[name]))
    return total


def _window_size(layer: Layer) -> int:
    return math.prod(layer.kernel_size) if isinstance(layer, (AvgPool2d, MaxPool2d)) else 0


def _run(model: Model, x: Array) -> tuple[Array, str]:
    """Return what the source gives, and who ran it."""
    data = model.serialize()
    try:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = get_num_threads()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        return np.asarray(session.run(None, {model.input: x})[0]), f"onnxruntime {onnxruntime.__version__}"
    except Exception:  # it is missing, or lacks an operator for this type or opset
        import onnx
        from onnx.reference import ReferenceEvaluator

        results: Any = ReferenceEvaluator(data).run(None, {model.input: x})
        return np.asarray(results[0]), f"onnx {onnx.__version__}"
