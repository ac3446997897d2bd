"""Checkpoints: the whole state of a training in one safetensors file, and what tells one training from another."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from advcore import _files, _safetensors
from advcore._check import Array
from advcore.nn.history import Epoch, History
from advcore.nn.network import Network
from advcore.nn.optimizers import Optimizer
from advcore.nn.serialization import graph_json

FORMAT = 1
KEY = "advcore.checkpoint"


@dataclasses.dataclass
class Progress:
    """How far a training is.

    Attributes
    ----------
    history : History
        The epochs that are over.
    step : int
        Updates made in the epoch that is not over.
    loss, correct, classless, seconds
        Sums of that epoch so far; ``classless`` counts the samples whose targets are of no class.
    best : dict of str to array, optional
        The network's state after the best epoch, where it is to be restored.
    """

    history: History = dataclasses.field(default_factory=History)
    step: int = 0
    loss: float = 0.0
    correct: float = 0
    classless: float = 0
    seconds: float = 0.0
    best: dict[str, Array] | None = None


class Checkpoint:
    """The file of one training.

    Parameters
    ----------
    file : Path
    network, optimizer
        As they are before the first update.
    arguments : dict of str to object
        All other arguments that the result depends on, by name.
    """

    def __init__(self, file: Path, network: Network, optimizer: Optimizer, arguments: Mapping[str, object]) -> None:
        self._file, self._network, self._optimizer = file, network, optimizer
        self._run = {name: describe(value) for name, value in arguments.items()}
        self._run["network"] = _digest(graph_json(network), {})
        self._run["optimizer"] = _optimizer_text(optimizer)
        numbers, arrays = _split(optimizer)
        self._run["initial state"] = _digest(json.dumps(numbers), _prefixed("", network.state_dict()) | arrays)
        _files.check_writable(file.parent)

    def save(self, progress: Progress) -> None:
        """Write the state of the training; the file that was there stays until the new one is whole and on the disk."""
        numbers, arrays = _split(self._optimizer)
        arrays |= _prefixed("network.", self._network.state_dict()) | _prefixed("best.", progress.best or {})
        state = {
            "format": FORMAT,
            "run": self._run,
            "optimizer": numbers,
            "epochs": [dataclasses.asdict(epoch) for epoch in progress.history.epochs],
            "step": progress.step,
            "loss": progress.loss,
            "correct": progress.correct,
            "classless": progress.classless,
            "seconds": progress.seconds,
        }
        text = json.dumps(state, allow_nan=False)
        _files.write(self._file, _safetensors.to_bytes(arrays, {KEY: text, "sha256": _digest(text, arrays)}))

    def load(self) -> Progress:
        """Return how far the training is and take the network and the optimiser there; the start without a file.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is broken, or of another training. Nothing has been changed then.

        A checkpoint is the user's own file: its checksum finds accidents, not someone who makes a false one.
        """
        if not self._file.exists():
            return Progress()
        try:
            arrays, state = self._read()
        except ValueError as error:
            raise ValueError(f"{self._file} is no checkpoint that training can go on from: {error}") from None
        differences = [
            f"{name} was {was}, is {now}" if len(was) < 60 and len(now) < 60 else f"{name} differs"
            for name, now in self._run.items()
            if (was := state["run"].get(name, "missing")) != now
        ]
        if differences:
            raise ValueError(
                f"{self._file} is a checkpoint of another training: {', '.join(differences)}. "
                "Remove it to start anew, or call fit as before, with the network and the optimizer as they were then"
            )
        kinds: dict[str, dict[str, Array]] = {"network": {}, "optimizer": {}, "best": {}}
        for key, array in arrays.items():
            kind, _, name = key.partition(".")
            kinds.setdefault(kind, {})[name] = array
        self._network.load_state_dict(kinds["network"])
        self._optimizer.load_state_dict(kinds["optimizer"] | state["optimizer"])
        history = History([Epoch(**epoch) for epoch in state["epochs"]])
        sums = {name: state[name] for name in ("step", "loss", "correct", "seconds")}
        sums["classless"] = state.get("classless", 0)  # older files did not count them
        return Progress(history, **sums, best=kinds["best"] or None)

    def _read(self) -> tuple[dict[str, Array], dict[str, Any]]:
        arrays, metadata = _safetensors.read(self._file)
        if KEY not in metadata:
            raise ValueError(f"its metadata has no {KEY!r}")
        if metadata.get("sha256") != _digest(metadata[KEY], arrays):
            raise ValueError("its content does not have its checksum")
        state = _safetensors.parse_json(metadata[KEY], "its state")
        if state.get("format") != FORMAT:
            raise ValueError(f"its format must be {FORMAT}, got {state.get('format')}")
        return arrays, state


def describe(value: object) -> str:
    """Write an argument so that equal texts mean equal arguments, as far as code can be told apart by its name."""
    if isinstance(value, np.ndarray):
        return _digest("", {"": value})
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(describe, value))})"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return f"{type(value).__qualname__}({_keywords(fields)})"
    if isinstance(value, functools.partial):
        return f"{describe(value.func)}({describe(value.args)}, {_keywords(value.keywords)})"
    if callable(value):
        named = value if hasattr(value, "__qualname__") else type(value)
        return f"{named.__module__}.{named.__qualname__}"
    return repr(value)


def _keywords(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={describe(value)}" for name, value in values.items())


def _optimizer_text(optimizer: Optimizer) -> str:
    names = inspect.signature(type(optimizer)).parameters
    return f"{type(optimizer).__qualname__}({_keywords({name: getattr(optimizer, name, None) for name in names})})"


def _split(optimizer: Optimizer) -> tuple[dict[str, int], dict[str, Array]]:
    """Return the numbers and the arrays of an optimiser's state."""
    numbers: dict[str, int] = {}
    arrays: dict[str, Array] = {}
    for name, value in optimizer.state_dict().items():
        if isinstance(value, np.ndarray):
            arrays[f"optimizer.{name}"] = value
        else:
            numbers[name] = value
    return numbers, arrays


def _prefixed(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {prefix + name: array for name, array in arrays.items()}


def _digest(text: str, arrays: Mapping[str, Array]) -> str:
    """Return the SHA-256 of a text and of arrays with their names, types and shapes."""
    digest = hashlib.sha256(text.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"\0{name}\0{array.dtype.str}{array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
