"""Results take memory that earlier ones have left: never one another's, and never more than 256 MiB of it."""

import threading

import numpy as np
import pytest

from advcore import _core, _memory, ops

MOST_KEPT = 256 << 20


def test_a_large_result_takes_what_an_earlier_one_left():
    x = np.ones((600, 700), np.float32)
    first = ops.relu(x)
    address = first.ctypes.data
    before = _core.kept_bytes()
    view = first[3:5]
    del first
    assert _core.kept_bytes() == before  # the view still needs it
    del view
    assert _core.kept_bytes() >= before + x.nbytes
    assert ops.relu(x).ctypes.data == address


def test_results_that_are_alive_share_no_memory():
    x = np.arange(300_000, dtype=np.float64)
    results = [ops.relu(x + i) for i in range(5)]
    del results[2]
    results.append(ops.relu(x + 9))
    for i, result in zip((0, 1, 3, 4, 9), results, strict=True):
        assert result.flags.carray
        np.testing.assert_array_equal(result, x + i)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 5), (7,), (2, 100_000), (3, 500, 101)])
def test_any_shape(shape, dtype):
    array = _memory.empty(shape, np.dtype(dtype))
    assert (array.shape, array.dtype) == (shape, dtype)
    array[...] = 1
    assert array.sum() == array.size


def test_little_is_kept_of_much():
    for size in (1 << 20, 3 << 20, 50 << 20, 300 << 20):
        held = [_memory.empty((size,), np.dtype(np.uint8)) for _ in range(600 if size < 2 << 20 else 6)]
        del held
        assert _core.kept_bytes() <= MOST_KEPT


def test_threads():
    wrong = []

    def work(number):
        rng = np.random.default_rng(number)
        for _ in range(200):
            array = _memory.empty((int(rng.integers(40_000, 400_000)),), np.dtype(np.float32))
            array[...] = number
            other = ops.relu(array)
            if not (array == number).all() or not (other == number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
