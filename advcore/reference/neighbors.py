"""k nearest neighbours and intrinsic dimensionality, by PyTorch: every difference, then a stable sort."""

from __future__ import annotations

import torch
from torch import Tensor

_LARGEST_DISTANCES = 2**24  # of queries x reference at a time


def knn(queries: Tensor, reference: Tensor, k: int, *, exclude: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the k smallest distances in ascending order, ties by index, and the indices."""
    distances, indices = [], []
    count = max(1, _LARGEST_DISTANCES // len(reference))
    for first in range(0, len(queries), count):
        chunk = queries[first : first + count]
        all_distances = torch.cdist(chunk, reference, compute_mode="donot_use_mm_for_euclid_dist")
        if exclude is not None:
            rows = torch.nonzero(exclude[first : first + count] >= 0)[:, 0]
            all_distances[rows, exclude[first + rows]] = torch.inf
        ordered, order = torch.sort(all_distances, dim=1, stable=True)
        distances.append(ordered[:, :k].clone())
        indices.append(order[:, :k].clone())
    if not distances:
        return queries.new_zeros(0, k), torch.zeros(0, k, dtype=torch.int64)
    return torch.cat(distances), torch.cat(indices)


def lid(queries: Tensor, reference: Tensor, k: int, *, exclude: Tensor | None = None, estimator: str = "mle") -> Tensor:
    """Return -(1/k sum_i log(r_i / r_k))^-1, or m / (r_k - m) of the mean m; 0 for duplicates, infinity where equal."""
    distances, _ = knn(queries, reference, k, exclude=exclude)
    distances = distances.double()
    farthest, mean = distances[:, -1], distances.mean(dim=1)
    if estimator == "mom":
        estimate = mean / (farthest - mean).clamp_min(0)
        return torch.where(farthest == 0, 0.0, estimate).to(queries.dtype)
    logs = (distances / farthest[:, None]).log().mean(dim=1)
    estimate = torch.where(logs == 0, torch.inf, -1 / logs)
    return torch.where(distances[:, 0] == 0, 0.0, estimate).to(queries.dtype)


def two_nn(points: Tensor, *, discard_fraction: float = 0.1) -> float:
    """Return the slope of -log(1 - F) over log(r_2 / r_1), of the points without a duplicate."""
    distances, _ = knn(points, points, 2, exclude=torch.arange(len(points)))
    distances = distances[distances[:, 0] > 0].double()
    count = int(len(distances) * (1 - discard_fraction))
    logs = (distances[:, 1] / distances[:, 0]).log().sort().values[:count]
    heights = -torch.log1p(-torch.arange(1, count + 1, dtype=torch.float64) / len(distances))
    return float(logs @ heights / (logs @ logs))
