"""Which samples an attack gave up because their queries were spent: what it did not find there says nothing."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from advcore import attacks
from advcore.attacks import AttackResult

if TYPE_CHECKING:
    from advcore.evaluation.work import Setup

# Attacks of one query a step, which end after so many; others are taken for cut where the limit is their own end, too.
_OWN_END = {"square": "steps", "uniform_noise": "draws", "gaussian_noise": "draws"}


def most_queries(setup: Setup, options: Mapping[str, Any]) -> int | None:
    """Return the smaller limit of queries: that of the attack or that of the run; None: without a limit."""
    limits = (options.get("max_queries"), setup.max_queries)
    return min((limit for limit in limits if limit is not None), default=None)


def spent(
    setup: Setup, result: AttackResult, attack: str, options: Mapping[str, Any] | None = None, draws: int | None = None
) -> NDArray[np.bool_]:
    """Say which samples could not pay for one more step of the attack, (n,).

    Parameters
    ----------
    setup : Setup
    result : AttackResult
    attack : str
        Its function in advcore.attacks.
    options : mapping, optional
        Its own.
    draws : int, optional
        Passes that a gradient averages.
    """
    given = _defaults(attack) | dict(options or {})
    limit, evaluations = most_queries(setup, given), given.get("max_evaluations")
    short = np.zeros(len(result.queries), np.bool_)
    if limit is None and evaluations is None:
        return short
    step = _largest_step(setup, attack, given, draws or 1)
    if limit is not None:
        short |= limit - result.queries < step
    if evaluations is not None:
        short |= evaluations - result.queries - result.gradients < 2 * step
    end = given[_OWN_END[attack]] if attack in _OWN_END else np.inf
    return np.asarray(short & (result.queries < end))


def _largest_step(setup: Setup, attack: str, given: Mapping[str, Any], draws: int) -> int:
    """Return the queries that an attack asks for together at most: a step of which it can pay a part is not taken."""
    access = setup.access()
    if _by_gradient(attack):
        return draws * (access.forwards(setup.classes) + access.queries)
    probes = max(int(given.get("pairs") or 0), int(given.get("coordinates") or 128) if attack == "zoo" else 0)
    size = int(np.prod(setup.handle.shape))
    return access.queries * (2 * (min(probes, size) if attack == "zoo" else probes) + 1)


def _by_gradient(attack: str) -> bool:
    return any(row["name"] == attack and row["access"] == "gradient" for row in attacks.available())


def _defaults(attack: str) -> dict[str, Any]:
    parameters = inspect.signature(getattr(attacks, attack)).parameters
    return {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}
