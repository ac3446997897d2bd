"""What tells one model, detector or option from another: the hashes by which a run knows its own results again."""

from __future__ import annotations

import hashlib
import inspect
import math
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

import numpy as np

from advcore._check import Array
from advcore.attacks._access import Access
from advcore.attacks.model import top_class, wrap
from advcore.detectors import Detector
from advcore.nn import Network, serialization

NONE = "none"
OPTIONS = ("eps", "bounds", "attacks", "checks", "max_queries", "randomised", "chunk_size", "answers")  # of a run
ASKED = 1000  # images whose classes are compared
SLOPES = 4  # images whose gradients are compared
DEEPEST = 5  # wrappers around wrappers
# Whose wrappers keep what they wrap, and settings, as they were made.
_OURS = ("advcore.attacks", "advcore.defenses", "advcore.evaluation")
_SETTINGS = ("scale", "draws", "output", "sigma", "passes", "seed")


def digest(*parts: str | bytes) -> str:
    """Return a hash of texts and bytes, in order."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part.encode() if isinstance(part, str) else part)
        found.update(b"\0")
    return found.hexdigest()


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it; an array becomes its shape, type and hash, a function its name."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, np.ndarray):
        content = digest(np.ascontiguousarray(value).tobytes())
        return f"array of shape {value.shape}, {value.dtype}, sha256 {content[:32]}"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return _name(value)


def parts(thing: Any, deepest: int = DEEPEST) -> list[bytes]:
    """Return what an object in memory is made of: names of classes and functions, parameters where it has them.

    Counters, caches and generators that a user's object carries are left out: they change from call to call.
    """
    found = [_name(thing).encode()]
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(thing, torch.nn.Module):
        found += [str(thing).encode(), torch.__version__.encode(), str(torch.get_num_threads()).encode()]
        for name, tensor in sorted(thing.state_dict().items()):
            if isinstance(tensor, torch.Tensor):
                found += [name.encode(), np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes()]
    elif isinstance(thing, Network):
        found += _network(thing)
    elif deepest:
        for name, part in _inside(thing):
            found += [name.encode(), *parts(part, deepest - 1)]
    return found


def answers(access: Access, x: Array, first: Array | None) -> str:
    """Return what a model says of a few images: its first logits to four digits, its gradients roughly.

    Parameters
    ----------
    access : Access
    x : array, (N, ...)
    first : array or None
        The logits of the first images; None: it raised.
    """
    said = ["raises" if first is None else _digits(first, 4)]
    if access.gradients:
        said.append(_said(lambda: _slopes(access, x[:SLOPES])))
    return digest(*said)


def answers_as(access: Access, x: Array, classes: Mapping[int, int], chunk: int) -> bool:
    """Say whether a model still gives images the classes that a run has of it, asked in the same chunks.

    A run that begins has none, and is not kept waiting: many images of a slow model take minutes.
    """
    for start in range(0, min(len(x), ASKED), chunk):
        samples = [sample for sample in range(start, min(start + chunk, len(x))) if sample in classes]
        wanted = " ".join(str(classes[sample]) for sample in samples)
        if samples and _said(partial(_classes, access, x[samples])) != wanted:
            return False
    return True


def of_detector(detector: Any, x: Array) -> str:
    """Return a hash of a fitted detector: what it would be saved as, where it can be, and what it says of images."""
    if detector is None:
        return NONE
    return digest(*parts(detector), _saved(detector), _said(lambda: _stable(detector.decision_function, x)))


def of_source(source: Any, x: Array) -> str:
    """Return a hash of the model in the framework it came from."""
    if source is None:
        return NONE
    access = wrap(source, None if hasattr(source, "parameters") else "logits")
    return digest(*parts(source), _said(lambda: _stable(access.logits, x)))


def _name(thing: Any) -> str:
    kind = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{getattr(kind, '__module__', None)}.{kind.__qualname__}"


def _network(network: Network) -> list[bytes]:
    try:
        return [serialization.to_bytes(network)]
    except ValueError:  # a layer of the user's own
        return [part for name, array in network.state_dict().items() for part in (name.encode(), array.tobytes())]


def _inside(thing: Any) -> list[tuple[str, Any]]:
    """Return the parts of an object that may be told by name."""
    if isinstance(thing, (list, tuple)):
        return [(str(place), part) for place, part in enumerate(thing)]
    if isinstance(thing, partial):
        return [("function", thing.func)]
    if isinstance(thing, MethodType):
        return [("self", thing.__self__)]
    if isinstance(thing, FunctionType):
        return _around(thing)
    if isinstance(thing, type) or not hasattr(thing, "__dict__"):
        return []
    ours = type(thing).__module__.startswith(_OURS)
    found = [(name, part) for name, part in sorted(vars(thing).items()) if _is_model(part) or (ours and callable(part))]
    settings = [(name, getattr(thing, name, None)) for name in _SETTINGS] if ours else []
    return found + [(f"{name}={value}", None) for name, value in settings if isinstance(value, (int, float, str))]


def _around(function: FunctionType) -> list[tuple[str, Any]]:
    """Return the models that a function was made with, or finds in its module."""
    try:
        found = inspect.getclosurevars(function)
    except ValueError:  # one of its variables has no value yet
        return []
    there = {**found.globals, **found.nonlocals}
    return [(name, part) for name, part in sorted(there.items()) if _is_model(part)]


def _is_model(part: Any) -> bool:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(part, torch.nn.Module):
        return True
    return isinstance(part, Access) or (callable(getattr(part, "logits", None)) and not isinstance(part, type))


def _saved(detector: Any) -> bytes:
    """Return the content of a detector's file, nothing where it cannot be written."""
    if not isinstance(detector, Detector):
        return b""
    with tempfile.TemporaryDirectory() as folder:
        try:
            detector.save(Path(folder) / "detector")
            return (Path(folder) / "detector").read_bytes()
        except (TypeError, ValueError):  # a foreign network, a class of the user's own
            return b""


def _classes(access: Access, x: Array) -> str:
    return " ".join(map(str, top_class(np.asarray(access.logits(x.copy())), access.rejects)))


def _said(ask: Callable[[], str]) -> str:
    """Return an answer, or that there is none: what a model raises is the run's business."""
    try:
        return ask()
    except (Exception, SystemExit):
        return "raises"


def _stable(ask: Callable[[Array], Any], x: Array) -> str:
    """Return what a function says of images, unless it says something else the second time."""
    first, second = (np.asarray(ask(x.copy()), np.float64) for _ in range(2))
    return _digits(first, 4) if np.array_equal(first, second, equal_nan=True) else "random"


def _slopes(access: Access, x: Array) -> str:
    """Return the lengths of the predictions' gradients, and how they lie to a fixed direction."""

    def of_predictions(logits: Any) -> Array:
        values = np.asarray(logits)
        chosen: Array = np.zeros((len(values), 1, values.shape[1]), values.dtype)
        chosen[np.arange(len(values)), 0, values.argmax(axis=1)] = 1
        return chosen

    _, gradients = access.logits_and_gradients(x.copy(), of_predictions, 1)
    flat = np.nan_to_num(np.asarray(gradients, np.float64).reshape(len(x), -1))
    length = np.sqrt(np.square(flat).sum(axis=1))
    direction = np.cos(np.arange(flat.shape[1]))  # any that no gradient is at right angles to
    sides = (flat * direction).sum(axis=1) / np.maximum(length, np.finfo(np.float64).tiny)
    return _digits(length, 3) + " " + " ".join(f"{side:.3f}" for side in sides + 0.0)


def _digits(values: Any, count: int) -> str:
    numbers = np.nan_to_num(np.asarray(values, np.float64)).ravel() + 0.0
    return " ".join(f"{number:.{count}g}" for number in numbers)
