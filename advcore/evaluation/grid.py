"""Grids of pixel values, such as 8-bit images': rounding to one, and the distances of what lies on one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from advcore._check import Array
from advcore.attacks._projection import grid_rounding
from advcore.evaluation.rows import Row

EIGHT_BITS = 255


def rounded_to_8_bits(x: Array, bounds: tuple[float, float]) -> Array:
    """Return x on the grid of 8-bit images of its box."""
    low, high = bounds
    levels = np.rint((x - low) * (EIGHT_BITS / (high - low)))
    on_grid: Array = (low + levels * ((high - low) / EIGHT_BITS)).astype(x.dtype)
    return np.clip(on_grid, x.dtype.type(low), x.dtype.type(high))


def without_rounding(row: Row, norm: str, bounds: tuple[float, float], steps: int, dtype: np.dtype[Any]) -> Row:
    """Return the row of an example on a grid, whose distance is at most eps where only rounding took it further.

    Grid points are stored to the last bit of their type, so that 8 steps of 255 may measure a little more than 8/255;
    without a budget, a Linf distance becomes that of so many steps.
    """
    distance, width = getattr(row, norm), bounds[1] - bounds[0]
    rounding = float(grid_rounding(dtype, bounds, row.l0, norm))
    most = row.eps
    if not math.isfinite(row.eps):
        if norm != "linf":
            return row
        most = round(distance * steps / width) * width / steps
    over = row.success and most < distance <= most + rounding
    changes: dict[str, Any] = {norm: most}
    return replace(row, **changes) if over else row
