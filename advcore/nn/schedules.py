"""Learning-rate schedules: the factor of the optimiser's rate at each share of the training that is done."""

from __future__ import annotations

import math
from collections.abc import Callable

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


SCHEDULES: dict[str, Schedule] = {"constant": constant, "cosine": cosine}


def schedule_function(schedule: str | Schedule) -> Schedule:
    """Return the schedule of that name, or the callable itself."""
    if callable(schedule):
        return schedule
    return SCHEDULES[_check.choice("schedule", schedule, list(SCHEDULES))]
