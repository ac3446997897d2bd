"""Checks of things that are no numbers, and how the errors describe what came."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

Choice = TypeVar("Choice")
Kind = TypeVar("Kind")


def describe(value: object) -> str:
    """Say what came: small things as they are written, others by their type."""
    return (
        f"{type(value).__name__} {value!r}"
        if isinstance(value, (bool, int, float, str, tuple))
        else type(value).__name__
    )


def plural(names: Sequence[str]) -> str:
    """Join names: a, b or c."""
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " or " + names[-1]


def shape_text(shape: Sequence[object]) -> str:
    """Write a shape as (N, C, H, W), with None for an extent that may be anything."""
    inner = ", ".join("any" if extent is None else str(extent) for extent in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def sequence(name: str, value: object) -> Sequence[Any]:
    """Return value if it is a list or tuple."""
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{name} must be a list or tuple, got {describe(value)}")
    return value


def pair(name: str, value: object) -> tuple[Any, Any]:
    """Return the two members of a list or tuple."""
    members = sequence(name, value)
    if len(members) != 2:
        raise ValueError(f"{name} must be a pair, got {len(members)} values")
    return members[0], members[1]


def choice(name: str, value: object, choices: Sequence[Choice]) -> Choice:
    """Return value if it is one of the choices."""
    for candidate in choices:
        if type(candidate) is type(value) and candidate == value:
            return candidate
    raise ValueError(f"{name} must be {plural([repr(c) for c in choices])}, got {value!r}")


def instance(name: str, value: object, kind: type[Kind]) -> Kind:
    """Return value if it is an instance of the class."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be of type {kind.__name__}, got {describe(value)}")
    return value


def methods(name: str, value: object, needed: Sequence[str]) -> None:
    """Refuse a class, and an object that lacks one of the attributes."""
    if isinstance(value, type):
        raise TypeError(f"{name} must be an instance, got the class {value.__name__}")
    missing = [attribute for attribute in needed if not hasattr(value, attribute)]
    if missing:
        raise TypeError(f"{name} must have {' and '.join(missing)}, got {describe(value)}")


def flag(name: str, value: object) -> bool:
    """Return value if it is a bool."""
    if value is True or value is False:
        return value
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {describe(value)}")
    return bool(value)


def path(name: str, value: object) -> Path:
    """Return value as a path if it is one that is not empty."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} must be a path, got {describe(value)}")
    if not os.fspath(value):
        raise ValueError(f"{name} must be a path, got an empty string")
    return Path(value)


def suffix(name: str, value: Path, suffixes: Sequence[str]) -> None:
    """Refuse a file's name that does not end in one of the suffixes."""
    if value.suffix not in suffixes:
        raise ValueError(f"{name} must end in {plural(suffixes)}, got {value.name!r}")
