"""Recurrent classifiers of images: a step is a row of pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from advcore import _check
from advcore.nn import GRU, LSTM, BatchNormLSTM, Layer, Linear, Network, RowsAsSteps, Sequential


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
    recurrent = GRU(_features(input_shape), hidden_size, num_layers, bidirectional=bidirectional, output="last")
    return _classifier([recurrent], hidden_size * (1 + bidirectional), classes, seed, dtype)


def lstm_classifier(
    input_shape: Sequence[int] = (1, 28, 28),
    classes: int = 10,
    *,
    hidden_size: int = 64,
    num_layers: int = 1,
    bidirectional: bool = False,
    batch_norm: bool = False,
    seed: int = 0,
    dtype: DTypeLike = np.float32,
) -> Network:
    """Build an LSTM over the rows of an image, and a linear layer on its last state.

    Parameters
    ----------
    input_shape, classes, hidden_size, num_layers, bidirectional, seed, dtype
        As gru_classifier.
    batch_norm : bool
        Layers are ``nn.BatchNormLSTM``, which read in one direction.

    Returns
    -------
    Network

    Raises
    ------
    TypeError, ValueError
        As gru_classifier, and if batch_norm is to be bidirectional.
    """
    features = _features(input_shape)
    if not _check.flag("batch_norm", batch_norm):
        lstm = LSTM(features, hidden_size, num_layers, bidirectional=bidirectional, output="last")
        return _classifier([lstm], hidden_size * (1 + bidirectional), classes, seed, dtype)
    if _check.flag("bidirectional", bidirectional):
        raise ValueError("bidirectional must be False with batch_norm, got True")
    below = _check.integer("num_layers", num_layers, minimum=1) - 1
    layers = [BatchNormLSTM(hidden_size if i else features, hidden_size) for i in range(below)]
    last = BatchNormLSTM(hidden_size if below else features, hidden_size, output="last")
    return _classifier([*layers, last], hidden_size, classes, seed, dtype)


def _features(input_shape: Sequence[int]) -> int:
    """Return the pixels of a row, of all channels."""
    channels, _, width = _check.sizes("input_shape", input_shape, axes=("C", "H", "W"), minimum=1)
    return channels * width


def _classifier(recurrent: Sequence[Layer], states: int, classes: int, seed: int, dtype: DTypeLike) -> Network:
    return Sequential(RowsAsSteps(), *recurrent, Linear(states, classes), seed=seed, dtype=dtype)
