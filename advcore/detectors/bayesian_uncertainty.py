"""Bayesian uncertainty by dropout as a detector (Feinman et al. 2017, arXiv 1703.00410)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advcore import _check, ops
from advcore._check import Array
from advcore.detectors._base import Detector, Features, Pull
from advcore.nn import Network
from advcore.nn.inner import DropoutPasses


class BayesianUncertainty(Detector):
    """The score is the variance of the probabilities over passes with dropout, averaged over the classes.

    ``1/K sum_k var_t softmax(logits_t(x))_k``

    Parameters
    ----------
    network : Network
        With a Dropout layer of p > 0.
    passes : int, at least 2
    fpr : float, in (0, 1)
        The fraction of the clean inputs given to fit that ``predict`` may take for adversarial.
    seed : int
        Of the masks.

    Notes
    -----
    Differs from the paper: the masks are drawn once and are the same for every input, so that a score does not depend
    on the batch, and an attack can follow its gradient.
    """

    needs = ("layers",)
    needs_for_gradients = ()
    batch_size = 64  # each of them takes ``passes`` places in a pass

    def __init__(self, network: Network, *, passes: int = 50, fpr: float = 0.05, seed: int = 0) -> None:
        self.network = network
        self.passes = passes
        self.fpr = fpr
        self.seed = seed

    def _prepare(self) -> None:
        network = _check.instance("network", self.network, Network)
        passes = _check.integer("passes", self.passes, minimum=2, maximum=2**20)
        self._dropout: DropoutPasses = network.dropout_passes(passes, _check.integer("seed", self.seed, minimum=0))

    def _features_vjp(self, X: Array, exclude: NDArray[np.int64] | None) -> tuple[Features, Pull]:
        logits, pull_logits = self._dropout.logits_vjp(X)
        probabilities = ops.softmax(logits.astype(np.float64))
        centred = probabilities - probabilities.mean(axis=0)

        def pull(weights: Features) -> Array:
            slope = 2 * centred * weights / (logits.shape[0] * logits.shape[2])  # of the mean over passes and classes
            return pull_logits(ops.softmax_grad(slope, probabilities).astype(logits.dtype))

        return (centred**2).mean(axis=(0, 2))[:, np.newaxis], pull
