"""The attacks there are: each registers itself where it is defined."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import ParamSpec, get_type_hints

from advcore.attacks._options import DEFAULTS, Options
from advcore.attacks.result import AttackResult

Arguments = ParamSpec("Arguments")
_ROWS: dict[str, dict[str, str]] = {}
_OWN_DEFAULTS: dict[str, Options] = {}


def attack(
    *, norm: str, access: str, cost: str, targeting: str = "untargeted, targeted", batch_size: int | None = None
) -> Callable[[Callable[Arguments, AttackResult]], Callable[Arguments, AttackResult]]:
    """Register a function as an attack; its signature then shows the shared options by name.

    batch_size is the attack's own default of that option.
    """

    def register(function: Callable[Arguments, AttackResult]) -> Callable[Arguments, AttackResult]:
        name = function.__name__
        _ROWS[name] = {"name": name, "norm": norm, "access": access, "targeting": targeting, "cost": cost}
        if batch_size is not None:
            _OWN_DEFAULTS[name] = DEFAULTS | {"batch_size": batch_size}
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        hints = get_type_hints(Options)
        shared = [
            inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=hints[key])
            for key, value in defaults_of(name).items()
            if key not in signature.parameters
        ]
        function.__signature__ = signature.replace(parameters=own + shared)  # type: ignore[attr-defined]  # what inspect and help() read
        return function

    return register


def available() -> list[dict[str, str]]:
    """Return the attacks, each as a dict.

    Returns
    -------
    list of dict
        "name" (of the function in advcore.attacks); "norm"; "access": what it needs of the model, "gradient"
        (white-box), "scores" (black-box: logits or probabilities), "top1" (class and confidence) or "label";
        "targeting"; "cost" a sample.
    """
    return [dict(_ROWS[name]) for name in sorted(_ROWS)]


def defaults_of(name: str) -> Options:
    """Return the shared options' defaults, with the named attack's own."""
    return _OWN_DEFAULTS.get(name, DEFAULTS)


def access_of(name: str) -> str:
    """Return what the named attack needs of the model."""
    return _ROWS[name]["access"]
