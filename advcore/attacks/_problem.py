"""What an algorithm sees: some samples, the model behind a counter, and a place for its best examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advcore._check import Array
from advcore.attacks._arguments import Arguments
from advcore.attacks._best import Best
from advcore.attacks._ledger import Index, Ledger, Moved
from advcore.attacks._losses import LOSSES, Logits, Values, margin, margin_ascent, name_of
from advcore.attacks._projection import Region
from advcore.attacks.result import distance, rows

SCREENED, CONFIRMED, AGREEING = 4, 20, 18  # passes of a randomised model: all must agree; then so many of so many


class Gradient(NamedTuple):
    """Logits (B, K) and the input gradient of a loss (B, ...), with zeros where it is masked or not finite."""

    logits: Logits
    ascent: Array
    informative: NDArray[np.bool_]  # (B,): finite and not zero
    values: Values | None = None  # (B,): of the loss, where it has a name


class Problem:
    """The samples that an algorithm works on together.

    ``index`` arguments say which of the samples the rows of x belong to. Every example worth keeping goes to ``offer``:
    what has been offered is the result, whatever ends the algorithm.

    Attributes
    ----------
    x : array, (n, ...)
        The inputs, none of which meets the criterion.
    y : int64 array, (n,)
        True labels.
    targets : int64 array, (n,), or None
        Classes to reach in a targeted attack.
    logits_of_x : float64 array, (n, K)
        From the check of the inputs, at no further query.
    classes : int
        K.
    seed : int
    sample_ids : int64 array, (n,)
        Keys of random numbers, for advcore._random.
    region : Region
        Box, budget, mask and grid.
    best : Best
        What has been offered.
    """

    def __init__(
        self,
        given: Arguments,
        owners: Index,
        logits: Logits,
        ledger: Ledger,
        norm: str | None,
        eps: float,
        minimise: str | None,
        traces: list[list[float]] | None,
        randomised: bool = False,
    ) -> None:
        self.x, self.y = given.x[owners], given.y[owners]
        self.targets = None if given.targets is None else given.targets[owners]
        self.labels = self.y if self.targets is None else self.targets
        self._strict = given.binary
        self.seed, self.sample_ids = given.seed, given.sample_ids[owners]
        mask = None if given.mask is None else given.mask[owners]
        self.region = Region(self.x, given.bounds, norm, eps, mask, given.quantize)
        self.logits_of_x, self.classes = logits, logits.shape[1]
        self.best = Best(self.x, minimise)
        self.owners, self._ledger, self._traces = owners, ledger, traces
        self._randomised = randomised
        self._traced_by_gradient = False
        self.informed = np.zeros(len(owners), np.bool_)  # samples for which some gradient was of use
        self.loss: str | None = None  # that replaces the algorithm's own
        self.losses: set[str] = set()  # that the algorithm has climbed
        self.cut = np.zeros(len(owners), np.bool_)  # samples whose budget did not pay for a gradient
        self.cut_by: str | None = None
        self.first_queries = np.full(len(owners), -1, np.int64)
        self.first_gradients = np.full(len(owners), -1, np.int64)

    @property
    def targeted(self) -> bool:
        """Whether classes are to be reached rather than left."""
        return self.targets is not None

    @property
    def batch_size(self) -> int:
        """Most rows that the model is given at once."""
        return self._ledger.batch_size

    # Asking the model

    def logits(self, x: Array, index: Index) -> Logits:
        """Ask the model: one query a row. What it has answered by the time that it raises, or is stopped, is kept."""
        with self._keeping(x, index):
            return self._ledger.logits(x, self.owners[index])

    def shared_logits(self, x: Array) -> Logits:
        """Ask the model about inputs of the attacker's own: one query a row, on the account that all samples share."""
        return self._ledger.shared_logits(x)

    def gradient(self, x: Array, index: Index, loss: str, towards: Index | None = None) -> Gradient:
        """Ask for the gradient of a loss in LOSSES, in the direction of success: one gradient a row.

        ``towards`` names a class a row that the loss shall aim at, whatever the criterion is.
        """
        climbed = LOSSES[self.loss or loss]
        aims = self.targets[index] if towards is None and self.targets is not None else towards
        self.losses.add(name_of(self.loss or loss, self.classes, aims is not None))
        self._traced_by_gradient = True

        def ascent(logits: Logits, part: slice) -> Logits:
            return climbed.ascent(logits, self.y[index[part]], None if aims is None else aims[part])

        found = self.vjp(x, index, ascent)
        values = climbed.value(found.logits, self.y[index], aims)
        self.trace(values, index)
        return found._replace(values=values)

    def vjp(self, x: Array, index: Index, cotangent: Callable[[Logits, slice], Logits]) -> Gradient:
        """Ask for the gradient of ``sum_k logits[k] cotangent[k]``; cotangent(logits, part) is for the rows x[part]."""
        found = self.jacobian(x, index, lambda logits, part: cotangent(logits, part)[:, np.newaxis], 1)
        return Gradient(found.logits, found.ascent[:, 0], found.informative)

    def jacobian(self, x: Array, index: Index, cotangents: Callable[[Logits, slice], Logits], count: int) -> Gradient:
        """Ask for several gradients a row, (B, count, ...): cotangents(logits, part) has shape (rows, count, K)."""
        with self._keeping(x, index):
            logits, gradients = self._ledger.gradients_of(x, self.owners[index], cotangents, count)
        finite = np.isfinite(gradients)
        if self.region.mask is not None:
            gradients = np.where(self.region.mask[index][:, np.newaxis], gradients, 0.0).astype(gradients.dtype)
        flat = rows(gradients)
        informative = np.asarray(rows(finite).all(axis=1) & flat.any(axis=1))
        self.informed[index[informative]] = True
        return Gradient(logits, gradients if finite.all() else np.where(finite, gradients, 0.0), informative)

    def moved(self, x: Array, index: Index, coordinates: Index, h: float) -> Moved:
        """Ask for each row of x with each of its coordinates (B, m) moved up and down by h: 2 m queries a row."""
        return self._ledger.moved(x, self.owners[index], coordinates, h, self.region.bounds)

    def afford(self, index: Index, queries: int = 1, gradients: int = 0) -> Index:
        """Return those of the samples that may still ask for so many rows of logits and gradients each.

        Who is refused a gradient has been cut short. (To spend all its queries is how a search by scores ends.)
        """
        able = np.ones(len(index), np.bool_)
        for limit, beyond in self._ledger.unaffordable(self.owners[index], queries, gradients).items():
            able &= ~beyond
            if gradients and beyond.any():
                self.cut[index[beyond]], self.cut_by = True, limit
        return index[able]

    def left(self, index: Index) -> Index:
        """Return how many rows each of the samples may still ask for; without a limit, a very large number."""
        return self._ledger.left(self.owners[index])

    def gradient_queries(self, count: int = 1) -> int:
        """Return the rows of logits that cost as much as the forward passes behind so many gradients of one sample."""
        access = self._ledger.access
        return -(-access.forwards(count) // access.queries)

    # Judging and keeping examples

    def margin(self, logits: Logits, index: Index) -> Values:
        """Return how far past the decision boundary the logits are, in the direction of success; negative before it."""
        gap = margin(logits, self.labels[index])
        return -gap if self.targeted else gap

    def margin_ascent(self, logits: Logits, index: Index) -> Logits:
        """Return the gradient of the margin for the logits, (B, K)."""
        ascent = margin_ascent(logits, self.labels[index])
        return -ascent if self.targeted else ascent

    def met(self, logits: Logits, index: Index) -> NDArray[np.bool_]:
        """Say which rows meet the criterion; of equal logits the first class is the prediction (binary: neither)."""
        if self._strict:
            return np.asarray(self.margin(logits, index) > 0)
        hit: NDArray[np.bool_] = logits.argmax(axis=1) == self.labels[index]
        return hit if self.targeted else ~hit

    def offer(self, x: Array, logits: Logits, index: Index, *, kappa: float = 0.0) -> NDArray[np.bool_]:
        """Keep the examples x, of these logits, that are better than what there is; say which ones meet the criterion.

        They must be in the region (``project``), and count from a margin of ``kappa`` on. With a grid, an example
        counts by its rounded form, for one more query where it meets the criterion. A randomised model is asked again
        about what one lucky answer would make the shortest example, or the first.
        """
        met, gap = self.met(logits, index), self.margin(logits, index)
        met &= gap >= kappa
        if not self._traced_by_gradient:
            self.trace(gap, index)
        if self.region.steps is not None and met.any():
            x, hits = x.copy(), met
            met = self._payable(index, hits)
            gap[hits & ~met] = np.minimum(gap[hits & ~met], 0.0)  # unseen on the grid: no better than one that was seen
            x[met] = self.region.quantized(x[met], index[met])
            if met.any():
                paid = met.copy()
                logits = self.logits(x[paid], index[paid])
                met[paid], gap[paid] = self.met(logits, index[paid]), self.margin(logits, index[paid])
        if self._randomised:
            met = self._confirmed(x, met, index)
        self._take(x, met, gap, index)
        return met

    @contextmanager
    def _keeping(self, x: Array, index: Index) -> Iterator[None]:
        """Keep what the model has answered about the rows by the time that it raises, or is stopped."""
        try:
            yield
        except BaseException as error:
            answered: Logits | None = getattr(error, "answered", None)
            if answered is not None:
                self._keep(x[: len(answered)], answered, index[: len(answered)])
            raise

    def _keep(self, x: Array, logits: Logits, index: Index) -> None:
        """Keep those of the rows, whatever they were asked for, that are allowed as examples."""
        allowed = rows(self.region.quantized(self.project(x, index), index) == x).all(axis=1)
        if self._randomised:  # of which nobody can be asked again now: better than nothing, no better than anything
            allowed &= ~self.best.met[index]
        x, logits, index = x[allowed], logits[allowed], index[allowed]
        self._take(x, self.met(logits, index), self.margin(logits, index), index)

    def _take(self, x: Array, met: NDArray[np.bool_], gap: Values, index: Index) -> None:
        self.best.offer(x, met, gap, index)
        new = index[met & (self.first_queries[index] < 0)]
        self.first_queries[new] = self._ledger.queries[self.owners[new]]
        self.first_gradients[new] = self._ledger.gradients[self.owners[new]]
        self._ledger.monitor.succeeded += len(np.unique(new))

    def _confirmed(self, x: Array, met: NDArray[np.bool_], index: Index) -> NDArray[np.bool_]:
        """Return which rows meet the criterion most of the time, of those that would count.

        What a sample cannot pay for counts only where it has nothing yet.
        """
        if self.best.minimise is None:
            counts = met & ~self.best.met[index]
        else:
            counts = met & (distance(x, self.x[index], self.best.minimise) < self.best.distance[index])
        paid = self._payable(index, counts, CONFIRMED * self._ledger.queries_again)
        (asked,) = np.nonzero(paid)
        votes = np.zeros(len(met), np.int64)
        for passes in range(CONFIRMED):
            if passes == SCREENED:
                asked = asked[votes[asked] == SCREENED]
            if len(asked):
                logits = self._ledger.logits_again(x[asked], self.owners[index[asked]])
                votes[asked] += self.met(logits, index[asked])
        return met & (~counts | (votes >= AGREEING) | (~paid & ~self.best.met[index]))

    def _payable(self, index: Index, wanted: NDArray[np.bool_], each: int = 1) -> NDArray[np.bool_]:
        """Return the wanted rows without those that their samples cannot pay for: a sample's first rows come first."""
        (places,) = np.nonzero(wanted)
        places = places[np.argsort(index[places], kind="stable")]
        samples = index[places]
        earlier = np.arange(len(samples)) - np.searchsorted(samples, samples)  # rows of the same sample
        payable = np.zeros_like(wanted)
        payable[places[(earlier + 1) * each <= self.left(samples)]] = True
        return payable

    def submit(self, x: Array, index: Index) -> None:
        """Make x the result of the samples without looking at it: for algorithms that end with an unseen example."""
        self.best.examples[index] = x

    def project(self, x: Array, index: Index) -> Array:
        """Move x into the box and the budget."""
        return self.region.project(x, index)

    # State, for algorithms that go on after a kill

    def saved(self) -> dict[str, Array]:
        """Return what has been found and spent, by name."""
        ledger, best, owners = self._ledger, self.best, self.owners
        return {
            **{name: getattr(best, name) for name in ("examples", "met", "distance", "margin")},
            **{name: getattr(self, name) for name in ("informed", "first_queries", "first_gradients")},
            **{name: getattr(ledger, name)[owners] for name in ("queries", "gradients")},
        }

    def restore(self, arrays: dict[str, Array]) -> None:
        """Take over what ``saved`` gave; the check of the inputs is in it."""
        for name in ("examples", "met", "distance", "margin"):
            getattr(self.best, name)[...] = arrays[name]
        for name in ("informed", "first_queries", "first_gradients"):
            getattr(self, name)[...] = arrays[name]
        for name in ("queries", "gradients"):
            getattr(self._ledger, name)[self.owners] = arrays[name]

    def trace(self, values: Values, index: Index) -> None:
        """Add the samples' losses to their traces, where those were asked for."""
        if self._traces is not None:
            for owner, value in zip(self.owners[index].tolist(), values.tolist(), strict=True):
                self._traces[owner].append(value)
