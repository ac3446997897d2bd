"""A callable that is asked again when it fails for a moment: a model behind a network."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from advcore import _check


class Retrying:
    """A callable in front of another one; see ``retrying``.

    Attributes
    ----------
    retries : int
        Calls that failed and were made again, so far.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        errors: tuple[type[Exception], ...],
        attempts: int,
        wait: Callable[[int], float],
        sleep: Callable[[float], object],
    ) -> None:
        self.function, self.errors, self.attempts = function, errors, attempts
        self.wait, self.sleep = wait, sleep
        self.retries = 0
        self.randomised = getattr(function, "randomised", None)
        self.rejects = getattr(function, "rejects", False)

    def __call__(self, x: Any) -> Any:
        """Ask, again where it fails for a moment."""
        for attempt in range(1, self.attempts + 1):
            try:
                return self.function(x.copy())  # what failed half-way may have written to its input
            except self.errors as error:
                if attempt == self.attempts:
                    error.add_note(f"It was the last of {attempt} attempts.")
                    raise
            self.retries += 1
            self.sleep(self.wait(attempt))
        raise AssertionError("attempts is at least 1")


def retrying(
    function: Callable[[Any], Any],
    *,
    errors: tuple[type[Exception], ...] = (TimeoutError,),
    attempts: int = 5,
    wait: float | Callable[[int], float] = 0.1,
    sleep: Callable[[float], object] = time.sleep,
) -> Retrying:
    """Return a callable that asks ``function`` again when it raises one of the errors.

    Give it to an attack in place of a remote model; a batch is then paid for once in the attack's count, and
    ``.retries`` says how many calls were made again beside.

    Parameters
    ----------
    function : callable
        Maps (B, ...) to what the attack's ``output`` says.
    errors : tuple of exception types
        Those that pass with time. Everything else is raised at once.
    attempts : int, at least 1
        For one call, the first included; the last error is raised.
    wait : float, at least 0, or callable
        Seconds before the second attempt, twice as long before every further one; or a function from the number of
        attempts that have failed (1, 2, ...) to seconds.
    sleep : callable
        Waits so many seconds.

    Returns
    -------
    callable

    Raises
    ------
    TypeError, ValueError
        If an argument is wrong.
    """
    if not callable(function):
        raise TypeError(f"function must be callable, got a {type(function).__name__}")
    kinds = (errors,) if isinstance(errors, type) else tuple(_check.sequence("errors", errors))
    if not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
        raise TypeError(f"errors must be exception types, got {kinds}")
    if callable(wait):
        pause = wait
    else:
        first = _check.real("wait", wait, minimum=0.0)

        def pause(failed: int) -> float:
            return first * 2.0 ** (failed - 1)

    return Retrying(function, kinds, _check.integer("attempts", attempts, minimum=1), pause, sleep)
