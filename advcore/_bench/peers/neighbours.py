"""Exact nearest neighbours by other libraries: distances are compared, as equal ones may come in another order."""

from __future__ import annotations

from typing import Any

import numpy as np

from advcore._bench.peers.participant import Call, Participant
from advcore._cases import Case

_KNN = frozenset({"knn"})


def _faiss(case: Case, inputs: dict[str, Any]) -> Call:
    import faiss

    queries, reference, k = inputs["queries"], inputs["reference"], _k(case, inputs)
    return Call(
        lambda: faiss.knn(queries, reference, k),
        lambda result: [np.sqrt(np.maximum(result[0], 0))],  # it gives squares
    )


def _sklearn(case: Case, inputs: dict[str, Any]) -> Call:
    from sklearn.neighbors import NearestNeighbors

    neighbours = NearestNeighbors(n_neighbors=_k(case, inputs), algorithm="brute").fit(inputs["reference"])
    return Call(lambda: neighbours.kneighbors(inputs["queries"]), lambda result: [result[0]])


def _torch(case: Case, inputs: dict[str, Any]) -> Call:
    import torch

    queries, reference = (torch.from_numpy(inputs[name]) for name in ("queries", "reference"))
    k = _k(case, inputs)

    def nearest(block: Any) -> tuple[Any, Any]:
        distances, indices = torch.topk(torch.cdist(block, reference), k, largest=False)
        if case.op == "lid":
            return k / torch.log(distances / distances[:, -1:]).sum(1).abs(), indices
        return distances, indices

    def run() -> Any:
        with torch.inference_mode():
            parts = [nearest(block) for block in torch.split(queries, 1000)]  # all distances at once would not fit
            return tuple(torch.cat(columns) for columns in zip(*parts, strict=True))

    return Call(run, lambda result: [result[0].numpy()])


def _scipy_lid(case: Case, inputs: dict[str, Any]) -> Call:
    """Take LID as Ma et al. (2018) do: all distances, every row sorted, the mean logarithm of the k smallest."""
    from scipy.spatial.distance import cdist

    queries, reference, k = inputs["queries"], inputs["reference"], _k(case, inputs)

    def run() -> Any:
        distances = np.sort(cdist(queries, reference), axis=1)[:, :k]
        with np.errstate(divide="ignore", invalid="ignore"):
            return 1 / np.abs(np.mean(np.log(distances / distances[:, -1:]), axis=1))

    return Call(run)


def _k(case: Case, inputs: dict[str, Any]) -> int:
    return int({**inputs, **case.options}["k"])


PARTICIPANTS = [
    Participant("faiss", ("faiss",), _KNN, _faiss),
    Participant("scikit-learn", ("sklearn",), _KNN, _sklearn),
    Participant("scipy", ("scipy",), frozenset({"lid"}), _scipy_lid),
    Participant("torch cdist + topk", ("torch",), frozenset({"knn", "lid"}), _torch),
]
