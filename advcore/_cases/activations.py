"""Activations: sizes straddle the registers (4 to 16 elements), the chunks (4096) and the blocks of sums (256)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from advcore._cases.case import Case, Make

_SHAPES = [(7,), (3, 5, 11), (4097,), (), (0,)]
_SOFTMAX = [((10,), -1), ((3, 10), -1), ((2, 33), 1), ((3, 1), 1), ((1, 4500), -1)]
_SOFTMAX_INNER = [((5, 3), 0), ((2, 10, 7, 4), 1), ((300, 70), 0), ((2, 4, 129), 1), ((2, 0, 3), 1)]
_SPECIAL = [0.0, -0.0, np.nan, np.inf, -np.inf, 1e-30, -1e-30, 1e30, -1e30, 30.0, -30.0, 90.0, -90.0, 1.0, -1.0, 0.5]


def _special(*names: str) -> Make:
    """Build arrays of every pair of special values, enough for whole registers and a rest."""

    def make(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
        grid = np.meshgrid(*[np.array(_SPECIAL, dtype)] * len(names))
        return {name: values.ravel() for name, values in zip(names, grid, strict=True)}

    return make


def _wide(name: str) -> Make:
    """Build arguments over the range where the functions bend."""
    return lambda rng, dtype: {name: np.linspace(-20, 20, 1601).astype(dtype)}


def _outputs(function: Callable[[Any], Any], shape: tuple[int, ...]) -> Make:
    """Build what a forward pass returned."""
    return lambda rng, dtype: {"output": np.asarray(function(rng.standard_normal(shape)), dtype)}


def _softmax_of(axis: int, *, log: bool) -> Callable[[Any], Any]:
    def function(x: Any) -> Any:
        powers = np.exp(x)
        result = powers / powers.sum(axis, keepdims=True)
        return np.log(result) if log else result

    return function


def _pointwise(shape: tuple[int, ...]) -> list[Case]:
    pair = {"grad_output": shape, "input": shape}
    return [
        *(Case(op, {"input": shape}) for op in ("relu", "sigmoid", "tanh", "gelu")),
        Case("gelu", {"input": shape}, {"approximate": "tanh"}),
        Case("relu_grad", pair),
        Case("gelu_grad", pair),
        Case("gelu_grad", pair, {"approximate": "tanh"}),
        Case("sigmoid_grad", {"grad_output": shape}, make=_outputs(lambda x: 1 / (1 + np.exp(-x)), shape)),
        Case("tanh_grad", {"grad_output": shape}, make=_outputs(np.tanh, shape)),
    ]


def _softmax(shape: tuple[int, ...], axis: int) -> list[Case]:
    options, terms = {"axis": axis}, shape[axis]
    return [
        case
        for op, log in (("softmax", False), ("log_softmax", True))
        for case in (
            Case(op, {"input": shape}, options, terms),
            Case(f"{op}_grad", {"grad_output": shape}, options, terms, _outputs(_softmax_of(axis, log=log), shape)),
        )
    ]


CASES = [
    *(case for shape in _SHAPES for case in _pointwise(shape)),
    *(case for shape, axis in _SOFTMAX + _SOFTMAX_INNER for case in _softmax(shape, axis)),
    *(Case(op, {}, make=_wide("input"), label="wide") for op in ("relu", "sigmoid", "tanh", "gelu")),
    Case("gelu", {}, {"approximate": "tanh"}, make=_wide("input"), label="wide, tanh"),
    *(Case(op, {}, make=_special("input"), label="special") for op in ("relu", "sigmoid", "tanh", "gelu")),
    Case("relu_grad", {}, make=_special("grad_output", "input"), label="special"),
    Case("softmax", {}, make=_special("input"), label="special"),
    *(
        Case(op, {"input": (128, 64, 56, 56)}, bench=True, label="128x64x56x56")
        for op in ("relu", "sigmoid", "tanh", "gelu")
    ),
    *(
        Case(op, {"input": (rows, length)}, terms=length, bench=True, label=f"{rows}x{length}")
        for op in ("softmax", "log_softmax")
        for rows, length in ((1024, 10), (512, 1000))
    ),
]
