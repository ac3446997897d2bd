"""What a network that was imported knows of where it came from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from advcore._check import Array


@dataclass(frozen=True)
class Import:
    """Where a network came from, and how well it agrees with that.

    Attributes
    ----------
    source : str
        What was imported.
    largest_difference : float or None
        Between a logit of the source and of the network, on random inputs; None where comparing takes too long.
    """

    source: str
    largest_difference: float | None


def compare(source: str, expected: Array, logits: Array) -> Import:
    """Return the largest difference, or refuse an import that rounding does not explain.

    Raises
    ------
    ValueError
        If the shapes differ, or the difference is over 1% (float64: 1e-6) of the largest logit of at least 1.
    """
    if expected.shape != logits.shape:
        raise ValueError(f"{source} gives {expected.shape} for random inputs, the imported network {logits.shape}")
    if not np.isfinite(expected).all():
        raise ValueError(f"{source} gives NaN or infinity on random inputs in [0, 1)")
    largest = float(np.max(np.abs(expected - logits), initial=0.0))
    allowed = (0.01 if logits.dtype == np.float32 else 1e-6) * max(1.0, float(np.max(np.abs(expected), initial=0.0)))
    if not largest <= allowed:
        raise ValueError(f"the imported network's logits differ from those of {source} by {largest:g} on random inputs")
    return Import(source, largest)
