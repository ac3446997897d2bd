"""Networks of our own that imitate a model: their adversarial examples are tried on it (Papernot et al. 2017)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from advcore import models, nn
from advcore._check import Array
from advcore.nn import serialization

LARGEST_SAMPLE = 3 * 64 * 64
FEWEST, MOST = 20, 5000  # images to train on
UPDATES, BATCH = 200, 64


def train(x: Array, answers: NDArray[np.int64], seed: int) -> tuple[tuple[str, bytes], ...]:
    """Return networks trained on a model's answers, as the content of their files, by name.

    Raises
    ------
    ValueError
        If the samples are too large, or too few.
    """
    size = math.prod(x.shape[1:])
    if size > LARGEST_SAMPLE:
        raise ValueError(f"surrogates are trained for samples of at most {LARGEST_SAMPLE} numbers, got {size}")
    if len(x) < FEWEST:
        raise ValueError(f"surrogates are trained on at least {FEWEST} samples, got {len(x)}")
    classes = int(answers.max()) + 1
    networks = {"mlp": models.mlp(x.shape[1:], classes, hidden=(100,), seed=seed, dtype=x.dtype)}
    if x.ndim == 4 and min(x.shape[2:]) >= 2:
        networks["cnn"] = models.small_cnn(x.shape[1:], classes, seed=seed, dtype=x.dtype)
    x, answers = x[:MOST], answers[:MOST]
    for network in networks.values():
        epochs = max(2, UPDATES * BATCH // len(x))
        nn.fit(network, x, answers, epochs=epochs, batch_size=BATCH, optimizer=nn.Adam(3e-3), seed=seed)
    return tuple((name, serialization.to_bytes(network)) for name, network in networks.items())
