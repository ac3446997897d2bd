"""The arguments that all attacks take, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advcore import _check
from advcore._check import Array
from advcore.attacks._access import Access
from advcore.attacks._binary import Binary
from advcore.attacks._ledger import Limit
from advcore.attacks._options import DEFAULTS, Options
from advcore.attacks._projection import off_grid
from advcore.attacks._registry import access_of, available, defaults_of
from advcore.attacks.model import wrap

LARGEST_LABEL = 2**31 - 1
LARGEST_NAMED = 100_000  # classes that labels may name where a matrix of scores is made of them


@dataclass(frozen=True)
class Arguments:
    """What every attack is given, as Options says; ``mask`` has the shape of x.

    ``binary``: the model has two classes, and equal logits are no success.
    """

    name: str
    access: Access
    x: Array
    y: NDArray[np.int64]
    targets: NDArray[np.int64] | None
    seed: int
    sample_ids: NDArray[np.int64]
    bounds: tuple[float, float]
    batch_size: int
    mask: NDArray[np.bool_] | None
    quantize: int | None
    max_seconds: float | None
    max_queries: Limit
    max_evaluations: Limit
    progress: bool
    callback: Any
    trace: bool
    binary: bool = False


def check(attack: str, model: Any, x: object, y: object, options: Options, *, binary: bool = False) -> Arguments:
    """Return the arguments of the named attack, or say what is wrong with them.

    ``binary``: a model of one output is taken too.
    """
    unknown = sorted(set(options) - set(DEFAULTS))
    if unknown:
        raise TypeError(f"{attack} got an unexpected keyword argument {unknown[0]!r}")
    given: dict[str, Any] = {**defaults_of(attack), **options}
    _check.methods("model", model, ())
    x = _check.array("x", x, min_ndim=2)
    box = _check.bounds("bounds", given["bounds"], x.dtype)
    _check.finite("x", x)
    _check.inside("x", x, box)
    shape = (len(x),)
    y = _check.integers("y", y, shape=shape, minimum=0, maximum=LARGEST_LABEL)
    targets = given["targets"]
    if targets is not None:
        targets = _check.integers("targets", targets, shape=shape, minimum=0, maximum=LARGEST_LABEL)
        if (same := targets == y).any():
            raise ValueError(f"targets must differ from y, got the label itself for sample {int(np.argmax(same))}")
    ids = np.arange(len(x)) if given["sample_ids"] is None else given["sample_ids"]
    quantize = _at_least_1("quantize", given["quantize"])
    if quantize is not None and (off := off_grid(x, box, quantize)).any():
        raise ValueError(
            f"x must lie on the grid of quantize={quantize} steps in its bounds, got other values in sample "
            f"{int(np.argmax(off))}"
        )
    callback = given["callback"]
    if callback is not None and not callable(callback):
        raise TypeError(f"callback must be callable, got a {type(callback).__name__}")
    access = _access(attack, model, given["output"], given["randomised"], y, targets)
    return Arguments(
        attack,
        Binary(access, attack) if binary else access,
        x,
        y,
        targets,
        _check.integer("seed", given["seed"], minimum=0, maximum=2**63 - 1),
        _check.integers("sample_ids", ids, shape=shape, minimum=0, maximum=2**48 - 1),
        box,
        _check.integer("batch_size", given["batch_size"], minimum=1),
        _check.mask("mask", given["mask"], x.shape),
        quantize,
        None if given["max_seconds"] is None else _check.real("max_seconds", given["max_seconds"], above=0.0),
        _limit("max_queries", given["max_queries"], len(x)),
        _limit("max_evaluations", given["max_evaluations"], len(x)),
        _check.flag("progress", given["progress"]),
        callback,
        _check.flag("trace", given["trace"]),
        binary,
    )


def within_box(eps: float, norm: str, given: Arguments) -> float:
    """Return a budget of the same examples that is no larger than steps in the type of x can be: twice the box."""
    low, high = given.bounds
    size = math.prod(given.x.shape[1:])
    return min(eps, 2 * (high - low) * {"linf": 1.0, "l2": math.sqrt(size), "l1": float(size)}[norm])


def _access(
    attack: str,
    model: Any,
    output: str | None,
    randomised: bool | None,
    y: NDArray[np.int64],
    targets: NDArray[np.int64] | None,
) -> Access:
    """Return the model as the attack may see it; refuse one that gives less than the attack needs."""
    needs = access_of(attack)
    named = 1 + max(1, *(int(labels.max(initial=0)) for labels in (y, targets) if labels is not None))
    if named > LARGEST_NAMED and output in ("top1", "label"):
        raise ValueError(f"y and targets must be below {LARGEST_NAMED} for output={output!r}, got {named - 1}")
    access = wrap(model, output, needs="scores" if needs == "gradient" else needs, named=named)
    if needs == "gradient" and not access.gradients:
        others = ", ".join(row["name"] for row in available() if row["access"] != "gradient")
        raise TypeError(f"{attack} needs a model with vjp(x, cotangent), got one without gradients; use {others}")
    if randomised is not None:
        access.randomised = _check.flag("randomised", randomised)
    return access


def _at_least_1(name: str, value: object) -> int | None:
    return None if value is None else _check.integer(name, value, minimum=1)


def _limit(name: str, value: object, count: int) -> Limit:
    if isinstance(value, np.ndarray):
        return _check.integers(name, value, shape=(count,), minimum=1, maximum=2**62)
    return _at_least_1(name, value)
