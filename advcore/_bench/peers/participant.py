"""What takes part in the timings."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from advcore._cases import Case
from advcore._check import Array


def flatten(result: Any) -> list[Array]:
    """Return the arrays, or CPU tensors, of a nested result in order."""
    if isinstance(result, (tuple, list)):
        return [array for part in result for array in flatten(part)]
    return [np.asarray(result)]


@dataclass(frozen=True)
class Call:
    """A call with everything prepared: ``run()`` is what is timed, ``arrays`` turns its result into advcore's."""

    run: Callable[[], Any]
    arrays: Callable[[Any], list[Array]] = flatten


@dataclass(frozen=True)
class Participant:
    """A library, and how it does a case.

    ``operations`` are the operations of advcore.ops that it can do; ``packages`` are imported by ``prepare`` only.
    """

    name: str
    packages: tuple[str, ...]
    operations: frozenset[str]
    prepare: Callable[[Case, dict[str, Any]], Call]

    @property
    def missing(self) -> list[str]:
        """The packages that are not installed."""
        return [package for package in self.packages if importlib.util.find_spec(package) is None]
