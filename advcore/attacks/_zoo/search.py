"""ZOO's search: descents from the input with one constant after the other, each sample's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advcore._check import Array
from advcore.attacks._ledger import Index
from advcore.attacks._problem import Problem
from advcore.attacks._zoo import coordinates
from advcore.attacks._zoo.solvers import SOLVERS
from advcore.attacks._zoo.state import Checkpoint
from advcore.attacks._zoo.variables import Entries, StretchedImage, TanhEntries
from advcore.attacks.result import l2_norms, rows

Values = NDArray[np.float64]
LARGEST_CONSTANT = 1e10
ABORT_EVERY, ABORT_RATIO = 100, 0.9999


@dataclass(frozen=True)
class Settings:
    """ZOO's own arguments, checked."""

    solver: str
    variables: str
    steps: int
    coordinates: int
    learning_rate: float
    h: float
    first_c: float
    constants: int
    kappa: float
    importance: bool
    attack_space: tuple[tuple[int, int], ...]
    stop_at_first_success: bool
    abort_early: bool


class Search:
    """One problem's search. Its state is kept by a checkpoint at the ends of steps."""

    def __init__(self, problem: Problem, settings: Settings, checkpoint: Checkpoint) -> None:
        self.problem, self.settings, self.checkpoint = problem, settings, checkpoint
        count = len(problem.x)
        self.constant = np.full(count, settings.first_c)
        self.failed, self.succeeded = np.zeros(count), np.full(count, LARGEST_CONSTANT)
        self.left = np.arange(count)  # samples that are still searched for
        self.short = (
            False  # whether a sample ran out of queries: what follows is not kept, so that more go on from here
        )
        self.attempt = 0
        self._begin()
        saved = checkpoint.load()
        if saved is not None:
            self._restore(saved)

    def run(self) -> None:
        """Try the constants one after the other."""
        settings = self.settings
        while self.attempt < settings.constants and len(self.left):
            self._descend()
            met = self.met
            self.succeeded = np.where(met, np.minimum(self.succeeded, self.constant), self.succeeded)
            self.failed = np.where(met, self.failed, np.maximum(self.failed, self.constant))
            larger = np.minimum(10 * self.constant, LARGEST_CONSTANT)
            middle = (self.failed + self.succeeded) / 2
            self.constant = np.where(self.succeeded < LARGEST_CONSTANT, middle, larger)
            if settings.stop_at_first_success:
                self.left = self.left[~met[self.left]]
            self.attempt += 1
            self._begin()
        self._keep(now=True)

    def _begin(self) -> None:
        """Start anew from the inputs, with the solver's memory cleared."""
        problem, settings = self.problem, self.settings
        second = SOLVERS[settings.solver].second_order
        arguments = (problem, self.objective, settings.h, second)
        if settings.attack_space:
            self.variables: Entries = StretchedImage(*arguments, settings.attack_space[0][1])
        else:
            self.variables = (TanhEntries if settings.variables == "tanh" else Entries)(*arguments)
        self.solver = SOLVERS[settings.solver](*self.variables.values.shape)
        self.step = 0
        self.active = self.left
        self.met = np.zeros(len(problem.x), np.bool_)
        self.last = np.full(len(problem.x), np.inf)
        self.current = self.objective(problem.logits_of_x, np.arange(len(problem.x)))

    def objective(self, logits: Values, index: Index) -> Values:
        """Return f: how far the logits are from success, but no less than -kappa."""
        return np.maximum(-self.problem.margin(logits, index), -self.settings.kappa)

    def _descend(self) -> None:
        """Minimise the objective with one constant a sample."""
        while self.step < self.settings.steps and len(self.active):
            if len(self.problem.afford(self.active, 2 * self.settings.coordinates + 1)) < len(self.active):
                self._keep(now=True)
                self.short = True
            self._grow()
            size = self.variables.values.shape[1]
            count = min(self.settings.coordinates, size)
            self.active = self.problem.afford(self.active, 2 * count + 1)
            if len(self.active):
                self._one_step(self._chosen(size, count))
            self.step += 1
            self._keep()

    def _one_step(self, chosen: Index) -> None:
        problem, settings, active = self.problem, self.settings, self.active
        constant = self.constant[active][:, np.newaxis]
        found = self.variables.derivatives(active, chosen, self.current[active], constant)
        move = self.solver.step(active, chosen, found.first, found.second)
        self.variables.values[active[:, np.newaxis], chosen] += settings.learning_rate * move
        examples = self.variables.examples(active)
        logits = problem.logits(examples, active)
        hit = problem.offer(examples, logits, active)
        self.met[active[hit]] = True
        self.current[active] = self.objective(logits, active)
        leave = hit & settings.stop_at_first_success
        if settings.abort_early and (self.step + 1) % ABORT_EVERY == 0:
            distance = l2_norms(rows(examples).astype(np.float64) - rows(problem.x[active]))
            total = distance**2 + self.constant[active] * self.current[active]
            leave |= total > ABORT_RATIO * self.last[active]
            self.last[active] = total
        self.active = active[~leave]

    def _chosen(self, size: int, count: int) -> Index:
        """Choose the variables of this step; draws never repeat between constants."""
        draw = self.attempt * self.settings.steps + self.step
        if not self.settings.importance or count == size:
            return coordinates.uniform(self.problem, self.active, draw, size, count)
        variables = self.variables
        stretched = isinstance(variables, StretchedImage)
        start = 0.0 if stretched else variables.start[self.active]
        shape = variables.shape if isinstance(variables, StretchedImage) else self.problem.x.shape[1:]
        change = variables.values[self.active] - start
        return coordinates.by_importance(self.problem, self.active, draw, change, shape, count)

    def _grow(self) -> None:
        """Go over to a larger attack space where its step has come; the solver's memory is stretched with it."""
        for step, size in self.settings.attack_space[1:]:
            if step == self.step and isinstance(self.variables, StretchedImage):
                arrays = self.solver.arrays()
                stretched = {name: rows(self.variables.resized(array, size)) for name, array in arrays.items()}
                self.variables = self.variables.grown(size)
                self.solver = SOLVERS[self.settings.solver](*self.variables.values.shape)
                for name, array in self.solver.arrays().items():
                    array[...] = stretched[name]

    # State

    def _keep(self, *, now: bool = False) -> None:
        if not self.short:
            self.checkpoint.save(self._arrays(), now=now)

    def _arrays(self) -> dict[str, Array]:
        return {
            **{f"problem.{name}": array for name, array in self.problem.saved().items()},
            **{f"solver.{name}": array for name, array in self.solver.arrays().items()},
            **{name: getattr(self, name) for name in _STATE},
            "at": np.array([self.attempt, self.step]),
            "values": self.variables.values,
        }

    def _restore(self, arrays: dict[str, Array]) -> None:
        self.attempt, step = (int(number) for number in arrays["at"])
        for self.step in range(step):  # a step grows the space when it begins, and the one that comes has not begun
            self._grow()
        self.step = step
        for name in _STATE:
            setattr(self, name, arrays[name].copy())
        self.variables.values[...] = arrays["values"]
        for name, array in self.solver.arrays().items():
            array[...] = arrays[f"solver.{name}"]
        self.problem.restore({name.removeprefix("problem."): array for name, array in arrays.items()})


_STATE = ("constant", "failed", "succeeded", "left", "active", "met", "last", "current")
