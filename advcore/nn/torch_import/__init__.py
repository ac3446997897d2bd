"""Networks from PyTorch's modules. Imported by advcore.from_torch only, since PyTorch is optional."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

try:
    import torch
except ImportError as error:
    raise ImportError("advcore.from_torch needs PyTorch: pip install 'advcore[torch]'") from error

from advcore import _check
from advcore.nn.affine import Normalize
from advcore.nn.imported import compare
from advcore.nn.network import Network
from advcore.nn.torch_import.builder import Builder
from advcore.nn.torch_import.graphs import first_line, trace, walk

LAYOUTS = ("NCHW", "NHWC")
_SAMPLES, _FEWER, _LARGE = 4, 2, 2**16  # that the two are compared on; fewer of samples of more numbers than these

_DTYPES: dict[torch.dtype, np.dtype[Any]] = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}


def from_torch(
    module: Any,
    example_shape: Sequence[int],
    *,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    layout: str = "NCHW",
) -> Network:
    """Return a network that computes what a PyTorch module does, with copies of its parameters.

    The module is traced by torch.fx, or by torch.export where its Python decides by shapes. Both run the module's own
    Python: import only modules whose code you trust. Names of parameters are kept, a module that is used twice becomes
    a layer that is used twice. Dropout stays, for training; its kin (Dropout2d, stochastic depth) are left out.

    The network is compared with the module on random inputs in [0, 1), and in [-1, 1) where it takes them;
    ``network.imported.largest_difference`` tells how far their logits were apart.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode, on the CPU, its parameters and buffers of one type, float32 or float64: the network's.
    example_shape : tuple of int
        Of one sample as the module takes it, without the batch axis: (3, 32, 32).
    mean, std : float or sequence of float, optional
        One a channel, or one for all. The network then computes module((x - mean) / std), so that budgets of attacks
        are in units of the input's box.
    layout : "NCHW" or "NHWC"
        How the module takes images. The network always takes (N, C, H, W).

    Returns
    -------
    Network

    Raises
    ------
    ImportError
        If PyTorch is missing.
    TypeError
        If the module is none, or its parameters are of half precision or of mixed types.
    ValueError
        If the module is in training mode or not on the CPU, does not take the shape, has control flow that depends on
        the data or an operator that is not supported (the message names the node), or the network disagrees with it.
    """
    _check.instance("module", module, torch.nn.Module)
    shape = _check.sizes("example_shape", example_shape, minimum=1)
    if _check.choice("layout", layout, LAYOUTS) == "NHWC" and len(shape) != 3:
        raise ValueError(f"example_shape must be (H, W, C) for layout 'NHWC', got {shape}")
    dtype = _settled(module)
    own = shape if layout == "NCHW" else (shape[2], shape[0], shape[1])
    builder = Builder(own, _DTYPES[dtype], _paths(module))
    value = builder.input
    if mean is not None or std is not None:
        builder.name = "normalize"
        value = builder.add(Normalize(0.0 if mean is None else mean, 1.0 if std is None else std), value)
    if layout == "NHWC":
        builder.name = "to_nhwc"
        value = builder.permute(value, (2, 3, 1), 0)

    samples = _SAMPLES if math.prod(own) < _LARGE else _FEWER
    x = np.random.default_rng(0).random((samples, *own)).astype(_DTYPES[dtype])
    front = builder.network(value) if value.name != builder.input.name else None

    def source(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return _run(module, torch.from_numpy(x if front is None else front.logits(x)))

    expected = source(x)
    network = builder.network(walk(trace(module, shape, dtype), builder, value))
    network.imported = compare(type(module).__name__, expected, network.logits(x))
    _compare_negative(source, network, 2 * x - 1)
    return network


def _compare_negative(source: Callable[..., np.ndarray[Any, Any]], network: Network, x: np.ndarray[Any, Any]) -> None:
    """Compare on inputs in [-1, 1), too, where the source takes them: what works in place changes no others."""
    try:
        expected = source(x)
    except ValueError:
        return
    assert network.imported is not None  # compared before
    if np.isfinite(expected).all():
        other = compare(network.imported.source, expected, network.logits(x))
        network.imported = max(network.imported, other, key=lambda one: one.largest_difference or 0.0)


def _settled(module: torch.nn.Module) -> torch.dtype:
    """Return the type of a module's numbers, if it is in a state to be imported."""
    training = [name or type(module).__name__ for name, part in module.named_modules() if part.training]
    if training:
        shown = ", ".join(training[:3]) + (", ..." if len(training) > 3 else "")
        raise ValueError(f"module must be in evaluation mode, got {shown} in training mode: call module.eval() first")
    types: dict[torch.dtype, str] = {}
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.device.type != "cpu":
            raise ValueError(f"module must be on the CPU, got {name} on {tensor.device}: call module.cpu() first")
        if tensor.is_floating_point() or tensor.is_complex():
            types.setdefault(tensor.dtype, name)
    for dtype, name in types.items():
        if dtype not in _DTYPES:
            raise TypeError(
                f"module must be of type float32 or float64, got {name} of {_text(dtype)}: call module.float() first"
            )
    if len(types) > 1:
        mixed = " and ".join(f"{name} of {_text(dtype)}" for dtype, name in types.items())
        raise TypeError(f"module must be of one type, got {mixed}: call module.float() or module.double() first")
    return next(iter(types), torch.float32)


def _text(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _paths(module: torch.nn.Module) -> dict[int, str]:
    """Return the names of the module's tensors by their ids."""
    named = [*module.named_buffers(), *module.named_parameters()]
    return {id(tensor): name for name, tensor in named}


def _run(module: torch.nn.Module, x: torch.Tensor) -> np.ndarray[Any, Any]:
    """Return the module's logits for samples, or say what is wrong with their shape."""
    shape = tuple(x.shape[1:])
    with torch.no_grad():
        try:
            logits = module(x.clone())
        except Exception as error:  # whatever the module raises
            if len(shape) > 1 and _takes(module, x[0].clone()):
                raise ValueError(
                    f"example_shape must be that of one sample, without the batch axis: {shape[1:]}, got {shape}, "
                    f"which raised: {first_line(error)}"
                ) from error
            raise ValueError(f"module must take samples of shape {shape}, but raised: {first_line(error)}") from error
    if not isinstance(logits, torch.Tensor):
        raise ValueError(
            f"module must return its logits as one tensor, got {type(logits).__name__}; wrap it in a module that does"
        )
    return np.asarray(logits.detach().numpy())


def _takes(module: torch.nn.Module, batch: torch.Tensor) -> bool:
    try:
        module(batch)
    except Exception:
        return False
    return True
