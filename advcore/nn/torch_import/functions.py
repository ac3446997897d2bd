"""What torch computes, function by function, in layers: arithmetic, activations, products, normalisation, pooling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from advcore.nn.activations import GELU, Clip, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from advcore.nn.affine import Affine, Scale
from advcore.nn.conv import Conv2d
from advcore.nn.dropout import Dropout
from advcore.nn.layer import Layer
from advcore.nn.linear import Linear
from advcore.nn.merge import Add, Multiply, Subtract
from advcore.nn.reshape import Reshape
from advcore.nn.torch_import.builder import Builder, RefusedError, Value

# Arithmetic


def add(b: Builder, x: Any, y: Any, alpha: float = 1) -> Value:
    """X + alpha y."""
    if isinstance(x, Value) and isinstance(y, Value):
        return b.add(Add(), x, multiply(b, y, alpha) if alpha != 1 else y)
    if isinstance(y, Value):
        return _with_constant(b, multiply(b, y, alpha) if alpha != 1 else y, shift=x)
    return _with_constant(b, x, shift=y if alpha == 1 else alpha * y)


def sub(b: Builder, x: Any, y: Any, alpha: float = 1) -> Value:
    """X - alpha y."""
    if isinstance(x, Value) and isinstance(y, Value):
        return b.add(Subtract(), x, multiply(b, y, alpha) if alpha != 1 else y)
    return add(b, x, y, -alpha) if isinstance(y, Value) else _with_constant(b, x, shift=-alpha * y)


def rsub(b: Builder, x: Any, y: Any, alpha: float = 1) -> Value:
    """Y - alpha x."""
    return sub(b, y, x, alpha)


def multiply(b: Builder, x: Any, y: Any) -> Value:
    """X y."""
    if isinstance(x, Value) and isinstance(y, Value):
        if x.ndim != y.ndim:
            raise RefusedError(f"its inputs must have as many axes, got {x.size} and {y.size}")
        return b.add(Multiply(), x, y)
    return _with_constant(b, y, scale=x) if isinstance(y, Value) else _with_constant(b, x, scale=y)


def divide(b: Builder, x: Any, y: Any, rounding_mode: None = None) -> Value:
    """X / y for a constant y."""
    if isinstance(y, Value) or rounding_mode is not None:
        raise RefusedError("only a division by a constant is supported")
    return multiply(b, x, 1 / y)


def power(b: Builder, x: Any, exponent: Any) -> Value:
    """X times itself."""
    if exponent not in (1, 2, 3) or not isinstance(x, Value):
        raise RefusedError(f"only the powers 1, 2 and 3 of the input are supported, got {exponent!r}")
    y = x
    for _ in range(int(exponent) - 1):
        y = b.add(Multiply(), y, x)
    return y


def _with_constant(b: Builder, x: Value, *, scale: Any = None, shift: Any = None) -> Value:
    """X times a constant, or plus one: a number, or a tensor that is stretched over x."""
    constant = scale if shift is None else shift
    if isinstance(constant, (bool, complex)) or not isinstance(constant, (int, float, torch.Tensor)):
        raise RefusedError(f"expected a number or a tensor, got {type(constant).__name__}")
    trained = isinstance(constant, torch.nn.Parameter)
    if not isinstance(constant, torch.Tensor) or (constant.numel() == 1 and not trained and constant.ndim <= x.ndim):
        number = float(constant)
        return b.add(Scale(number) if shift is None else Scale(1.0, number), x)
    tensor: torch.Tensor = constant
    extents = (1,) * (x.ndim - tensor.ndim) + tuple(tensor.shape)
    own = extents[: x.batch] + extents[x.batch + 1 :]
    fits = len(extents) == x.ndim and extents[x.batch] == 1
    if not fits or any(n not in (1, size) for n, size in zip(own, x.shape, strict=True)):
        raise RefusedError(f"a constant of shape {tuple(tensor.shape)} cannot be stretched over {x.size}")
    tensors = {"weight": tensor} if shift is None else {"bias": tensor}
    return b.add_with(Affine, (own, shift is None, scale is None), tensors, x)


# Activations


def _plain(make: Callable[[], Layer]) -> Callable[..., Value]:
    """A function of one tensor; whether it works in place makes no difference."""

    def apply(b: Builder, input: Value, inplace: bool = False) -> Value:
        return b.add(make(), input)

    return apply


def leaky_relu(b: Builder, input: Value, negative_slope: float = 0.01, inplace: bool = False) -> Value:
    """torch.nn.functional.leaky_relu."""
    return b.add(LeakyReLU(negative_slope), input)


def hardtanh(b: Builder, input: Value, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Value:
    """torch.nn.functional.hardtanh."""
    return b.add(Clip(min_val, max_val, inclusive=False), input)


def clamp(b: Builder, input: Value, min: Any = None, max: Any = None) -> Value:
    """torch.clamp."""
    if isinstance(min, (torch.Tensor, Value)) or isinstance(max, (torch.Tensor, Value)):
        raise RefusedError("limits must be numbers")
    return b.add(Clip(min, max), input)


def clamp_min(b: Builder, input: Value, min: float) -> Value:
    """torch.clamp_min."""
    return clamp(b, input, min)


def clamp_max(b: Builder, input: Value, max: float) -> Value:
    """torch.clamp_max."""
    return clamp(b, input, None, max)


def hardsigmoid(b: Builder, input: Value, inplace: bool = False) -> Value:
    """max(0, min(1, x / 6 + 1 / 2))."""
    return b.add(Clip(0.0, 1.0, inclusive=False), b.add(Scale(1 / 6, 0.5), input, suffix="_scale"))


def hardswish(b: Builder, input: Value, inplace: bool = False) -> Value:
    """X hardsigmoid(x)."""
    return b.add(Multiply(), input, hardsigmoid(b, input))


def silu(b: Builder, input: Value, inplace: bool = False) -> Value:
    """X sigmoid(x)."""
    return b.add(Multiply(), input, b.add(Sigmoid(), input, suffix="_sigmoid"))


def gelu(b: Builder, input: Value, approximate: str = "none") -> Value:
    """torch.nn.functional.gelu."""
    return b.add(GELU(approximate), input)


def softmax(b: Builder, input: Value, dim: Any = None, *_: Any, dtype: Any = None, **__: Any) -> Value:
    """torch.softmax; the type is the network's."""
    return _over_axis(b, Softmax(), input, dim)


def log_softmax(b: Builder, input: Value, dim: Any = None, *_: Any, dtype: Any = None, **__: Any) -> Value:
    """torch.log_softmax; the type is the network's."""
    return _over_axis(b, LogSoftmax(), input, dim)


def _over_axis(b: Builder, layer: Layer, x: Value, dim: Any) -> Value:
    """A layer of the last axis at another one: that axis is put last and back."""
    if dim is None:
        raise RefusedError("dim must be given")
    axis, last = x.axis(dim), len(x.shape)
    if axis == last:
        return b.add(layer, x)
    axes = list(range(1, last + 1))
    axes[axis - 1], axes[-1] = axes[-1], axes[axis - 1]
    return b.permute(b.add(layer, b.permute(x, axes, x.batch)), axes, x.batch)


def dropout(b: Builder, input: Value, p: float = 0.5, training: bool = True, inplace: bool = False) -> Value:
    """torch.nn.functional.dropout, which works in evaluation mode too unless it is told the mode."""
    if training:
        raise RefusedError("it drops in evaluation mode too; give it training=self.training")
    return b.add(Dropout(p), input)


def only_in_training(b: Builder, input: Value, *arguments: Any, training: bool = True, **_: Any) -> Value:
    """What gives its input in evaluation mode."""
    if training and arguments[-1:] not in ((False,), (True, False)):
        raise RefusedError("it works in evaluation mode too; give it training=self.training")
    return input


# Products


def linear(b: Builder, input: Value, weight: Any, bias: Any = None) -> Value:
    """torch.nn.functional.linear."""
    arguments = (weight.shape[1], weight.shape[0], bias is not None)
    return b.add_with(Linear, arguments, {"weight": weight, "bias": bias}, _last_is_own(input))


def matmul(b: Builder, input: Any, other: Any) -> Value:
    """X @ w for a constant matrix w."""
    if not isinstance(input, Value) or not isinstance(other, torch.Tensor) or other.ndim != 2:
        raise RefusedError("only a product of the input with a constant matrix is supported")
    return linear(b, input, other.T)


def _last_is_own(x: Value) -> Value:
    if x.batch == len(x.shape):
        raise RefusedError("it works along the batch axis, which would mix samples")
    return x


def conv2d(
    b: Builder,
    input: Value,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Value:
    """torch.nn.functional.conv2d."""
    outputs, inputs, *kernel = weight.shape
    geometry = [x if isinstance(x, str) else pair(x) for x in (stride, padding, dilation)]
    arguments = (inputs * groups, outputs, tuple(kernel), *geometry, groups, bias is not None)
    return b.add_with(Conv2d, arguments, {"weight": weight, "bias": bias}, input.batch_first())


def conv1d(
    b: Builder,
    input: Value,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Value:
    """torch.nn.functional.conv1d: a convolution of an image of one row."""
    outputs, inputs, kernel = weight.shape
    geometry = (row(stride, 1), padding if isinstance(padding, str) else row(padding, 0), row(dilation, 1))
    arguments = (inputs * groups, outputs, (1, kernel), *geometry, groups, bias is not None)
    return as_row(b, input, lambda x: b.add_with(Conv2d, arguments, {"weight": weight, "bias": bias}, x))


def pair(value: Any) -> tuple[int, int]:
    """Return torch's one number, or list of one or two, as a pair."""
    if isinstance(value, int):
        return value, value
    numbers = tuple(value)
    return (numbers[0], numbers[0]) if len(numbers) == 1 else numbers


def row(value: Any, across: int) -> tuple[int, int]:
    """Return what a 1-d operation has along its axis as a pair for an image of one row."""
    return across, value if isinstance(value, int) else value[0]


def as_row(b: Builder, x: Value, apply: Callable[[Value], Value]) -> Value:
    """Apply what works on images to (N, C, L)."""
    if len(x.batch_first().shape) != 2:
        raise RefusedError(f"expected (N, C, L), got {x.size}")
    channels, length = x.shape
    y = apply(b.add(Reshape((channels, 1, length)), x, suffix="_image"))
    return b.add(Reshape((y.shape[0], y.shape[2])), y, suffix="_row")


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": add,
    "sub": sub,
    "subtract": sub,
    "rsub": rsub,
    "mul": multiply,
    "multiply": multiply,
    "div": divide,
    "divide": divide,
    "truediv": divide,
    "neg": lambda b, x: multiply(b, x, -1.0),
    "pow": power,
    "square": lambda b, x: power(b, x, 2),
    "relu": _plain(ReLU),
    "relu6": _plain(lambda: Clip(0.0, 6.0, inclusive=False)),
    "leaky_relu": leaky_relu,
    "hardtanh": hardtanh,
    "clamp": clamp,
    "clip": clamp,
    "clamp_min": clamp_min,
    "clamp_max": clamp_max,
    "sigmoid": _plain(Sigmoid),
    "tanh": _plain(Tanh),
    "hardsigmoid": hardsigmoid,
    "hardswish": hardswish,
    "silu": silu,
    "gelu": gelu,
    "softmax": softmax,
    "log_softmax": log_softmax,
    "dropout": dropout,
    "stochastic_depth": only_in_training,
    "dropout1d": only_in_training,
    "dropout2d": only_in_training,
    "dropout3d": only_in_training,
    "feature_dropout": only_in_training,
    "alpha_dropout": only_in_training,
    "linear": linear,
    "matmul": matmul,
    "conv1d": conv1d,
    "conv2d": conv2d,
}
