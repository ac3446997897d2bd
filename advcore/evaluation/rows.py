"""One result: what one attack, or one probe, did to one sample at one eps."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

NO_RESULT = ("error", "unfinished")  # statuses that say nothing of what an attack can do
SPENT = "its queries were spent"  # note of a sample for which an attack could pay no more
EVERY_EPS = float("inf")  # stands for eps where an attack has no budget: its distances tell


class Key(NamedTuple):
    """What identifies a result in a run."""

    sample: int
    attack: str
    eps: float


@dataclass(frozen=True)
class Row:
    """The result of one attack on one sample at one eps.

    Attributes
    ----------
    sample : int
        Index into the data.
    attack : str
        Name in the plan; probes of the checks are rows too.
    eps : float
        The budget; 0 for what is done to the input itself, infinity for attacks that have none.
    success : bool
        The example is misclassified (for probes: what they look for was found).
    status : str
        As AttackResult's; "error" where the model raised.
    l0, l1, l2, linf : float
        Distances of the example.
    queries, gradients, verification : int
        Evaluations: asked for by the attack (forward, backward), and spent on looking at its examples.
    queries_to_success : int
        -1 where there was none.
    prediction : int
        The model's class for the example; -1 where it is not known.
    again, alone, rounded, source : bool or None
        Whether a success is one when the model runs a second time, with the example by itself, with the example rounded
        to 8 bits, and in the framework that the model came from; None: not tried.
    note : str
        What else there is to say.
    seconds, cpu_seconds : float
        The sample's share of its task.
    """

    sample: int
    attack: str
    eps: float
    success: bool
    status: str
    l0: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    linf: float = 0.0
    queries: int = 0
    gradients: int = 0
    verification: int = 0
    queries_to_success: int = -1
    prediction: int = -1
    again: bool | None = None
    alone: bool | None = None
    rounded: bool | None = None
    source: bool | None = None
    note: str = ""
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    @property
    def key(self) -> Key:
        """What identifies the row in its run."""
        return Key(self.sample, self.attack, self.eps)

    def within(self, norm: str, eps: float) -> bool:
        """Say whether the sample is broken by an example that is no further away than eps."""
        return self.success and bool(getattr(self, norm) <= eps)

    @property
    def tells(self) -> bool:
        """Whether a sample that is unbroken here says something of the attack: it was not cut, and no model raised."""
        return self.status not in NO_RESULT and self.note != SPENT

    @property
    def queries_of_success(self) -> int:
        """What the example took; without a budget all that was spent, since the first one may lie anywhere."""
        return self.queries if self.eps == EVERY_EPS or self.queries_to_success < 0 else self.queries_to_success

    def values(self) -> tuple[Any, ...]:
        """Return the fields in their order."""
        return tuple(getattr(self, name) for name in COLUMNS)


COLUMNS = tuple(field.name for field in fields(Row))
TIMES = ("seconds", "cpu_seconds")  # all that may differ between two runs of one command
NUMBERS = ("l0", "l1", "l2", "linf", "seconds", "cpu_seconds")
FLAGS = ("success", "again", "alone", "rounded", "source")
