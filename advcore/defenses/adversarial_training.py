"""Adversarial training (Madry et al. 2018, arXiv 1706.06083; in single steps: Wong et al. 2020, arXiv 2001.03994)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import _check, _random, nn
from advcore._check import Array
from advcore.attacks._losses import cross_entropy_ascent
from advcore.attacks.result import AttackResult, distance

Attack = Callable[..., Array | AttackResult]


def adversarial_training(
    network: nn.Network,
    x: Array,
    y: object,
    *,
    eps: float,
    epochs: int,
    norm: str = "linf",
    steps: int = 10,
    step_size: float | None = None,
    random_start: bool = True,
    warmup: float = 0.0,
    attack: Attack | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    **options: Any,
) -> nn.History:
    """Train in place on the worst examples that PGD finds: ``min_w E[max_{||d|| <= eps} loss(w, x + d, y)]`` (eq. 2.1).

    Every batch is replaced by the last iterates of PGD against the network as it is at that moment.

    Parameters
    ----------
    network : Network
    x : array of the network's type, (N, ...)
        Inside the bounds.
    y : int array, (N,)
        True labels, in [0, K): never the network's own predictions, which leak the label through the example.
    eps : float, at least 0
        The budget, in the units of x.
    epochs : int, at least 1
    norm : "linf" or "l2"
        Of the budget, which the examples of ``attack`` must keep, too.
    steps : int, at least 1
        Gradients an example. One step with a random start and the default step size is "fast" adversarial training.
    step_size : float, above 0, optional
        In the units of x; ``1.25 eps`` for one step, else ``2.5 eps / steps``. It grows with eps during the warm-up.
    random_start : bool
        Start uniformly in the ball, anew in every epoch, rather than at x. Single steps from x overfit to themselves.
    warmup : float
        In [0, 1]: the share of the training over which eps grows from 0, in a straight line.
    attack : callable, optional
        Any attack in place of PGD: called as ``attack(network, x, y, eps=, bounds=, seed=, sample_ids=)``, such as
        ``functools.partial(attacks.pgd, steps=20, early_stop=False)``, it returns examples or an AttackResult. steps,
        step_size and random_start are its own then, and so is its norm.
    bounds : (low, high)
        The box of valid inputs.
    **options
        Of ``nn.fit``: batch_size, optimizer, schedule, validation, checkpoint, seed... With a checkpoint it goes on
        exactly where it was.

    Returns
    -------
    History
        Loss and accuracy are those on the adversarial examples.

    Raises
    ------
    TypeError, ValueError
        As nn.fit; if a setting is out of range, x is outside its bounds, or an example of ``attack`` is outside of them
        or of the budget.

    Notes
    -----
    Differs from the paper: cross-entropy's gradient is divided by the probability of the other classes, which changes
    no direction and keeps it from vanishing; examples are made in evaluation mode; eps may grow over a warm-up, without
    which training at large eps may end in a constant answer.
    """
    box = _check.bounds("bounds", bounds)
    inner = InnerPGD(eps, norm, steps, step_size, random_start, warmup, box)
    perturb = inner if attack is None else Attacked(attack, eps, norm, warmup, box)
    network = _check.instance("network", network, nn.Network)
    _check.inside("x", _check.array("x", x, dtype=network.dtype, min_ndim=2), box)
    labels = _check.integers("y", y, shape=(len(x),), minimum=0, maximum=2**31 - 1)
    return nn.fit(network, x, labels, epochs=epochs, perturb=perturb, **options)


@dataclass(frozen=True)
class InnerPGD:
    """PGD on a batch in training, for ``nn.fit(perturb=)``: all steps, the last iterate. Arguments as above."""

    eps: float
    norm: str = "linf"
    steps: int = 10
    step_size: float | None = None
    random_start: bool = True
    warmup: float = 0.0
    bounds: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        """Check the arguments."""
        _check.real("eps", self.eps, minimum=0.0)
        _check.choice("norm", self.norm, ("linf", "l2"))
        _check.integer("steps", self.steps, minimum=1)
        if self.step_size is not None:
            _check.real("step_size", self.step_size, above=0.0)
        _check.flag("random_start", self.random_start)
        _check.real("warmup", self.warmup, minimum=0.0, maximum=1.0)
        _check.bounds("bounds", self.bounds)

    def __call__(self, network: nn.Network, batch: nn.Batch) -> Array:
        """Return the examples, of the batch's shape."""
        grown = _grown(self.warmup, batch.share)
        eps = self.eps * grown
        size = 1.25 * eps if self.steps == 1 else 2.5 * eps / self.steps
        if self.step_size is not None:
            size = self.step_size * grown
        return self._linf(network, batch, eps, size) if self.norm == "linf" else self._l2(network, batch, eps, size)

    def _linf(self, network: nn.Network, batch: nn.Batch, eps: float, size: float) -> Array:
        x, kind = batch.x, batch.x.dtype.type
        lower = np.maximum(x - kind(eps), kind(self.bounds[0]))
        upper = np.minimum(x + kind(eps), kind(self.bounds[1]))
        current: Array = x.copy()
        if self.random_start:
            offset = _random.uniform(
                batch.seed, batch.samples, batch.epoch, x[0].size, low=-eps, high=eps, dtype=x.dtype
            )
            current += offset.reshape(x.shape)
            np.clip(current, lower, upper, out=current)
        for _ in range(self.steps):
            gradient = _gradient(network, current, batch.y)
            np.sign(gradient, out=gradient)
            gradient *= kind(size)
            current += gradient
            np.clip(current, lower, upper, out=current)
        return current

    def _l2(self, network: nn.Network, batch: nn.Batch, eps: float, size: float) -> Array:
        x, count = batch.x, batch.x[0].size
        low, high = self.bounds
        current = x
        if self.random_start:
            ids = (batch.seed, batch.samples, batch.epoch)
            radius = eps * _random.uniform(*ids, 1, stream=1) ** (1 / count)
            offset = _unit(_random.normal(*ids, count)) * radius
            current = np.clip(x + offset.reshape(x.shape), low, high).astype(x.dtype)
        for _ in range(self.steps):
            ascent = _unit(_gradient(network, current, batch.y).reshape(len(x), count).astype(np.float64))
            delta = (current - x).reshape(len(x), count) + size * ascent
            delta *= np.minimum(1, eps / np.maximum(np.linalg.norm(delta, axis=1), 1e-30))[:, np.newaxis]
            current = np.clip(x + delta.reshape(x.shape), low, high).astype(x.dtype)
        return current


@dataclass(frozen=True)
class Attacked:
    """Any attack on a batch in training, for ``nn.fit(perturb=)``. Arguments as adversarial_training's."""

    attack: Attack
    eps: float
    norm: str = "linf"
    warmup: float = 0.0
    bounds: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        """Check the arguments."""
        if not callable(self.attack):
            raise TypeError(f"attack must be a function, got {type(self.attack).__name__}")
        _check.real("eps", self.eps, minimum=0.0)
        _check.real("warmup", self.warmup, minimum=0.0, maximum=1.0)

    def __call__(self, network: nn.Network, batch: nn.Batch) -> Array:
        """Return the examples, of the batch's shape; another seed in every epoch."""
        eps, seed = self.eps * _grown(self.warmup, batch.share), batch.seed + 2**32 * batch.epoch
        result = self.attack(
            network, batch.x, batch.y, eps=eps, bounds=self.bounds, seed=seed, sample_ids=batch.samples
        )
        given = result.examples if isinstance(result, AttackResult) else result
        examples = _check.array("attack(network, x, y)", given, dtype=batch.x.dtype, shape=batch.x.shape)
        _check.finite("attack(network, x, y)", examples)
        _check.inside("attack(network, x, y)", examples, self.bounds)
        furthest = distance(examples, batch.x, self.norm).max()
        if furthest > eps + self._rounding(batch.x):
            raise ValueError(
                f"attack(network, x, y) must be within eps = {eps:g} of x in {self.norm}, got one at {furthest:g}"
            )
        return examples

    def _rounding(self, x: Array) -> float:
        """Return how far rounding may take an example out of its budget: some units in the last place an entry."""
        entry = 8 * float(np.finfo(x.dtype).eps) * max(map(abs, self.bounds))
        return entry if self.norm == "linf" else entry * math.sqrt(x[0].size)


def _grown(warmup: float, share: float) -> float:
    return 1.0 if share >= warmup else share / warmup


def _gradient(network: nn.Network, x: Array, y: Any) -> Array:
    def ascent(logits: Array) -> Array:
        return cross_entropy_ascent(logits, y)

    return network.value_and_vjp(x, ascent)[1]


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale each row to length 1; zeros stay."""
    unit: NDArray[np.float64] = rows / np.maximum(np.linalg.norm(rows, axis=1), 1e-30)[:, np.newaxis]
    return unit
