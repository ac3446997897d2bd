"""What torch's modules compute, as calls of the functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from advcore.nn.recurrent import GRU, LSTM, RNN
from advcore.nn.torch_export import AnyBatchNorm, AnyInstanceNorm, Mirror, OneOutputGRU, OneOutputLSTM, OneOutputRNN
from advcore.nn.torch_import import functions, norms, rearrange, states, windows
from advcore.nn.torch_import.builder import Builder, RefusedError, Value

FUNCTIONS: dict[str, Callable[..., Any]] = {
    **functions.FUNCTIONS,
    **windows.FUNCTIONS,
    **norms.FUNCTIONS,
    **rearrange.FUNCTIONS,
    **states.FUNCTIONS,
}

# A function's name and the attributes of the module that are its further arguments.
_CALLS: dict[type[torch.nn.Module], tuple[str, tuple[str, ...]]] = {
    torch.nn.Identity: ("identity", ()),
    torch.nn.ReLU: ("relu", ()),
    torch.nn.ReLU6: ("relu6", ()),
    torch.nn.LeakyReLU: ("leaky_relu", ("negative_slope",)),
    torch.nn.Hardtanh: ("hardtanh", ("min_val", "max_val")),
    torch.nn.Sigmoid: ("sigmoid", ()),
    torch.nn.Tanh: ("tanh", ()),
    torch.nn.Hardsigmoid: ("hardsigmoid", ()),
    torch.nn.Hardswish: ("hardswish", ()),
    torch.nn.SiLU: ("silu", ()),
    torch.nn.GELU: ("gelu", ("approximate",)),
    torch.nn.Softmax: ("softmax", ("dim",)),
    torch.nn.LogSoftmax: ("log_softmax", ("dim",)),
    torch.nn.Dropout: ("dropout", ("p", "training")),
    torch.nn.Dropout1d: ("dropout1d", ("training",)),
    torch.nn.Dropout2d: ("dropout2d", ("training",)),
    torch.nn.Dropout3d: ("dropout3d", ("training",)),
    torch.nn.AlphaDropout: ("alpha_dropout", ("training",)),
    torch.nn.Flatten: ("flatten", ("start_dim", "end_dim")),
    torch.nn.Unflatten: ("unflatten", ("dim", "unflattened_size")),
    torch.nn.Linear: ("linear", ("weight", "bias")),
    torch.nn.Conv1d: ("conv1d", ("weight", "bias", "stride", "padding", "dilation", "groups")),
    torch.nn.Conv2d: ("conv2d", ("weight", "bias", "stride", "padding", "dilation", "groups")),
    torch.nn.MaxPool1d: (
        "max_pool1d",
        ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    ),
    torch.nn.MaxPool2d: (
        "max_pool2d",
        ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    ),
    torch.nn.AvgPool1d: ("avg_pool1d", ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")),
    torch.nn.AvgPool2d: (
        "avg_pool2d",
        ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
    ),
    torch.nn.AdaptiveAvgPool1d: ("adaptive_avg_pool1d", ("output_size",)),
    torch.nn.AdaptiveAvgPool2d: ("adaptive_avg_pool2d", ("output_size",)),
    torch.nn.AdaptiveMaxPool2d: ("adaptive_max_pool2d", ("output_size", "return_indices")),
    torch.nn.ZeroPad2d: ("pad", ("padding",)),
}

_BATCH_NORM = ("batch_norm", ("running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"))
_INSTANCE_NORM = (
    "instance_norm",
    ("running_mean", "running_var", "weight", "bias", "use_input_stats", "momentum", "eps"),
)
_CALLS |= {
    torch.nn.BatchNorm1d: _BATCH_NORM,
    torch.nn.BatchNorm2d: _BATCH_NORM,
    AnyBatchNorm: _BATCH_NORM,
    AnyInstanceNorm: _INSTANCE_NORM,
    torch.nn.InstanceNorm1d: _INSTANCE_NORM,
    torch.nn.InstanceNorm2d: _INSTANCE_NORM,
    torch.nn.LayerNorm: ("layer_norm", ("normalized_shape", "weight", "bias", "eps")),
    torch.nn.GroupNorm: ("group_norm", ("num_groups", "weight", "bias", "eps")),
}

_RECURRENT = {torch.nn.RNN: "rnn_tanh", torch.nn.GRU: "gru", torch.nn.LSTM: "lstm"}


def kind_of(module: torch.nn.Module) -> type[torch.nn.Module] | None:
    """Return the class that a module is imported as; one of torch's own, or what it becomes by a parametrization."""
    if isinstance(module, Mirror):
        return Mirror
    if isinstance(module, (OneOutputRNN, OneOutputGRU, OneOutputLSTM, AnyBatchNorm, AnyInstanceNorm)):
        return type(module)
    if not type(module).__module__.startswith("torch.nn."):
        return None
    return next((kind for kind in type(module).__mro__ if kind in _CALLS or kind in _RECURRENT), None)


def apply(b: Builder, module: torch.nn.Module, *inputs: Any) -> Any:
    """Append what a module computes."""
    kind = kind_of(module)
    if kind is None:
        raise RefusedError(f"this module is not supported; {supported()}")
    if isinstance(module, Mirror):
        tensors = dict(module.named_parameters())
        return b.add_with(module.make, (), tensors, *inputs)
    if getattr(module, "padding_mode", "zeros") != "zeros":
        raise RefusedError(f"padding_mode must be 'zeros', got {module.padding_mode!r}")
    if isinstance(module, (OneOutputRNN, OneOutputGRU, OneOutputLSTM)):
        return _one_output(b, module, *inputs)
    if kind in _RECURRENT:
        return _recurrent(b, _RECURRENT[kind], module, *inputs)
    name, attributes = _CALLS[kind]
    # torch.nn.InstanceNorm uses running statistics only where it keeps them.
    given = {"use_input_stats": not getattr(module, "track_running_stats", False)}
    return FUNCTIONS[name](b, *inputs, *(given.get(name, getattr(module, name, None)) for name in attributes))


def _recurrent(b: Builder, name: str, module: Any, input: Value, hx: Any = None) -> Any:
    if getattr(module, "nonlinearity", "tanh") != "tanh":
        raise RefusedError(f"nonlinearity must be 'tanh', got {module.nonlinearity!r}")
    if module.proj_size:
        raise RefusedError(f"proj_size must be 0, got {module.proj_size}")
    params = [parameter for layer in module.all_weights for parameter in layer]
    options = (module.bias, module.num_layers, module.dropout, module.training, module.bidirectional)
    output, *last = FUNCTIONS[name](b, input, hx, params, *options, module.batch_first)
    return output, tuple(last) if name == "lstm" else last[0]


def _one_output(b: Builder, module: Any, input: Value) -> Value:
    options = (module.input_size, module.hidden_size, module.num_layers, module.bias)
    kind = {OneOutputRNN: RNN, OneOutputGRU: GRU, OneOutputLSTM: LSTM}[type(module)]
    make = partial(kind, bidirectional=module.bidirectional, output=module.wanted)
    return b.add_with(make, options, dict(module.named_parameters()), input)


def supported() -> str:
    """Return what is, in words."""
    kinds = sorted({kind.__name__ for kind in (*_CALLS, *_RECURRENT)} - {"AnyBatchNorm", "AnyInstanceNorm"})
    return f"supported are the modules {', '.join(kinds)} and the functions {', '.join(sorted(FUNCTIONS))}"
