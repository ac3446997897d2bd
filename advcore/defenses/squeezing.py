"""Feature squeezing (Xu, Evans, Qi 2018, arXiv 1704.01155): bit depth and median filters before a classifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import _check
from advcore._check import Array
from advcore.defenses._behind import Behind


class BitDepth:
    """Keep b bits of every number in [0, 1]: ``round(x (2^b - 1)) / (2^b - 1)``; halves go to the even number.

    Its derivative is 0 almost everywhere: ``vjp`` passes gradients on as they are instead (straight through, BPDA).

    Parameters
    ----------
    bits : int
        b, in [1, 16].
    """

    def __init__(self, bits: int) -> None:
        self.bits = _check.integer("bits", bits, minimum=1, maximum=16)

    def __call__(self, x: Array) -> Array:
        """Return x, (N, ...), with b bits."""
        levels = x.dtype.type(2**self.bits - 1)
        squeezed: Array = np.rint(x * levels) / levels
        return squeezed

    def vjp(self, x: Array, grad: Array) -> Array:
        """Return the gradient for x that stands in for the true one."""
        return grad


class MedianFilter:
    """The median of a window around every pixel: of an even number the upper one, the border mirrored with its edge.

    As scipy.ndimage.median_filter(mode="reflect") on each channel. ``vjp`` is exact: the gradient goes to the pixel
    that was chosen.

    Parameters
    ----------
    size : int
        Edge of the window, at least 1; one of an even edge reaches one pixel further up and to the left.
    """

    def __init__(self, size: int = 2) -> None:
        self.size = _check.integer("size", size, minimum=1)

    def __call__(self, x: Array) -> Array:
        """Return x, (N, C, H, W), filtered."""
        planes = self._planes(x)
        return np.take_along_axis(planes, self._chosen(planes, x.shape[2:]), axis=1).reshape(x.shape)

    def vjp(self, x: Array, grad: Array) -> Array:
        """Return the gradient for x."""
        planes = self._planes(x)
        result = np.zeros_like(planes)
        rows = np.arange(len(planes))[:, np.newaxis]
        np.add.at(result, (rows, self._chosen(planes, x.shape[2:])), grad.reshape(planes.shape))
        return result.reshape(x.shape)

    def _planes(self, x: Array) -> Array:
        x = _check.array("x", x, axes=("N", "C", "H", "W"))
        if min(x.shape[2:]) < self.size:
            raise ValueError(f"x must have at least {self.size} x {self.size} pixels, got shape {x.shape}")
        return x.reshape(len(x) * x.shape[1], x.shape[2] * x.shape[3])

    def _chosen(self, planes: Array, plane: tuple[int, ...]) -> NDArray[np.int64]:
        """Return for each pixel of each plane the pixel that is its window's median, (planes, pixels)."""
        before, after = self.size // 2, (self.size - 1) // 2
        at = np.pad(np.arange(planes.shape[1]).reshape(plane), (before, after), mode="symmetric")
        windows = np.lib.stride_tricks.sliding_window_view(at, (self.size, self.size)).reshape(planes.shape[1], -1)
        rank = self.size**2 // 2
        order = np.argsort(planes[:, windows], axis=2, kind="stable")[:, :, rank]
        chosen: NDArray[np.int64] = windows[np.arange(len(windows)), order]
        return chosen


Squeezer = BitDepth | MedianFilter


class Squeezed:
    """A model behind squeezers: ``logits(x) = model.logits(s_n(... s_1(x)))``.

    Parameters
    ----------
    model : object with logits(x) and perhaps gradients, or torch module
    *squeezers : BitDepth, MedianFilter, or any function of x
        Applied from left to right. One with ``vjp(x, grad)`` says what gradient goes through it; through others it goes
        as it is.
    exact : bool
        Take bit depth's true gradient, which is 0, rather than the straight-through one: gradient attacks are masked
        then, and prove nothing.

    Raises
    ------
    TypeError, ValueError
        If there is no squeezer, or one is no function.
    """

    def __init__(self, model: Any, *squeezers: Callable[[Array], Array], exact: bool = False) -> None:
        if not squeezers:
            raise ValueError("squeezers must be at least one, got none")
        for squeezer in squeezers:
            if not callable(squeezer):
                raise TypeError(f"squeezers must be functions, got {type(squeezer).__name__}")
        self._model, self.squeezers = Behind(model), squeezers
        self.exact = _check.flag("exact", exact)

    def logits(self, x: Array) -> Any:
        """Return the model's logits for the squeezed x, (N, K)."""
        return self._model.logits(self._values(x)[-1])

    def predict(self, x: Array) -> NDArray[np.int64]:
        """Return the class of the largest logit, (N,)."""
        return np.asarray(np.asarray(self.logits(x)).argmax(axis=1), np.int64)

    def value_and_vjp(self, x: Array, cotangent: Callable[[Array], Array]) -> tuple[Any, Array]:
        """Return the logits, (N, K), and a gradient for x of ``sum(logits * cotangent(logits))``."""
        values = self._values(x)
        logits, gradient = self._model.value_and_vjp(values[-1], cotangent)
        for squeezer, value in zip(reversed(self.squeezers), reversed(values[:-1]), strict=True):
            if self.exact and isinstance(squeezer, BitDepth):
                gradient = np.zeros_like(gradient)
            elif callable(pull := getattr(squeezer, "vjp", None)):
                gradient = pull(value, gradient)
        return logits, gradient

    def vjp(self, x: Array, cotangent: Array) -> Array:
        """Return a gradient for x of ``sum(logits * cotangent)``."""
        return self.value_and_vjp(x, lambda logits: cotangent)[1]

    def _values(self, x: Array) -> list[Array]:
        """Return x and what each squeezer makes of it."""
        values = [_check.array("x", x, min_ndim=2)]
        for squeezer in self.squeezers:
            values.append(squeezer(values[-1]))
        return values
