"""Two-dimensional convolution (cross-correlation, as in PyTorch) and its gradients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from advcore import _check, _core
from advcore._check import Array
from advcore.ops._conv_algorithm import (
    ALGORITHMS,
    is_depthwise,
    is_depthwise_back,
    turned,
    turned_around,
    turned_size,
    turns_around,
    uses_transposed,
    uses_winograd,
)
from advcore.ops._conv_geometry import Geometry, IntOrPair, geometry
from advcore.ops.linear import ACTIVATIONS

INPUT_AXES = ("N", "C", "H", "W")
OUTPUT_AXES = ("N", "K", "OH", "OW")
WEIGHT_AXES = ("K", "C / groups", "R", "S")


def conv2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntOrPair = 1,
    padding: IntOrPair | str = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    *,
    activation: str | None = None,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Convolve: ``out[n, k, y, x] = activation(bias[k] + sum_{c, r, s} input[n, c, y', x'] weight[k, c, r, s])``.

    ``y' = y stride + r dilation - padding``, ``x'`` likewise; the input is zero outside. With groups, output channel k
    sees the input channels of its own group only.

    Parameters
    ----------
    input : float32 or float64 array, (N, C, H, W) or (C, H, W)
    weight : array, (K, C / groups, R, S)
    bias : array, (K,), optional
    stride, dilation : int >= 1 or pair (vertical, horizontal)
    padding : int >= 0, pair (vertical, horizontal), "valid" or "same"
        Zeros on both sides. "valid" is 0; "same", for stride 1, keeps H and W (an odd zero goes to the end).
    groups : int >= 1
        Divides C and K.
    activation : None, "relu" or "gelu"
        Applied while the result is still in registers.
    algorithm : "auto" or "direct"
        "auto" computes layers of stride 1 with enough channels by Winograd's F(4 x 4, 3 x 3), a quarter of the
        multiplications, or F(2 x 2, 5 x 5), 9 of 25; in float32 errors are some 1e-6 of the whole. What is NaN or
        infinite spreads over the tiles of 4 x 4 or 2 x 2 outputs that see it, and sums on the way, up to some 10,000
        times as large as the result, may overflow. The layer's shape alone decides. "direct" always adds the products
        themselves, in the order of (c, r, s).
    out : array, optional
        Receives the result.

    Returns
    -------
    array, (N, K, OH, OW) or (K, OH, OW)
        OH = (H + 2 padding - dilation (R - 1) - 1) // stride + 1, OW likewise.

    Raises
    ------
    TypeError
        If an array is not of float32 or float64, the types differ, or an option is no integer.
    ValueError
        If the shapes do not fit, the kernel is larger than the padded input, or an option is out of its range.
    """
    input = _images("input", input, INPUT_AXES)
    weight = _check.array("weight", weight, axes=WEIGHT_AXES, dtype=input.dtype)
    bias = _check.maybe_array("bias", bias, dtype=input.dtype, shape=(weight.shape[0],))
    activation = _check.choice("activation", activation, tuple(ACTIVATIONS))
    _check.choice("algorithm", algorithm, ALGORITHMS)
    plan = geometry(input.shape, weight.shape, stride, padding, dilation, groups)
    result = _check.output(out, _output_shape(input.shape, weight.shape, plan), input.dtype, (input, weight, bias))
    images, code = (_batch(result), _batch(input)), ACTIVATIONS[activation]
    if uses_winograd(algorithm, weight.shape, plan):
        _core.winograd(*images, weight, bias, *plan.padding, plan.groups, False, code)
    elif is_depthwise(weight.shape, plan):
        _core.depthwise(*images, weight, bias, plan.kernel_args, code)
    else:
        _core.conv2d(*images, weight, bias, plan.kernel_args, False, code)
    return _check.deliver(result, out)


def conv2d_input_grad(
    input_size: Sequence[int],
    weight: Array,
    grad_output: Array,
    stride: IntOrPair = 1,
    padding: IntOrPair | str = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    *,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Return the gradient of conv2d (without activation) for its input.

    ``out[n, c, h, w] = sum_{k, r, s} grad_output[n, k, y, x] weight[k, c, r, s]`` over the (r, s) for which
    ``y = (h + padding - r dilation) / stride`` and x are positions of the output.

    Parameters
    ----------
    input_size : tuple of int, (N, C, H, W) or (C, H, W)
    weight : float32 or float64 array, (K, C / groups, R, S)
    grad_output : array, (N, K, OH, OW) or (K, OH, OW)
    stride, padding, dilation, groups, algorithm
        As conv2d; "auto" depends on the input's size, too. What is NaN or infinite spreads over tiles, of the input or
        of the 6 x 6 inputs that a tile of gradients reaches.
    out : array, optional
        Receives the result.

    Returns
    -------
    array of shape input_size

    Raises
    ------
    TypeError, ValueError
        As conv2d.
    """
    grad_output = _images("grad_output", grad_output, OUTPUT_AXES)
    weight = _check.array("weight", weight, axes=WEIGHT_AXES, dtype=grad_output.dtype)
    input_size = _check.sizes("input_size", input_size, axes=INPUT_AXES[-grad_output.ndim :])
    _check.choice("algorithm", algorithm, ALGORITHMS)
    plan = geometry(input_size, weight.shape, stride, padding, dilation, groups)
    _check.array("grad_output", grad_output, shape=_output_shape(input_size, weight.shape, plan))
    result = _check.output(out, input_size, weight.dtype, (weight, grad_output))
    winograd = uses_winograd(algorithm, weight.shape, plan)
    if winograd and uses_transposed(weight.shape, plan, result.shape[-2:]):
        _core.winograd_input_grad(_batch(result), weight, _batch(grad_output), *plan.padding, plan.groups)
    elif winograd:  # the convolution with the taps turned around
        before_y, before_x = plan.padding
        arrays = (_batch(result), _batch(grad_output), weight, None)
        last = weight.shape[2] - 1
        _core.winograd(*arrays, last - before_y, last - before_x, plan.groups, True, 0)
    elif is_depthwise_back(weight.shape, plan):
        _core.depthwise_input_grad(_batch(result), weight, _batch(grad_output), plan.kernel_args)
    elif turns_around(weight.shape, plan):
        back = turned(weight.shape, plan, result.shape[-2:])
        images = (_batch(result), _batch(grad_output))
        if is_depthwise(turned_size(weight.shape, groups), back):
            _core.depthwise(*images, turned_around(weight, groups), None, back.kernel_args, 0)
        else:
            _core.conv2d(*images, weight, None, back.kernel_args, True, 0)
    else:
        _core.conv2d_input_grad(_batch(result), weight, _batch(grad_output), plan.kernel_args)
    return _check.deliver(result, out)


def conv2d_weight_grad(
    input: Array,
    weight_size: Sequence[int],
    grad_output: Array,
    stride: IntOrPair = 1,
    padding: IntOrPair | str = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
    *,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Return the gradient of conv2d (without activation) for its weight.

    ``out[k, c, r, s] = sum_{n, y, x} grad_output[n, k, y, x] input[n, c, y', x']`` with conv2d's y' and x'. The bias's
    gradient is grad_output's sum over (n, y, x). A large batch is added up in segments, whose number depends on the
    shapes alone.

    Parameters
    ----------
    input : float32 or float64 array, (N, C, H, W) or (C, H, W)
    weight_size : tuple of int, (K, C / groups, R, S)
    grad_output : array, (N, K, OH, OW) or (K, OH, OW)
    stride, padding, dilation, groups, algorithm
        As conv2d.
    out : array, optional
        Receives the result.

    Returns
    -------
    array of shape weight_size

    Raises
    ------
    TypeError, ValueError
        As conv2d.
    """
    input = _images("input", input, INPUT_AXES)
    weight_size = _check.sizes("weight_size", weight_size, axes=WEIGHT_AXES)
    _check.choice("algorithm", algorithm, ALGORITHMS)
    plan = geometry(input.shape, weight_size, stride, padding, dilation, groups)
    shape = _output_shape(input.shape, weight_size, plan)
    grad_output = _check.array("grad_output", grad_output, dtype=input.dtype, shape=shape)
    result = _check.output(out, weight_size, input.dtype, (input, grad_output))
    if uses_winograd(algorithm, weight_size, plan):
        _core.winograd_weight_grad(result, _batch(input), _batch(grad_output), *plan.padding, plan.groups)
    elif is_depthwise(weight_size, plan):
        _core.depthwise_weight_grad(result, _batch(input), _batch(grad_output), plan.kernel_args)
    else:
        _core.conv2d_weight_grad(result, _batch(input), _batch(grad_output), plan.kernel_args)
    return _check.deliver(result, out)


class PackedConv2d:
    """A conv2d with fixed weights, brought into the kernels' order once; it gives the bits of conv2d.

    Parameters
    ----------
    weight, bias, stride, padding, dilation, groups, activation
        As conv2d; weight and bias are copied.
    input_size : tuple of int, (C, H, W)
        The shape of one sample.

    Raises
    ------
    TypeError, ValueError
        As conv2d.
    """

    def __init__(
        self,
        weight: Array,
        bias: Array | None = None,
        stride: IntOrPair = 1,
        padding: IntOrPair | str = 0,
        dilation: IntOrPair = 1,
        groups: int = 1,
        *,
        input_size: Sequence[int],
        activation: str | None = None,
    ) -> None:
        weight = _check.array("weight", weight, axes=WEIGHT_AXES)
        bias = _check.maybe_array("bias", bias, dtype=weight.dtype, shape=(weight.shape[0],))
        self._activation = ACTIVATIONS[_check.choice("activation", activation, tuple(ACTIVATIONS))]
        self._input_size = _check.sizes("input_size", input_size, axes=INPUT_AXES[1:])
        self._plan = geometry(self._input_size, weight.shape, stride, padding, dilation, groups)
        self._bias = None if bias is None else bias.copy()
        self._weight_size = weight.shape
        self._winograd = uses_winograd("auto", weight.shape, self._plan)
        self._level = _core.level()
        if self._winograd:
            self._packed = _core.winograd_pack(weight, self._plan.output, groups)
        elif is_depthwise(weight.shape, self._plan):
            self._packed = weight.copy()
        else:
            _, height, width = self._input_size
            self._packed = _core.conv2d_pack(weight, (height, width), self._plan.output, self._plan.kernel_args)

    def __call__(self, input: Array, *, out: Array | None = None) -> Array:
        """Convolve input, (N, C, H, W) or (C, H, W) with the C, H and W of input_size.

        Raises
        ------
        TypeError, ValueError
            If input is not of the weight's type or not of input_size.
        """
        input = _images("input", input, INPUT_AXES, dtype=self._packed.dtype)
        if input.shape[-3:] != self._input_size:
            raise ValueError(f"input must have samples of shape {self._input_size}, got {input.shape}")
        if _core.level() != self._level:
            raise RuntimeError(f"the weights are packed for {self._level}, the level in use is {_core.level()}")
        shape = _output_shape(input.shape, self._weight_size, self._plan)
        result = _check.output(out, shape, input.dtype, (input,))
        arrays = (_batch(result), _batch(input), self._packed, self._bias)
        if self._winograd:
            _core.winograd_packed(*arrays, self._weight_size[2], *self._plan.padding, self._activation)
        elif is_depthwise(self._weight_size, self._plan):
            _core.depthwise(*arrays, self._plan.kernel_args, self._activation)
        else:
            taps_y, taps_x = self._weight_size[2:]
            _core.conv2d_packed(*arrays, taps_y, taps_x, self._plan.kernel_args, self._activation)
        return _check.deliver(result, out)


def _images(name: str, value: object, axes: Sequence[str], dtype: np.dtype[np.generic] | None = None) -> Array:
    """Return a batch of images, or a single one."""
    single = isinstance(value, np.ndarray) and value.ndim == 3
    return _check.array(name, value, axes=axes[1:] if single else axes, dtype=dtype)


def _batch(images: Array) -> Array:
    return images[np.newaxis] if images.ndim == 3 else images


def _output_shape(input_size: Sequence[int], weight_size: Sequence[int], plan: Geometry) -> tuple[int, ...]:
    return (*input_size[:-3], weight_size[0], *plan.output)
