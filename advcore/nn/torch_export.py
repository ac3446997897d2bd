"""Networks as PyTorch modules. Imported where it is needed only, since PyTorch is optional."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

try:
    import torch
except ImportError as error:
    raise ImportError("Network.to_torch needs PyTorch: pip install 'advcore[torch]'") from error

from advcore.nn._watch import by_the_network
from advcore.nn.activations import GELU, Clip, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from advcore.nn.affine import Affine, Normalize, Scale
from advcore.nn.conv import Conv2d
from advcore.nn.dropout import Dropout
from advcore.nn.layer import Layer
from advcore.nn.linear import Linear
from advcore.nn.merge import Add, Concatenate, Multiply, Subtract
from advcore.nn.normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm
from advcore.nn.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from advcore.nn.recurrent import GRU, LSTM, RNN
from advcore.nn.reshape import Flatten, Mean, Pad, Permute, Reshape, RowsAsSteps
from advcore.nn.slicing import Slice

if TYPE_CHECKING:
    from advcore.nn.network import Network


def to_torch(network: Network) -> torch.nn.Module:
    """Return the network as a module in evaluation mode, with copies of its state under the same names."""
    modules: dict[str, torch.nn.Module] = {}
    graph = torch.fx.Graph()
    values = {"input": graph.placeholder("x")}
    owners: dict[int, str] = {}
    for name, layer in network.layers.items():
        inputs = [values[source] for source in network.wiring[name]]
        if type(layer) in _MERGES:
            values[name] = _MERGES[type(layer)](graph, layer, inputs)
            continue
        owner = owners.setdefault(id(layer), name)
        if owner == name:
            modules[name] = _module(name, layer)
        values[name] = graph.call_module(owner, tuple(inputs))
    graph.output(values[name])
    chain = dict(zip(modules, ("input", *modules), strict=False))
    if network.wiring == {name: (before,) for name, before in chain.items()} and not any("." in name for name in chain):
        return torch.nn.Sequential(OrderedDict(modules)).eval()
    root = torch.nn.Module()
    for name, module in modules.items():
        hang(root, name, module)
    return torch.fx.GraphModule(root, graph, type(network).__name__).eval()


def _module(name: str, layer: Layer) -> torch.nn.Module:
    with torch.device("meta"):  # no memory and no random numbers: the parameters come from the layer
        if type(layer) in _MODULES:
            module = _MODULES[type(layer)](layer)
        elif type(layer) in _COMPUTED:
            module = Mirror(layer)
        else:
            raise ValueError(f"layer {name}, {layer!r}, has no PyTorch module")
    with by_the_network():
        arrays = layer.parameters | layer.buffers
    state = {key: torch.from_numpy(array.copy()) for key, array in arrays.items()}
    if isinstance(layer, BatchNorm):
        state["num_batches_tracked"] = torch.tensor(0)  # of no use where momentum is a number
    module.load_state_dict(state, assign=True)
    return module


def hang(root: torch.nn.Module, path: str, leaf: torch.nn.Module | torch.Tensor) -> None:
    """Put a module, parameter or buffer where its name, such as "layer1.0.conv1", says."""
    *parents, name = path.split(".")
    at = root
    for parent in parents:
        if not hasattr(at, parent):
            at.add_module(parent, torch.nn.Module())
        at = getattr(at, parent)
    if isinstance(leaf, torch.nn.Module):
        at.add_module(name, leaf)
    elif isinstance(leaf, torch.nn.Parameter):
        at.register_parameter(name, leaf)
    else:
        at.register_buffer(name, leaf)


class Mirror(torch.nn.Module):
    """A layer that torch has no module of its own for; from_torch makes the same layer of it again."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.kind, self.config = type(layer), layer.config()
        for name, shape in layer.parameter_shapes.items():
            self.register_parameter(name, torch.nn.Parameter(torch.empty(shape)))

    def make(self) -> Layer:
        """Return the layer, without parameters."""
        return self.kind(**self.config)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute what the layer does."""
        return _COMPUTED[self.kind](self, x, **self.config)

    def extra_repr(self) -> str:
        """Show the layer."""
        return repr(self.make())


def _affine(module: Any, x: torch.Tensor, shape: Any, scale: bool, shift: bool) -> torch.Tensor:
    y = x * module.weight if scale else x
    return y + module.bias if shift else y


def _normalize(module: Any, x: torch.Tensor, mean: Any, std: Any) -> torch.Tensor:
    axes = [-1] + [1] * (x.ndim - 2)
    return (x - x.new_tensor(mean).reshape(axes)) / x.new_tensor(std).reshape(axes)


def _pad(module: Any, x: torch.Tensor, widths: Any, value: float) -> torch.Tensor:
    flat = [width for pair in reversed(widths) for width in pair]
    return torch.nn.functional.pad(x, flat, value=value)


def _slice(module: Any, x: torch.Tensor, axis: int, start: Any, stop: Any, step: int) -> torch.Tensor:
    return x[(slice(None),) * axis + (slice(start, stop, step),)]


def _clip(module: Any, x: torch.Tensor, low: Any, high: Any, inclusive: bool) -> torch.Tensor:
    if inclusive:
        return torch.clamp(x, low, high)
    infinity = float("inf")
    return torch.nn.functional.hardtanh(x, -infinity if low is None else low, infinity if high is None else high)


_COMPUTED: dict[type[Layer], Callable[..., torch.Tensor]] = {
    Affine: _affine,
    Normalize: _normalize,
    Scale: lambda module, x, factor, offset: x * factor + offset,
    Pad: _pad,
    Slice: _slice,
    Clip: _clip,
    Permute: lambda module, x, axes: x.permute(0, *axes),
    Reshape: lambda module, x, shape: x.reshape(len(x), *shape),
    RowsAsSteps: lambda module, x: x.transpose(1, 2).flatten(2),
    Mean: lambda module, x, axes, keepdims: x.mean(axes, keepdim=keepdims),
}


class _OneOutput:
    """A recurrent module that gives every step's output, or the last state, and nothing else."""

    wanted: str

    def forward(self, input: torch.Tensor, hx: Any = None) -> torch.Tensor:
        """Run the cells; the result depends on ``wanted``."""
        output: torch.Tensor
        output, state = super().forward(input, hx)  # type: ignore[misc]  # a torch.nn.RNNBase comes next
        h_n: torch.Tensor = state[0] if isinstance(state, tuple) else state
        if self.wanted == "sequence":
            return output
        return h_n[-2:].transpose(0, 1).flatten(1) if self.bidirectional else h_n[-1]  # type: ignore[attr-defined]


class OneOutputRNN(_OneOutput, torch.nn.RNN):  # type: ignore[misc]  # forward gives one tensor
    """torch.nn.RNN with one output."""


class OneOutputGRU(_OneOutput, torch.nn.GRU):  # type: ignore[misc]
    """torch.nn.GRU with one output."""


class OneOutputLSTM(_OneOutput, torch.nn.LSTM):  # type: ignore[misc]
    """torch.nn.LSTM with one output."""


def _recurrent(kind: Callable[..., Any], layer: RNN | GRU | LSTM) -> torch.nn.Module:
    if isinstance(layer, GRU) and layer.reset == "before":
        raise ValueError(f"{layer!r} has no PyTorch module, which resets after the product")
    options = {"bias": layer.bias, "bidirectional": layer.bidirectional, "batch_first": True}
    module: torch.nn.Module = kind(layer.input_size, layer.hidden_size, layer.num_layers, **options)
    module.wanted = layer.output  # type: ignore[assignment]  # a plain attribute
    return module


class AnyBatchNorm(torch.nn.modules.batchnorm._BatchNorm):
    """torch.nn.BatchNorm1d, 2d and 3d in one."""

    def _check_input_dim(self, input: torch.Tensor) -> None:
        """Take any rank."""


class AnyInstanceNorm(torch.nn.modules.instancenorm._InstanceNorm):
    """torch.nn.InstanceNorm1d, 2d and 3d in one."""

    def _check_input_dim(self, input: torch.Tensor) -> None:
        """Take any rank."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Normalise every instance."""
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
    BatchNorm: lambda layer: AnyBatchNorm(layer.num_features, layer.eps, layer.momentum, layer.affine),
    GroupNorm: lambda layer: torch.nn.GroupNorm(layer.num_groups, layer.num_channels, layer.eps, layer.affine),
    InstanceNorm: lambda layer: AnyInstanceNorm(layer.num_features, layer.eps, affine=layer.affine),
    LayerNorm: lambda layer: torch.nn.LayerNorm(layer.normalized_shape, layer.eps, layer.elementwise_affine),
    RNN: lambda layer: _recurrent(OneOutputRNN, layer),
    GRU: lambda layer: _recurrent(OneOutputGRU, layer),
    LSTM: lambda layer: _recurrent(OneOutputLSTM, layer),
    ReLU: lambda layer: torch.nn.ReLU(),
    LeakyReLU: lambda layer: torch.nn.LeakyReLU(layer.negative_slope),
    GELU: lambda layer: torch.nn.GELU(layer.approximate),
    Sigmoid: lambda layer: torch.nn.Sigmoid(),
    Tanh: lambda layer: torch.nn.Tanh(),
    Softmax: lambda layer: torch.nn.Softmax(dim=-1),
    LogSoftmax: lambda layer: torch.nn.LogSoftmax(dim=-1),
    Dropout: lambda layer: torch.nn.Dropout(layer.p),
    Flatten: lambda layer: torch.nn.Flatten(),
}


def _sum(graph: torch.fx.Graph, layer: Add, inputs: list[torch.fx.Node]) -> torch.fx.Node:
    total = inputs[0]
    for value in inputs[1:]:
        total = graph.call_function(operator.add, (total, value))
    return total


_MERGES: dict[type[Layer], Callable[..., torch.fx.Node]] = {
    Add: _sum,
    Subtract: lambda graph, layer, inputs: graph.call_function(operator.sub, tuple(inputs)),
    Multiply: lambda graph, layer, inputs: graph.call_function(operator.mul, tuple(inputs)),
    Concatenate: lambda graph, layer, inputs: graph.call_function(torch.cat, (inputs, layer.axis)),
}
