"""Learning-rate schedules: the factor of the optimiser's rate at each share of the training that is done."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from advcore import _check

Schedule = Callable[[float], float]


def constant(share: float) -> float:
    """Return 1."""
    return 1.0


def cosine(share: float) -> float:
    """Return ``(1 + cos(pi share)) / 2``: from 1 at the start to 0 at the end.

    References
    ----------
    Loshchilov, Hutter: SGDR: stochastic gradient descent with warm restarts. ICLR 2017, equation 5, without restarts.
    """
    return (1 + math.cos(math.pi * share)) / 2


@dataclass(frozen=True, kw_only=True)
class Step:
    """``gamma ** (epochs that are over // step_size)``, as torch.optim.lr_scheduler.StepLR.

    Parameters
    ----------
    epochs : int
        Of the whole training, as in fit; at least 1.
    step_size : int
        Epochs from one drop to the next, at least 1.
    gamma : float
        What a drop multiplies the rate with, at least 0.
    """

    epochs: int
    step_size: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        """Check the arguments."""
        _check.integer("epochs", self.epochs, minimum=1)
        _check.integer("step_size", self.step_size, minimum=1)
        _check.real("gamma", self.gamma, minimum=0.0)

    def __call__(self, share: float) -> float:
        """Return the factor when this share of the training is done."""
        # A share is a rounded quotient: without the small number an epoch may begin just below its whole number.
        return self.gamma ** math.floor((share * self.epochs + 1e-9) / self.step_size)


@dataclass(frozen=True, kw_only=True)
class Warmup:
    """From ``start`` straight to 1 over the first part of the training, then another schedule over the rest.

    Parameters
    ----------
    part : float
        Share of the training, in (0, 1).
    start : float
        In [0, 1].
    then : str or callable
        A name in SCHEDULES, or a function of the share of the rest that is done.

    References
    ----------
    Goyal et al.: Accurate, large minibatch SGD: training ImageNet in 1 hour. arXiv 1706.02677 (2017), section 2.2.
    """

    part: float = 0.05
    start: float = 0.1
    then: str | Schedule = "constant"

    def __post_init__(self) -> None:
        """Check the arguments."""
        _check.real("part", self.part, above=0.0, below=1.0)
        _check.real("start", self.start, minimum=0.0, maximum=1.0)
        schedule_function(self.then)

    def __call__(self, share: float) -> float:
        """Return the factor when this share of the training is done."""
        if share < self.part:
            return self.start + (1 - self.start) * share / self.part
        return schedule_function(self.then)((share - self.part) / (1 - self.part))


SCHEDULES: dict[str, Schedule] = {"constant": constant, "cosine": cosine}


def schedule_function(schedule: str | Schedule) -> Schedule:
    """Return the schedule of that name, or the callable itself."""
    if callable(schedule):
        return schedule
    return SCHEDULES[_check.choice("schedule", schedule, list(SCHEDULES))]
