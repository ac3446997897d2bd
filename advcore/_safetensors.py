"""Files of named arrays and strings in the safetensors format, read as files that anyone may have made.

The safetensors package checks the bytes: lengths, UTF-8, types, shapes against offsets, overlaps and holes. Here is
what it lets through: repeated names, a header that is no object from its first byte, one that takes far more memory as
Python objects than as text.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors.numpy import save

from advcore._check import Array

LARGEST_HEADER = 10**7  # bytes; the header of a network of 1000 layers has 0.3 of them
LARGEST_NUMBER = 20  # digits of an integer in JSON

_TYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype(np.float32), "F64": np.dtype(np.float64)}


def to_bytes(arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    """Return the content of a file of float32 and float64 arrays, and strings, by name."""
    content: bytes = save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, dict(metadata))
    return content


def read(file: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """Return a file's arrays and its metadata, by name.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no regular file, or not one in the format with names of their own and arrays of float32 or float64.
    """
    if not stat.S_ISREG(file.stat().st_mode):  # before it is opened: a pipe would wait for its other end
        raise ValueError("it is no regular file")
    return from_bytes(file.read_bytes())


def from_bytes(content: bytes) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the arrays and the metadata in a file's content; see read."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > len(content) - 8:
        raise ValueError(f"the file ends before its header does: {len(content)} bytes")
    if length > LARGEST_HEADER:
        raise ValueError(f"the header must have at most {LARGEST_HEADER} bytes, got {length}")
    if content[8:9] != b"{":
        raise ValueError("the header must begin with a brace")
    try:
        tensors = safetensors.deserialize(content)
    except safetensors.SafetensorError as error:
        raise ValueError(f"it is not in the safetensors format: {error}") from None
    header = parse_json(content[8 : 8 + length].decode(), "the header")
    return {name: _array(name, tensor) for name, tensor in tensors}, header.get("__metadata__", {})


def _array(name: str, tensor: Mapping[str, Any]) -> Array:
    if tensor["dtype"] not in _TYPES:
        raise ValueError(f"tensor {name!r} must be of type {' or '.join(_TYPES)}, got {tensor['dtype']}")
    array: Array = np.frombuffer(tensor["data"], _TYPES[tensor["dtype"]]).reshape(tensor["shape"])
    return array if array.flags.writeable else array.copy()


def parse_json(text: str, what: str) -> dict[str, Any]:
    """Return a JSON object that has no name twice, no NaN or infinity, and neither numbers nor nesting without end."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            raise ValueError("a name occurs twice")
        return result

    def whole(digits: str) -> int:
        if len(digits) > LARGEST_NUMBER:
            raise ValueError(f"an integer has {len(digits)} digits")
        return int(digits)

    def refuse(constant: str) -> float:
        raise ValueError(f"{constant} is no JSON number")

    try:
        value = json.loads(text, object_pairs_hook=once, parse_int=whole, parse_constant=refuse)
    except RecursionError:
        raise ValueError(f"{what} is no JSON: it is nested too deep") from None
    except ValueError as error:
        raise ValueError(f"{what} is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{what} must be a JSON object, got {type(value).__name__}")
    return value
