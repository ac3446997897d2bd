"""Operators that move numbers, take some of them, or average them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from advcore._check import Array
from advcore.nn.affine import Scale
from advcore.nn.merge import Concatenate
from advcore.nn.onnx_import.budget import check_value
from advcore.nn.onnx_import.call import Call
from advcore.nn.onnx_import.constants import slices
from advcore.nn.onnx_import.values import BATCH, Extent, Tensor, axes_of, axis_of, extents, integers, reshaped
from advcore.nn.reshape import Mean, Pad
from advcore.nn.slicing import Slice


def reshape(call: Call) -> Tensor:
    """Reshape: 0 keeps an extent."""
    x = call.tensor()
    target = extents(call.constant(1)) if call.given(1) else list(call.get("shape", []))
    if not call.get("allowzero"):
        target = [x.dims[axis] if n == 0 and axis < len(x.dims) else n for axis, n in enumerate(target)]
    return reshaped(x, target, call.build.batch)


def flatten(call: Call) -> Tensor:
    """Flatten: the axes before ``axis`` are joined, and those from there on."""
    x = call.tensor()
    axis = call.get("axis", 1)
    axis = axis if axis == len(x.dims) else axis_of(axis, len(x.dims))
    joined: list[Extent] = []
    for part in (x.dims[:axis], x.dims[axis:]):
        size = math.prod(extent for extent in part if isinstance(extent, int))
        if BATCH in part and size != 1:
            raise ValueError(f"to flatten {x.dims} at axis {axis} would mix samples")
        joined.append(BATCH if BATCH in part else size)
    return reshaped(x, joined, None)


def squeeze(call: Call) -> Tensor:
    """Squeeze."""
    x, axes = call.tensor(), call.axes()
    if axes is None:
        axes = [axis for axis, extent in enumerate(x.dims) if extent == 1]
    axes = axes_of(axes, len(x.dims))
    if any(x.dims[axis] != 1 for axis in axes):
        raise ValueError(f"only axes of extent 1 can be left out, got {tuple(axes)} of {x.dims}")
    return reshaped(x, [extent for axis, extent in enumerate(x.dims) if axis not in axes], None)


def unsqueeze(call: Call) -> Tensor:
    """Unsqueeze."""
    x, axes = call.tensor(), call.axes() or []
    axes = axes_of(axes, len(x.dims) + len(axes))
    rest = iter(x.dims)
    return reshaped(x, [1 if axis in axes else next(rest) for axis in range(len(x.dims) + len(axes))], None)


def transpose(call: Call) -> Tensor:
    """Transpose: where the batch goes is remembered, and only the order of the others costs a layer."""
    x = call.tensor()
    perm = call.get("perm", list(reversed(range(len(x.dims)))))
    if axes_of(perm, len(x.dims)) != list(perm) or len(perm) != len(x.dims):
        raise ValueError(f"perm must be a permutation of the axes of {x.dims}, got {tuple(perm)}")
    order = [x.axis(axis) - 1 for axis in perm if axis != x.batch]
    y = call.build.permute(x, order)
    return Tensor(y.source, y.sample, perm.index(x.batch))


def shape(call: Call) -> Array:
    """Shape: a constant, but for the batch."""
    dims = call.tensor().dims
    return integers(np.array([*dims, None], object)[:-1][call.get("start", 0) : call.get("end")])


def gather(call: Call) -> Tensor:
    """Gather along an axis: indices at even distances are one slice, others are put side by side."""
    x, indices = call.tensor(), call.constant(1)
    axis = axis_of(call.get("axis", 0), len(x.dims))
    at = x.axis(axis)
    if indices.dtype.kind not in "iu" or not 1 <= indices.size <= 256:
        raise ValueError(f"its indices must be 1 to 256 integers, got shape {indices.shape} of {indices.dtype}")
    wanted = [axis_of(int(index), x.sample[at - 1]) for index in indices.ravel()]
    steps = set(np.diff(wanted).tolist()) or {1}
    if len(steps) == 1 and 0 not in steps:
        y = _cut(call, x, axis, wanted[0], wanted[-1], steps.pop())
    else:
        y = call.build.apply(Concatenate(at), *(_cut(call, x, axis, index, index, 1, "part") for index in wanted))
        y = Tensor(y.source, y.sample, x.batch)
    return reshaped(y, [*y.dims[:axis], *indices.shape, *y.dims[axis + 1 :]], None)


def slice_(call: Call) -> Tensor:
    """Slice: along any axis but the batch; one that takes all of it is fine there too."""
    x = call.tensor()
    for axis, cut in slices(call.node, [None, *call.inputs[1:]], len(x.dims)).items():
        size = x.dims[axis]
        if not isinstance(size, int):
            if (cut.start, cut.step) != (0, 1) or cut.stop is None or cut.stop < 2**31 - 1:
                raise ValueError("a slice of the batch is not supported")
            continue
        wanted = range(size)[cut]
        if not wanted:
            raise ValueError(f"nothing is left of axis {axis} of {x.dims}")
        x = _cut(call, x, axis, wanted[0], wanted[-1], wanted.step)
    return x


def _cut(call: Call, x: Tensor, axis: int, first: int, last: int, step: int, part: str = "") -> Tensor:
    """Take first, first + step, ..., last of an axis."""
    at = x.axis(axis)
    if (first, last, step) == (0, x.sample[at - 1] - 1, 1):
        return x
    stop = last + 1 if step > 0 else last - 1
    y = call.build.apply(Slice(at, first, None if stop < 0 else stop, step), x, part=part)
    return Tensor(y.source, y.sample, x.batch)


def split(call: Call) -> list[Tensor | None]:
    """Split: each part that is used is a slice."""
    x = call.tensor()
    axis = axis_of(call.get("axis", 0), len(x.dims))
    size = x.sample[x.axis(axis) - 1]
    count = len(call.node.outputs)
    if call.given(1):
        parts = [int(n) if isinstance(n, int) else -1 for n in extents(call.constant(1))]
    else:
        each = -(-size // count)
        parts = call.get("split") or [each] * (count - 1) + [size - each * (count - 1)]
    if len(parts) != count or sum(parts) != size or min(parts) < 1:
        raise ValueError(f"its parts must be {count} of {size} in sum, got {tuple(parts)}")
    starts = np.cumsum([0, *parts]).tolist()
    return [_cut(call, x, axis, starts[i], starts[i + 1] - 1, 1) if call.wants(i) else None for i in range(count)]


def pad(call: Call) -> Tensor:
    """Pad with a constant; negative widths cut off."""
    x = call.tensor()
    if call.get("mode", "constant") != "constant":
        raise ValueError(f"mode must be constant, got {call.get('mode')}")
    pads: list[Any] = call.get("pads") if "pads" in call.node.attributes else extents(call.constant(1))
    value = call.get("value", 0.0) if "pads" in call.node.attributes else call.number(2, 0.0)
    axes = list(range(len(x.dims)))
    if call.given(3):
        axes = axes_of(extents(call.constant(3)), len(x.dims))  # type: ignore[arg-type]  # axes_of refuses open extents
    if len(pads) != 2 * len(axes) or any(not isinstance(n, int) or abs(n) > 2**31 for n in pads):
        raise ValueError(f"pads must be two integers an axis of {x.dims}, got {tuple(pads)}")
    widths = [(0, 0)] * len(x.sample)
    for place, axis in enumerate(axes):
        before, after = pads[place], pads[place + len(axes)]
        if before or after:
            widths[x.axis(axis) - 1] = (max(before, 0), max(after, 0))
            size = x.sample[x.axis(axis) - 1]
            if size + min(before, 0) + min(after, 0) < 1:
                raise ValueError(f"nothing is left of axis {axis} of {x.dims}")
            x = _cut(call, x, axis, max(-before, 0), size - 1 - max(-after, 0), 1)
    if not any(sum(pair) for pair in widths):
        return x
    check_value(tuple(n + sum(pair) for n, pair in zip(x.sample, widths, strict=True)))
    y = call.build.apply(Pad(widths, value), x)
    return Tensor(y.source, y.sample, x.batch)


def reduce_mean(call: Call) -> Tensor:
    """ReduceMean over axes of a sample."""
    x, axes = call.tensor(), call.axes()
    keep = bool(call.get("keepdims", 1))
    if not axes and call.get("noop_with_empty_axes"):
        return x
    axes = axes_of(axes, len(x.dims)) if axes else list(range(len(x.dims)))
    if x.batch in axes:
        raise ValueError("a mean over the batch is not supported")
    y = call.build.apply(Mean([x.axis(axis) for axis in axes], keepdims=keep), x)
    return Tensor(y.source, y.sample, x.batch if keep else x.batch - sum(axis < x.batch for axis in axes))


def reduce_sum(call: Call) -> Tensor:
    """ReduceSum: as many times the mean as there are numbers."""
    x = call.tensor()
    y = reduce_mean(call)
    return call.build.elementwise(Scale(math.prod(x.sample) / math.prod(y.sample)), y)
