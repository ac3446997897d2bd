"""Who may have changed a layer's parameters: code of a network says so itself, everybody else is watched.

A network keeps its weights packed. It must notice when they change; the arrays are the user's to change, and stay so
after they were handed out.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_inside = threading.local()


@contextmanager
def by_the_network() -> Iterator[None]:
    """Within this context, on this thread, looking at parameters does not count."""
    _inside.depth = getattr(_inside, "depth", 0) + 1
    try:
        yield
    finally:
        _inside.depth -= 1


def watched() -> bool:
    """Return whether it is a user who looks."""
    return not getattr(_inside, "depth", 0)
