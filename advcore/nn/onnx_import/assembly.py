"""From the nodes of a file to a network that has been compared with it."""

from __future__ import annotations

from collections.abc import Sequence

from advcore import _check
from advcore.nn.affine import Normalize
from advcore.nn.graph import INPUT
from advcore.nn.layer import Layer
from advcore.nn.network import Network
from advcore.nn.onnx_import.budget import Budget
from advcore.nn.onnx_import.builder import Builder
from advcore.nn.onnx_import.call import Call
from advcore.nn.onnx_import.comparison import compare_with_source
from advcore.nn.onnx_import.constants import FOLDS, fold
from advcore.nn.onnx_import.reading import Model, Node, read
from advcore.nn.onnx_import.table import OPERATORS, SUPPORTED
from advcore.nn.onnx_import.values import Tensor, Value
from advcore.nn.reshape import Permute

Numbers = float | Sequence[float] | None


def assemble(path_or_bytes: object, mean: Numbers, std: Numbers, layout: str) -> Network:
    """See from_onnx."""
    _check.choice("layout", layout, ("NCHW", "NHWC"))
    model = read(path_or_bytes, SUPPORTED)
    sample = model.sample
    if layout == "NHWC":
        if len(sample) != 3:
            raise ValueError(f"layout NHWC needs a model of images (N, H, W, C), got samples of shape {sample}")
        sample = (sample[2], *sample[:2])
    build = Builder(sample, model.dtype, model.batch, model.opset, Budget(model.size))
    x, preparation = _prepare(build, mean, std, layout)
    network, shapes = build.network(_translate(model, build, x)), build.shapes
    del build  # it holds the file's tensors
    network.imported = compare_with_source(model, network, shapes, preparation)
    return network


def _translate(model: Model, build: Builder, x: Tensor) -> Tensor:
    """Add the layers of every node, and return the output."""
    values: dict[str, Value] = {model.input: x}
    for node in model.nodes:
        outputs = _outputs(node, [_value(model, values, name) for name in node.inputs], build, model)
        values.update(zip(node.outputs, outputs, strict=False))
    output = values.get(model.output)
    if not isinstance(output, Tensor):
        raise ValueError(f"the output {model.output!r} does not depend on the values of the input")
    return output


def _prepare(build: Builder, mean: Numbers, std: Numbers, layout: str) -> tuple[Tensor, list[Layer]]:
    """Return what the model takes, and the layers that make it from what the network takes."""
    x = Tensor(INPUT, build.shapes[INPUT])
    layers: list[Layer] = []
    if mean is not None or std is not None:
        build.name = "normalize"
        layers.append(Normalize(0.0 if mean is None else mean, 1.0 if std is None else std))
        x = build.apply(layers[-1], x)
    if layout == "NHWC":
        build.name = "layout"
        layers.append(Permute((2, 3, 1)))
        x = build.apply(layers[-1], x)
    return x, layers


def _value(model: Model, values: dict[str, Value], name: str) -> Value:
    if not name:
        return None
    return values[name] if name in values else model.initializer(name)


def _outputs(node: Node, inputs: list[Value], build: Builder, model: Model) -> list[Value]:
    """Return what a node gives: constants where everything is constant, else what its layers give."""
    try:
        constants = [value for value in inputs if not isinstance(value, Tensor)]
        if len(constants) == len(inputs):
            if node.op not in FOLDS:
                raise ValueError(f"on constants it is not supported; supported are {', '.join(sorted(FOLDS))}")
            return [fold(node, constants, build.budget)]
        if node.op not in OPERATORS:
            raise ValueError(f"it is supported on constants only; supported are {', '.join(sorted(OPERATORS))}")
        build.name = _layer_name(node, model)
        result = OPERATORS[node.op](Call(node, inputs, build, model.uses))
        outputs: list[Value] = [*result] if isinstance(result, list) else [result]
        for output in outputs:
            if isinstance(output, Tensor):
                build.name_reshape(output, build.name)
        return outputs
    except (TypeError, ValueError) as error:
        raise type(error)(f"node {node}: {error}") from None


def _layer_name(node: Node, model: Model) -> str:
    """Return what a node's layer is called: "conv1" if its weight is "conv1.weight", as in the PyTorch model."""
    if len(node.inputs) > 1 and model.holds(node.inputs[1]) and node.inputs[1].endswith(".weight"):
        return node.inputs[1].removesuffix(".weight") or node.name
    return node.name
