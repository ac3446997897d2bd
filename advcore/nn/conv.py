"""The two-dimensional convolution layer."""

from __future__ import annotations

import math

from advcore import _check, ops
from advcore._check import Array
from advcore.nn._window import positions
from advcore.nn.layer import ProductLayer, Shape, expect_shape, options_text

Pair = int | tuple[int, int]


class Conv2d(ProductLayer):
    """Cross-correlation of images (N, C, H, W) with a kernel, as torch.nn.Conv2d.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, dilation : int or pair (height, width)
        At least 1.
    padding : int, pair, "same" or "valid"
        Zeros on each side; "same" keeps the size and needs stride 1.
    groups : int
        Divides in_channels and out_channels.
    bias : bool
        Whether there is a bias.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair | str = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        self.in_channels = _check.integer("in_channels", in_channels, minimum=1)
        self.out_channels = _check.integer("out_channels", out_channels, minimum=1)
        self.kernel_size = _check.integer_pair("kernel_size", kernel_size, minimum=1)
        self.stride = _check.integer_pair("stride", stride, minimum=1)
        self.dilation = _check.integer_pair("dilation", dilation, minimum=1)
        self.groups = _check.integer("groups", groups, minimum=1)
        self.padding: str | tuple[int, int]
        if isinstance(padding, str):
            self.padding = _check.choice("padding", padding, ("same", "valid"))
            if padding == "same" and self.stride != (1, 1):
                raise ValueError(f"padding 'same' needs stride 1, got {self.stride}")
        else:
            self.padding = _check.integer_pair("padding", padding, minimum=0)
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                f"groups must divide in_channels {in_channels} and out_channels {out_channels}, got {groups}"
            )
        self.bias = _check.flag("bias", bias)
        shapes: dict[str, Shape] = {"weight": (self.out_channels, self.in_channels // self.groups, *self.kernel_size)}
        if self.bias:
            shapes["bias"] = (self.out_channels,)
        super().__init__(shapes, 1 / math.sqrt(math.prod(shapes["weight"][1:])))

    def __repr__(self) -> str:
        return options_text(
            self,
            *(self.in_channels, self.out_channels, self.kernel_size),
            stride=(self.stride, (1, 1)),
            padding=(self.padding, (0, 0)),
            dilation=(self.dilation, (1, 1)),
            groups=(self.groups, 1),
            bias=(self.bias, True),
        )

    @property
    def _geometry(self) -> tuple[Pair, Pair | str, Pair, int]:
        return self.stride, self.padding, self.dilation, self.groups

    def infer(self, x: Array, activation: str | None = None) -> Array:
        """See ProductLayer.infer."""
        weight, bias = self.parameters["weight"], self.parameters.get("bias")
        return ops.conv2d(x, weight, bias, *self._geometry, activation=activation)

    def backward(
        self, saved: Array, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        weight = self.parameters["weight"]
        gradients = {}
        if need_parameters:
            gradients["weight"] = ops.conv2d_weight_grad(saved, weight.shape, grad, *self._geometry)
            if self.bias:
                means = ops.adaptive_avg_pool2d(grad, 1)[:, :, 0, 0]  # on all threads
                gradients["bias"] = math.prod(grad.shape[2:]) * means.sum(axis=0)
        below = ops.conv2d_input_grad(saved.shape, weight, grad, *self._geometry) if need_input else None
        return below, gradients

    def output_shape(self, input_shape: Shape) -> Shape:
        """See Layer.output_shape."""
        expect_shape(input_shape, ("C", "H", "W"), (self.in_channels, None, None))
        if self.padding == "same":
            return (self.out_channels, *input_shape[1:])
        padding = self.padding if isinstance(self.padding, tuple) else (0, 0)
        axes = zip(input_shape[1:], self.kernel_size, self.stride, padding, self.dilation, strict=True)
        return (self.out_channels, *(positions(*axis) for axis in axes))

    def flops(self, input_shape: Shape) -> int:
        """See Layer.flops."""
        terms = math.prod(self.parameter_shapes["weight"][1:])
        return 2 * math.prod(self.output_shape(input_shape)) * terms
