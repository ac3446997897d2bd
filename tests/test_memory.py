"""Results take memory that earlier ones have left: never one another's, and never more than 256 MiB of it."""

import os
import subprocess
import sys
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


FORKS = """
import os, threading
import numpy as np
import advcore
from advcore import ops

advcore.set_num_threads(1)
x, done = np.ones(100_000, np.float32), threading.Event()

def work():
    while not done.is_set():
        ops.conv2d(np.ones((1, 8, 40, 40), np.float32), np.ones((64, 8, 3, 3), np.float32))

threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
for _ in range(40):
    child = os.fork()
    if child == 0:
        ops.relu(x)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
done.set()
for thread in threads:
    thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_child_is_not_left_waiting_for_a_thread_of_its_parent(tmp_path):
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORKS], check=True, timeout=120, cwd=tmp_path)


LIMITED = """
import resource
import numpy as np
from advcore import _core, ops

x = np.ones(12 << 20, np.float32)
for _ in range(2):
    held = [ops.relu(x) for _ in range(4)]
    del held
large = np.ones(50 << 20, np.float32)
assert _core.kept_bytes() > 150 << 20
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (100 << 20), resource.RLIM_INFINITY))
assert ops.relu(large)[-1] == 1
try:
    ops.relu(np.broadcast_to(np.float32(1), (1 << 40,)).view())
except MemoryError as error:
    assert "TiB" in str(error), error
else:
    raise AssertionError
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc and limits are Linux's")
def test_what_is_kept_makes_room_where_memory_is_short(tmp_path):
    subprocess.run([sys.executable, "-c", LIMITED], check=True, timeout=120, cwd=tmp_path)
