"""Training on noisy inputs (Bishop 1995: training with noise is Tikhonov regularisation)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from advcore import _check, _random, nn
from advcore._check import Array


def noise_training(
    network: nn.Network,
    x: Array,
    y: object,
    *,
    sigma: float,
    epochs: int,
    bounds: tuple[float, float] | None = None,
    **options: Any,
) -> nn.History:
    """Train in place on ``x + sigma n``, n standard normal and new in every epoch.

    It is what a network needs that ``RandomisedSmoothing`` is to certify, with the same sigma.

    Parameters
    ----------
    network : Network
    x : array of the network's type, (N, ...)
    y : int array, (N,)
        Labels in [0, K), or what else the loss takes.
    sigma : float, at least 0
        Standard deviation, in the units of x.
    epochs : int, at least 1
    bounds : (low, high), optional
        Noisy inputs are clipped to them.
    **options
        Of ``nn.fit``.

    Returns
    -------
    History

    Raises
    ------
    TypeError, ValueError
        As nn.fit; if sigma is negative.

    References
    ----------
    Bishop: Training with noise is equivalent to Tikhonov regularization. Neural computation 7 (1995).
    """
    box = None if bounds is None else _check.bounds("bounds", bounds)
    return nn.fit(network, x, y, epochs=epochs, perturb=InputNoise(sigma, box), **options)


@dataclass(frozen=True)
class InputNoise:
    """Normal noise on a batch in training, for ``nn.fit(perturb=)``. Arguments as noise_training's."""

    sigma: float
    bounds: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Check the arguments."""
        _check.real("sigma", self.sigma, minimum=0.0)

    def __call__(self, network: nn.Network, batch: nn.Batch) -> Array:
        """Return the noisy inputs, of the batch's shape."""
        size = int(np.prod(batch.x.shape[1:]))
        noise = _random.normal(
            batch.seed, batch.samples, batch.epoch, size, std=self.sigma, dtype=batch.x.dtype
        ).reshape(batch.x.shape)
        noisy: Array = batch.x + noise
        return noisy if self.bounds is None else np.clip(noisy, *self.bounds).astype(noisy.dtype, copy=False)
