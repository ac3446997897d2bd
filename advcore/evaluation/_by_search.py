"""An adaptive attack without gradients: random squares, as in Andriushchenko et al. (2020, arXiv 1912.00049)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advcore import _random
from advcore._check import Array
from advcore.attacks.result import rows
from advcore.evaluation._by_gradient import STREAM
from advcore.evaluation._target import Best, Target
from advcore.evaluation.adaptive import Adaptive


def by_search(target: Target, settings: Adaptive, starts: Array | None, seed: int) -> Array:
    """Attack with answers alone: random squares (else random entries) that are kept where they help."""
    eps = target.region.eps
    best, everyone = Best(target), np.arange(len(target.x))
    best.offer(target.x, everyone)
    for kind in (0, 1):  # the corners of the budget by random signs, and the examples of the attacks
        begin = (
            starts
            if kind
            else target.x + eps * _random.sign(seed, everyone, 0, rows(target.x).shape[1]).reshape(target.x.shape)
        )
        if begin is not None:
            best.offer(target.region.project(begin, everyone), everyone)
    for query in range(settings.queries):
        index = best.unbroken()
        if not len(index):
            break
        share = max(0.3 * (1 - query / settings.queries), 0.01)
        current = _with_square(best.examples[index], target, index, eps, share, seed, query)
        best.offer(target.region.project(current, index), index)
    return best.examples


def _with_square(
    examples: Array, target: Target, index: NDArray[np.int64], eps: float, share: float, seed: int, query: int
) -> Array:
    """Return the examples with one square each, or as many entries, moved to a corner of the budget."""
    shape = examples.shape[1:]
    drawn = _random.uniform(seed, index, query, 2, stream=STREAM + 1)
    step = eps if target.region.norm == "linf" else eps * share
    if len(shape) == 3:
        channels, height, width = shape
        side = max(1, round(np.sqrt(share * height * width)))
        high, wide = min(side, height), min(side, width)
        signs = _random.sign(seed, index, query, channels, stream=STREAM)
        result = examples.copy()
        for row, (down, right) in enumerate((drawn * [height - high + 1, width - wide + 1]).astype(int)):
            place = (slice(None), slice(down, down + high), slice(right, right + wide))
            origin = target.x[index[row]] if target.region.norm == "linf" else examples[row]
            result[row][place] = origin[place] + step * signs[row, :, np.newaxis, np.newaxis]
        return result
    size = rows(examples).shape[1]
    chosen = _random.uniform(seed, index, query, size, stream=STREAM + 2) < share
    signs = _random.sign(seed, index, query, size, stream=STREAM)
    origin = rows(target.x[index] if target.region.norm == "linf" else examples)
    result = np.where(chosen, origin + step * signs, rows(examples)).astype(examples.dtype)
    return np.asarray(result.reshape(examples.shape))
