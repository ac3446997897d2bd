"""Pooling: sizes below, at and over a register, windows at every border, ties, NaN and infinities."""

from __future__ import annotations

from typing import Any

import numpy as np

from advcore import ops
from advcore._cases.case import Case, Make
from advcore.ops._pool_geometry import Windows

Shape = tuple[int, ...]

# input shape, kernel, stride, padding, dilation, ceil_mode
_WINDOWS: list[tuple[Shape, Any, Any, Any, Any, bool]] = [
    ((2, 3, 8, 8), 2, 2, 0, 1, False),
    ((1, 2, 24, 24), 2, 2, 0, 1, False),
    ((2, 2, 31, 57), 2, 2, 0, 1, True),
    ((2, 2, 31, 57), 3, 2, 1, 1, False),
    ((1, 2, 112, 112), 3, 2, 1, 1, True),
    ((1, 2, 57, 31), 3, 1, 1, 1, False),
    ((3, 7, 7), 3, 1, 1, 1, True),
    ((5, 37, 7, 7), 7, 1, 0, 1, False),
    ((3, 5, 6, 17), (6, 17), 1, 0, 1, False),
    ((1, 3, 15, 40), (2, 3), (2, 1), (1, 0), 1, False),
    ((1, 3, 15, 40), (3, 2), (1, 2), (0, 1), 1, True),
    ((2, 2, 30, 33), 3, 3, 0, 1, False),
    ((2, 2, 30, 34), 3, 3, 1, 1, True),
    ((1, 2, 20, 41), 2, 3, 1, 1, True),
    ((1, 2, 20, 41), 7, 3, 3, 1, False),
    ((2, 1, 1, 31), (1, 2), 2, 0, 1, False),
    ((2, 1, 31, 1), (3, 1), 2, (1, 0), 1, True),
    ((1, 1, 1, 1), 1, 1, 0, 1, False),
    ((1, 2, 19, 35), 2, 1, 0, 2, False),
    ((1, 2, 19, 35), 3, 2, 1, (2, 3), True),
    ((2, 1, 600, 5), (600, 2), 1, 0, 1, False),
    ((1, 1, 3, 1200), (2, 700), (1, 3), (1, 350), 1, True),
    ((0, 3, 8, 8), 2, 2, 0, 1, False),
]
_ADAPTIVE: list[tuple[Shape, Any]] = [
    ((2, 3, 13, 13), 6),
    ((2, 3, 12, 12), 6),
    ((1, 2, 7, 33), (3, 20)),
    ((2, 5, 7), (9, 1)),
    ((4, 40, 8, 8), 1),
    ((2, 2, 6, 6), (None, 2)),
    ((0, 2, 6, 5), 4),
    ((2, 2, 6, 6), (0, 2)),
]
# The published shapes that are timed: label, input shape, kernel, stride, padding.
_TIMED: list[tuple[Any, ...]] = [
    ("res_stem3s2", (8, 64, 112, 112), 3, 2, 1),
    ("vgg1", (8, 64, 224, 224), 2, 2, 0),
    ("mnist", (128, 32, 24, 24), 2, 2, 0),
    ("vgg3", (8, 256, 56, 56), 2, 2, 0),
    ("incept3s1", (8, 192, 28, 28), 3, 1, 1),
    ("global7", (8, 2048, 7, 7), 7, 1, 0),
    ("alex3s2", (8, 64, 55, 55), 3, 2, 0),
]


def _rounded(shape: Shape) -> Make:
    """Build an input with many equal elements."""
    return lambda rng, dtype: {"input": np.round(rng.standard_normal(shape)).astype(dtype)}


def _special(shape: Shape) -> Make:
    """Build an input of few values, among them NaN and both infinities."""
    values = [np.nan, np.inf, -np.inf, -np.inf, -np.inf, 0.0, 1.0]
    return lambda rng, dtype: {"input": rng.choice(values, shape).astype(dtype)}


def _indexed(shape: Shape, places: int) -> Make:
    """Build indices into planes."""
    return lambda rng, dtype: {"indices": rng.integers(0, places, shape)}


def _after_forward(shape: Shape, options: dict[str, Any]) -> Make:
    """Build an input and the indices of its maxima: of float32, so that they are the same for every type."""

    def make(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
        input = rng.standard_normal(shape).astype(np.float32)
        indices = ops.max_pool2d(input, **options, return_indices=True)[1]
        return {"input": input.astype(dtype), "indices": indices}

    return make


def _pair(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def _windows(
    shape: Shape, kernel: Any, stride: Any, padding: Any, dilation: Any = 1, ceil_mode: bool = False, label: str = ""
) -> list[Case]:
    """Return the poolings of one kind of windows; a labelled kind is a published one."""
    windows = Windows(_pair(kernel), _pair(stride), _pair(padding), _pair(dilation), ceil_mode)
    output = (*shape[:-2], *windows.output_size((shape[-2], shape[-1])))
    terms = windows.kernel[0] * windows.kernel[1]
    options = {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    spaced = options | {"dilation": dilation}
    arrays = {"grad_output": output} | ({} if label else {"input": shape})
    forward = _after_forward(shape, spaced)
    timed: dict[str, Any] = {"bench": bool(label), "label": label}
    cases = [
        Case("max_pool2d", {"input": shape}, spaced, **timed),
        # A timed gradient is that of training: the indices are known.
        Case("max_pool2d_grad", arrays, spaced, terms, forward if label else None, **timed),
    ]
    if not label:
        name = f"after forward, {shape}, {kernel}, {stride}, {padding}, {dilation}, {ceil_mode}"
        cases.append(Case("max_pool2d_grad", {"grad_output": output}, spaced, terms, forward, label=name))
        cases.append(Case("max_pool2d", {"input": shape}, spaced | {"return_indices": True}))
    if dilation != 1:
        return cases
    for more in ({}, {"count_include_pad": False}) if not label and (padding or ceil_mode) else ({},):
        averaged = options | more
        cases += [
            Case("avg_pool2d", {"input": shape}, averaged, terms, **timed),
            Case("avg_pool2d_grad", {"grad_output": output}, averaged | {"input_size": shape}, terms, **timed),
        ]
    return cases


def _choices(
    shape: Shape, kernel: Any, stride: Any, padding: Any, dilation: Any = 1, ceil_mode: bool = False
) -> list[Case]:
    """Return maxima among equals, NaN and infinities, and gradients at given indices."""
    windows = Windows(_pair(kernel), _pair(stride), _pair(padding), _pair(dilation), ceil_mode)
    size = (shape[-2], shape[-1])
    output = (*shape[:-2], *windows.output_size(size))
    options = {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    options |= {"ceil_mode": ceil_mode}
    indexed = options | {"return_indices": True}
    terms = output[-2] * output[-1]
    label = f"{shape}, {kernel}, {stride}"
    grad, arrays = {"grad_output": output}, {"grad_output": output, "input": shape}
    return [
        Case("max_pool2d", {}, indexed, make=_rounded(shape), label=f"ties, {label}"),
        Case("max_pool2d", {}, indexed, make=_special(shape), label=f"special, {label}"),
        Case("max_pool2d", {}, options, make=_special(shape), label=f"special values, {label}"),
        Case("max_pool2d_grad", grad, options, terms, _rounded(shape), label=f"ties, {label}"),
        Case("max_pool2d_grad", arrays, options, terms, _indexed(output, size[0] * size[1]), label=f"indices, {label}"),
    ]


def _adaptive(shape: Shape, output_size: Any) -> list[Case]:
    size = tuple(b if a is None else a for a, b in zip(_pair(output_size), shape[-2:], strict=True))
    options, grad = {"output_size": output_size}, {"grad_output": (*shape[:-2], *size)}
    cases = [Case("adaptive_avg_pool2d", {"input": shape}, options, shape[-1] * shape[-2])]
    if 0 in size:
        return cases
    return [*cases, Case("adaptive_avg_pool2d_grad", grad, {"input_size": shape}, shape[-1] * shape[-2])]


CASES = [
    *(case for windows in _WINDOWS for case in _windows(*windows)),
    *(case for windows in _WINDOWS[1:16:2] for case in _choices(*windows)),
    *(case for sizes in _ADAPTIVE for case in _adaptive(*sizes)),
    *(case for label, *window in _TIMED for case in _windows(window[0], window[1], window[2], window[3], label=label)),
]
