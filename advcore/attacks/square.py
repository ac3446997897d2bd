"""The Square attack (Andriushchenko, Croce, Flammarion, Hein 2020, arXiv 1912.00049)."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from advcore import _check, _random
from advcore._check import Array
from advcore.attacks._arguments import check
from advcore.attacks._ledger import Index
from advcore.attacks._options import Options
from advcore.attacks._problem import Problem
from advcore.attacks._protocol import run
from advcore.attacks._registry import attack
from advcore.attacks._squares import corners, cut_out, put_in, pyramid, tiled, window
from advcore.attacks.result import AttackResult

HALVED = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # of 10,000 queries


@attack(norm="linf, l2", access="scores", cost="steps queries, less where it succeeds early")
def square(
    model: Any,
    x: Array,
    y: Array,
    *,
    eps: float,
    norm: str = "linf",
    steps: int = 5000,
    p_init: float = 0.8,
    **options: Unpack[Options],
) -> AttackResult:
    """Change one random square of the image after the other, and keep what raises the margin (algorithm 1).

    Linf (algorithm 2): from vertical stripes of +-eps; a square gets random signs of eps, one a channel, other than it
    has: no query is spent on what would change nothing. L2 (algorithm 3): from a grid of tiles; a square of an odd
    side gets two opposite pyramids, with the energy of another square, which is emptied.
    A square has a share p of the area, halved after 10, 50, 200, 500, 1000, 2000, 4000, 6000 and 8000 of 10,000 steps.

    Parameters
    ----------
    model : object with logits(x), torch module, or callable that maps (B, ...) to scores (B, K)
    x : float32 or float64 array, (N, C, H, W)
        (N, H, W) has one channel, (N, F) one row.
    y : int array, (N,)
        True labels.
    eps : float, at least 0
        The budget, in the units of x.
    norm : "linf" or "l2"
        Of the budget.
    steps : int, at least 1
        Queries a sample, the one for the input itself included; max_queries takes its place where that is smaller. The
        schedule of p is scaled to it.
    p_init : float, in (0, 1]
        The first p.
    **options
        As for every attack: see Options.

    Returns
    -------
    AttackResult
        Per sample: at most ``steps`` queries, and just so many where it fails.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If an argument has a wrong value or shape, x is not finite or outside its bounds, a target is the label, or the
        model returns what is not finite or of the wrong shape.

    Notes
    -----
    Differs from the paper: targeted attacks raise the margin too, where the paper lowers cross-entropy; every sample
    has its own squares. Signs that differ and odd sides are the authors' code's, not the paper's; that code, and copies
    of it, never draw the last place of a square along an axis, where the paper and advcore draw all.
    """
    eps = _check.real("eps", eps, minimum=0.0)
    norm = _check.choice("norm", norm, ("linf", "l2"))
    steps = _check.integer("steps", steps, minimum=1)
    p_init = _check.real("p_init", p_init, above=0.0, maximum=1.0)
    given = check("square", model, x, y, options)
    most = steps if given.max_queries is None else np.minimum(steps, given.max_queries)
    queries = np.broadcast_to(most, len(given.x))  # squares shrink by a sample's own

    def propose(problem: Problem) -> None:
        search = _Linf(problem) if norm == "linf" else _L2(problem)
        totals = queries[problem.owners]
        active = np.argsort(totals, kind="stable")
        for step in range(totals.max() - 1):
            active = problem.afford(active[totals[active] > step + 1])
            if not len(active):
                return
            if step == 0:
                images = search.start(active)
            else:
                alike = np.split(active, np.flatnonzero(np.diff(totals[active])) + 1)
                areas = [share(p_init, step - 1, max(int(totals[some[0]]) - 2, 1)) for some in alike]
                parts = [search.change(some, step, area) for some, area in zip(alike, areas, strict=True)]
                images = parts[0] if len(parts) == 1 else np.concatenate(parts)
            candidates = images.reshape(len(active), *problem.x.shape[1:])
            active = active[~problem.offer(candidates, problem.logits(candidates, active), active)]

    return run(propose, given, together=4 * given.batch_size, norm=norm, eps=eps)  # so that batches stay full


def share(first: float, step: int, total: int) -> float:
    """Return the share of the area that the squares of a step have."""
    halvings = sum(step / total * 10_000 > place for place in HALVED)
    return first / float(2**halvings)


class _Search:
    """The images of a problem as (B, C, H, W): those to ask for, in the region."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        channels, height, width = _image(problem.x.shape[1:])
        self.channels, self.height, self.width = channels, height, width
        self.lower, self.upper = (
            np.ascontiguousarray(self.images(end)) for end in (problem.region.lower, problem.region.upper)
        )
        self.eps = problem.region.eps

    def images(self, x: Array) -> Array:
        """Give x its four axes."""
        return x.reshape(len(x), self.channels, self.height, self.width)

    def draw(self, index: Index, step: int, size: int) -> Array:
        """Draw numbers in [0, 1) a sample."""
        return _random.uniform(self.problem.seed, self.problem.sample_ids[index], step, size)

    def sides(self, area: float, least: int) -> tuple[int, int]:
        """Return height and width of a window with this share of the area: a square, or what the image lets be one."""
        pixels = area * self.height * self.width
        height = min(max(round(pixels**0.5), least), max(self.height - 1, 1), self.height)
        width = min(max(round(pixels / height) if height < round(pixels**0.5) else height, least), self.width)
        return height, width


class _Linf(_Search):
    """The input plus or minus eps, as far as the box and the mask allow: the region's ends."""

    def start(self, index: Index) -> Array:
        """Add vertical stripes."""
        draws = self.draw(index, 0, self.channels * self.width).reshape(len(index), self.channels, 1, self.width)
        return np.where(draws < 0.5, self.lower[index], self.upper[index])

    def change(self, index: Index, step: int, area: float) -> Array:
        """Set a window to the input plus or minus eps, a sign for each channel, other than the signs it has."""
        height, width = self.sides(area, 1)
        draws = self.draw(index, step, 2 + 2 * self.channels)
        at = corners(draws[:, 0], draws[:, 1], height, width, (self.height, self.width))
        best = self.images(self.problem.best.examples)
        lower, upper, now = (cut_out(images, index, at, height, width) for images in (self.lower, self.upper, best))
        down, turned = np.split(draws[:, 2:, np.newaxis, np.newaxis] < 0.5, 2, axis=1)
        same = (now == np.where(down, lower, upper)).all(axis=(1, 2, 3), keepdims=True)
        turned = turned | ~turned.any(axis=1, keepdims=True)  # at least one channel's
        return put_in(best, index, at, np.where(down ^ (same & turned), lower, upper))


class _L2(_Search):
    def start(self, index: Index) -> Array:
        """Add a grid of tiles with a random sign and orientation each."""
        draws = self.draw(index, 0, (self.channels + 1) * self.height * self.width)
        return self._at_full_length(tiled(draws, self.channels, self.height, self.width), index)

    def change(self, index: Index, step: int, area: float) -> Array:
        """Move the energy of a second window to the first, in the shape of pyramids."""
        height, width = map(_odd, self.sides(area, 3), (self.height, self.width))
        draws = self.draw(index, step, 5 + self.channels)
        size = (self.height, self.width)
        first = window(draws[:, 0], draws[:, 1], self.channels, height, width, size)
        second = window(draws[:, 2], draws[:, 3], self.channels, height, width, size)
        origin = self.images(self.problem.x[index]).astype(np.float64)
        delta = self.images(self.problem.best.examples[index]) - origin
        energy = np.square(delta)
        unused = np.maximum(self.eps**2 - energy.sum(axis=(1, 2, 3), keepdims=True), 0.0) / self.channels
        union = np.zeros(delta.shape, np.bool_)
        union[first] = union[second] = True
        available = np.sqrt((energy * union).sum(axis=(2, 3), keepdims=True) + unused)
        signs = np.where(draws[:, 5:] < 0.5, -1.0, 1.0)[:, :, np.newaxis, np.newaxis]
        shape = signs * pyramid(draws[:, 4], height, width) + _unit(delta[first])
        delta[second] = 0.0
        delta[first] = _unit(shape) * available
        return self._at_full_length(delta, index)

    def _at_full_length(self, delta: Array, index: Index) -> Array:
        if self.problem.region.mask is not None:
            delta = delta * self.images(self.problem.region.mask[index])
        length = np.sqrt(np.square(delta).sum(axis=(1, 2, 3), keepdims=True))
        stretched = delta / np.maximum(length, np.finfo(np.float64).tiny) * self.eps
        # In the box first: the budget that it cuts off goes to the next squares, as in the paper.
        inside = np.clip(self.images(self.problem.x[index]) + stretched, *self.problem.region.bounds)
        return self.images(self.problem.project(inside.reshape(self.problem.x[index].shape), index))


def _odd(side: int, most: int) -> int:
    """Return an odd side, so that pyramids have a middle: the next one, or the last where the image has no more."""
    return side if side % 2 else side + 1 if side < most else side - 1


def _unit(windows: Array) -> Array:
    """Return each channel's window at length 1; zero where it is."""
    length = np.sqrt(np.square(windows).sum(axis=(2, 3), keepdims=True))
    unit: Array = windows / np.maximum(length, 1e-12)
    return unit


def _image(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Read the axes of a sample as channels, height and width."""
    if len(shape) < 3:
        return 1, 1 if len(shape) == 1 else shape[0], shape[-1]
    return shape[0], shape[1], int(np.prod(shape[2:]))
