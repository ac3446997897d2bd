"""Normalisation layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from advcore import _check, ops
from advcore._check import Array
from advcore.nn.layer import Layer, Shape, options_text


class _Normalization(Layer):
    """A layer whose weight starts at 1 and whose bias starts at 0."""

    def __init__(self, shape: Shape, eps: float, affine: bool, buffer_shapes: dict[str, Shape] | None = None) -> None:
        self.eps = _check.real("eps", eps, above=0.0)
        super().__init__({"weight": shape, "bias": shape} if affine else {}, buffer_shapes=buffer_shapes)

    def initialise(self, rng: np.random.Generator, dtype: np.dtype[Any]) -> None:
        """Set weights and running variances to 1, biases and running means to 0; nothing is drawn."""
        self.parameters.update({name: _constant(name, shape, dtype) for name, shape in self.parameter_shapes.items()})
        self.buffers.update({name: _constant(name, shape, dtype) for name, shape in self.buffer_shapes.items()})

    @property
    def _weight(self) -> Array | None:
        return self.parameters.get("weight")

    @property
    def _affine(self) -> tuple[Array | None, Array | None]:
        return self._weight, self.parameters.get("bias")

    def _named(self, gradients: tuple[Array, Array | None, Array | None]) -> tuple[Array, dict[str, Array]]:
        """Return the input's gradient, and those of the parameters by name where there are any."""
        below, of_weight, of_bias = gradients
        if of_weight is None or of_bias is None or not self.parameter_shapes:
            return below, {}
        return below, {"weight": of_weight, "bias": of_bias}


def _constant(name: str, shape: Shape, dtype: np.dtype[Any]) -> Array:
    return np.full(shape, 1 if name in ("weight", "running_var") else 0, dtype)


class BatchNorm(_Normalization):
    """Batch normalisation of (N, C) or (N, C, ...), as torch.nn.BatchNorm1d, 2d and 3d.

    In training mode the batch's own statistics normalise, so that a sample's output depends on its batch, and the
    running statistics are updated; in evaluation mode these normalise.

    Parameters
    ----------
    num_features : int
        C.
    eps : float
        Added to the variance, positive.
    momentum : float
        The weight of the new statistics, in [0, 1].
    affine : bool
        Whether there are a weight and a bias.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True) -> None:
        self.num_features = _check.integer("num_features", num_features, minimum=1)
        self.momentum = _check.real("momentum", momentum, minimum=0.0, maximum=1.0)
        self.affine = _check.flag("affine", affine)
        shape = (self.num_features,)
        super().__init__(shape, eps, self.affine, {"running_mean": shape, "running_var": shape})

    def __repr__(self) -> str:
        return options_text(
            self,
            self.num_features,
            eps=(self.eps, 1e-5),
            momentum=(self.momentum, 0.1),
            affine=(self.affine, True),
        )

    @property
    def _running(self) -> tuple[Array, Array]:
        return self.buffers["running_mean"], self.buffers["running_var"]

    def infer(self, x: Array) -> Array:
        """See Layer.infer: the running statistics normalise."""
        return ops.batch_norm(x, *self._running, *self._affine, eps=self.eps)

    def forward(self, x: Array, rng: np.random.Generator | None) -> tuple[Array, Any]:
        """Keep the input and, in training mode, the statistics of the batch."""
        if rng is None:
            return self.infer(x), (x, None)
        y, stats = ops.batch_norm(
            x, *self._running, *self._affine, training=True, momentum=self.momentum, eps=self.eps, return_stats=True
        )
        return y, (x, stats)

    def backward(
        self, saved: Any, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        x, stats = saved
        options = {"training": stats is not None, "stats": stats, "need_parameters": need_parameters}
        return self._named(ops.batch_norm_grad(grad, x, *self._running, self._weight, eps=self.eps, **options))

    def output_shape(self, input_shape: Shape) -> Shape:
        """See Layer.output_shape."""
        return _of_channels(input_shape, self.num_features)


class GroupNorm(_Normalization):
    """Group normalisation of (N, C) or (N, C, ...), as torch.nn.GroupNorm.

    Parameters
    ----------
    num_groups : int
        Divides num_channels.
    num_channels : int
        C.
    eps : float
        Added to the variance, positive.
    affine : bool
        Whether there are a weight and a bias.
    """

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True) -> None:
        self.num_channels = _check.integer("num_channels", num_channels, minimum=1)
        self.num_groups = _check.divisor("num_groups", num_groups, "num_channels", self.num_channels)
        self.affine = _check.flag("affine", affine)
        super().__init__((self.num_channels,), eps, self.affine)

    def __repr__(self) -> str:
        sizes = (self.num_groups, self.num_channels)
        return options_text(self, *sizes, eps=(self.eps, 1e-5), affine=(self.affine, True))

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        return ops.group_norm(x, self.num_groups, *self._affine, self.eps)

    def forward(self, x: Array, rng: np.random.Generator | None) -> tuple[Array, Any]:
        """Keep the input and its statistics."""
        y, stats = ops.group_norm(x, self.num_groups, *self._affine, self.eps, return_stats=True)
        return y, (x, stats)

    def backward(
        self, saved: Any, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        x, stats = saved
        options = {"stats": stats, "need_parameters": need_parameters}
        return self._named(ops.group_norm_grad(grad, x, self.num_groups, self._weight, self.eps, **options))

    def output_shape(self, input_shape: Shape) -> Shape:
        """See Layer.output_shape."""
        return _of_channels(input_shape, self.num_channels)


class InstanceNorm(_Normalization):
    """Instance normalisation of (N, C, ...) by each instance's own statistics, as torch.nn.InstanceNorm1d, 2d and 3d.

    Parameters
    ----------
    num_features : int
        C.
    eps : float
        Added to the variance, positive.
    affine : bool
        Whether there are a weight and a bias.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, affine: bool = False) -> None:
        self.num_features = _check.integer("num_features", num_features, minimum=1)
        self.affine = _check.flag("affine", affine)
        super().__init__((self.num_features,), eps, self.affine)

    def __repr__(self) -> str:
        return options_text(self, self.num_features, eps=(self.eps, 1e-5), affine=(self.affine, False))

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        return ops.instance_norm(x, None, None, *self._affine, eps=self.eps)

    def forward(self, x: Array, rng: np.random.Generator | None) -> tuple[Array, Any]:
        """Keep the input and its statistics."""
        y, stats = ops.instance_norm(x, None, None, *self._affine, eps=self.eps, return_stats=True)
        return y, (x, stats)

    def backward(
        self, saved: Any, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        x, stats = saved
        options = {"stats": stats, "need_parameters": need_parameters}
        return self._named(ops.instance_norm_grad(grad, x, None, None, self._weight, eps=self.eps, **options))

    def output_shape(self, input_shape: Shape) -> Shape:
        """See Layer.output_shape."""
        _of_channels(input_shape, self.num_features)
        if len(input_shape) < 2 or input_shape[1:] == (1,) * (len(input_shape) - 1):
            raise ValueError(
                f"expected (C={self.num_features}, ...) with more than 1 value a channel, got {input_shape}"
            )
        return input_shape


class LayerNorm(_Normalization):
    """Layer normalisation of (N, ..., *normalized_shape), as torch.nn.LayerNorm.

    Parameters
    ----------
    normalized_shape : int or tuple of int
        The trailing axes that share a mean and a variance.
    eps : float
        Added to the variance, positive.
    elementwise_affine : bool
        Whether there are a weight and a bias.
    """

    def __init__(
        self, normalized_shape: int | tuple[int, ...], eps: float = 1e-5, elementwise_affine: bool = True
    ) -> None:
        shape = normalized_shape if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
        self.normalized_shape = _check.sizes("normalized_shape", shape, minimum=1)
        if not shape:
            raise ValueError("normalized_shape must have at least 1 axis, got ()")
        self.elementwise_affine = _check.flag("elementwise_affine", elementwise_affine)
        super().__init__(self.normalized_shape, eps, self.elementwise_affine)

    def __repr__(self) -> str:
        options = {"eps": (self.eps, 1e-5), "elementwise_affine": (self.elementwise_affine, True)}
        return options_text(self, self.normalized_shape, **options)

    def infer(self, x: Array) -> Array:
        """See Layer.infer."""
        return ops.layer_norm(x, self.normalized_shape, *self._affine, self.eps)

    def forward(self, x: Array, rng: np.random.Generator | None) -> tuple[Array, Any]:
        """Keep the input and its statistics."""
        y, stats = ops.layer_norm(x, self.normalized_shape, *self._affine, self.eps, return_stats=True)
        return y, (x, stats)

    def backward(
        self, saved: Any, grad: Array, *, need_input: bool = True, need_parameters: bool = False
    ) -> tuple[Array | None, dict[str, Array]]:
        """See Layer.backward."""
        x, stats = saved
        options = {"stats": stats, "need_parameters": need_parameters}
        return self._named(ops.layer_norm_grad(grad, x, self.normalized_shape, self._weight, self.eps, **options))

    def output_shape(self, input_shape: Shape) -> Shape:
        """See Layer.output_shape."""
        if input_shape[-len(self.normalized_shape) :] != self.normalized_shape:
            axes = ", ".join(map(str, self.normalized_shape))
            raise ValueError(f"expected (..., {axes}) a sample, got {input_shape}")
        return input_shape


def _of_channels(input_shape: Shape, channels: int) -> Shape:
    if not input_shape or input_shape[0] != channels:
        raise ValueError(f"expected (C={channels}, ...) a sample, got {input_shape}")
    return input_shape
