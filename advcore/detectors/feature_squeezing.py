"""Feature squeezing as a detector (Xu, Evans, Qi 2018, arXiv 1704.01155)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import _check, ops
from advcore._check import Array
from advcore.defenses import BitDepth, MedianFilter
from advcore.detectors._base import Detector, Features, Pull

Squeezer = Callable[[Array], Array]


class FeatureSqueezing(Detector):
    """The score is how far squeezing moves the probabilities: ``max_s ||softmax(x) - softmax(s(x))||_1``, in [0, 2].

    Parameters
    ----------
    network : object with logits(x); vjp(x, cotangent) for gradients
        Of images (N, C, H, W) in [0, 1].
    squeezers : sequence of callables, at least one
        Each maps a batch of images to one of the same shape, every image by itself, as those of advcore.defenses. By
        default the paper's for MNIST, ``(BitDepth(1), MedianFilter(2))``; for CIFAR-10 it has
        ``(BitDepth(5), MedianFilter(2), NonLocalMeans(13, 3, 2 / 255))``.
    fpr : float, in (0, 1)
        The fraction of the clean inputs given to fit that ``predict`` may take for adversarial.

    Notes
    -----
    ``score_gradient`` goes back through a squeezer by its ``vjp(x, gradient)``; squeezers without one count as the
    identity on the way back (BPDA; Athalye et al. 2018).
    """

    needs = ("logits",)
    needs_for_gradients = ("vjp",)

    def __init__(self, network: Any, squeezers: Sequence[Squeezer] | None = None, *, fpr: float = 0.05) -> None:
        self.network = network
        self.squeezers = squeezers
        self.fpr = fpr

    def _prepare(self) -> None:
        default = (BitDepth(1), MedianFilter(2))
        self.squeezers_ = default if self.squeezers is None else _check.sequence("squeezers", self.squeezers)
        if not self.squeezers_:
            raise ValueError("squeezers must have at least one squeezer")
        for number, squeezer in enumerate(self.squeezers_):
            _check.methods(f"squeezers[{number}]", squeezer, ("__call__",))

    def _features_vjp(self, X: Array, exclude: NDArray[np.int64] | None) -> tuple[Features, Pull]:
        if X.ndim != 4:
            raise ValueError(f"X must have shape (N, C, H, W), got {X.shape}")
        original = self._probabilities(X)
        squeezed = [self._squeeze(number, squeezer, X) for number, squeezer in enumerate(self.squeezers_)]
        moved = np.stack([original - self._probabilities(image) for image in squeezed])
        distances = np.abs(moved).sum(axis=2)
        best, rows = distances.argmax(axis=0), np.arange(len(X))

        def pull(weights: Features) -> Array:
            signs = np.sign(moved[best, rows]) * weights
            gradient = self._slope(X, signs)
            for number, squeezer in enumerate(self.squeezers_):
                (own,) = np.nonzero(best == number)
                back = self._slope(squeezed[number][own], signs[own])
                exact = getattr(squeezer, "vjp", None)
                gradient[own] -= exact(X[own], back) if callable(exact) else back
            return gradient

        return distances[best, rows][:, np.newaxis], pull

    def _squeeze(self, number: int, squeezer: Squeezer, X: Array) -> Array:
        return _check.array(f"squeezers[{number}](X)", squeezer(X), dtype=X.dtype, shape=X.shape)

    def _probabilities(self, X: Array) -> NDArray[np.float64]:
        return ops.softmax(np.asarray(self.network.logits(X)).astype(np.float64))

    def _slope(self, X: Array, weights: NDArray[np.float64]) -> Array:
        """Return the gradient for X of ``sum(softmax(X) * weights)``."""
        cotangent = ops.softmax_grad(np.ascontiguousarray(weights), self._probabilities(X))
        gradient: Array = self.network.vjp(X, cotangent.astype(X.dtype))
        return gradient
