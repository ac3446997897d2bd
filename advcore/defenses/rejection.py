"""Rejection by distance (Habibzadeh, Hosseini, Sra 2018, arXiv 1812.03190)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from advcore import _check, nn
from advcore._check import Array
from advcore.attacks.model import top_class, wrap


class Rejecting:
    """A network of distances that refuses what is far from every class: reject iff ``min_k d_k > lambda``.

    To an attack it is a classifier of K + 1 classes, with logits ``-d_1, ..., -d_K, -lambda``: the last one is the
    largest exactly where the input is rejected, which counts as a defence that held. So an attack has to get past the
    rejection too, which is what an adversary who knows the defence does.

    Parameters
    ----------
    network : Network
        With logits ``-d_k``, such as ``models.rbf_network``.
    lambda_ : float, above 0
        In units of distance.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type or out of range.
    """

    rejects = True

    def __init__(self, network: nn.Network, lambda_: float) -> None:
        self.network = _check.instance("network", network, nn.Network)
        self.lambda_ = _check.real("lambda_", lambda_, above=0.0)

    def distances(self, x: Array) -> Array:
        """Return the distances d, (N, K)."""
        return -self.network.logits(x)

    def predict(self, x: Array) -> NDArray[np.int64]:
        """Return the nearest class, or -1 where the input is rejected, (N,)."""
        logits = self.logits(x)
        _check.not_nan("the network's logits", logits)
        return top_class(logits, self.rejects)

    def logits(self, x: Array) -> Array:
        """Return ``-d_1, ..., -d_K, -lambda``, (N, K + 1)."""
        return self._with_rejection(self.network.logits(x))

    def value_and_vjp(self, x: Array, cotangent: Callable[[Array], Array]) -> tuple[Array, Array]:
        """Return the logits, (N, K + 1), and the gradient for x of ``sum(logits * cotangent(logits))``."""
        logits, gradient = self.network.value_and_vjp(
            x, lambda values: np.ascontiguousarray(cotangent(self._with_rejection(values))[:, :-1])
        )
        return self._with_rejection(logits), gradient

    def vjp(self, x: Array, cotangent: Array) -> Array:
        """Return the gradient for x of ``sum(logits * cotangent)``."""
        return self.value_and_vjp(x, lambda logits: cotangent)[1]

    def _with_rejection(self, logits: Array) -> Array:
        return np.pad(logits, ((0, 0), (0, 1)), constant_values=-self.lambda_)


class RejectionCurve(NamedTuple):
    """What happens to inputs when the threshold moves; shares of all inputs, one entry a threshold.

    Attributes
    ----------
    lambdas : float64 array, (T,)
        Thresholds, ascending.
    rejected : float64 array, (T,)
        Share that is refused: of clean inputs, the false rejections.
    right, wrong : float64 array, (T,)
        Share that is accepted and classified right, or wrong. The three add up to 1.
    """

    lambdas: NDArray[np.float64]
    rejected: NDArray[np.float64]
    right: NDArray[np.float64]
    wrong: NDArray[np.float64]

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """Of the inputs that are accepted; NaN where there is none."""
        accepted = self.right + self.wrong
        share: NDArray[np.float64] = np.divide(
            self.right, accepted, out=np.full(len(accepted), np.nan), where=accepted > 0
        )
        return share


def rejection_curve(model: Any, x: Array, y: object, *, lambdas: object = None) -> RejectionCurve:
    """Sweep the threshold of rejection: accuracy against rejection.

    Parameters
    ----------
    model : Network, or any other model with logits ``-d_k``
        One that rejects already is refused: give what is behind it, ``Rejecting.network``.
    x : float32 or float64 array, (N, ...)
        Clean inputs, whose rejections are false ones, or adversarial ones; N >= 1.
    y : int array, (N,)
        True labels.
    lambdas : sequence of float, above 0, optional
        Thresholds. Unless given: 101 quantiles of the nearest distances of x.

    Returns
    -------
    RejectionCurve

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type or out of range, or x or a distance is not finite.
    """
    access = wrap(model)
    if access.rejects:
        raise TypeError("model must give distances alone, got one that rejects: give its network")
    x = _check.array("x", x, min_ndim=2)
    _check.finite("x", x)
    if len(x) == 0:
        raise ValueError(f"x must have at least 1 sample, got shape {x.shape}")
    distances = -np.asarray(access.logits(x), np.float64)
    _check.finite("the model's distances", distances)
    labels = _check.integers("y", y, shape=(len(x),), minimum=0, maximum=distances.shape[1] - 1)
    nearest = distances.min(axis=1)
    if lambdas is None:
        thresholds = np.quantile(nearest, np.linspace(0, 1, 101))
    else:
        thresholds = np.sort(_check.reals("lambdas", lambdas, above=0.0))
    accepted = nearest <= thresholds[:, np.newaxis]
    good = distances.argmin(axis=1) == labels
    right, wrong = (accepted & good).mean(axis=1), (accepted & ~good).mean(axis=1)
    return RejectionCurve(thresholds, 1 - accepted.mean(axis=1), right, wrong)


def with_noise_class(
    x: Array, y: object, *, classes: int, count: int = 200, seed: int = 0, bounds: tuple[float, float] = (0.0, 1.0)
) -> tuple[Array, Array]:
    """Add images of pure uniform noise that must be rejected to training data.

    Parameters
    ----------
    x : float32 or float64 array, (N, ...)
    y : int array, (N,)
        Labels in [0, classes).
    classes : int, at least 1
    count : int, at least 1
        Images of noise; 200 in the study of Habibzadeh et al.'s method.
    seed : int
    bounds : (low, high)
        Of the noise.

    Returns
    -------
    x : array, (N + count, ...)
    targets : array, (N + count, classes)
        Rows for ``nn.losses.RBFLoss``: 1 at the label; all 0 for noise.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type or out of range, or x is not finite.
    """
    x = _check.array("x", x, min_ndim=2)
    _check.finite("x", x)
    classes = _check.integer("classes", classes, minimum=1)
    labels = _check.integers("y", y, shape=(len(x),), minimum=0, maximum=classes - 1)
    noise = noise_images(count, x.shape[1:], seed=seed, bounds=bounds, dtype=x.dtype)
    targets = np.concatenate([np.eye(classes, dtype=x.dtype)[labels], np.zeros((len(noise), classes), x.dtype)])
    return np.concatenate([x, noise]), targets


def noise_images(
    count: int,
    shape: tuple[int, ...],
    *,
    seed: int = 0,
    bounds: tuple[float, float] = (0.0, 1.0),
    dtype: DTypeLike = np.float32,
) -> Array:
    """Draw images of independent uniform pixels, (count, *shape); at least 1."""
    from advcore import _random

    count = _check.integer("count", count, minimum=1)
    low, high = _check.bounds("bounds", bounds)
    shape = _check.sizes("shape", shape, minimum=1)
    pixels = _random.uniform(seed, np.arange(count), 0, int(np.prod(shape)), low=low, high=high, dtype=dtype)
    return pixels.reshape(count, *shape)
