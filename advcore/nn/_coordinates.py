"""What a network answers when one coordinate of its input moves up or down.

``CoordinateProbe(network).values(x, coordinates, h, bounds)`` is the entry for attacks by scores: logits in float64 of
samples and of their copies with one coordinate moved, each sample with coordinates of its own. Where the network's
layers allow it, only what a coordinate reaches is computed (``advcore/nn/_propagation.py``); else the moved copies go
through the whole network, in float64.
"""

from __future__ import annotations

import copy
import math
import threading
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from advcore import _check, _core
from advcore._check import Array
from advcore._perturb import Perturbed
from advcore.nn._propagation import LayerCost, Propagation
from advcore.nn._propagation_layout import UnsupportedError
from advcore.nn._watch import by_the_network
from advcore.nn.layer import Shape
from advcore.nn.network import Network

_ROWS_BYTES = 64 * 2**20  # of moved copies that exist at once
_BASE_BYTES = 256 * 2**20  # of samples' values that differences need beside them

_MOST_COUNTED = 1024  # coordinates of which coordinate_costs counts the multiply-adds

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
        self._stamp: object = None
        self._wide: Network | None = None
        self._propagations: dict[Shape, Propagation | None] = {}
        self._lock = threading.Lock()  # a propagation holds what it knows of the samples at hand

    def __getstate__(self) -> dict[str, Any]:
        """Leave what is compiled out of copies."""
        return {"network": self.network}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["network"])  # type: ignore[misc]  # what is compiled does not travel: it is made anew

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
        with self._lock:
            propagation = self.propagation(x.shape[1:])
            if propagation is None:
                return self._whole(x, moved, coordinates.shape[1])
            return self._propagated(propagation, x, coordinates, moved)

    def propagation(self, sample_shape: Shape) -> Propagation | None:
        """Return how differences go through the network, or None where a layer does not let them."""
        stamp = (_core.level(), *(layer.stamp() for layer in self.network.layers.values()))
        if stamp != self._stamp:
            self._stamp, self._wide, self._propagations = stamp, None, {}
        if sample_shape not in self._propagations:
            try:
                self._propagations[sample_shape] = Propagation.of(self.network, sample_shape)
            except UnsupportedError:
                self._propagations[sample_shape] = None
        return self._propagations[sample_shape]

    def _propagated(
        self, propagation: Propagation, x: Array, coordinates: NDArray[np.int64], moved: Perturbed
    ) -> ProbeValues:
        """Evaluate one side of each coordinate, and the other one where it is not proved to be the opposite."""
        count = coordinates.shape[1]
        flat = x.reshape(len(x), math.prod(x.shape[1:]))
        middle = np.take_along_axis(flat, coordinates, axis=1).astype(np.float64)
        up, down = ((side - middle).astype(x.dtype) for side in (moved.upper, moved.lower))
        base = np.empty((len(x), propagation.output_size))
        plus = np.empty((*coordinates.shape, propagation.output_size))
        minus = np.empty_like(plus)
        reflected = 0
        together = max(1, _BASE_BYTES // max(1, propagation.base_size * x.itemsize))
        for first in range(0, len(x), together):
            part = slice(first, first + together)
            base[part] = propagation.prepare(x[part])
            samples = np.repeat(np.arange(len(x[part])), count)
            ups, downs, at = up[part].ravel(), down[part].ravel(), coordinates[part].ravel()
            if propagation.reflects:
                rising, kinked = propagation.run(samples, at, ups)
                falling = -rising
                anew = kinked | (downs != -ups)
                if anew.any():
                    falling[anew] = propagation.run(samples[anew], at[anew], downs[anew])[0]
                reflected += len(anew) - int(anew.sum())
            else:
                both, _ = propagation.run(np.tile(samples, 2), np.tile(at, 2), np.concatenate([ups, downs]))
                rising, falling = both[: len(ups)], both[len(ups) :]
            plus[part], minus[part] = (side.reshape(plus[part].shape) for side in (rising, falling))
        plus += base[:, np.newaxis]
        minus += base[:, np.newaxis]
        return ProbeValues(base, plus, minus, moved.distances, reflected)

    def _whole(self, x: Array, moved: Perturbed, count: int) -> ProbeValues:
        """Run every moved copy through the whole network, in float64: its rounding must not drown the differences."""
        if self._wide is None:
            self._wide = cast(self.network, np.float64)
        rows = max(1, _ROWS_BYTES // max(1, 8 * x[0].size)) if len(x) else 1
        parts = [
            self._wide.logits(moved.batch(first, first + rows).astype(np.float64, copy=False))
            for first in range(0, max(moved.rows, 1), rows)
        ]
        logits = np.concatenate(parts)
        logits = logits.reshape(len(x), 2 * count + 1, logits.shape[-1])
        plus, minus = logits[:, 1 : count + 1], logits[:, count + 1 :]
        return ProbeValues(logits[:, 0], plus, minus, moved.distances, 0)


def coordinate_costs(network: Network, x: Array, h: float = 1e-4) -> list[LayerCost]:
    """Return what the coordinates of an input cost, layer by layer: it grows with what they reach, not with the image.

    Parameters
    ----------
    network : Network
    x : array of the network's type
        One sample, without a batch axis. All its coordinates are moved up, 1024 of them if there are more.
    h : float, above 0

    Returns
    -------
    list of LayerCost
        One a layer with weights, with multiply-adds a coordinate: ``full`` of a full pass, ``reached`` of those weights
        and positions that the coordinate reaches, ``done`` of those whose difference is not zero, as after most ReLUs
        that are off. ``window`` and ``size``: the (rows, columns) of the output that are reached at most, and all.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit, or differences cannot be propagated through a layer of the network.
    """
    network = _check.instance("network", network, Network)
    x = np.ascontiguousarray(_check.array("x", x, dtype=network.dtype))
    h = _check.real("h", h, above=0.0)
    try:
        propagation = Propagation.of(network, x.shape)
    except UnsupportedError as missing:
        raise ValueError(f"network must be of layers that differences go through, got {missing}") from None
    coordinates = np.unique(np.linspace(0, x.size - 1, min(x.size, _MOST_COUNTED)).astype(np.int64))
    propagation.prepare(x[np.newaxis])
    steps = np.full(len(coordinates), h, x.dtype)
    propagation.run(np.zeros(len(coordinates), np.int64), coordinates, steps)
    return propagation.costs(len(coordinates))


def cast(network: Network, dtype: DTypeLike) -> Network:
    """Return a network of the given type with the same parameters: itself, or a copy."""
    if network.dtype == dtype:
        return network
    with by_the_network():
        layers = copy.deepcopy(network.layers)
        for layer in layers.values():
            for arrays in (layer.parameters, layer.buffers):
                arrays.update({name: array.astype(dtype) for name, array in arrays.items()})
    return Network(layers, wiring=network.wiring, dtype=dtype)
