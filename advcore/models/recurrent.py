"""Recurrent classifiers of images: a step is a row of pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from advcore import _check
from advcore.nn import GRU, LSTM, Linear, Network, RowsAsSteps, Sequential


def gru_classifier(
    input_shape: Sequence[int] = (1, 28, 28),
    classes: int = 10,
    *,
    hidden_size: int = 64,
    num_layers: int = 1,
    bidirectional: bool = False,
    seed: int = 0,
    dtype: DTypeLike = np.float32,
) -> Network:
    """Build a GRU over the rows of an image, and a linear layer on its last state.

    Parameters
    ----------
    input_shape : (C, H, W)
    classes : int
        Logits.
    hidden_size, num_layers : int
    bidirectional : bool
        Read the rows in both directions.
    seed : int
        Of the parameters.
    dtype : float32 or float64

    Returns
    -------
    Network

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type or out of range.
    """
    return _classifier(GRU, input_shape, classes, hidden_size, num_layers, bidirectional, seed, dtype)


def lstm_classifier(
    input_shape: Sequence[int] = (1, 28, 28),
    classes: int = 10,
    *,
    hidden_size: int = 64,
    num_layers: int = 1,
    bidirectional: bool = False,
    seed: int = 0,
    dtype: DTypeLike = np.float32,
) -> Network:
    """Build an LSTM over the rows of an image, and a linear layer on its last state; arguments as gru_classifier."""
    return _classifier(LSTM, input_shape, classes, hidden_size, num_layers, bidirectional, seed, dtype)


def _classifier(
    kind: type[GRU] | type[LSTM],
    input_shape: Sequence[int],
    classes: int,
    hidden_size: int,
    num_layers: int,
    bidirectional: bool,
    seed: int,
    dtype: DTypeLike,
) -> Network:
    channels, _, width = _check.sizes("input_shape", input_shape, axes=("C", "H", "W"), minimum=1)
    recurrent = kind(channels * width, hidden_size, num_layers, bidirectional=bidirectional, output="last")
    states = 2 * hidden_size if bidirectional else hidden_size
    return Sequential(RowsAsSteps(), recurrent, Linear(states, classes), seed=seed, dtype=dtype)
