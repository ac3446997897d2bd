"""Operators on constants alone: exporters compute shapes, axes and zeros with them, and so does the import, once.

A shape may contain the batch; such an array is one of objects.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from advcore._check import Array
from advcore.nn.onnx_import.budget import Budget
from advcore.nn.onnx_import.reading import Node
from advcore.nn.onnx_import.tensors import TYPES, type_name
from advcore.nn.onnx_import.values import BATCH, axes_of, axis_of, extents, integers

Fold = Callable[[Node, Sequence[Any], Budget], Array]


def fold(node: Node, inputs: Sequence[Array | None], budget: Budget) -> Array:
    """Return the output of a node whose inputs are all constant."""
    try:
        with np.errstate(all="ignore"):
            return integers(np.asarray(FOLDS[node.op](node, inputs, budget)))
    except (
        ArithmeticError,
        IndexError,
        TypeError,
        AttributeError,
    ) as error:  # what NumPy says of input that does not fit
        raise ValueError(f"its constant inputs do not fit: {error}") from None


def _elementwise(function: Callable[..., Any]) -> Fold:
    def apply(node: Node, inputs: Sequence[Any], budget: Budget) -> Array:
        shape = np.broadcast_shapes(*(array.shape for array in inputs))
        budget.take(math.prod(shape))
        return np.asarray(function(*inputs))

    return apply


def _divide(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f":
        return np.divide(a, b)
    quotients = np.floor_divide(a, b)  # ONNX cuts off: the same for shapes, which are not negative
    if a.dtype != object and (np.any(a < 0) or np.any(b <= 0)):
        raise ValueError("a division of negative integers, or by 0, is not supported")
    return quotients


def _remainder(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f" or b.dtype.kind == "f" or not np.all(b > 0):
        raise ValueError("a remainder of other than integers, or by less than 1, is not supported")
    return np.mod(a, b)


def _cast(node: Node, inputs: Sequence[Any], budget: Budget) -> Array:
    (x,) = inputs
    target = node.attributes["to"]
    if target not in TYPES:
        raise ValueError(f"a cast to {type_name(target)} is not supported")
    dtype = TYPES[target][0].newbyteorder("=")
    if x.dtype == object:
        if dtype.kind != "i":
            raise ValueError("a number that is computed from the batch's size is not supported")
        return np.asarray(x)
    budget.take(x.size)
    return np.asarray(x.astype(dtype))


def _concat(node: Node, inputs: Sequence[Any], budget: Budget) -> Array:
    budget.take(sum(array.size for array in inputs))
    return np.concatenate(inputs, axis=axis_of(node.attributes["axis"], inputs[0].ndim))


def _gather(node: Node, inputs: Sequence[Any], budget: Budget) -> Array:
    x, indices = inputs
    axis = axis_of(node.attributes["axis"], x.ndim)
    budget.take(indices.size * (x.size // max(x.shape[axis], 1)))
    return np.asarray(np.take(x, indices.astype(np.int64), axis=axis))


def _slice(node: Node, inputs: Sequence[Any], budget: Budget) -> Array:
    x = inputs[0]
    cuts = slices(node, inputs, x.ndim)
    return np.asarray(x[tuple(cuts.get(axis, slice(None)) for axis in range(x.ndim))])


def slices(node: Node, inputs: Sequence[Any], ndim: int) -> dict[int, slice]:
    """Return what a Slice node takes of each axis that it names."""
    if "starts" in node.attributes:
        starts, ends = node.attributes["starts"], node.attributes["ends"]
        axes, steps = node.attributes["axes"], None
    else:
        rest: list[Any] = [None if array is None else extents(array) for array in (*inputs[1:], None, None)][:4]
        starts, ends, axes, steps = rest
    axes = range(len(starts)) if axes is None else axes_of(axes, ndim)
    steps = [1] * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or BATCH in [*starts, *ends, *steps] or 0 in steps:
        raise ValueError("starts, ends, axes and steps must be integers of one number, and no step may be 0")
    lowest = -(2**31)  # exporters write a number beyond every axis for "to the end"
    return {
        axis_of(axis, ndim): slice(start, None if step < 0 and end < lowest else end, step)
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True)
    }


def axes_input(node: Node, inputs: Sequence[Any], index: int = 1) -> list[int] | None:
    """Return the axes of a node, an attribute once and an input since."""
    if "axes" in node.attributes:
        axes: list[int] | None = node.attributes["axes"]
        return axes
    given = inputs[index] if len(inputs) > index else None
    return None if given is None else [int(axis) for axis in extents(given) if isinstance(axis, int)]


def _squeeze(node: Node, inputs: Sequence[Any], budget: Budget) -> Array:
    x, axes = inputs[0], axes_input(node, inputs)
    return np.asarray(np.squeeze(x, None if axes is None else tuple(axes_of(axes, x.ndim))))


def _unsqueeze(node: Node, inputs: Sequence[Any], budget: Budget) -> Array:
    axes = axes_input(node, inputs) or []
    return np.expand_dims(inputs[0], tuple(axes_of(axes, inputs[0].ndim + len(axes))))


def _reshape(node: Node, inputs: Sequence[Any], budget: Budget) -> Array:
    x, shape = inputs[0], extents(inputs[1]) if len(inputs) > 1 else node.attributes["shape"]
    keep = not node.attributes.get("allowzero")
    return np.asarray(x.reshape([x.shape[i] if n == 0 and keep else n for i, n in enumerate(shape)]))


def _expand(node: Node, inputs: Sequence[Any], budget: Budget) -> Array:
    """Stretch a constant. Along the batch it keeps an extent of 1: that is stretched where it is used."""
    x = inputs[0]
    shape = np.broadcast_shapes(x.shape, _shape(inputs[1]))
    budget.take(math.prod(shape))
    return np.array(np.broadcast_to(x, shape))


def _constant_of_shape(node: Node, inputs: Sequence[Any], budget: Budget) -> Array:
    value = node.attributes["value"]
    shape = _shape(inputs[0])
    budget.take(math.prod(shape))
    if value is not None and value.size != 1:
        raise ValueError(f"the value must be one number, got {value.size}")
    return np.full(shape, 0.0 if value is None else value.ravel()[0], np.float32 if value is None else value.dtype)


def _shape(array: Any) -> tuple[int, ...]:
    shape = tuple(1 if extent is BATCH else extent for extent in extents(array))
    if any(not isinstance(extent, int) or extent < 0 for extent in shape) or len(shape) > 8:
        raise ValueError(f"a shape must have at most 8 extents, none negative, got {shape}")
    return tuple(int(extent) for extent in shape if isinstance(extent, int))


def _range(node: Node, inputs: Sequence[Any], budget: Budget) -> Array:
    start, limit, delta = (int(array) if array.dtype != object else None for array in inputs)
    if start is None or limit is None or delta is None:
        raise ValueError("a number that is computed from the batch's size is not supported")
    values = range(start, limit, delta) if delta else range(0)
    budget.take(len(values) if -(2**62) < start < 2**62 and -(2**62) < limit < 2**62 else 2**62)
    return np.array(values, np.int64)


def _constant(node: Node, inputs: Sequence[Any], budget: Budget) -> Array:
    given = {key: value for key, value in node.attributes.items() if value is not None}
    if len(given) != 1:
        raise ValueError(f"it must have one value, got {', '.join(given) or 'none'}")
    ((key, value),) = given.items()
    types = {"value_int": np.int64, "value_ints": np.int64, "value_float": np.float32, "value_floats": np.float32}
    if key == "value":
        return np.asarray(value)
    if key not in types:
        raise ValueError(f"a constant of {key} is not supported")
    return np.array(value, types[key])


def _reduce_prod(node: Node, inputs: Sequence[Any], budget: Budget) -> Array:
    axes = axes_input(node, inputs)
    chosen = None if axes is None else tuple(axes_of(axes, inputs[0].ndim))
    return np.asarray(np.prod(inputs[0], axis=chosen, keepdims=bool(node.attributes["keepdims"])))


def _transpose(node: Node, inputs: Sequence[Any], budget: Budget) -> Array:
    perm = node.attributes["perm"]
    return np.transpose(inputs[0], None if perm is None else axes_of(perm, inputs[0].ndim))


FOLDS: dict[str, Fold] = {
    "Add": _elementwise(np.add),
    "Cast": _cast,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Div": _elementwise(_divide),
    "Equal": _elementwise(lambda a, b: np.equal(a, b).astype(bool)),
    "Expand": _expand,
    "Gather": _gather,
    "Identity": lambda node, inputs, budget: inputs[0],
    "Mod": _elementwise(_remainder),
    "Mul": _elementwise(np.multiply),
    "Neg": _elementwise(np.negative),
    "Range": _range,
    "ReduceProd": _reduce_prod,
    "Reshape": _reshape,
    "Shape": lambda node, inputs, budget: np.array(
        inputs[0].shape[node.attributes.get("start", 0) : node.attributes.get("end")], np.int64
    ),
    "Slice": _slice,
    "Sqrt": _elementwise(np.sqrt),
    "Squeeze": _squeeze,
    "Sub": _elementwise(np.subtract),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _elementwise(np.where),
}
