"""Normalisations: planes below, at and over a register and a block, few and many samples, with and without weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from advcore import ops
from advcore._cases.case import Case, Make

Shape = tuple[int, ...]

_NONE = {"running_mean": None, "running_var": None}
_CHANNELS: list[Shape] = [
    (4, 3),
    (300, 37),
    (520, 70),
    (5, 1),
    (3, 4, 6),
    (2, 5, 9),
    (7, 3, 17),
    (1, 2, 2100),
    (2, 3, 7, 7),
    (3, 8, 12, 11),
    (1, 4, 56, 57),
    (40, 2, 5, 3),
    (2, 1, 3, 2, 4),
]
_EMPTY: list[Shape] = [(0, 3), (0, 4, 5), (2, 4, 0)]
# shape, groups
_GROUPS: list[tuple[Shape, int]] = [
    ((2, 6), 2),
    ((3, 70), 2),
    ((3, 35), 7),
    ((270, 12), 4),
    ((2, 6, 9), 3),
    ((3, 8, 7, 7), 1),
    ((2, 8, 12, 11), 4),
    ((1, 4, 56, 57), 2),
    ((300, 4, 3), 2),
    ((2, 5000), 2),
]
# leading axes, normalized_shape
_LAYERS: list[tuple[Shape, Shape]] = [
    ((3,), (4,)),
    ((), (9,)),
    ((5,), (33,)),
    ((2, 3), (37,)),
    ((300,), (40,)),
    ((1100,), (18,)),
    ((2, 2), (3, 5, 4)),
    ((7,), (2600,)),
    ((4,), (70, 50)),
    ((0, 3), (8,)),
    ((3,), (2, 0)),
]


def _running(channels: int) -> Make:
    return lambda rng, dtype: {
        "running_mean": rng.standard_normal(channels).astype(dtype),
        "running_var": rng.uniform(0.1, 3, channels).astype(dtype),
    }


def _forward(op: str, shape: Shape, options: dict[str, Any]) -> Make:
    """Build the input and the statistics that the forward pass returned."""

    def make(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
        input = rng.standard_normal(shape).astype(dtype)
        return {"input": input, "stats": getattr(ops, op)(input, **options, return_stats=True)[1]}

    return make


def _both(
    op: str, shape: Shape, affine: Shape, options: dict[str, Any], terms: int, make: Make | None = None, label: str = ""
) -> list[Case]:
    """Return the forward pass and the gradients; a labelled case is a published one, timed with the statistics kept."""
    timed: dict[str, Any] = {"bench": bool(label), "label": label}
    grads = {"grad_output": shape, "weight": affine}
    cases = [Case(op, {"input": shape, "weight": affine, "bias": affine}, options, terms, make, **timed)]
    if label and make is None:
        return [*cases, Case(f"{op}_grad", grads, options, terms, _forward(op, shape, options), **timed)]
    cases.append(Case(f"{op}_grad", {"input": shape} | grads, options, terms, make, **timed))
    if not label:
        plain: dict[str, Shape] = {"grad_output": shape, "input": shape}
        used = [f"{key}={value}" for key, value in options.items() if value is not None] + ["running"] * bool(make)
        name = f"without weights, {shape}, {', '.join(used)}"
        cases.append(Case(op, {"input": shape}, options, terms, make, label=name))
        cases.append(Case(op + "_grad", plain, options, terms, make, label=name))
        if make is None and 0 not in shape:
            cases.append(Case(op + "_grad", grads, options, terms, _forward(op, shape, options), label=f"after {name}"))
    return cases


def _batch(shape: Shape, label: str = "") -> list[Case]:
    channels, terms = shape[1:2], int(np.prod(shape)) // shape[1]
    training = label and f"training {label}"
    return [
        *_both("batch_norm", shape, channels, _NONE | {"training": True}, terms, None, training),
        *_both("batch_norm", shape, channels, {}, terms, _running(shape[1]), label),
    ]


def _group(shape: Shape, groups: int, label: str = "") -> list[Case]:
    terms = int(np.prod(shape[2:])) * max(shape[0], shape[1] // groups)
    return _both("group_norm", shape, shape[1:2], {"num_groups": groups}, terms, None, label)


def _layer(leading: Shape, normalized: Shape, label: str = "") -> list[Case]:
    terms = int(max(np.prod(leading), np.prod(normalized)))
    return _both("layer_norm", leading + normalized, normalized, {"normalized_shape": normalized}, terms, None, label)


def _instance(shape: Shape, label: str = "") -> list[Case]:
    channels, terms = shape[1:2], int(np.prod(shape)) // shape[1]
    cases = _both("instance_norm", shape, channels, {}, terms, None, label)
    if label:
        return cases
    return [*cases, *_both("instance_norm", shape, channels, {"use_input_stats": False}, terms, _running(shape[1]))]


_IMAGES = (8, 64, 56, 56)

CASES = [
    *(case for shape in _CHANNELS + _EMPTY for case in _batch(shape)),
    *(case for layer in _LAYERS for case in _layer(*layer)),
    *(case for group in _GROUPS for case in _group(*group)),
    *(case for shape in _CHANNELS + _EMPTY[2:] if len(shape) > 2 for case in _instance(shape)),
    *_batch(_IMAGES, "8x64x56x56"),
    *_batch((128, 256), "128x256"),
    *_layer((128,), (256,), "128x256"),
    *_layer((32, 50), (512,), "32x50x512"),
    *_group(_IMAGES, 32, "8x64x56x56"),
    *_instance(_IMAGES, "8x64x56x56"),
]
