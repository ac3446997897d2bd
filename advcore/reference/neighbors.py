"""k nearest neighbours and local intrinsic dimensionality, by PyTorch: every difference, then a stable sort."""

from __future__ import annotations

import torch
from torch import Tensor

_LARGEST_DIFFERENCES = 2**22  # elements of queries x reference x dimensions at a time


def knn(queries: Tensor, reference: Tensor, k: int, *, exclude: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the k smallest distances in ascending order, ties by index, and the indices."""
    distances, indices = [], []
    count = max(1, _LARGEST_DIFFERENCES // max(1, reference.numel()))
    for first in range(0, len(queries), count):
        chunk = queries[first : first + count]
        squared = (chunk[:, None] - reference).square().sum(dim=2)
        if exclude is not None:
            rows = torch.nonzero(exclude[first : first + count] >= 0)[:, 0]
            squared[rows, exclude[first + rows]] = torch.inf
        ordered, order = torch.sort(squared, dim=1, stable=True)
        distances.append(ordered[:, :k].sqrt())
        indices.append(order[:, :k])
    if not distances:
        return queries.new_zeros(0, k), torch.zeros(0, k, dtype=torch.int64)
    return torch.cat(distances), torch.cat(indices)


def lid(queries: Tensor, reference: Tensor, k: int, *, exclude: Tensor | None = None) -> Tensor:
    """Return -(1/k sum_i log(r_i / r_k))^-1; 0 where a distance is zero, infinity where all are equal."""
    distances, _ = knn(queries, reference, k, exclude=exclude)
    logs = (distances.double() / distances[:, -1:].double()).log().mean(dim=1)
    estimate = torch.where(logs == 0, torch.inf, -1 / logs)
    return torch.where(distances[:, 0] == 0, 0.0, estimate).to(queries.dtype)
