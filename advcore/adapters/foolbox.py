"""A network as a model of Foolbox."""

from __future__ import annotations

from collections.abc import Sequence

try:
    from foolbox.models.pytorch import PyTorchModel
except ImportError as error:
    raise ImportError("advcore.adapters.foolbox needs Foolbox: pip install 'advcore[foolbox]'") from error

from advcore import _check
from advcore.adapters.torch import Module
from advcore.nn.network import Network


class Model(PyTorchModel):
    """A foolbox.PyTorchModel whose passes are advcore's; it takes and gives tensors of torch.

    Parameters
    ----------
    network : Network
    bounds : pair of float
        The input's box.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type or out of range.
    """

    def __init__(self, network: Network, bounds: Sequence[float] = (0.0, 1.0)) -> None:
        super().__init__(Module(network), bounds=_check.bounds("bounds", bounds), device="cpu")
