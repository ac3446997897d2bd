"""An adaptive attack by gradients.

They follow the margin of the classifier and the score of the detector at once, as in Carlini, Wagner (2017, arXiv
1705.07263) and Athalye, Carlini, Wagner (2018, arXiv 1802.00420), and in turn, each orthogonal to the other, as in
Bryniarski et al. (2021, arXiv 2106.15023).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advcore import _random
from advcore._check import Array
from advcore.attacks.result import l2_norms, rows
from advcore.evaluation._target import Best, Target, Values
from advcore.evaluation.adaptive import Adaptive

STREAM = 64  # of random numbers; 65 and 66 are the search's


def by_gradient(target: Target, settings: Adaptive, starts: Array | None, seed: int) -> Array:
    """Attack with gradients and return the best example of each image; ``starts`` are examples to begin from, too."""
    eps = target.region.eps
    best = Best(target)
    everyone = np.arange(len(target.x))
    best.offer(target.x, everyone)
    if starts is not None:
        best.offer(target.region.project(starts, everyone), everyone)
    for restart in range(settings.restarts):
        index = best.unbroken()
        if not len(index):
            break
        current = target.x[index] if restart == 0 else _random_start(target, index, seed, restart)
        weight = np.ones(len(index))  # of the score, a sample's own
        for step in range(settings.steps):
            margins, up, scores, alarm = target.gradients(current, index)
            best.take(current, index, margins, scores)
            going = ~target.meets(margins, scores)
            if not going.any():
                break
            margins, up, scores, alarm = margins[going], up[going], scores[going], alarm[going]
            index, current, weight = index[going], current[going], weight[going]
            fooled, caught = margins > 0, scores > target.threshold
            up, alarm = _unit(up), _unit(alarm)
            if restart % 2:
                direction = _in_turn(up, alarm, fooled)
            else:
                weight = np.clip(weight * np.where(fooled & caught, 1.2, np.where(fooled, 1.0, 1 / 1.2)), 1e-2, 1e2)
                pull = np.where(caught, weight, 0.0)[:, np.newaxis]
                direction = _unit(np.where(fooled, 0.2, 1.0)[:, np.newaxis] * up - pull * alarm)
            size = eps * max(0.25 * (1 + np.cos(np.pi * step / settings.steps)) / 2, 0.005)
            move = size * (np.sign(direction) if settings.norm == "linf" else direction)
            current = target.region.project(current + move.reshape(current.shape), index)
        else:
            best.take(current, index, *target.judge(current, index))
    return best.examples


def _in_turn(up: Values, alarm: Values, fooled: NDArray[np.bool_]) -> Values:
    """Return the direction of the aim that is not reached yet, without its part along the other gradient."""
    wanted, other = np.where(fooled[:, np.newaxis], -alarm, up), np.where(fooled[:, np.newaxis], up, alarm)
    return _unit(wanted - (wanted * other).sum(axis=1, keepdims=True) * other)


def _unit(gradient: Values) -> Values:
    """Return each row at length 1; rows of zeros stay."""
    top = np.abs(gradient).max(axis=1, keepdims=True, initial=0.0)
    scaled = gradient / np.where(top > 0, top, 1.0)
    norms = l2_norms(scaled)[:, np.newaxis]
    return np.asarray(scaled / np.where(norms > 0, norms, 1.0))


def _random_start(target: Target, index: NDArray[np.int64], seed: int, restart: int) -> Array:
    x = target.x[index]
    drawn = _random.uniform(seed, index, restart, rows(x).shape[1], low=-1, high=1, stream=STREAM)
    if target.region.norm == "l2":
        drawn = _unit(drawn)
    return target.region.project(x + (target.region.eps * drawn).reshape(x.shape), index)
