"""Neighbours: sizes straddle panels (6, 12 queries; 8, 16, 32 points), tiles (480 queries, 128 points), 256 terms."""

from __future__ import annotations

from typing import Any

import numpy as np

from advcore._cases.case import Case

_SHAPES = [
    (1, 1, 1, 1),
    (3, 20, 5, 20),
    (7, 33, 257, 5),
    (13, 130, 31, 100),
    (2, 1100, 3, 20),
    (490, 65, 16, 1),
    (6, 300, 600, 70),
]


def _exclude(queries: int, points: int) -> Any:
    def make(rng: np.random.Generator, dtype: Any) -> dict[str, Any]:
        return {"exclude": rng.integers(-1, points, queries)}

    return make


def _case(op: str, q: int, r: int, d: int, k: int, **extra: Any) -> Case:
    return Case(op, {"queries": (q, d), "reference": (r, d)}, {"k": k}, terms=d, **extra)


CASES = [
    *(_case(op, *shape) for op in ("knn", "lid") for shape in _SHAPES),
    _case("knn", 40, 41, 7, 40, make=_exclude(40, 41), label="exclude"),
    _case("lid", 40, 41, 7, 20, make=_exclude(40, 41), label="exclude"),
    _case("knn", 0, 5, 3, 2),
    _case("lid", 0, 5, 3, 2),
    *(
        _case("knn", q, r, d, k, bench=True, label=f"{q}x{r}x{d}x{k}")
        for q, r, d, k in (
            (100, 100, 10, 20),
            (100, 100, 200, 20),
            (100, 100, 12544, 20),
            (100, 60000, 200, 20),
            (1000, 10000, 64, 20),
            (1000, 60000, 128, 20),
            (1000, 60000, 784, 20),
            (10000, 10000, 128, 20),
            (10000, 60000, 10, 20),
        )
    ),
    _case("lid", 100, 100, 12544, 20, bench=True, label="100x100x12544x20"),
]
