"""Symmetric differences along coordinates, on torch tensors, one coordinate at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def coordinate_gradient(
    model: Any,
    x: Tensor,
    coordinates: Tensor,
    *,
    objective: Callable[[Tensor], Tensor],
    h: float = 1e-4,
    bounds: tuple[float, float] | None = None,
    batch_size: int | None = None,
    return_values: bool = False,
) -> Tensor | tuple[Tensor, float, Tensor, Tensor]:
    """Return (f(x + h e_c) - f(x - h e_c)) / distance for every coordinate; batch_size changes nothing here."""
    ask = getattr(model, "logits", model)
    low, high = bounds if bounds is not None else (-torch.inf, torch.inf)

    def moved(coordinate: int, step: float) -> tuple[Tensor, Tensor]:
        copy = x.clone()
        copy.view(-1)[coordinate] = copy.view(-1)[coordinate].double().add(step).clamp(low, high).to(x.dtype)
        return objective(ask(copy[None]).double())[0], copy.view(-1)[coordinate].double()

    pairs = [(moved(int(c), h), moved(int(c), -h)) for c in coordinates]
    f_plus = torch.tensor([float(up[0]) for up, _ in pairs], dtype=torch.float64)
    f_minus = torch.tensor([float(down[0]) for _, down in pairs], dtype=torch.float64)
    distances = torch.tensor([float(up[1] - down[1]) for up, down in pairs], dtype=torch.float64)
    gradient = ((f_plus - f_minus) / distances).to(x.dtype)
    if not return_values:
        return gradient
    return gradient, float(objective(ask(x[None]).double())[0]), f_plus, f_minus
