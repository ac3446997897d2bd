"""Functions of one number, softmax, and what does nothing in evaluation mode."""

from __future__ import annotations

import math
from collections.abc import Callable

from advcore.nn.activations import GELU, Clip, LeakyReLU, LogSoftmax, Softmax
from advcore.nn.dropout import Dropout
from advcore.nn.layer import Layer
from advcore.nn.onnx_import.call import Call
from advcore.nn.onnx_import.tensors import TYPES, type_name
from advcore.nn.onnx_import.values import Tensor


def elementwise(layer: Callable[[], Layer]) -> Callable[[Call], Tensor]:
    """Translate an operator without attributes."""
    return lambda call: call.build.elementwise(layer(), call.tensor())


def identity(call: Call) -> Tensor:
    """Identity."""
    return call.tensor()


def gelu(call: Call) -> Tensor:
    """Gelu."""
    return call.build.elementwise(GELU(call.get("approximate", "none")), call.tensor())


def leaky_relu(call: Call) -> Tensor:
    """LeakyRelu."""
    return call.build.elementwise(LeakyReLU(call.get("alpha")), call.tensor())


def clip(call: Call) -> Tensor:
    """Clip: the limits are attributes in old files, inputs in new ones; where they cross, the upper one wins."""
    x = call.tensor()
    low = call.get("min", -math.inf) if "min" in call.node.attributes else call.number(1, -math.inf)
    high = call.get("max", math.inf) if "max" in call.node.attributes else call.number(2, math.inf)
    if math.isnan(low) or math.isnan(high):
        raise ValueError("its limits must not be NaN")
    lower, upper = (None if abs(limit) >= 3.4e38 else limit for limit in (low, high))
    if lower is not None and upper is not None and lower > upper:
        return call.build.elementwise(Clip(upper, upper), x)
    relu6 = (low, high) == (0, 6)  # whose derivative in torch is 0 at its limits
    return call.build.elementwise(Clip(lower, upper, inclusive=not relu6), x)


def softmax(call: Call) -> Tensor:
    """Softmax along an axis; before opset 13 along all axes from there on."""
    return _along_axis(call, Softmax())


def log_softmax(call: Call) -> Tensor:
    """LogSoftmax, as Softmax."""
    return _along_axis(call, LogSoftmax())


def _along_axis(call: Call, layer: Layer) -> Tensor:
    x, joint = call.tensor(), call.build.opset < 13
    axis = x.axis(call.get("axis", 1 if joint else -1)) - 1
    if joint:
        if x.batch != 0:
            raise ValueError(f"the batch must be axis 0 of its input, got axis {x.batch}")
        y = call.build.apply(layer, Tensor(x.source, (*x.sample[:axis], math.prod(x.sample[axis:]))))
        return Tensor(y.source, x.sample)
    order = [other for other in range(len(x.sample)) if other != axis] + [axis]
    y = call.build.apply(layer, call.build.permute(x, order, "turn"))
    y = call.build.permute(y, [order.index(other) for other in range(len(order))], "turn")
    return Tensor(y.source, y.sample, x.batch)


def cast(call: Call) -> Tensor:
    """Cast to the type that everything has."""
    target = call.get("to")
    if target not in TYPES or TYPES[target][0] != call.build.dtype:
        raise ValueError(f"a cast from {call.build.dtype} to {type_name(target)} is not supported")
    return call.tensor()


def dropout(call: Call) -> Tensor:
    """Dropout: does nothing, but is there for training."""
    call.only_outputs(0)
    training = call.given(2) and bool(call.constant(2).any())
    if training:
        raise ValueError("a model in training mode is not supported: export it in evaluation mode")
    ratio = call.get("ratio", 0.5) if "ratio" in call.node.attributes else call.number(1, 0.5)
    return call.build.elementwise(Dropout(ratio), call.tensor()) if 0 < ratio < 1 else call.tensor()
