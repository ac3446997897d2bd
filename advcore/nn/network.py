"""Networks: graphs of layers, with the gradients that attacks and training need."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike, NDArray

from advcore import _check
from advcore._check import Array
from advcore.nn import inner
from advcore.nn._watch import by_the_network
from advcore.nn.imported import Import
from advcore.nn.layer import Layer
from advcore.nn.runnable import Runnable

if TYPE_CHECKING:
    import torch

    from advcore.nn._coordinates import CoordinateProbe, ProbeValues


class Network(Runnable):
    """A classifier: layers applied to a batch (N, ...), in a row or as a graph, giving logits (N, K).

    Every method but ``forward`` and ``backward`` works in evaluation mode, in pieces of the batch whose memory is
    bounded. A sample's result has the same bits alone and inside any batch, and for any number of threads.

    Parameters
    ----------
    layers : dict of str to Layer
        In the order in which they are applied, by name; the last one gives the logits. A layer of another network
        keeps its parameters and shares them with it, and so does one that occurs twice: its parameters go by the
        first name.
    wiring : dict of str to sequence of str, optional
        The inputs of the layers that do not take just the layer before them, by name; "input" is the network's own.
        ``{"sum": ("conv2", "input")}`` makes a residual connection of a layer ``Add()`` called "sum".
    seed : int
        Of the initial parameters of new layers, which are drawn in the order of the layers.
    dtype : float32 or float64
        Of the parameters, and so of every input and result.

    Attributes
    ----------
    imported : Import or None
        Where an imported network came from, and the largest difference of their logits.

    Raises
    ------
    TypeError
        If an argument, or the parameters that a layer has, are of another type.
    ValueError
        If there is no layer, or the wiring does not fit.
    """

    def __init__(
        self,
        layers: Mapping[str, Layer],
        *,
        wiring: Mapping[str, Sequence[str]] | None = None,
        seed: int = 0,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(layers, wiring, seed, dtype)
        self._probe: CoordinateProbe | None = None
        self.imported: Import | None = None

    def dropout_passes(self, passes: int, seed: int = 0) -> inner.DropoutPasses:
        """Return the network with its dropout left on, for ``passes`` draws of the masks."""
        return inner.DropoutPasses(self._steps, passes, seed)

    def coordinate_values(
        self, x: Array, coordinates: NDArray[np.int64], h: float, bounds: tuple[float, float] | None = None
    ) -> ProbeValues:
        """Return the logits, in float64, of samples and of their copies with one coordinate moved up or down.

        Only what a coordinate reaches is computed, where the layers allow it: see docs/coordinate_gradients.md.

        Parameters
        ----------
        x : array of the network's type, (N, ...)
        coordinates : int64 array, (N, m)
            Flat indices into a sample, each sample's own.
        h : float, above 0
            The step, in the units of x.
        bounds : (low, high), optional
            The box that moved copies stay in.

        Returns
        -------
        ProbeValues
            ``base`` (N, K), ``plus`` and ``minus`` (N, m, K), ``distances`` (N, m), all float64.
        """
        from advcore.nn._coordinates import CoordinateProbe

        x, _ = self._input(x)
        coordinates = _check.integers(
            "coordinates", coordinates, shape=(len(x), None), minimum=0, maximum=math.prod(x.shape[1:]) - 1
        )
        if self._probe is None:
            self._probe = CoordinateProbe(self)
        return self._probe.values(
            x, coordinates, _check.real("h", h, above=0.0), None if bounds is None else _check.bounds("bounds", bounds)
        )

    # Files

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write parameters, layers and wiring to one safetensors file, which is there whole or not at all.

        Raises
        ------
        OSError
            If the file cannot be written.
        ValueError
            If a layer is of a class that advcore.nn does not have.
        """
        from advcore.nn import serialization

        serialization.save(self, path)

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Network:
        """Return the network in a file that ``save`` wrote, with the same bits. Safe for files from anyone.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is not such a file, whole and of a format that this version knows.
        """
        from advcore.nn import serialization

        return serialization.load(path)

    def to_torch(self) -> torch.nn.Module:
        """Return the network as a module in evaluation mode, with copies of its state under the same names.

        A chain becomes a torch.nn.Sequential, a graph a torch.fx.GraphModule; from_torch takes both back.

        Raises
        ------
        ImportError
            If PyTorch is missing.
        ValueError
            If PyTorch lacks a layer.
        """
        from advcore.nn.torch_export import to_torch

        return to_torch(self)

    def to_onnx(self, path: str | os.PathLike[str], input_shape: Sequence[int] | None = None) -> None:
        """Write the network to one ONNX file, in evaluation mode; the batch axis is left open.

        Parameters
        ----------
        path : path
        input_shape : tuple of int, optional
            Of a sample. Unless given, that of the samples on which the network has been run.

        Raises
        ------
        ImportError
            If onnx is missing.
        OSError
            If the file cannot be written.
        ValueError
            If no shape is given and the network has been run on none, or several; or a layer has no operator.
        """
        from advcore.nn.onnx_export import to_onnx

        if input_shape is None:
            if len(self._plans) != 1:
                seen = ", ".join(map(str, self._plans)) or "none"
                raise ValueError(f"input_shape must be given: the network has been run on samples of shape {seen}")
            (input_shape,) = self._plans
        with by_the_network():
            to_onnx(self, path, _check.sizes("input_shape", input_shape, minimum=1))


class Sequential(Network):
    """A Network of layers named "0", "1", ... in order, as in torch.nn.Sequential.

    Parameters
    ----------
    *layers : Layer
    seed, dtype
        As Network.
    """

    def __init__(self, *layers: Layer, seed: int = 0, dtype: DTypeLike = np.float32) -> None:
        super().__init__({str(index): layer for index, layer in enumerate(layers)}, seed=seed, dtype=dtype)
