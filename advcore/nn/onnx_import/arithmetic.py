"""Sums and products: with a constant they are a layer of one input, else a merge; matrix products are linear layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from advcore._check import Array
from advcore.nn.affine import Affine, Scale
from advcore.nn.layer import Layer
from advcore.nn.linear import Linear
from advcore.nn.merge import Add, Concatenate, Merge, Multiply, Subtract
from advcore.nn.onnx_import.call import Call
from advcore.nn.onnx_import.values import Tensor, axis_of


def add(call: Call) -> Tensor:
    """Add: after a product without bias, a constant is its bias."""
    if not _with_constant(call):
        return _merge(call, Add())
    x, c, index = _operands(call)
    layer = call.build.layers.get(x.source)
    plain = isinstance(layer, Linear) and not layer.bias and call.build.shapes[x.source] == x.sample
    if isinstance(layer, Linear) and plain and call.alone(index) and c.size == c.shape[-1] == layer.out_features:
        product = Linear(layer.in_features, layer.out_features)
        product.parameters.update(weight=layer.parameters["weight"], bias=np.array(c.ravel()))
        if call.build.replace(x, product):
            return x
    return _affine(call, x, bias=c)


def subtract(call: Call) -> Tensor:
    """Sub: a constant first turns the sign."""
    if not _with_constant(call):
        return _merge(call, Subtract())
    x, c, index = _operands(call)
    return _affine(call, x, bias=-c) if index == 0 else _affine(call, x, weight=-np.ones_like(c), bias=c)


def multiply(call: Call) -> Tensor:
    """Mul: axes of extent 1 may be stretched on either side."""
    if not _with_constant(call):
        return _merge(call, Multiply())
    x, c, _ = _operands(call)
    return _affine(call, x, weight=c)


def negate(call: Call) -> Tensor:
    """Neg."""
    return call.build.elementwise(Scale(-1.0), call.tensor())


def divide(call: Call) -> Tensor:
    """Div: by constants only."""
    if call.given(1) and isinstance(call.inputs[1], Tensor):
        raise ValueError("a division by a value that depends on the input is not supported")
    x, c, _ = _operands(call)
    with np.errstate(all="ignore"):
        return _affine(call, x, weight=1 / c)


def _with_constant(call: Call) -> bool:
    return sum(isinstance(value, Tensor) for value in call.inputs) < 2


def _operands(call: Call) -> tuple[Tensor, Array, int]:
    """Return the variable input, the constant stretched to the axes of its samples, and which input the former is."""
    index = 0 if isinstance(call.inputs[0], Tensor) else 1
    x, c = call.tensor(index), call.floats(1 - index)
    if call.get("broadcast") and call.get("axis") is not None:  # of opset 6: the constant's axes begin there
        start = axis_of(call.get("axis"), len(x.dims))
        c = c.reshape(*c.shape, *[1] * max(0, len(x.dims) - start - c.ndim))
    more = c.ndim - len(x.dims)
    if more > 0:
        if any(extent != 1 for extent in c.shape[:more]):
            raise ValueError(f"its constant {c.shape} has more axes than the value {x.dims}")
        x = Tensor(x.source, (1,) * more + x.sample, x.batch + more)
    c = c.reshape((1,) * max(0, -more) + c.shape)
    if c.shape[x.batch] != 1:
        raise ValueError(f"its constant {c.shape} differs from sample to sample of {x.dims}, which is not supported")
    c = c.squeeze(x.batch)
    if any(own not in (1, extent) for own, extent in zip(c.shape, x.sample, strict=True)):
        raise ValueError(f"its constant stretches the value {x.dims} to more than its size, which is not supported")
    return x, c, index


def _affine(call: Call, x: Tensor, **parameters: Array) -> Tensor:
    """Multiply and shift: by the same number everywhere, or by parameters."""
    if all(array.size == 1 for array in parameters.values()):
        values = {name: float(array.ravel()[0]) for name, array in parameters.items()}
        return call.build.elementwise(Scale(values.get("weight", 1.0), values.get("bias", 0.0)), x)
    shape = next(iter(parameters.values())).shape
    layer: Layer = Affine(shape, "weight" in parameters, "bias" in parameters)
    y = call.build.apply(call.build.with_parameters(layer, **parameters), x)
    return Tensor(y.source, y.sample, x.batch)


def _merge(call: Call, layer: Merge) -> Tensor:
    """Merge all inputs, which get the same number of axes."""
    inputs = [call.tensor(index) for index in range(len(call.inputs))]
    most = max(len(x.dims) for x in inputs)
    filled = []
    for x in inputs:
        more = most - len(x.dims)
        filled.append(Tensor(x.source, (1,) * more + x.sample, x.batch + more))
    return _joined(call, layer, filled)


def _joined(call: Call, layer: Merge, inputs: Sequence[Tensor]) -> Tensor:
    if len({x.batch for x in inputs}) != 1:
        raise ValueError("the batch must be the same axis of its inputs, got " + ", ".join(str(x.dims) for x in inputs))
    y = call.build.apply(layer, *inputs)
    return Tensor(y.source, y.sample, inputs[0].batch)


def concat(call: Call) -> Tensor:
    """Concat: along any axis but the batch."""
    inputs = [call.tensor(index) for index in range(len(call.inputs))]
    return _joined(call, Concatenate(inputs[0].axis(call.get("axis", 1))), inputs)


def matmul(call: Call) -> Tensor:
    """MatMul: one of the factors is constant, a matrix or a vector."""
    if not _with_constant(call):
        raise ValueError("a product of two values that depend on the input is not supported")
    index = 0 if isinstance(call.inputs[0], Tensor) else 1
    x, matrix = call.tensor(index), call.floats(1 - index)
    while matrix.ndim > 2 and matrix.shape[0] == 1 and len(x.dims) >= matrix.ndim:
        matrix = matrix[0]
    if matrix.ndim not in (1, 2):
        raise ValueError(f"its constant factor must be a matrix or a vector, got shape {matrix.shape}")
    last = len(x.dims) - 1
    if index == 0:
        if x.batch == last:
            raise ValueError("a product along the batch axis is not supported")
        y = _linear(call, x, matrix if matrix.ndim == 2 else matrix[:, np.newaxis], None)
        return Tensor(y.source, y.sample[:-1], x.batch) if matrix.ndim == 1 else Tensor(y.source, y.sample, x.batch)
    if x.batch >= last - 1 or len(x.sample) < 2:
        raise ValueError("a product along the batch axis is not supported")
    order = [*range(len(x.sample) - 2), len(x.sample) - 1, len(x.sample) - 2]
    turned = call.build.permute(x, order, "turn")
    y = _linear(call, turned, matrix.T if matrix.ndim == 2 else matrix[:, np.newaxis], None)
    if matrix.ndim == 1:
        return Tensor(y.source, y.sample[:-1], x.batch)
    y = call.build.permute(y, order, "turn")
    return Tensor(y.source, y.sample, x.batch)


def gemm(call: Call) -> Tensor:
    """Gemm: alpha A B + beta C, where B is constant."""
    a, b = call.tensor(0), call.floats(1, 2)
    if len(a.sample) != 1 or a.batch != (1 if call.get("transA") else 0):
        raise ValueError(f"its input 0 must be a matrix with a row a sample, got {a.dims}")
    weight = _times(b.T if call.get("transB") else b, call.get("alpha", 1.0))
    x = Tensor(a.source, a.sample)
    if call.given(2) and isinstance(call.inputs[2], Tensor):
        y, other = _linear(call, x, weight, None), call.tensor(2)
        if call.get("beta", 1.0) != 1:
            other = call.build.elementwise(Scale(call.get("beta")), other)
        return _joined(call, Add(), [y, other])
    bias = None
    if call.given(2):
        c = call.floats(2)
        if c.ndim > 2 or (c.ndim == 2 and c.shape[0] != 1) or c.shape[-1:] not in ((), (1,), weight.shape[1:]):
            raise ValueError(f"its input 2 must be a number a column, the same for every sample, got shape {c.shape}")
        bias = np.broadcast_to(_times(c.ravel(), call.get("beta", 1.0)), weight.shape[1:])
    return _linear(call, x, weight, bias)


def _times(array: Array, factor: float) -> Array:
    """Multiply; by 1 the array stays the file's own, so that layers which share it are found."""
    return array if factor == 1 else array * array.dtype.type(factor)


def _linear(call: Call, x: Tensor, matrix: Array, bias: Array | None) -> Tensor:
    """Multiply the last axis with a matrix (in, out)."""
    if not matrix.size:
        raise ValueError(f"its constant factor must not be empty, got shape {matrix.shape}")
    layer = Linear(matrix.shape[0], matrix.shape[1], bias is not None)
    parameters: dict[str, Any] = {"weight": matrix.T} | ({} if bias is None else {"bias": bias})
    return call.build.apply(call.build.with_parameters(layer, **parameters), x)
