"""What a detector was made of when it was fitted, so that it is saved as it was."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from advcore.defenses import BitDepth, MedianFilter, NonLocalMeans
from advcore.nn import Network

ANY = ("batch_size",)  # arguments that decide nothing


def state(detector: Any) -> dict[str, Any]:
    """Return the arguments of a detector, and of those within, as what can be compared later."""
    options = {"network": detector.network} | detector.get_params(deep=False)
    return {key: _frozen(value) for key, value in options.items() if key not in ANY}


def first_change(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """Return the name of an argument that differs."""
    return next((key for key in after if before.get(key) != after[key]), None)


def _frozen(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, zlib.crc32(np.ascontiguousarray(value).data)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Network):
        return _of_network(value)
    if isinstance(value, list | tuple):
        return [_frozen(one) for one in value]
    if hasattr(value, "get_params"):
        return type(value).__name__, state(value)
    if isinstance(value, BitDepth | MedianFilter | NonLocalMeans):
        return type(value).__name__, {key: _frozen(one) for key, one in vars(value).items()}
    return value if isinstance(value, bool | int | float | str | None) else id(value)


def _of_network(network: Network) -> tuple[str, int]:
    layers = [(name, type(one).__name__, one.config(), network.wiring[name]) for name, one in network.layers.items()]
    seen = 0
    for array in network.state_dict().values():
        seen = zlib.crc32(np.ascontiguousarray(array).data, seen)
    return repr(layers), seen
