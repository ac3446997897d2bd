"""Tensors in an ONNX file as arrays: what is declared must be there, and nothing else is read."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx import TensorProto

from advcore._check import Array

MOST_AXES = 8

# By ONNX's element type: NumPy's, and the field that holds values which are not in raw_data.
TYPES: dict[int, tuple[np.dtype[Any], str]] = {
    TensorProto.FLOAT: (np.dtype("<f4"), "float_data"),
    TensorProto.DOUBLE: (np.dtype("<f8"), "double_data"),
    TensorProto.INT64: (np.dtype("<i8"), "int64_data"),
    TensorProto.INT32: (np.dtype("<i4"), "int32_data"),
    TensorProto.UINT8: (np.dtype("u1"), "int32_data"),
    TensorProto.INT8: (np.dtype("i1"), "int32_data"),
    TensorProto.BOOL: (np.dtype("?"), "int32_data"),
}
FIELDS = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")


def type_name(element: int) -> str:
    """Return what users call an ONNX element type."""
    half = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
    known = element in TensorProto.DataType.values()
    name = str(TensorProto.DataType.Name(element)).lower() if known else f"number {element}"
    return f"{name} (half precision)" if element in half else name


def check(tensor: TensorProto) -> None:
    """Refuse a tensor whose data is elsewhere, of another size than it declares, or of a type without use here."""
    name = tensor.name or "without a name"
    if tensor.data_location != TensorProto.DEFAULT or tensor.external_data:
        raise ValueError(f"tensor {name} keeps its data in another file, which is never read; save the model as one")
    if tensor.data_type not in TYPES:
        raise ValueError(f"tensor {name} must be of float32, float64 or integers, got {type_name(tensor.data_type)}")
    if tensor.HasField("segment"):
        raise ValueError(f"tensor {name} is cut into segments, which is not supported")
    if len(tensor.dims) > MOST_AXES:
        raise ValueError(f"tensor {name} must have at most {MOST_AXES} axes, got {len(tensor.dims)}")
    if any(extent < 0 for extent in tensor.dims):
        raise ValueError(f"tensor {name} must have no negative extent, got {tuple(tensor.dims)}")
    dtype, own = TYPES[tensor.data_type]
    if any(len(getattr(tensor, field)) for field in FIELDS if field != own or tensor.HasField("raw_data")):
        raise ValueError(f"tensor {name} must keep its data in one place")
    size = math.prod(tensor.dims)
    if tensor.HasField("raw_data"):
        given, unit, needed = len(tensor.raw_data), "bytes", size * dtype.itemsize
    else:
        given, unit, needed = len(getattr(tensor, own)), "numbers", size
    if given != needed:
        raise ValueError(f"tensor {name} of shape {tuple(tensor.dims)} must have {needed} {unit}, got {given}")


def array(tensor: TensorProto) -> Array:
    """Return the values of a checked tensor, read-only where they are the file's own bytes."""
    dtype, field = TYPES[tensor.data_type]
    if tensor.HasField("raw_data"):
        values = np.frombuffer(tensor.raw_data, np.uint8 if dtype.kind == "b" else dtype)
    else:
        values = np.array(getattr(tensor, field), np.int64 if dtype.kind in "iub" else dtype)
    return np.asarray(values.astype(dtype, copy=False).reshape(tuple(tensor.dims)))
