"""A network as a classifier of ART, the Adversarial Robustness Toolbox."""

from __future__ import annotations

from collections.abc import Sequence

try:
    from art.estimators.classification import PyTorchClassifier
except ImportError as error:
    raise ImportError("advcore.adapters.art needs ART: pip install 'advcore[art]'") from error

import torch

from advcore import _check
from advcore.adapters.torch import Module
from advcore.nn.network import Network


class Classifier(PyTorchClassifier):
    """An ART PyTorchClassifier whose passes are advcore's, with cross-entropy; it takes and gives NumPy arrays.

    Parameters
    ----------
    network : Network
    input_shape : tuple of int
        Of one sample.
    bounds : pair of float
        The input's box.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type or out of range.
    """

    def __init__(self, network: Network, input_shape: Sequence[int], bounds: Sequence[float] = (0.0, 1.0)) -> None:
        module = Module(network)
        shape = _check.sizes("input_shape", input_shape, minimum=1)
        super().__init__(
            module,
            loss=torch.nn.CrossEntropyLoss(),
            input_shape=shape,
            nb_classes=network.output_shape(shape)[0],
            clip_values=_check.bounds("bounds", bounds),
            device_type="cpu",
        )
