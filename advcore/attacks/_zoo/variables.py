"""What ZOO moves: the input's own entries, their tanh form, or a smaller image that is stretched over the input."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from advcore._check import Array
from advcore.attacks._ledger import Index
from advcore.attacks._problem import Problem
from advcore.attacks.result import rows

Values = NDArray[np.float64]
Objective = Callable[[Values, Index], Values]
_INSIDE = 0.999999  # of the box, that arctanh may see


class Derivatives(NamedTuple):
    """First and second derivatives of the objective for the chosen variables, (n, m)."""

    first: Values
    second: Values


class Variables(Protocol):
    """Variables of every sample, (n, d), and the examples that they stand for."""

    values: Values

    def examples(self, index: Index) -> Array:
        """Return the examples of the samples."""

    def derivatives(self, index: Index, chosen: Index, current: Values, constant: Values) -> Derivatives:
        """Estimate the derivatives of ``||x' - x||^2 + constant f`` by differences; current is f at the examples."""


class Entries:
    """The entries of the input, kept in the box by projection.

    Parameters
    ----------
    problem : Problem
    objective : callable
        f: maps logits (B, K) of samples (B,) to values (B,).
    h : float
    second_order : bool
        Whether second derivatives are wanted.
    """

    def __init__(self, problem: Problem, objective: Objective, h: float, second_order: bool) -> None:
        self.problem, self.objective, self.h, self.second_order = problem, objective, h, second_order
        self.origin = rows(problem.x).astype(np.float64)
        self.values = self.origin.copy()
        self.start = self.origin

    def examples(self, index: Index) -> Array:
        """Return the entries, moved into the box."""
        shape = (len(index), *self.problem.x.shape[1:])
        inside = self.problem.project(self.values[index].reshape(shape), index)
        self.values[index] = rows(inside)
        return inside

    def derivatives(self, index: Index, chosen: Index, current: Values, constant: Values) -> Derivatives:
        """Probe each chosen entry up and down."""
        x = self.examples(index)
        away = np.take_along_axis(self.values[index] - self.origin[index], chosen, axis=1)
        slope, curvature = self.of_objective(x, index, chosen, current)
        return Derivatives(2 * away + constant * slope, 2 + constant * curvature)

    def of_objective(self, x: Array, index: Index, chosen: Index, current: Values) -> Derivatives:
        """Return the derivatives of f for entries of x."""
        moved = self.problem.moved(x, index, chosen, self.h)
        count = chosen.shape[1]
        owners = np.repeat(index, count)
        plus, minus = (
            self.objective(logits.reshape(len(owners), -1), owners).reshape(-1, count)
            for logits in (moved.plus, moved.minus)
        )
        return slopes(plus, minus, current[:, np.newaxis], moved.up, moved.down, self.second_order)


class TanhEntries(Entries):
    """w, where the example is ``low + (high - low) (tanh(w) + 1) / 2``: the box is never left.

    Derivatives for w follow from those for the entries by the chain rule.
    """

    def __init__(self, problem: Problem, objective: Objective, h: float, second_order: bool) -> None:
        super().__init__(problem, objective, h, second_order)
        self.low, high = problem.region.bounds
        self.half = (high - self.low) / 2
        self.values = np.arctanh(_INSIDE * ((self.origin - self.low) / self.half - 1))
        self.start = self.values.copy()

    def examples(self, index: Index) -> Array:
        """Return the entries that the variables stand for; what nothing has moved is the input itself."""
        shape = (len(index), *self.problem.x.shape[1:])
        x = self.low + self.half * (np.tanh(self.values[index]) + 1)
        # arctanh needs room at the box's edges: that room is no perturbation.
        still = np.abs(x - self.origin[index]) <= self.half * (1 - _INSIDE)
        return self.problem.project(np.where(still, self.origin[index], x).reshape(shape), index)

    def derivatives(self, index: Index, chosen: Index, current: Values, constant: Values) -> Derivatives:
        """Probe the entries, then change variables: ``f_ww = f_xx x_w^2 + f_x x_ww``."""
        x = self.examples(index)
        tanh = np.tanh(np.take_along_axis(self.values[index], chosen, axis=1))
        x_w = self.half * (1 - tanh**2)
        x_ww = -2 * tanh * x_w
        slope, curvature = self.of_objective(x, index, chosen, current)
        away = np.take_along_axis(rows(x) - self.origin[index], chosen, axis=1)
        first, second = 2 * away + constant * slope, 2 + constant * curvature
        return Derivatives(first * x_w, second * x_w**2 + first * x_ww)


class StretchedImage(Entries):
    """A perturbation of (C, s, s), stretched over the input's (C, H, W) by bilinear interpolation.

    Parameters
    ----------
    size : int
        s.
    """

    def __init__(self, problem: Problem, objective: Objective, h: float, second_order: bool, size: int) -> None:
        super().__init__(problem, objective, h, second_order)
        channels, height, width = problem.x.shape[1:]
        self.shape = (channels, size, size)
        self.down, self.across = interpolation(size, height), interpolation(size, width)
        self.windows = support(self.down), support(self.across)
        self.values = np.zeros((len(problem.x), channels * size * size))

    def grown(self, size: int) -> StretchedImage:
        """Return the same perturbation with more variables."""
        other = StretchedImage(self.problem, self.objective, self.h, self.second_order, size)
        other.values = rows(self.resized(self.values, size))
        return other

    def resized(self, values: Values, size: int) -> Values:
        """Stretch arrays of the variables' shape to a larger size."""
        stretch = interpolation(self.shape[1], size)
        image = values.reshape(len(values), *self.shape)
        return np.asarray(stretch @ image @ stretch.T)

    def examples(self, index: Index) -> Array:
        """Return the stretched perturbation on the inputs, moved into the box."""
        image = self.values[index].reshape(len(index), *self.shape)
        moved = self.problem.x[index] + self.down @ image @ self.across.T
        return self.problem.project(moved, index)

    def derivatives(self, index: Index, chosen: Index, current: Values, constant: Values) -> Derivatives:
        """Probe with each chosen variable's patch on and off the examples."""
        x, variables = self.examples(index), chosen.ravel()
        at = np.repeat(np.arange(len(index)), chosen.shape[1])
        found = np.empty((6, chosen.size))
        some = max(1, self.problem.batch_size // 2)  # both sides together fill a batch
        for first in range(0, chosen.size, some):
            part = slice(first, first + some)
            found[:, part] = self._probed(x, at[part], index[at[part]], variables[part])
        plus, minus, up, down, toward, bend = found.reshape(6, *chosen.shape)
        slope, curvature = slopes(plus, minus, current[:, np.newaxis], up, down, self.second_order)
        return Derivatives(toward + constant * slope, bend + constant * curvature)

    def _probed(self, x: Array, at: Index, owners: Index, chosen: Index) -> Values:
        """Return f at x[at] with one variable a row moved up, and down, how far, and the distance's derivatives.

        A patch moves as a whole, as far as all its pixels have room: to one side only where some are at an edge of the
        box. Where others are at the opposite edge, each pixel moves where it can.
        """
        channel, row, column = np.unravel_index(chosen, self.shape)
        tall, wide = self.windows[0][row], self.windows[1][column]
        patch = (
            self.down[tall, row[:, np.newaxis]][:, :, np.newaxis]
            * self.across[wide, column[:, np.newaxis]][:, np.newaxis]
        )
        region = self.problem.region
        window = channel[:, np.newaxis, np.newaxis], tall[:, :, np.newaxis], wide[:, np.newaxis]
        plane, origin, low, high = (
            images[(rows_of[:, np.newaxis, np.newaxis], *window)].astype(np.float64)
            for images, rows_of in ((x, at), (self.problem.x, owners), (region.lower, owners), (region.upper, owners))
        )
        patch[low == high] = 0.0  # of pixels that must not change
        size = (patch**2).sum(axis=(1, 2))
        room = [
            np.divide(space, patch, out=np.full(patch.shape, self.h), where=patch > 0).min(axis=(1, 2))
            for space in (high - plane, plane - low)
        ]
        step = np.minimum(room, self.h)
        step[step < self.h / 2] = 0.0  # hardly any room: the difference would be rounding
        torn = ~step.any(axis=0)
        step[:, torn] = self.h
        sides = np.array([1.0, -1.0])[:, np.newaxis, np.newaxis, np.newaxis]
        probes = x[np.tile(at, 2)].reshape(2, len(at), *x.shape[1:])
        place = (slice(None), np.arange(len(at))[:, np.newaxis, np.newaxis], *window)
        probes[place] = np.clip(plane + sides * step[:, :, np.newaxis, np.newaxis] * patch, low, high)
        moved = (sides * (probes[place] - plane) * patch).sum(axis=(2, 3))
        up, down = np.divide(moved, size, out=np.zeros(moved.shape), where=size > 0)
        # The sides of a torn patch are not on one line: they have a slope together, but no curvature.
        up, down = np.where(torn, up + down, up), np.where(torn, 0.0, down)
        both = np.tile(owners, 2)
        plus, minus = self.objective(self.problem.logits(probes.reshape(-1, *x.shape[1:]), both), both).reshape(2, -1)
        return np.stack([plus, minus, up, down, 2 * ((plane - origin) * patch).sum(axis=(1, 2)), 2 * size])


def slopes(plus: Values, minus: Values, current: Values, up: Values, down: Values, second: bool) -> Derivatives:
    """Return first and second derivatives from values at up above and down below; zero where nothing could move."""
    width = up + down
    first: Values = np.divide(plus - minus, width, out=np.zeros(width.shape), where=width > 0)
    if not second:
        return Derivatives(first, np.zeros(width.shape))
    both = (up > 0) & (down > 0)
    rise = np.divide(plus - current, up, out=np.zeros(width.shape), where=both)
    fall = np.divide(current - minus, down, out=np.zeros(width.shape), where=both)
    return Derivatives(first, np.divide(2 * (rise - fall), width, out=np.zeros(width.shape), where=both))


def interpolation(size: int, length: int) -> Values:
    """Return the matrix (length, size) that stretches size points over length pixels, by bilinear interpolation."""
    place = np.clip((np.arange(length) + 0.5) * size / length - 0.5, 0, size - 1)
    left = np.minimum(place.astype(np.int64), max(size - 2, 0))
    share = place - left
    matrix = np.zeros((length, size))
    matrix[np.arange(length), left] = 1 - share
    matrix[np.arange(length), np.minimum(left + 1, size - 1)] += share
    return matrix


def support(matrix: Values) -> Index:
    """Return which rows each column of an interpolation needs, (size, n): all alike many, next to each other."""
    held = matrix > 0
    count = held.sum(axis=0).max()
    first = np.minimum(held.argmax(axis=0), len(matrix) - count)
    return np.asarray(first[:, np.newaxis] + np.arange(count))
