"""What a network is made of: layers, how they hang together, parameters and buffers, shapes and costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import DTypeLike

from advcore import _check
from advcore._check import Array
from advcore.nn._watch import by_the_network
from advcore.nn.graph import INPUT, connect
from advcore.nn.layer import Layer, Shape


class LayerGraph:
    """Layers in their places, with parameters; see Network for the arguments."""

    def __init__(
        self, layers: Mapping[str, Layer], wiring: Mapping[str, Sequence[str]] | None, seed: int, dtype: DTypeLike
    ) -> None:
        self.layers = dict(layers)
        self._nodes = connect(self.layers, {} if wiring is None else wiring)
        self.dtype = _check.float_dtype("dtype", dtype)
        rng = np.random.default_rng(_check.integer("seed", seed, minimum=0))
        with by_the_network():
            for name, layer in self.layers.items():
                if not layer.parameters and not layer.buffers:
                    layer.initialise(rng, self.dtype)
                for array in (*layer.parameters.values(), *layer.buffers.values()):
                    if array.dtype != self.dtype:
                        raise TypeError(f"layer {name} must have parameters of type {self.dtype}, got {array.dtype}")

    def __repr__(self) -> str:
        lines, before = [], INPUT
        for name, _, layer, inputs in self._nodes:
            lines.append(f"  {name}: {layer!r}" + ("" if inputs == (before,) else f" of {', '.join(inputs)}"))
            before = name
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])

    @property
    def wiring(self) -> dict[str, tuple[str, ...]]:
        """The names of every layer's inputs."""
        return {node.name: node.inputs for node in self._nodes}

    def parameters(self) -> dict[str, Array]:
        """Return the parameters themselves (no copies) by name: "0.weight", "0.bias", ..."""
        return {
            f"{node.name}.{parameter}": array
            for node in self._nodes
            if node.name == node.owner
            for parameter, array in node.layer.parameters.items()
        }

    def buffers(self) -> dict[str, Array]:
        """Return what is not trained but belongs to the state, running statistics, by name (no copies)."""
        return {
            f"{node.name}.{buffer}": array
            for node in self._nodes
            if node.name == node.owner
            for buffer, array in node.layer.buffers.items()
        }

    def _state(self) -> dict[str, Array]:
        with by_the_network():
            return self.parameters() | self.buffers()

    def state_dict(self) -> dict[str, Array]:
        """Return copies of the parameters and buffers by name."""
        return {name: array.copy() for name, array in self._state().items()}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Copy parameters and buffers from a dict with the names, shapes and type of ``state_dict()``.

        Raises
        ------
        TypeError
            If an array is not of the network's type.
        ValueError
            If a name is missing or unknown, or a shape differs. Nothing has been changed then.
        """
        own_state = self._state()
        if set(state) != set(own_state):
            missing, unknown = sorted(set(own_state) - set(state)), sorted(set(state) - set(own_state))
            raise ValueError(f"state must have the network's parameters, got {missing} missing and {unknown} unknown")
        with by_the_network():
            parameters = self.parameters()
            arrays = {
                name: _check.array(f"state[{name!r}]", state[name], dtype=self.dtype, shape=own.shape)
                for name, own in parameters.items()
            }
            owners = {node.owner: node.layer for node in self._nodes}
            buffers = [(layer, layer.check_buffers(f"{name}.", state, self.dtype)) for name, layer in owners.items()]
            for name, own in parameters.items():
                own[...] = arrays[name]
            for layer, loaded in buffers:
                layer.buffers.update(loaded)
        self.parameters_changed()

    def parameters_changed(self) -> None:
        """Say that parameters were changed in place, which is otherwise found out by reading all of them."""
        for layer in self.layers.values():
            layer.version += 1

    def parameter_count(self) -> int:
        """Return the number of parameters."""
        return sum(node.layer.parameter_count() for node in self._nodes if node.name == node.owner)

    def flops(self, input_shape: Shape) -> int:
        """Return the floating-point operations of the products in one sample's forward pass (2 a multiply-add)."""
        shapes = self._shapes(tuple(input_shape))
        return sum(node.flops(shapes) for node in self._nodes)

    def _shapes(self, input_shape: Shape) -> dict[str, Shape]:
        """Return a sample's shape at every layer's output, and at the input."""
        shapes = {INPUT: input_shape}
        for node in self._nodes:
            try:
                shapes[node.name] = node.output_shape(shapes)
            except ValueError as error:
                raise ValueError(f"x does not fit layer {node.name}, {node.layer!r}: {error}") from None
        return shapes
