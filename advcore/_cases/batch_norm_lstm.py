"""Recurrent batch normalisation: samples straddle register blocks and blocks of 256 terms, units blocks and vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from advcore._cases.case import Case


@dataclass(frozen=True)
class _Shape:
    samples: int
    steps: int
    inputs: int
    hidden: int
    batch_first: bool = False
    rows: int = 0  # of given statistics; 0: training

    @property
    def text(self) -> str:
        how = f"{self.rows}-rows" if self.rows else "training"
        return f"{self.samples}x{self.steps}x{self.inputs}x{self.hidden},{how}{',batch_first' * self.batch_first}"

    def outside(self, width: int) -> tuple[int, int, int]:
        return (self.samples, self.steps, width) if self.batch_first else (self.steps, self.samples, width)


# In training there are samples enough that the statistics tell them apart: of two, each is 1 or -1 and no gradient is
# left but rounding; nor for the one weight of a single unit, of whose scale nothing depends.
_SHAPES = [
    _Shape(20, 1, 3, 2),
    _Shape(9, 3, 7, 33, batch_first=True),
    _Shape(17, 5, 4, 100),
    _Shape(260, 3, 5, 16),
    _Shape(14, 2, 300, 70),
    _Shape(1, 4, 3, 7, rows=4),
    _Shape(2, 4, 3, 1, rows=4),
    _Shape(15, 5, 6, 33, batch_first=True, rows=2),
    _Shape(3, 2, 20, 300, rows=1),
    _Shape(0, 2, 3, 5, rows=1),
]


def _make(shape: _Shape, grad: bool) -> Any:
    def make(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
        def draw(*extents: int, scale: float = 1.0, about: float = 0.0) -> Any:
            return (about + rng.standard_normal(extents) * scale).astype(dtype)

        inputs, hidden, state = shape.inputs, shape.hidden, (shape.samples, shape.hidden)
        made: dict[str, Any] = {"hx": (draw(*state), draw(*state))}
        made["params"] = (
            *(draw(4 * hidden, n, scale=n**-0.5) for n in (inputs, hidden)),
            draw(4 * hidden),
            *(draw(n, scale=0.1, about=0.5) for n in (4 * hidden, 4 * hidden, hidden)),
            draw(hidden),
        )
        if shape.rows:
            statistics = (shape.rows, 9, hidden)
            made["statistics"] = (draw(*statistics), np.square(draw(*statistics, scale=0.2, about=1.0)))
        if grad:
            made["grad_h_n"] = (draw(*state), draw(*state))
        return made

    return make


def _case(shape: _Shape, *, grad: bool) -> Case:
    arrays = {"input": shape.outside(shape.inputs)}
    if grad:
        arrays["grad_output"] = shape.outside(shape.hidden)
    return Case(
        "batch_norm_lstm_grad" if grad else "batch_norm_lstm",
        arrays,
        {"batch_first": shape.batch_first},
        terms=shape.steps * (shape.inputs + shape.hidden + shape.samples),
        make=_make(shape, grad),
        label=shape.text,
        through="batch_norm_lstm" if grad else "",
    )


CASES = [_case(shape, grad=grad) for shape in _SHAPES for grad in (False, True)]
