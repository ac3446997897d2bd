"""Measures of classifiers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from advcore import _check


def hierarchical_accuracy(leaf_shares: Sequence[float], path_accuracies: Sequence[Sequence[float]]) -> float:
    """Accuracy of a tree of classifiers: ``sum over leaves of P(leaf) * product of the accuracies on its path``.

    Parameters
    ----------
    leaf_shares : sequence of float
        Share of the samples that belong to each leaf; they add to 1.
    path_accuracies : sequence of sequences of float
        For each leaf the accuracy, in [0, 1], of every classifier between the root and the leaf.

    Returns
    -------
    float

    Raises
    ------
    TypeError
        If an entry is not a number.
    ValueError
        If the lengths differ, an entry is out of range, or the shares do not add to 1.
    """
    if len(leaf_shares) != len(path_accuracies):
        raise ValueError(f"path_accuracies must have {len(leaf_shares)} paths, one a leaf, got {len(path_accuracies)}")
    shares = [_check.real(f"leaf_shares[{i}]", s, minimum=0.0, maximum=1.0) for i, s in enumerate(leaf_shares)]
    if not math.isclose(sum(shares), 1.0, abs_tol=1e-9):
        raise ValueError(f"leaf_shares must add to 1, got {sum(shares):g}")
    total = 0.0
    for leaf, (share, path) in enumerate(zip(shares, path_accuracies, strict=True)):
        name = f"path_accuracies[{leaf}]"
        total += share * math.prod(_check.real(name, a, minimum=0.0, maximum=1.0) for a in path)
    return total
