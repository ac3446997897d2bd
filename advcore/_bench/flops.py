"""How much arithmetic a case is: the multiplications and additions of the textbook algorithm, whatever is used."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from advcore._cases import Case
from advcore._cases.network import OPERATIONS


def flops(case: Case) -> int | None:
    """Return the floating-point operations of one call; None where memory, not arithmetic, is the limit."""
    count = _COUNTS.get(case.op)
    return count(case) if count else None


def _linear(case: Case) -> int:
    """Every one of the three directions multiplies N x O x I numbers, and its arrays are two of the three faces."""
    (*_, a), (b, c) = _two_shapes(case)
    rows = math.prod(next(iter(case.arrays.values()))[:-1])
    return 2 * rows * (a * c if case.op == "linear_weight_grad" else b * c)


def _matmul(case: Case) -> int:
    (*batch, rows, depth), (*_, cols) = _two_shapes(case)
    return 2 * math.prod(batch) * rows * depth * cols


def _conv2d(case: Case) -> int:
    """Each weight meets each place of the output once, in every direction."""
    shapes = {**case.arrays, **case.options}
    weight = shapes.get("weight") or shapes["weight_size"]
    if "grad_output" in shapes:
        batch, _, height, width = shapes["grad_output"]
    else:
        batch = shapes["input"][0]
        height, width = _conv2d_output(shapes)
    return int(2 * batch * height * width * math.prod(weight))


def _conv2d_output(shapes: Mapping[str, Any]) -> Sequence[int]:
    input, weight = shapes["input"], shapes["weight"]
    stride, padding, dilation = (_pair(shapes.get(name, default)) for name, default in _CONV2D_DEFAULTS)
    return [
        (input[2 + axis] + 2 * padding[axis] - dilation[axis] * (weight[2 + axis] - 1) - 1) // stride[axis] + 1
        for axis in (0, 1)
    ]


_CONV2D_DEFAULTS = (("stride", 1), ("padding", 0), ("dilation", 1))


def _pair(value: Any) -> Sequence[int]:
    return value if isinstance(value, (tuple, list)) else (value, value)


def _recurrent(case: Case) -> int:
    """Each weight meets each step of each sequence once forward, and twice backward."""
    params = case.inputs(np.float32)["params"]
    steps: int = math.prod(case.arrays["input"][:-1])
    weights: int = sum(weight.size for weight in params if weight.ndim == 2)
    return 2 * steps * weights * (3 if case.through else 1)


def _cell(case: Case) -> int:
    """Each weight meets each sample once."""
    inputs = case.inputs(np.float32)
    return int(2 * len(inputs["input"]) * (inputs["w_ih"].size + inputs["w_hh"].size))


def _knn(case: Case) -> int:
    """One product of queries and reference; the norms and the selection are not counted."""
    (queries, dimensions), (reference, _) = _two_shapes(case)
    return 2 * queries * reference * dimensions


def _network(case: Case) -> int:
    """Count the products of the layers once forward, once back to the input and once for the parameters."""
    inputs = case.inputs(np.float32)
    passes = {"logits": 1, "loss_gradient": 2, "training_step": 3, "pgd": 2 * case.options.get("steps", 0)}[case.op]
    return int(passes * len(inputs["x"]) * inputs["network"].flops(inputs["x"].shape[1:]))


def _two_shapes(case: Case) -> tuple[tuple[int, ...], tuple[int, ...]]:
    first, second, *_ = (tuple(shape) for shape in case.arrays.values())
    return first, second


_COUNTS: dict[str, Callable[[Case], int]] = {
    "matmul": _matmul,
    "linear": _linear,
    "linear_input_grad": _linear,
    "linear_weight_grad": _linear,
    "conv2d": _conv2d,
    "PackedConv2d": _conv2d,
    "conv2d_input_grad": _conv2d,
    "conv2d_weight_grad": _conv2d,
    **dict.fromkeys(("rnn_tanh", "gru", "lstm", "rnn_tanh_grad", "gru_grad", "lstm_grad"), _recurrent),
    **dict.fromkeys(("rnn_tanh_cell", "gru_cell", "lstm_cell"), _cell),
    **dict.fromkeys(OPERATIONS, _network),
    "knn": _knn,
    "lid": _knn,
}
