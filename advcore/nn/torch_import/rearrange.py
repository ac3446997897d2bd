"""What only moves numbers, function by function, in layers; and what a tensor says of its shape."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from advcore.nn.affine import Scale
from advcore.nn.merge import Concatenate
from advcore.nn.reshape import Flatten, Mean, Pad, Reshape
from advcore.nn.slicing import Slice
from advcore.nn.torch_import.builder import BATCH, Builder, RefusedError, Value
from advcore.nn.torch_import.states import States

# Shapes


def size(b: Builder, input: Value | States, dim: int | None = None) -> Any:
    """x.size()."""
    return input.size if dim is None else input.size[dim]


def attribute(b: Builder, input: Value | States, name: str) -> Any:
    """What may be asked of a tensor without computing."""
    if name == "T" and isinstance(input, Value) and input.ndim == 2:
        return transpose(b, input, 0, 1)
    known = {"shape": input.size, "ndim": input.ndim, "device": torch.device("cpu"), "dtype": _torch_type(b)}
    if name not in known:
        raise RefusedError(f"the attribute {name} is not supported; supported are {', '.join(known)}")
    return known[name]


def _torch_type(b: Builder) -> torch.dtype:
    return torch.float32 if b.dtype.itemsize == 4 else torch.float64


def convert(b: Builder, input: Value | States, *arguments: Any, **options: Any) -> Any:
    """x.to(...): only what changes nothing."""
    for argument in (*arguments, *options.values()):
        if isinstance(argument, torch.dtype) and argument != _torch_type(b):
            raise RefusedError(f"it turns the numbers to {argument}; the module must compute in one type")
        if isinstance(argument, (str, torch.device)) and torch.device(argument).type != "cpu":
            raise RefusedError(f"it moves the numbers to {argument}; the module must stay on the CPU")
    return input


def same(b: Builder, input: Any, *arguments: Any, **options: Any) -> Any:
    """What gives the same numbers."""
    return input


def reshape(b: Builder, input: Value, *shape: Any) -> Value:
    """x.reshape(shape) for a shape that leaves the batch axis alone."""
    extents = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list, torch.Size)) else shape
    x = input.batch_first()
    if any(extent is not BATCH and type(extent) is not int for extent in extents):
        raise RefusedError(f"expected a shape of integers, got {extents!r}")
    first, rest = (extents[0], extents[1:]) if extents else (0, ())
    is_rest = BATCH not in rest and -1 not in rest and math.prod(rest) == math.prod(x.shape)
    if BATCH in rest or not (first is BATCH or (first == -1 and is_rest)):
        raise RefusedError(f"the shape {extents!r} must keep the batch as its first axis: {x.size} may become (N, ...)")
    return _reshaped(b, x, rest)


def _reshaped(b: Builder, x: Value, shape: Sequence[int]) -> Value:
    layer = Flatten() if len(shape) == 1 and x.shape else Reshape(tuple(shape))
    return x if layer.output_shape(x.shape) == x.shape else b.add(layer, x)


def flatten(b: Builder, input: Value, start_dim: int = 0, end_dim: int = -1) -> Value:
    """torch.flatten from the second axis or later."""
    if input.ndim == 1:
        raise RefusedError("it would mix samples")
    x = input.batch_first()
    start, end = (x.axis(dim) - 1 for dim in (start_dim, end_dim))
    return _reshaped(b, x, (*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :]))


def unflatten(b: Builder, input: Value, dim: int, sizes: Sequence[int]) -> Value:
    """torch.unflatten."""
    x = input.batch_first()
    at = x.axis(dim) - 1
    return _reshaped(b, x, Reshape((*x.shape[:at], *sizes, *x.shape[at + 1 :])).output_shape(x.shape))


def squeeze(b: Builder, input: Any, dim: Any = None) -> Any:
    """torch.squeeze, of axes that are named."""
    if isinstance(input, States):
        return input.squeeze(dim)
    dims = [i for i, n in enumerate(input.size) if n == 1] if dim is None else [dim] if isinstance(dim, int) else dim
    gone = {input.axis(d) - 1 for d in dims if input.shape[input.axis(d) - 1] == 1}
    after = sum(1 for axis in gone if axis < input.batch)
    y = _reshaped(b, input, [n for axis, n in enumerate(input.shape) if axis not in gone])
    return Value(y.name, y.shape, input.batch - after)


def unsqueeze(b: Builder, input: Value, dim: int) -> Value:
    """torch.unsqueeze."""
    at = dim % (input.ndim + 1)
    before = at <= input.batch
    own = at if before else at - 1
    y = _reshaped(b, input, (*input.shape[:own], 1, *input.shape[own:]))
    return Value(y.name, y.shape, input.batch + before)


def permute(b: Builder, input: Any, *dims: Any) -> Any:
    """torch.permute, the batch axis too."""
    order = tuple(dims[0]) if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    if isinstance(input, States):
        return input.permute(b, order)
    order = tuple(d % input.ndim for d in order)
    if sorted(order) != list(range(input.ndim)):
        raise RefusedError(f"expected a permutation of {input.ndim} axes, got {order}")
    return b.permute(input, [input.axis(d) for d in order if d != input.batch], order.index(input.batch))


def transpose(b: Builder, input: Any, dim0: int, dim1: int) -> Any:
    """torch.transpose, the batch axis too."""
    order = list(range(input.ndim))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return permute(b, input, order)


# Parts


def getitem(b: Builder, input: Any, index: Any) -> Any:
    """x[index], of tensors by numbers, slices, ... and None."""
    if isinstance(input, (tuple, list)):
        return input[index]
    if isinstance(input, States):
        return input.item(b, index)
    parts = list(index) if isinstance(index, (tuple, list)) else [index]
    if any(not isinstance(part, (int, slice, type(None), type(...))) or isinstance(part, bool) for part in parts):
        raise RefusedError(f"an index must be made of integers and slices, got {index!r}")
    if parts.count(...) == 0:
        parts.append(...)
    at = parts.index(...)
    missing = input.ndim - sum(1 for part in parts if part is not None and part is not ...)
    parts[at : at + 1] = [slice(None)] * missing
    x, dim = input, 0
    for part in parts:
        if part is None:
            x = unsqueeze(b, x, dim)
        elif isinstance(part, slice):
            x = cut(b, x, dim, part.start, part.stop, part.step)
        else:
            x = select(b, x, dim, part)
            continue
        dim += 1
    return x


def cut(b: Builder, input: Value, dim: int = 0, start: Any = None, end: Any = None, step: Any = None) -> Value:
    """x[..., start:end:step, ...]."""
    if (start in (None, 0)) and (end is None or end is BATCH or end == 2**63 - 1) and step in (None, 1):
        return input
    axis = input.axis(dim)
    return b.add(Slice(axis, start, None if end == 2**63 - 1 else end, step or 1), input)


def select(b: Builder, input: Any, dim: int, index: int) -> Any:
    """x[..., index, ...]."""
    if isinstance(input, States):
        if dim != 0:
            raise RefusedError("only whole states are supported")
        return input.item(b, index)
    axis = input.axis(dim)
    extent = input.shape[axis - 1]
    if not -extent <= index < extent:
        raise RefusedError(f"expected an index in [{-extent}, {extent - 1}], got {index}")
    at = -1 if index in (-1, extent - 1) else index  # one way to say the last
    one = b.add(Slice(axis, at, at + 1 or None), input) if extent > 1 else input
    return squeeze(b, one, dim)


def narrow(b: Builder, input: Value, dim: int, start: int, length: int) -> Value:
    """torch.narrow."""
    return cut(b, input, dim, start, start + length)


def split(b: Builder, tensor: Value, split_size_or_sections: Any, dim: int = 0) -> tuple[Value, ...]:
    """torch.split."""
    extent = tensor.shape[tensor.axis(dim) - 1]
    sections = split_size_or_sections
    if isinstance(sections, int):
        sections = [min(sections, extent - begin) for begin in range(0, extent, sections)]
    ends = [sum(sections[: i + 1]) for i in range(len(sections))]
    return tuple(cut(b, tensor, dim, end - n, end) for n, end in zip(sections, ends, strict=True))


def chunk(b: Builder, input: Value, chunks: int, dim: int = 0) -> tuple[Value, ...]:
    """torch.chunk."""
    return split(b, input, -(-input.shape[input.axis(dim) - 1] // chunks), dim)


def unbind(b: Builder, input: Value, dim: int = 0) -> tuple[Value, ...]:
    """torch.unbind."""
    return tuple(select(b, input, dim, i) for i in range(input.shape[input.axis(dim) - 1]))


# Together


def cat(b: Builder, tensors: Sequence[Any], dim: int = 0) -> Value:
    """torch.cat."""
    if any(not isinstance(x, Value) for x in tensors):
        raise RefusedError("it must take nothing but tensors that depend on the input")
    return tensors[0] if len(tensors) == 1 else b.add(Concatenate(tensors[0].axis(dim)), *tensors)


def stack(b: Builder, tensors: Sequence[Any], dim: int = 0) -> Value:
    """torch.stack."""
    return cat(b, [unsqueeze(b, x, dim) for x in tensors], dim)


def pad(b: Builder, input: Value, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Value:
    """torch.nn.functional.pad with a constant; a negative width cuts."""
    if mode != "constant":
        raise RefusedError(f"mode must be 'constant', got {mode!r}")
    widths = [(0, 0)] * len(input.shape)
    x = input
    for back, (before, after) in enumerate(zip(pad[::2], pad[1::2], strict=True)):
        axis = input.axis(-1 - back)
        if before < 0 or after < 0:
            x = cut(b, x, -1 - back, -before if before < 0 else None, after if after < 0 else None)
        widths[axis - 1] = (max(before, 0), max(after, 0))
    return b.add(Pad(widths, value or 0.0), x) if any(map(any, widths)) else x


def mean(b: Builder, input: Value, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Value:
    """torch.mean over axes that are not the batch."""
    if dim is None or dtype is not None:
        raise RefusedError("dim must be given, without the batch axis, and dtype be None")
    axes = [input.axis(d) for d in (dim if isinstance(dim, (tuple, list)) else (dim,))]
    y = b.add(Mean(axes, keepdim), input)
    gone = 0 if keepdim else sum(1 for axis in set(axes) if axis - 1 < input.batch)
    return Value(y.name, y.shape, input.batch - gone)


def total(b: Builder, input: Value, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Value:
    """torch.sum over axes that are not the batch."""
    y = mean(b, input, dim, keepdim, dtype=dtype)
    return b.add(Scale(math.prod(input.shape) / math.prod(y.shape)), y, suffix="_total")


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "size": size,
    "dim": lambda b, x: x.ndim,
    "getattr": attribute,
    "to": convert,
    "float": lambda b, x: convert(b, x, torch.float32),
    "double": lambda b, x: convert(b, x, torch.float64),
    "contiguous": same,
    "clone": same,
    "identity": same,
    "reshape": reshape,
    "view": reshape,
    "flatten": flatten,
    "unflatten": unflatten,
    "squeeze": squeeze,
    "unsqueeze": unsqueeze,
    "permute": permute,
    "transpose": transpose,
    "swapaxes": transpose,
    "getitem": getitem,
    "select": select,
    "narrow": narrow,
    "split": split,
    "chunk": chunk,
    "unbind": unbind,
    "cat": cat,
    "concat": cat,
    "concatenate": cat,
    "stack": stack,
    "pad": pad,
    "mean": mean,
    "sum": total,
}
