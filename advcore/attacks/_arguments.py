"""The arguments that all attacks take, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import _check
from advcore._check import Array
from advcore.attacks._catalogue import available
from advcore.attacks.model import Access, wrap

LARGEST_LABEL = 2**31 - 1


@dataclass(frozen=True)
class Arguments:
    """What every attack is given, as its docstring says; ``targets`` is None for an untargeted attack."""

    access: Access
    x: Array
    y: NDArray[np.int64]
    targets: NDArray[np.int64] | None
    seed: int
    sample_ids: NDArray[np.int64]
    bounds: tuple[float, float]
    batch_size: int


def check(
    attack: str,
    model: Any,
    x: object,
    y: object,
    *,
    targets: object,
    seed: object,
    sample_ids: object,
    bounds: object,
    batch_size: object,
    output: str | None = None,
) -> Arguments:
    """Return the arguments of the named attack, or say what is wrong with them."""
    access = wrap(model, output)
    if not access.gradients and _needs_gradient(attack):
        others = ", ".join(row["name"] for row in available() if not _needs_gradient(row["name"]))
        raise TypeError(f"{attack} needs a model with vjp(x, cotangent), got one without gradients; use {others}")
    x = _check.array("x", x, min_ndim=2)
    box = _check.bounds("bounds", bounds)
    _check.finite("x", x)
    _check.inside("x", x, box)
    shape = (len(x),)
    y = _check.integers("y", y, shape=shape, minimum=0, maximum=LARGEST_LABEL)
    if targets is not None:
        targets = _check.integers("targets", targets, shape=shape, minimum=0, maximum=LARGEST_LABEL)
        if (same := targets == y).any():
            raise ValueError(f"targets must differ from y, got the label itself for sample {int(np.argmax(same))}")
    ids = np.arange(len(x)) if sample_ids is None else sample_ids
    return Arguments(
        access,
        x,
        y,
        targets,
        _check.integer("seed", seed, minimum=0, maximum=2**63 - 1),
        _check.integers("sample_ids", ids, shape=shape, minimum=0, maximum=2**48 - 1),
        box,
        _check.integer("batch_size", batch_size, minimum=1),
    )


def _needs_gradient(attack: str) -> bool:
    return any(row["name"] == attack and row["access"] == "gradient" for row in available())
