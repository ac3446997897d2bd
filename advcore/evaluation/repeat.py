"""The call of advcore.evaluate that repeats a run, in words of Python."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from advcore.evaluation.identity import plain
from advcore.evaluation.plan import Planned

_SAME_RESULTS = ("output", "executor", "ahead", "progress", "names", "command")  # whatever they are
_OBJECTS = ("model", "x", "y", "detector", "source")


def call(function: Callable[..., Any], arguments: Mapping[str, Any]) -> str:
    """Return the call with the arguments that are not left as they are; objects go by the arguments' names."""
    shown = []
    for name, parameter in inspect.signature(function).parameters.items():
        value = arguments[name]
        if name in _SAME_RESULTS or (parameter.default is not parameter.empty and value is parameter.default):
            continue
        text = name if name in _OBJECTS else repr(_written(value))
        shown.append(text if parameter.kind is parameter.POSITIONAL_OR_KEYWORD else f"{name}={text}")
    return f"advcore.{function.__name__}({', '.join(shown)})"


def _written(value: Any) -> Any:
    """Return a value as it may be written; an array among an attack's options by its hash."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        value = [(entry.attack, entry.options) if isinstance(entry, Planned) else entry for entry in value]
    return plain(value)
