"""SimBA: try one direction after the other, keep what lowers the probability (Guo et al. 2019, arXiv 1905.07121)."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from advcore import _check, _random
from advcore._check import Array
from advcore.attacks._arguments import check
from advcore.attacks._ledger import Index
from advcore.attacks._losses import LOSSES, Logits, Values
from advcore.attacks._options import Options
from advcore.attacks._problem import Problem
from advcore.attacks._protocol import run
from advcore.attacks._registry import attack
from advcore.attacks.result import AttackResult, rows

Directions = NDArray[np.int64]
FIRST_BLOCK = 4  # lowest frequencies an axis that come in one random order; then one frequency more at a time


@attack(norm="l2 (small)", access="top1", cost="1 or 2 queries a step, then 1 for each direction that was kept")
def simba(
    model: Any,
    x: Array,
    y: Array,
    *,
    step_size: float = 0.2,
    basis: str = "pixel",
    frequencies: int | None = None,
    steps: int = 10_000,
    undo: bool = True,
    **options: Unpack[Options],
) -> AttackResult:
    """Move along random orthonormal directions, one at a time, whatever raises the odds of success (algorithm 1).

    For a direction q: ``x + step_size q`` is asked about, then, if that does not help, ``x - step_size q``; the first
    that lowers p(y) (targets: raises p(t)) is kept. A sample is done at its first success.

    Parameters
    ----------
    model : object with logits(x), torch module, or callable that maps (B, ...) to scores or top class and confidence
    x : float32 or float64 array, (N, ...); for the basis "dct" (N, ..., H, W)
    y : int array, (N,)
        True labels.
    step_size : float, above 0
        Epsilon, the length of a step, in the units of x.
    basis : "pixel" or "dct"
        Entries of x, or the cosine waves of the last two axes, which come from low frequencies to high ones.
    frequencies : int, at least 1, optional
        For "dct": that many lowest frequencies an axis; all unless given.
    steps : int, 1 to 1,000,000
        Directions that are tried; when all have been, they come again in a new order.
    undo : bool
        After the first success, take back every step, the least useful first, that success does not need.
    **options
        As for every attack: see Options.

    Returns
    -------
    AttackResult
        The nearest example that succeeded, or x itself.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If an argument has a wrong value or shape, or x is not finite or outside its bounds.

    Notes
    -----
    What is raised is the log odds ``log(1 - p(y)) - log p(y)``, in float64: where a softmax in float32 says 1, they
    still differ. Steps that the box undoes wholly cost no query.

    Differs from the paper: ``undo``.
    """
    size = _check.real("step_size", step_size, above=0.0)
    basis = _check.choice("basis", basis, ("pixel", "dct"))
    lowest = None if frequencies is None else _check.integer("frequencies", frequencies, minimum=1)
    steps = _check.integer("steps", steps, minimum=1, maximum=1_000_000)
    undo = _check.flag("undo", undo)
    given = check("simba", model, x, y, options)
    if basis == "dct" and given.x.ndim < 3:
        raise ValueError(f'x must have shape (N, ..., H, W) for basis="dct", got {given.x.shape}')
    basis_ = _Pixels(given.x.shape[1:]) if basis == "pixel" else _Waves(given.x.shape[1:], lowest)

    def propose(problem: Problem) -> None:
        walk = _Walk(problem, basis_, size, steps)
        active = np.arange(len(problem.x))
        while len(active := problem.afford(active)):
            active = active[~walk.step(active)]
        if undo:
            walk.undo()

    return run(propose, given, together=4 * given.batch_size, minimise="l2")


class _Pixels:
    """The entries themselves."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.count = int(np.prod(shape))

    def arranged(self, order: Directions) -> Directions:
        """Return random orders, (n, count), as they are: no pixel comes before another."""
        return order

    def add(self, perturbation: Array, chosen: Directions, amount: NDArray[np.float64]) -> None:
        """Add amount[i] times direction chosen[i] to sample i, in place."""
        rows(perturbation)[np.arange(len(chosen)), chosen] += amount


class _Waves:
    """Cosine waves (DCT-II, orthonormal) over the last two axes, each in one of the leading ones."""

    def __init__(self, shape: tuple[int, ...], lowest: int | None) -> None:
        self.shape = shape
        self.down, self.across = (_cosines(extent, lowest) for extent in shape[-2:])
        waves = np.maximum(np.arange(len(self.down))[:, np.newaxis], np.arange(len(self.across)))
        self.shell = np.tile(np.maximum(waves.ravel(), FIRST_BLOCK - 1), int(np.prod(shape[:-2])))
        self.count = len(self.shell)

    def arranged(self, order: Directions) -> Directions:
        """Return random orders, (n, count), with the lower frequencies first."""
        return np.take_along_axis(order, np.argsort(self.shell[order], axis=1, kind="stable"), axis=1)

    def add(self, perturbation: Array, chosen: Directions, amount: NDArray[np.float64]) -> None:
        """Add amount[i] times direction chosen[i] to sample i, in place."""
        planes = perturbation.reshape(len(chosen), -1, *self.shape[-2:])
        plane, wave = np.divmod(chosen, len(self.down) * len(self.across))
        u, v = np.divmod(wave, len(self.across))
        column = self.down[u] * amount[:, np.newaxis]
        planes[np.arange(len(chosen)), plane] += column[:, :, np.newaxis] * self.across[v][:, np.newaxis, :]


def _cosines(extent: int, lowest: int | None) -> NDArray[np.float64]:
    """Return the lowest waves over so many entries as orthonormal rows."""
    frequency = np.arange(min(extent, lowest or extent))[:, np.newaxis]
    waves = np.cos(np.pi * (np.arange(extent) + 0.5) * frequency / extent)
    waves /= np.maximum(np.sqrt((waves**2).sum(axis=1, keepdims=True)), 1e-30)
    return np.asarray(waves)


class _Walk:
    """Where each sample is: its perturbation (before the box clips it), its odds, the direction that comes next."""

    def __init__(self, problem: Problem, basis: _Pixels | _Waves, size: float, steps: int) -> None:
        count = len(problem.x)
        self.problem, self.basis, self.size, self.steps = problem, basis, size, steps
        self.perturbation = np.zeros_like(problem.x)
        self.current = problem.x.copy()
        self.odds = self._odds(problem.logits_of_x, np.arange(count))
        self.order = np.zeros((count, basis.count), np.int64)
        self.tried = np.zeros(count, np.int64)  # directions
        self.sign = np.ones(count)
        self.kept: list[list[tuple[float, int, float]]] = [[] for _ in range(count)]  # gain, direction, amount

    def step(self, index: Index) -> NDArray[np.bool_]:
        """Ask one question about each sample; say which ones have succeeded or are out of steps."""
        chosen, perturbation, tried, moved = self._next(index)
        done = ~moved
        asking = index[moved]
        if not len(asking):
            return done
        logits = self.problem.logits(tried[moved], asking)
        met = self.problem.offer(tried[moved], logits, asking)
        odds = self._odds(logits, asking)
        better = met | (odds > self.odds[asking])
        taken, amounts = asking[better], self.sign[asking[better]] * self.size
        gains = odds[better] - self.odds[taken]
        for sample, *step in zip(*(v.tolist() for v in (taken, gains, chosen[moved][better], amounts)), strict=True):
            self.kept[sample].append((step[0], step[1], step[2]))
        self.perturbation[taken], self.current[taken] = perturbation[moved][better], tried[moved][better]
        self.odds[taken] = odds[better]
        self._advance(asking, better)
        done[moved] = met
        return done

    def undo(self) -> None:
        """Take back the steps that success does not need, one a query, the least useful first."""
        problem, active = self.problem, np.flatnonzero(self.problem.best.met)
        left = [sorted(kept, reverse=True) for kept in self.kept]
        while True:
            active = problem.afford(active[[len(left[sample]) > 0 for sample in active.tolist()]])
            if not len(active):
                break
            steps = [left[sample].pop() for sample in active.tolist()]
            perturbation = self.perturbation[active]
            self.basis.add(perturbation, np.array([step[1] for step in steps]), -np.array([step[2] for step in steps]))
            tried = problem.project(problem.x[active] + perturbation, active)
            met = problem.offer(tried, problem.logits(tried, active), active)
            self.perturbation[active[met]] = perturbation[met]

    def _next(self, index: Index) -> tuple[Directions, Array, Array, NDArray[np.bool_]]:
        """Return the next directions, perturbations and inputs, and which samples have one that the box lets move."""
        problem = self.problem
        chosen, moved = np.zeros(len(index), np.int64), np.zeros(len(index), np.bool_)
        perturbation, tried = self.perturbation[index], self.current[index]
        at = np.arange(len(index))
        while len(at := at[~moved[at] & (self.tried[index[at]] < self.steps)]):
            who = index[at]
            self._shuffle(who)
            chosen[at] = self.order[who, self.tried[who] % self.basis.count]
            step = self.perturbation[who]
            self.basis.add(step, chosen[at], self.sign[who] * self.size)
            perturbation[at] = step
            tried[at] = problem.project(problem.x[who] + step, who)
            moved[at] = (rows(tried[at]) != rows(self.current[who])).any(axis=1)
            self._advance(who[~moved[at]], np.zeros(1, np.bool_))
        return chosen, perturbation, tried, moved

    def _advance(self, index: Index, taken: NDArray[np.bool_]) -> None:
        """Turn to the other sign or, where that was the last one or the step was taken, to the next direction."""
        over = taken | (self.sign[index] < 0)
        self.tried[index[over]] += 1
        self.sign[index] = np.where(over, 1.0, -1.0)

    def _shuffle(self, index: Index) -> None:
        """Put the directions in a new order where all of them have been tried."""
        count, problem = self.basis.count, self.problem
        rounds, place = np.divmod(self.tried[index], count)
        new = (place == 0) & (self.sign[index] > 0)
        for turn in np.unique(rounds[new]).tolist():
            who = index[new & (rounds == turn)]
            order = _random.choice(problem.seed, problem.sample_ids[who], turn, count, count)
            self.order[who] = self.basis.arranged(order)

    def _odds(self, logits: Logits, index: Index) -> Values:
        targets = None if self.problem.targets is None else self.problem.targets[index]
        return LOSSES["cross_entropy"].value(logits, self.problem.y[index], targets)
