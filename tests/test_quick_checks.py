"""The quick checks of arrays in C++ say yes only where nothing needs to be looked at again."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from advcore import _core

F32 = np.dtype(np.float32)


def plain(value: object, dtype: object = None, shape: object = None, least: int = 0, most: int = 64) -> bool:
    return _core.is_plain(value, dtype, shape, least, most)


def misaligned() -> np.ndarray:
    return np.zeros(17, np.uint8)[1:].view(np.float32)


def test_plain_arrays_are_used_as_they_are() -> None:
    x = np.zeros((2, 3), np.float32)
    assert plain(x)
    assert plain(x, F32, (2, 3), 2, 2)
    assert plain(x, None, (None, 3))
    assert plain(x.astype(np.float64))
    assert plain(np.zeros((), np.float32))
    assert plain(np.zeros((0, 3), np.float32))


@pytest.mark.parametrize(
    "value",
    [
        None,
        1.0,
        [[1.0]],
        np.float32(1),
        np.zeros((2, 3), np.float16),
        np.zeros((2, 3), np.int32),
        np.zeros((2, 3), np.longdouble),
        np.zeros((2, 3), ">f4"),
        np.zeros((2, 3), np.complex64),
        np.zeros((2, 3), object),
        np.zeros((2, 3), np.float32).T,
        np.zeros((2, 6), np.float32)[:, ::2],
        np.ma.zeros((2, 3), np.float32),
        np.zeros((2, 3), np.float32).view(np.recarray),
        misaligned(),
    ],
    ids=lambda value: f"{type(value).__name__} {getattr(value, 'dtype', '')}",
)
def test_other_values_are_looked_at_again(value: object) -> None:
    assert not plain(value)


@pytest.mark.parametrize("shape", [(2,), (2, 4), (3, 2), (2, 3, 1), (2, 2**70), (-1, 3), (2.0, 3), [2, 3], "23"])
def test_other_shapes_are_looked_at_again(shape: object) -> None:
    assert not plain(np.zeros((2, 3), np.float32), None, shape)


def test_other_types_and_numbers_of_axes_are_looked_at_again() -> None:
    x = np.zeros((2, 3), np.float32)
    assert not plain(x, np.dtype(np.float64))
    assert not plain(x, None, None, 3, 64)
    assert not plain(x, None, None, 0, 1)


def test_an_output_overlaps_no_input_and_can_be_written_to() -> None:
    memory = np.zeros(30, np.float32)
    out = memory[10:20]
    receives = _core.can_receive
    assert receives(out, (10,), F32, (memory[:10], None, memory[20:], np.zeros(3, np.float64)))
    assert not receives(out, (10,), F32, (memory[:11],))
    assert not receives(out, (10,), F32, (memory[19:],))
    assert not receives(out, (10,), F32, (memory,))
    assert not receives(out, (10,), F32, (memory[::2],))  # not contiguous: looked at again
    assert not receives(out, (9,), F32, ())
    assert not receives(out, (10,), np.dtype(np.float64), ())
    assert not receives(None, (10,), F32, ())
    out.flags.writeable = False
    assert not receives(out, (10,), F32, ())


def test_a_wrong_number_of_arguments_is_an_error() -> None:
    with pytest.raises(TypeError, match="takes 5 arguments, got 1"):
        _core.is_plain(None)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="takes 4 arguments, got 0"):
        _core.can_receive()  # type: ignore[call-arg]


def test_calls_keep_no_reference() -> None:
    x, out = np.zeros((4, 4), np.float32), np.zeros((4, 4), np.float32)

    def count(value: object) -> int:
        return ctypes.c_ssize_t.from_address(id(value)).value

    before = count(x), count(out)
    for _ in range(100):
        _core.matmul(out[np.newaxis], x[np.newaxis], x[np.newaxis])
        plain(x)
        _core.can_receive(out, (4, 4), F32, (x, None))
    assert (count(x), count(out)) == before
