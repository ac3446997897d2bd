"""Recurrent cells and layers: samples straddle the register blocks (6, 14 rows), hidden sizes vectors and panels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from advcore._cases.case import Case

_GATES = {"rnn_tanh": 1, "gru": 3, "lstm": 4}
_KINDS: list[tuple[str, dict[str, Any]]] = [
    ("rnn_tanh", {}),
    ("gru", {"reset": "after"}),
    ("gru", {"reset": "before"}),
    ("lstm", {}),
]


@dataclass(frozen=True)
class _Shape:
    samples: int
    steps: int
    inputs: int
    hidden: int
    layers: int = 1
    bidirectional: bool = False
    batch_first: bool = False
    biases: bool = True
    hx: bool = True
    lengths: bool = False  # of 1, of all steps, and drawn

    @property
    def text(self) -> str:
        flags = ("bidirectional", "batch_first", "lengths")
        parts = [f"{self.samples}x{self.steps}x{self.inputs}x{self.hidden}", f"{self.layers}-layer"]
        parts += [flag for flag in flags if getattr(self, flag)]
        parts += [f"no-{flag}" for flag in ("biases", "hx") if not getattr(self, flag)]
        return ",".join(parts)

    @property
    def terms(self) -> int:
        return self.steps * (self.inputs + self.hidden + self.samples)

    @property
    def states(self) -> tuple[int, int, int]:
        return (self.layers * (1 + self.bidirectional), self.samples, self.hidden)

    def outside(self, width: int) -> tuple[int, int, int]:
        return (self.samples, self.steps, width) if self.batch_first else (self.steps, self.samples, width)


_SWEEP = [
    _Shape(1, 1, 3, 1),
    _Shape(1, 5, 7, 33),
    _Shape(2, 5, 4, 100, biases=False),
    _Shape(3, 17, 5, 16, hx=False, lengths=True),
    _Shape(14, 5, 1, 100, batch_first=True),
    _Shape(15, 5, 6, 7, layers=2, bidirectional=True, lengths=True, batch_first=True),
    _Shape(33, 17, 8, 33, bidirectional=True, lengths=True),
    _Shape(3, 2, 300, 260, layers=2),
    _Shape(100, 2, 5, 9, bidirectional=True, biases=False),
    _Shape(0, 5, 4, 7, layers=2, bidirectional=True),
]
_PUBLISHED = [
    _Shape(1, 1, 128, 128),
    _Shape(1, 100, 128, 128),
    _Shape(8, 100, 40, 256),
    _Shape(32, 50, 128, 256),
    _Shape(64, 28, 28, 128),
    _Shape(128, 100, 64, 512),
    _Shape(16, 784, 1, 100),
]


def _draw(rng: np.random.Generator, dtype: Any, *shape: int, scale: float = 1.0) -> Any:
    return (rng.standard_normal(shape) * scale).astype(dtype)


def _params(rng: np.random.Generator, dtype: Any, op: str, shape: _Shape) -> tuple[Any, ...]:
    """Weights small enough that states do not wander off chaotically."""
    width, directions = _GATES[op] * shape.hidden, 1 + shape.bidirectional
    params = []
    for layer in range(shape.layers):
        inputs = directions * shape.hidden if layer else shape.inputs
        for _ in range(directions):
            params += [_draw(rng, dtype, width, n, scale=n**-0.5) for n in (inputs, shape.hidden)]
            params += [_draw(rng, dtype, width) for _ in range(2 if shape.biases else 0)]
    return tuple(params)


def _lengths(rng: np.random.Generator, shape: _Shape) -> Any:
    lengths = rng.integers(1, shape.steps, shape.samples, endpoint=True)
    lengths[0], lengths[-1] = 1, shape.steps
    return lengths


def _case(op: str, options: dict[str, Any], shape: _Shape, *, grad: bool = False, bench: bool = False) -> Case:
    def state(rng: np.random.Generator, dtype: Any) -> Any:
        h = _draw(rng, dtype, *shape.states)
        return (h, _draw(rng, dtype, *shape.states)) if op == "lstm" else h

    def make(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
        inputs = {"hx": state(rng, dtype) if shape.hx else None, "params": _params(rng, dtype, op, shape)}
        if shape.lengths:
            inputs["lengths"] = _lengths(rng, shape)
        if grad:
            inputs["grad_h_n"] = state(rng, dtype)
        return inputs

    arrays = {"input": shape.outside(shape.inputs)}
    if grad:
        arrays["grad_output"] = shape.outside((1 + shape.bidirectional) * shape.hidden)
    return Case(
        f"{op}_grad" if grad else op,
        arrays,
        options | {"num_layers": shape.layers, "bidirectional": shape.bidirectional, "batch_first": shape.batch_first},
        terms=shape.terms,
        make=make,
        bench=bench,
        label=",".join([shape.text, *(f"{key}={value}" for key, value in options.items())]),
        through=op if grad else "",
    )


def _cell_case(
    op: str, options: dict[str, Any], samples: int, inputs: int, hidden: int, *, bench: bool = False
) -> Case:
    shape = _Shape(samples, 1, inputs, hidden)

    def make(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
        h, c = (_draw(rng, dtype, samples, hidden) for _ in range(2))
        names = ("w_ih", "w_hh", "b_ih", "b_hh")
        return {"hx": (h, c) if op == "lstm" else h} | dict(zip(names, _params(rng, dtype, op, shape), strict=True))

    return Case(
        f"{op}_cell",
        {"input": (samples, inputs)},
        options,
        terms=inputs + hidden,
        make=make,
        bench=bench,
        label=",".join([f"{samples}x{inputs}x{hidden}", *options.values()]),
    )


CASES = [
    *(_case(op, options, shape, grad=grad) for op, options in _KINDS for shape in _SWEEP for grad in (False, True)),
    *(_cell_case(op, options, *shape) for op, options in _KINDS for shape in ((3, 4, 7), (17, 20, 33))),
    *(
        _case(op, {}, shape, grad=grad, bench=True)
        for op in ("gru", "lstm")
        for shape in _PUBLISHED
        for grad in (False, True)
    ),
    *(
        _cell_case(op, {}, samples, units, units, bench=True)
        for op in ("gru", "lstm")
        for samples in (1, 32, 128)
        for units in (128, 256, 512)
    ),
]
