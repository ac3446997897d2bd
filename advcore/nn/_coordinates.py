"""What a network answers when one coordinate of its input moves up or down.

``CoordinateProbe(network).values(x, coordinates, h, bounds)`` is the entry for attacks by scores: logits in float64 of
samples and of their copies with one coordinate moved, each sample with coordinates of its own. Where the network's
layers allow it, only what a coordinate reaches is computed (``advcore/nn/_propagation.py``); else the moved copies go
through the whole network, in float64.
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advcore import _check
from advcore._check import Array
from advcore._perturb import Perturbed
from advcore.nn._watch import by_the_network
from advcore.nn.network import Network

_ROWS_BYTES = 64 * 2**20  # of moved copies that exist at once

Logits = NDArray[np.float64]


class ProbeValues(NamedTuple):
    """Logits around some samples, in float64, and how far apart the two sides of a coordinate are.

    ``plus[n, i]`` is asked at ``min(x + h e_c, high)``, ``minus[n, i]`` at ``max(x - h e_c, low)``, c being
    ``coordinates[n, i]``: (N, m, K). ``base`` is at the samples themselves: (N, K). ``distances``: (N, m), of the
    numbers that the network's type really holds. ``reflected`` counts the minus sides that were not computed, because
    it was proved that they are the plus sides turned over.
    """

    base: Logits
    plus: Logits
    minus: Logits
    distances: NDArray[np.float64]
    reflected: int


class CoordinateProbe:
    """Asks a network for its logits with single coordinates moved.

    Parameters
    ----------
    network : Network
        Its parameters may change between calls.
    """

    def __init__(self, network: Network) -> None:
        self.network = _check.instance("network", network, Network)
        self._wide: tuple[object, Network] | None = None

    def values(
        self, x: Array, coordinates: NDArray[np.int64], h: float, bounds: tuple[float, float] | None = None
    ) -> ProbeValues:
        """Return the logits of the samples and of their moved copies.

        Parameters
        ----------
        x : array of the network's type, (N, ...)
        coordinates : int64 array, (N, m)
            Flat indices into a sample, each sample's own.
        h : float, above 0
        bounds : (low, high), optional
            The box that moved copies stay in.
        """
        x = np.ascontiguousarray(x)
        moved = Perturbed(x, coordinates, h, bounds, keep=True)
        return self._whole(x, moved, coordinates.shape[1])

    def _whole(self, x: Array, moved: Perturbed, count: int) -> ProbeValues:
        """Run every moved copy through the whole network, in float64: its rounding must not drown the differences."""
        network = self._widened()
        rows = max(1, _ROWS_BYTES // max(1, 8 * x[0].size)) if len(x) else 1
        parts = [
            network.logits(moved.batch(first, first + rows).astype(np.float64, copy=False))
            for first in range(0, max(moved.rows, 1), rows)
        ]
        logits = np.concatenate(parts).reshape(len(x), 2 * count + 1, -1)
        plus, minus = logits[:, 1 : count + 1], logits[:, count + 1 :]
        return ProbeValues(logits[:, 0], plus, minus, moved.distances, 0)

    def _widened(self) -> Network:
        """Return the network in float64: itself, or a copy that is made anew when parameters have changed."""
        if self.network.dtype == np.float64:
            return self.network
        stamp = tuple(layer.stamp() for layer in self.network.layers.values())
        if self._wide is None or self._wide[0] != stamp:
            self._wide = (stamp, widened(self.network))
        return self._wide[1]


def widened(network: Network) -> Network:
    """Return a copy of a network whose parameters and computations are float64."""
    with by_the_network():
        wide = copy.deepcopy(network)
        for layer in wide.layers.values():
            for arrays in (layer.parameters, layer.buffers):
                arrays.update({name: array.astype(np.float64) for name, array in arrays.items()})
    return Network(wide.layers, wiring=wide.wiring, dtype=np.float64)
