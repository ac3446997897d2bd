"""Networks whose outputs' differences are propagated when one number of the input moves (csrc/engine/propagation.h).

A layer is here if what it does to a difference is known: products are linear, so that only the weights meet it;
functions of single numbers and maxima need the sample's own values beside it, which are computed once a sample.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from advcore import _core
from advcore._check import Array
from advcore.nn._propagation_layers import LAYERS, UnsupportedError, as_map
from advcore.nn._watch import by_the_network
from advcore.nn.activations import ReLU
from advcore.nn.compiled import Joint, Program, compiles, join
from advcore.nn.dropout import Dropout
from advcore.nn.graph import INPUT, Node
from advcore.nn.layer import Layer, Shape
from advcore.nn.network import Network
from advcore.nn.pooling import MaxPool2d
from advcore.nn.reshape import Reshape

_BEFORE = "'s sum"  # of the name of a value before its ReLU; no layer's name is changed by it twice


class LayerCost(NamedTuple):
    """Multiply-adds of a layer with weights: see ``advcore.nn.coordinate_costs``."""

    name: str
    layer: str
    window: tuple[int, int]  # rows and columns of the output that one coordinate reaches, at most
    size: tuple[int, int]  # of the whole output
    full: int  # multiply-adds of a full pass
    reached: float  # those of the weights that one coordinate meets, the mean over all coordinates
    done: float  # those that were done for one coordinate, differences that are zero left out


class Propagation:
    """A network for samples of one shape, as layers that pass differences on.

    Parameters
    ----------
    nodes : sequence of Node
        Of the network, in order.
    shapes : dict of str to tuple
        A sample's shape at each layer's output, and at the input.
    dtype : float32 or float64

    Raises
    ------
    UnsupportedError
        If there is a layer that does not.
    """

    def __init__(self, nodes: Sequence[Node], shapes: Mapping[str, Shape], dtype: np.dtype[Any]) -> None:
        joined = join(nodes)
        compiled = compiles(joined, shapes)
        if not math.prod(shapes[INPUT]):
            raise UnsupportedError("an empty input")
        self.shapes, self.dtype = dict(shapes), dtype
        self.steps = self._separated(joined) if compiled else [Joint(n.name, n.layer, n.inputs) for n in nodes]
        self._uses = Counter(source for step in self.steps for source in step.inputs)
        self.maps: dict[str, tuple[int, int, int]] = {INPUT: self._input_map()}
        self.core = (_core.Propagation32 if dtype == np.float32 else _core.Propagation64)(*self.maps[INPUT])
        self.reflects = True  # whether opposite steps may have opposite differences
        self.values = {INPUT: 0}
        self.bases: list[str] = []
        self._layers: list[tuple[str, Layer]] = []  # of the core's steps
        for step in self.steps:
            add = LAYERS.get(type(step.layer))
            if add is None:
                raise UnsupportedError(f"layer {step.name}, {step.layer!r}")
            self.values[step.name], self.maps[step.name] = add(self, step, step.layer)
        self._last = self.steps[-1].name
        self.core.finish(self.values[self._last])
        self.output_size = math.prod(self.shapes[self._last])
        self._program = Program(self.steps, self.shapes, dtype, keep=True) if compiled else None
        self.base_size: int = sum(math.prod(self.maps[name]) for name in self.bases)

    @classmethod
    def of(cls, network: Network, sample_shape: Shape) -> Propagation:
        """Return the propagation of a network for samples of a shape."""
        with by_the_network():
            return cls(network._nodes, network._plan(sample_shape).shapes, network.dtype)

    def _separated(self, joined: Sequence[Joint]) -> list[Joint]:
        """Take ReLUs out of the steps that they were joined with, and let them follow the max pooling after them.

        The maximum of ReLUs is the ReLU of the maximum: a quarter of the units is left, and ties between units that
        are zero are no kinks.
        """
        uses = Counter(source for step in joined for source in step.inputs)
        pooled = {step.inputs[0] for step in joined if isinstance(step.layer, MaxPool2d) and uses[step.inputs[0]] == 1}
        steps: list[Joint] = []
        late = set()
        for step in joined:
            if step.relu and step.name in pooled:
                late.add(step.name)
                steps.append(replace(step, relu=False))
            elif step.relu or (step.inputs[0] in late):
                before = step.name + _BEFORE
                self.shapes[before] = self.shapes[step.name]
                steps.append(replace(step, name=before, relu=False))
                steps.append(Joint(step.name, ReLU(), (before,)))
            else:
                steps.append(step)
        return steps

    def _input_map(self) -> tuple[int, int, int]:
        """Return (channels, rows, cols) of the input: of the shape that it is first brought to."""
        name = INPUT
        while self._uses[name] == 1:
            (after,) = (step for step in self.steps if name in step.inputs)
            if type(after.layer) not in (Reshape, Dropout):
                break
            name = after.name
        return as_map(self.shapes[name])

    def base(self, name: str) -> int:
        """Return the number of a base: a value of the samples themselves that a step needs."""
        self.bases.append(name)
        return self.core.base_like(self.values.get(name, 0))

    def source(self, step: Joint) -> int:
        """Return the value that a step takes."""
        return self.values[step.inputs[0]]

    def sources(self, step: Joint) -> list[int]:
        """Return all values that a step takes."""
        return [self.values[name] for name in step.inputs]

    def plane(self, step: Joint) -> tuple[int, int, int]:
        """Return (channels, rows, cols) of the one input of a step for images."""
        shape, plane = self.shapes[step.inputs[0]], self.maps[step.inputs[0]]
        if shape != plane:
            raise UnsupportedError(f"layer {step.name} of samples {shape}")
        return plane

    def vector(self, step: Joint) -> int:
        """Return the extent of the one input of a step for rows of numbers."""
        shape, (channels, rows, cols) = self.shapes[step.inputs[0]], self.maps[step.inputs[0]]
        if shape != (channels,) or (rows, cols) != (1, 1):
            raise UnsupportedError(f"layer {step.name} of samples {shape}")
        return channels

    def like(self, step: Joint, value: int) -> tuple[int, tuple[int, int, int]]:
        """Return the result of a step that changes no extents."""
        self.added(step)
        return value, self.maps[step.inputs[0]]

    def added(self, step: Joint) -> None:
        """Remember which layer the core's newest step is."""
        self._layers.append((step.name, step.layer))

    def uses(self, name: str) -> int:
        """Return how many steps take a value."""
        return self._uses[name]

    def relu_after(self, step: Joint) -> bool:
        """Return whether nothing but a ReLU takes a step's output."""
        takers = [other for other in self.steps if step.name in other.inputs]
        return len(takers) == 1 and type(takers[0].layer) is ReLU

    def prepare(self, x: Array) -> Array:
        """Compute what steps need of some samples, (N, ...); return their logits."""
        names = [*self.bases, self._last]
        program = self._program
        arrays = self._layer_by_layer(x, names) if program is None else program.kept(x, names)
        self.core.prepare(arrays[:-1], len(x))
        return arrays[-1].reshape(len(x), self.output_size)

    def _layer_by_layer(self, x: Array, names: Sequence[str]) -> list[Array]:
        values = {INPUT: x}
        with by_the_network():
            for step in self.steps:
                values[step.name] = Node(step.name, step.name, step.layer, step.inputs).infer(values)
        return [np.ascontiguousarray(values[name]) for name in names]

    def run(
        self, samples: NDArray[np.int64], coordinates: NDArray[np.int64], steps: Array
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Return the logits' differences, (P, K), and where the opposite step may not give the opposite, (P,)."""
        differences = np.empty((len(steps), self.output_size), self.dtype)
        kinked = np.empty(len(steps), np.uint8)
        self.core.run(samples, coordinates, steps, differences, kinked)
        return differences, kinked.astype(bool)

    def costs(self, probes: int) -> list[LayerCost]:
        """Return what the layers with weights cost, after so many coordinates."""
        rows = []
        for (name, layer), (product, full, done, by_row, by_col, window) in zip(
            self._layers, self.core.costs(), strict=True
        ):
            if full:
                reached = product * float(np.mean(by_row)) * float(np.mean(by_col))
                name = name.removesuffix(_BEFORE)
                reached *= self._share_of_channels(name)
                rows.append(
                    LayerCost(name, repr(layer), window, self.maps[name][1:], full, reached, done / max(probes, 1))
                )
        return rows

    def _share_of_channels(self, name: str) -> float:
        """Return the share of a layer's input channels that a coordinate changes: one where it is the network's."""
        (step,) = (s for s in self.steps if s.name.removesuffix(_BEFORE) == name and s.layer.parameter_shapes)
        return 1 / self.maps[INPUT][0] if self.values[step.inputs[0]] == 0 else 1.0
