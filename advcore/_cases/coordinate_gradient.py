"""Coordinate gradients of a quadratic, whose symmetric differences are exact however long the step."""

from __future__ import annotations

from typing import Any

import numpy as np

from advcore._cases.case import Case


def _model(x: Any) -> Any:
    flat = x.reshape(len(x), -1)
    return flat * flat * 0.5


def _objective(logits: Any) -> Any:
    return logits.sum(1)


def _case(shape: tuple[int, ...], count: int, **options: Any) -> Case:
    size = int(np.prod(shape))

    def make(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
        values = rng.uniform(0.2, 0.8, shape).astype(dtype)
        return {"model": _model, "x": values, "coordinates": rng.permutation(size)[:count], "objective": _objective}

    settings = ",".join(f"{key}={value}" for key, value in options.items())
    label = f"{'x'.join(map(str, shape))},m={count}{',' if settings else ''}{settings}"
    return Case("coordinate_gradient", {}, {"h": 0.25, **options}, terms=4 * size, make=make, label=label)


CASES = [
    _case((1,), 1),
    _case((5,), 5, batch_size=3),
    _case((3, 4, 5), 17, bounds=(0, 1)),
    _case((2, 33), 66, bounds=(0.1, 0.9), batch_size=7),
    _case((4,), 0),
]
