"""How the layers of a network hang together: which takes the outputs of which, and what may be joined into one step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from advcore._check import Array
from advcore.nn.activations import ReLU
from advcore.nn.layer import Layer, ProductLayer, Shape
from advcore.nn.merge import Merge

INPUT = "input"  # the name of what comes into a network


class Node(NamedTuple):
    """A layer in its place. ``name`` is that of its output, ``owner`` that of its parameters."""

    name: str
    owner: str
    layer: Layer
    inputs: tuple[str, ...]

    def infer(self, values: Mapping[str, Array]) -> Array:
        """Return the layer's output in evaluation mode."""
        if isinstance(self.layer, Merge):
            return self.layer.infer_all([values[name] for name in self.inputs])
        return self.layer.infer(values[self.inputs[0]])

    def forward(self, values: Mapping[str, Array], rng: np.random.Generator | None) -> tuple[Array, Any]:
        """Return the layer's output and what its backward needs."""
        if isinstance(self.layer, Merge):
            return self.layer.forward_all([values[name] for name in self.inputs])
        return self.layer.forward(values[self.inputs[0]], rng)

    def backward(
        self, saved: Any, grad: Array, *, need_input: bool, need_parameters: bool
    ) -> tuple[list[Array | None], dict[str, Array]]:
        """Return the gradients of the inputs, in their order, and of the parameters."""
        if isinstance(self.layer, Merge):
            return list(self.layer.backward_all(saved, grad)), {}
        below, own = self.layer.backward(saved, grad, need_input=need_input, need_parameters=need_parameters)
        return [below], own

    def output_shape(self, shapes: Mapping[str, Shape]) -> Shape:
        """Return the shape of a sample's output, given those of what came before."""
        if isinstance(self.layer, Merge):
            return self.layer.output_shape_all([shapes[name] for name in self.inputs])
        return self.layer.output_shape(shapes[self.inputs[0]])

    def flops(self, shapes: Mapping[str, Shape]) -> int:
        """Return the floating-point operations of the layer for one sample."""
        return self.layer.flops(shapes[self.inputs[0]])

    def saved_size(self, shapes: Mapping[str, Shape]) -> int:
        """Return about how many numbers a sample's forward pass keeps."""
        return self.layer.saved_size(shapes[self.inputs[0]])


def connect(layers: Mapping[str, Layer], wiring: Mapping[str, Sequence[str]]) -> list[Node]:
    """Give every layer its inputs: those of ``wiring``, else the layer before it, the first one the network's input.

    Raises
    ------
    TypeError
        If a layer is not one, or inputs are no sequence of names.
    ValueError
        If a name is unknown or comes later, a number of inputs does not fit, or an output is not used.
    """
    if not layers:
        raise ValueError("layers must not be empty")
    unknown = [name for name in wiring if name not in layers]
    if unknown:
        raise ValueError(f"wiring must name layers, got {', '.join(map(repr, unknown))}")
    nodes: list[Node] = []
    owners: dict[int, str] = {}
    known = {INPUT}
    before = INPUT
    for name, layer in layers.items():
        if not isinstance(layer, Layer):
            raise TypeError(f"layer {name} must be a Layer, got {type(layer).__name__}")
        if name == INPUT:
            raise ValueError(f"{INPUT!r} is the name of the network's input and cannot be a layer's")
        inputs = _inputs(name, layer, wiring.get(name, (before,)), known)
        nodes.append(Node(name, owners.setdefault(id(layer), name), layer, inputs))
        known.add(name)
        before = name
    used = {source for node in nodes for source in node.inputs}
    unused = [node.name for node in nodes[:-1] if node.name not in used]
    if unused:
        raise ValueError(f"the output of every layer but the last must be used, got {', '.join(unused)} unused")
    return nodes


def _inputs(name: str, layer: Layer, inputs: object, known: set[str]) -> tuple[str, ...]:
    if isinstance(inputs, str) or not isinstance(inputs, Sequence):
        raise TypeError(f"wiring[{name!r}] must be a sequence of names, got {type(inputs).__name__}")
    for source in inputs:
        if source not in known:
            raise ValueError(f"wiring[{name!r}] must name earlier layers or {INPUT!r}, got {source!r}")
    fewest, most = (layer.fewest_inputs, layer.most_inputs) if isinstance(layer, Merge) else (1, 1)
    if not fewest <= len(inputs) <= most:
        expected = str(fewest) if fewest == most else f"at least {fewest}"
        raise ValueError(f"layer {name}, {layer!r}, must have {expected} inputs, got {len(inputs)}")
    return tuple(inputs)


class WithReLU(Layer):
    """A product and the ReLU that follows it, applied while the result is still in registers."""

    def __init__(self, product: ProductLayer, relu: ReLU) -> None:
        super().__init__()
        self.product, self.relu = product, relu

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        return self.product.infer(x, "relu")

    def forward(self, x: Array, rng: np.random.Generator | None) -> tuple[Array, tuple[Any, Array]]:
        """See Layer.forward."""
        y, kept = self.product.forward(x, rng, "relu")
        return y, (kept, y)  # the output is all that ReLU's gradient needs

    def backward(
        self, saved: tuple[Any, Array], grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        kept, y = saved
        before_relu, _ = self.relu.backward(y, grad)
        assert before_relu is not None  # asked for
        return self.product.backward(kept, before_relu, need_input=need_input, need_parameters=need_parameters)


def fuse(nodes: Sequence[Node]) -> list[Node]:
    """Join every product with the ReLU that alone takes its output; the joint step gives the ReLU's output."""
    uses = Counter(source for node in nodes for source in node.inputs)
    products = {node.name: node for node in nodes if isinstance(node.layer, ProductLayer) and uses[node.name] == 1}
    steps: dict[str, Node] = {}
    for node in nodes:
        product = products.get(node.inputs[0])
        if isinstance(node.layer, ReLU) and product is not None and isinstance(product.layer, ProductLayer):
            del steps[product.name]
            steps[node.name] = Node(node.name, product.owner, WithReLU(product.layer, node.layer), product.inputs)
        else:
            steps[node.name] = node
    return list(steps.values())


def trained(steps: Sequence[Node]) -> frozenset[str]:
    """Return the names of the values that depend on a parameter."""
    names: set[str] = set()
    for step in steps:
        layer = step.layer.product if isinstance(step.layer, WithReLU) else step.layer
        if layer.parameter_shapes or names.intersection(step.inputs):
            names.add(step.name)
    return frozenset(names)
