"""Networks as PyTorch modules. Imported by Network.to_torch only, since PyTorch is optional."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

try:
    import torch
except ImportError as error:
    raise ImportError("Network.to_torch needs PyTorch: pip install 'advcore[torch]'") from error

from advcore.nn.activations import GELU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from advcore.nn.conv import Conv2d
from advcore.nn.dropout import Dropout
from advcore.nn.layer import Layer
from advcore.nn.linear import Linear
from advcore.nn.normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm
from advcore.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from advcore.nn.recurrent import GRU, LSTM, RNN
from advcore.nn.reshape import Flatten, RowsAsSteps

if TYPE_CHECKING:
    from advcore.nn.network import Network


def to_torch(network: Network) -> torch.nn.Sequential:
    """Return the network as a module in evaluation mode, with copies of the state."""
    modules: OrderedDict[str, torch.nn.Module] = OrderedDict()
    for name, layer in network.layers.items():
        if type(layer) not in _MODULES:
            raise ValueError(f"layer {name}, {layer!r}, has no PyTorch module")
        module = _MODULES[type(layer)](layer)
        arrays = layer.parameters | layer.buffers
        state = {key: torch.from_numpy(array.copy()) for key, array in arrays.items()}
        if "num_batches_tracked" in module.state_dict():
            state["num_batches_tracked"] = torch.tensor(0)  # of no use where momentum is a number
        getattr(module, "cells", module).load_state_dict(state, assign=True)
        modules[name] = module
    return torch.nn.Sequential(modules).eval()


class _RowsAsSteps(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.transpose(1, 2).flatten(2)


class _Recurrent(torch.nn.Module):
    """A recurrent module that gives every step's output, or the last state, and nothing else."""

    def __init__(self, cells: torch.nn.RNNBase, output: str) -> None:
        super().__init__()
        self.cells = cells
        self.output = output

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor
        output, state = self.cells(x)
        h_n: torch.Tensor = state[0] if isinstance(state, tuple) else state
        if self.output == "sequence":
            return output
        return h_n[-2:].transpose(0, 1).flatten(1) if self.cells.bidirectional else h_n[-1]


def _recurrent(kind: Callable[..., torch.nn.RNNBase], layer: RNN | GRU | LSTM) -> _Recurrent:
    if isinstance(layer, GRU) and layer.reset == "before":
        raise ValueError(f"{layer!r} has no PyTorch module, which resets after the product")
    options = {"bias": layer.bias, "bidirectional": layer.bidirectional, "batch_first": True}
    return _Recurrent(kind(layer.input_size, layer.hidden_size, layer.num_layers, **options), layer.output)


class _BatchNorm(torch.nn.modules.batchnorm._BatchNorm):
    def _check_input_dim(self, input: torch.Tensor) -> None:
        """Take any rank."""


class _InstanceNorm(torch.nn.modules.instancenorm._InstanceNorm):
    def _check_input_dim(self, input: torch.Tensor) -> None:
        """Take any rank."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.instance_norm(input, weight=self.weight, bias=self.bias, eps=self.eps)


def _conv2d(layer: Conv2d) -> torch.nn.Conv2d:
    geometry = (layer.stride, layer.padding, layer.dilation, layer.groups)
    return torch.nn.Conv2d(layer.in_channels, layer.out_channels, layer.kernel_size, *geometry, layer.bias)


def _max_pool2d(layer: MaxPool2d) -> torch.nn.MaxPool2d:
    geometry = (layer.stride, layer.padding, layer.dilation)
    return torch.nn.MaxPool2d(layer.kernel_size, *geometry, ceil_mode=layer.ceil_mode)


def _avg_pool2d(layer: AvgPool2d) -> torch.nn.AvgPool2d:
    geometry = (layer.stride, layer.padding, layer.ceil_mode, layer.count_include_pad)
    return torch.nn.AvgPool2d(layer.kernel_size, *geometry)


_MODULES: dict[type[Layer], Callable[[Any], torch.nn.Module]] = {
    Linear: lambda layer: torch.nn.Linear(layer.in_features, layer.out_features, layer.bias),
    Conv2d: _conv2d,
    MaxPool2d: _max_pool2d,
    AvgPool2d: _avg_pool2d,
    AdaptiveAvgPool2d: lambda layer: torch.nn.AdaptiveAvgPool2d(layer.output_size),
    BatchNorm: lambda layer: _BatchNorm(layer.num_features, layer.eps, layer.momentum, layer.affine),
    GroupNorm: lambda layer: torch.nn.GroupNorm(layer.num_groups, layer.num_channels, layer.eps, layer.affine),
    InstanceNorm: lambda layer: _InstanceNorm(layer.num_features, layer.eps, affine=layer.affine),
    LayerNorm: lambda layer: torch.nn.LayerNorm(layer.normalized_shape, layer.eps, layer.elementwise_affine),
    RNN: lambda layer: _recurrent(torch.nn.RNN, layer),
    GRU: lambda layer: _recurrent(torch.nn.GRU, layer),
    LSTM: lambda layer: _recurrent(torch.nn.LSTM, layer),
    ReLU: lambda layer: torch.nn.ReLU(),
    GELU: lambda layer: torch.nn.GELU(layer.approximate),
    Sigmoid: lambda layer: torch.nn.Sigmoid(),
    Tanh: lambda layer: torch.nn.Tanh(),
    Softmax: lambda layer: torch.nn.Softmax(dim=-1),
    LogSoftmax: lambda layer: torch.nn.LogSoftmax(dim=-1),
    Dropout: lambda layer: torch.nn.Dropout(layer.p),
    Flatten: lambda layer: torch.nn.Flatten(),
    RowsAsSteps: lambda layer: _RowsAsSteps(),
}
