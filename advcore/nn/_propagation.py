"""Networks whose outputs' differences are propagated when one number of the input moves (csrc/engine/propagation.h).

A layer is here if what it does to a difference is known: products are linear, so that only the weights meet it;
functions of single numbers and maxima need the sample's own values beside it, which are computed once a sample.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from advcore import _core
from advcore._check import Array
from advcore.nn._propagation_layers import ELEMENTWISE, LAYERS, REARRANGING, WANT_CHANNELS, WANT_FEATURES
from advcore.nn._propagation_layout import Indices, Layout, UnsupportedError, as_it_is, intervals, moved, with_channels
from advcore.nn._watch import by_the_network
from advcore.nn.activations import ReLU
from advcore.nn.compiled import Joint, Program, compiles, join
from advcore.nn.graph import INPUT, Node
from advcore.nn.layer import Shape
from advcore.nn.network import Network
from advcore.nn.pooling import MaxPool2d

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


class _Weighted(NamedTuple):
    """A step of the core that multiplies by weights: of which layer, and what share of them one coordinate meets."""

    step: Joint
    part: str
    size: tuple[int, int]
    share: float


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
        if not all(math.prod(shape) for shape in shapes.values()):
            raise UnsupportedError("an empty sample")
        self.shapes, self.dtype = dict(shapes), dtype
        self.steps = self._separated(joined) if compiled else [Joint(n.name, n.layer, n.inputs) for n in nodes]
        self._uses = Counter(source for step in self.steps for source in step.inputs)
        self.reflects = True  # whether opposite steps may have opposite differences
        self.computed: list[tuple[str, Callable[[Array], dict[Hashable, Array]]]] = []
        self._bases: list[tuple[Hashable, Layout | None]] = []
        self._arranged: dict[tuple[str, Layout], int] = {}
        self._weighted: dict[int, _Weighted] = {}  # by the number of the core's step
        start, passed = self._input()
        self.layouts = {start: self._input_layout(start)}
        self.values = {start: 0}
        self.core = (_core.Propagation32 if dtype == np.float32 else _core.Propagation64)(*self.layouts[start].map)
        self._places = self._input_places(passed)
        for step in self.steps[len(passed) :]:
            add = LAYERS.get(type(step.layer))
            if add is None:
                raise UnsupportedError(f"layer {step.name}, {step.layer!r}")
            self.values[step.name], self.layouts[step.name] = add(self, step, step.layer)
        self._last = self.steps[-1].name
        self.core.finish(self.values[self._last])
        self.output_size = math.prod(self.shapes[self._last])
        self._program = Program(self.steps, self.shapes, dtype, keep=True) if compiled else None
        self.base_size: int = sum(math.prod(self.shapes[name]) for name, _ in self._bases if isinstance(name, str))

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

    def _taker(self, name: str) -> Joint | None:
        """Return the step that takes a value, if it is one alone."""
        takers = [step for step in self.steps if name in step.inputs]
        return takers[0] if self._uses[name] == 1 else None

    def _input(self) -> tuple[str, list[Joint]]:
        """Return what the input is called after the first layers, as far as they only rearrange it, and these layers.

        Nothing is propagated through them: coordinates are looked up where they come to lie.
        """
        name, passed = INPUT, []
        while (after := self._taker(name)) is not None and type(after.layer) in REARRANGING:
            name = after.name
            passed.append(after)
        return name, passed

    def _input_layout(self, name: str) -> Layout:
        """Return how the first layer that is not elementwise wants the input: what it need not move stays narrow."""
        shape = self.shapes[name]
        while (after := self._taker(name)) is not None:
            if type(after.layer) in WANT_FEATURES:
                return with_channels(shape, -1)
            if type(after.layer) in WANT_CHANNELS:
                return with_channels(shape, 0)
            if type(after.layer) not in ELEMENTWISE:
                break
            name = after.name
        return as_it_is(shape)

    def _input_places(self, passed: Sequence[Joint]) -> Indices:
        """Return where on the input's map each coordinate lies, -1 for those that the first layers leave out."""
        size = math.prod(self.shapes[INPUT])
        elements: Indices = np.arange(size)
        name = INPUT
        for step in passed:
            elements = moved(step.layer, elements, self.shapes[name])
            name = step.name
        places = np.full(size, -1, np.int64)
        kept = elements >= 0
        places[elements[kept]] = self.layouts[name].places()[kept]
        return places

    def base(self, name: str, value: int, layout: Layout) -> int:
        """Return the number of a base: a value of the samples themselves that a step needs, laid as ``value`` is."""
        self._bases.append((name, layout))
        return self.core.base_like(value)

    def computed_base(self, key: Hashable, size: int) -> int:
        """Return the number of a base that one of ``computed`` makes, with so many numbers a sample."""
        self._bases.append((key, None))
        return self.core.base_of(size)

    def source(self, step: Joint) -> int:
        """Return the value that a step takes, as it is laid."""
        return self.values[step.inputs[0]]

    def arranged(self, name: str, layout: Layout) -> int:
        """Return a value in a layout: itself, or its numbers moved there."""
        own = self.layouts[name]
        if own.same(layout):
            return self.values[name]
        if (name, layout) not in self._arranged:
            self._arranged[name, layout] = self.gather(self.values[name], layout.laid(own.places()), own, layout)
        return self._arranged[name, layout]

    def gather(self, value: int, sources: Indices, own: Layout, layout: Layout) -> int:
        """Return a value whose elements, in the order of its map, are those of another one's map, -1 for none."""
        _, rows, cols = own.map
        on_map = sources.reshape(layout.map)
        of_row = np.where(on_map < 0, -1, on_map // cols % rows).swapaxes(0, 1).reshape(layout.map[1], -1)
        of_col = np.where(on_map < 0, -1, on_map % cols).transpose(2, 0, 1).reshape(layout.map[2], -1)
        return self.core.gather(value, on_map, intervals(of_row, rows), intervals(of_col, cols))

    def weighs(self, step: Joint, value: int, size: tuple[int, int], share: float = 1.0, part: str = "") -> int:
        """Remember that a value's step multiplies by weights, a coordinate by ``share`` of those that it reaches."""
        self._weighted[value - 1] = _Weighted(step, part, size, share)
        return value

    def uses(self, name: str) -> int:
        """Return how many steps take a value."""
        return self._uses[name]

    def relu_after(self, step: Joint) -> bool:
        """Return whether nothing but a ReLU takes a step's output."""
        after = self._taker(step.name)
        return after is not None and type(after.layer) is ReLU

    def prepare(self, x: Array) -> Array:
        """Compute what steps need of some samples, (N, ...); return their logits."""
        of_values = [key for key, _ in self._bases if isinstance(key, str)]
        names = [*dict.fromkeys([*of_values, *(name for name, _ in self.computed)]), self._last]
        program = self._program
        arrays = self._layer_by_layer(x, names) if program is None else program.kept(x, names)
        known: dict[Hashable, Array] = dict(zip(names, arrays, strict=True))
        for name, make in self.computed:
            known |= make(known[name])
        bases = [
            known[key].reshape(len(x), -1) if layout is None else _laid(known[key], layout, len(x))
            for key, layout in self._bases
        ]
        self.core.prepare(bases, len(x))
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
        at = self._places[coordinates]
        if (at < 0).any():
            at, steps = np.maximum(at, 0), np.where(at < 0, steps.dtype.type(0), steps)
        self.core.run(samples, at, steps, differences, kinked)
        last = self.layouts[self._last]
        return differences if last.straight else differences[:, last.places()], kinked.astype(bool)

    def costs(self, probes: int) -> list[LayerCost]:
        """Return what the layers with weights cost, after so many coordinates."""
        rows = []
        for index, (product, full, done, by_row, by_col, window) in enumerate(self.core.costs()):
            if index not in self._weighted:
                continue
            step, part, size, share = self._weighted[index]
            reached = product * float(np.mean(by_row)) * float(np.mean(by_col)) * share
            name = step.name.removesuffix(_BEFORE) + part
            rows.append(LayerCost(name, repr(step.layer), window, size, full, reached, done / max(probes, 1)))
        return rows


def _laid(array: Array, layout: Layout, samples: int) -> Array:
    flat = array.reshape(samples, layout.size)
    return flat if layout.straight else np.ascontiguousarray(layout.laid(flat))
