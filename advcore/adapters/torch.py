"""A network as a PyTorch module, so that any library that attacks PyTorch models runs on it."""

from __future__ import annotations

from typing import Any

try:
    import torch
except ImportError as error:
    raise ImportError("advcore.adapters.torch needs PyTorch: pip install 'advcore[torch]'") from error

import numpy as np

from advcore import _check
from advcore.nn.network import Network
from advcore.nn.torch_export import hang


class Module(torch.nn.Module):
    """A network whose forward and backward passes are advcore's, in evaluation mode, whatever ``train()`` was told.

    Gradients flow to the input, and to the parameters if asked for; second derivatives are refused. The state has the
    network's names and shares its memory: what changes one changes the other.

    Parameters
    ----------
    network : Network
    parameters : bool
        Whether the parameters get gradients too.

    Raises
    ------
    TypeError
        If the network is none.
    """

    def __init__(self, network: Network, *, parameters: bool = False) -> None:
        super().__init__()
        self.network = _check.instance("network", network, Network)
        trained = _check.flag("parameters", parameters)
        self._names = tuple(network.parameters())
        for name, array in network.parameters().items():
            hang(self, name, torch.nn.Parameter(torch.from_numpy(array), requires_grad=trained))
        for name, array in network.buffers().items():
            hang(self, name, torch.from_numpy(array))
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits, (N, K), of x, (N, ...), in the network's type.

        Raises
        ------
        ValueError
            If x is not on the CPU or does not fit the network.
        """
        if x.device.type != "cpu":
            raise ValueError(f"x must be on the CPU, got it on {x.device}")
        like = torch.from_numpy(np.empty(0, self.network.dtype))
        parameters = [self.get_parameter(name) for name in self._names]
        run: Any = _Run.apply  # torch gives it no type
        logits: torch.Tensor = run(x.to(like.dtype), self.network, self._names, *parameters)
        return logits


class _Run(torch.autograd.Function):
    """The network as one step of torch's tape."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, network: Network, names: tuple[str, ...], *parameters: torch.Tensor
    ) -> torch.Tensor:
        array = np.ascontiguousarray(x.detach().numpy())
        if not any(ctx.needs_input_grad):
            return torch.from_numpy(network.logits(array))
        network.output_shape(array.shape[1:])  # refuses what does not fit
        logits, ctx.saved = network.forward(array)
        ctx.network, ctx.names = network, names
        return torch.from_numpy(logits)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        need_input, _, _, *of_parameters = ctx.needs_input_grad
        below, gradients = ctx.network.backward(
            ctx.saved, np.ascontiguousarray(grad.numpy()), need_input=need_input, need_parameters=any(of_parameters)
        )
        wanted = [
            torch.from_numpy(gradients[name]) if need else None
            for name, need in zip(ctx.names, of_parameters, strict=True)
        ]
        return torch.from_numpy(below) if need_input else None, None, None, *wanted
