"""Threads, forks, instruction-set levels and other libraries in the same process."""

import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import advcore
from advcore import _core

PACKAGES = Path(advcore.__file__).parents[1]  # `python -c` looks in the current folder first: not in the source tree


def python(code, **environment):
    """Run code in a fresh interpreter and return what it prints; a hang fails by its timeout."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=PACKAGES,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_number_of_threads_can_be_set_and_read():
    before = advcore.get_num_threads()
    advcore.set_num_threads(3)
    assert advcore.get_num_threads() == 3
    advcore.set_num_threads(before)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0, ValueError, "n must be at least 1, got 0"),
        (-2, ValueError, "n must be at least 1, got -2"),
        (2.0, TypeError, "n must be an integer, got float 2.0"),
        (True, TypeError, "n must be an integer, got bool True"),
        (10**9, ValueError, "n must be at most 4096, got 1000000000"),
    ],
)
def test_number_of_threads_is_checked(value, error, text):
    with pytest.raises(error, match=text):
        advcore.set_num_threads(value)


def test_number_of_threads_follows_openmp():
    assert python("import advcore; print(advcore.get_num_threads())", OMP_NUM_THREADS="3") == "3"


def test_threadpoolctl_sees_and_limits_the_runtime():
    code = """
        import threadpoolctl, advcore
        assert any(pool["user_api"] == "openmp" for pool in threadpoolctl.threadpool_info())
        with threadpoolctl.threadpool_limits(1, user_api="openmp"):
            print(advcore.get_num_threads())
    """
    assert python(code, OMP_NUM_THREADS="2") == "1"


def test_a_child_forked_after_a_parallel_call_does_not_hang():
    code = """
        import os
        import numpy as np, advcore
        a = np.ones((600, 600), np.float32)
        advcore.set_num_threads(2)
        expected = advcore.ops.matmul(a, a)
        child = os.fork()
        if child == 0:
            same = np.array_equal(advcore.ops.matmul(a, a), expected)
            os._exit(0 if same and advcore.get_num_threads() == 1 else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    assert python(code) == "0"


def test_calls_release_the_interpreter_lock():
    a = np.ones((1500, 1500), np.float64)
    ticks, stop = [], threading.Event()

    def tick():
        while not stop.is_set():
            ticks.append(time.perf_counter())

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.perf_counter()
    advcore.ops.matmul(a, a)
    end = time.perf_counter()
    stop.set()
    thread.join()
    # A call that held the lock could be followed, but not be accompanied, by ticks.
    assert any(start + 0.25 * (end - start) < t < start + 0.5 * (end - start) for t in ticks)


def test_several_python_threads_may_call_at_once():
    rng = np.random.default_rng(0)
    a = rng.standard_normal((200, 300)).astype(np.float32)
    b = rng.standard_normal((300, 150)).astype(np.float32)
    expected = advcore.ops.matmul(a, b)
    results = [None] * 8

    def call(i):
        for _ in range(20):
            results[i] = advcore.ops.matmul(a, b)

    threads = [threading.Thread(target=call, args=(i,)) for i in range(len(results))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("level", _core.available_levels())
def test_the_environment_chooses_the_level(level):
    assert python("import advcore; print(advcore.show_config()['level'])", ADVCORE_ISA=level) == level


def test_an_unknown_level_is_refused_at_import():
    code = """
        try:
            import advcore
        except ImportError as error:
            print(error)
    """
    assert "ADVCORE_ISA: instruction-set level must be one of baseline" in python(code, ADVCORE_ISA="mmx")


def test_an_unknown_level_is_refused_in_tests():
    with pytest.raises(ValueError, match="must be one of baseline"):
        _core._set_level("mmx")


def test_importing_torch_before_or_after_changes_no_bit():
    code = """
        import hashlib
        {first}
        {second}
        import numpy as np
        rng = np.random.default_rng(0)
        a, b = (rng.standard_normal((300, 300)).astype(np.float32) for _ in range(2))
        print(hashlib.sha256(advcore.ops.linear(a, b, b[0], activation="gelu").tobytes()).hexdigest())
    """
    orders = [("import torch", "import advcore"), ("import advcore", "import torch"), ("import advcore", "")]
    assert len({python(code.format(first=first, second=second)) for first, second in orders}) == 1


def test_flush_to_zero_set_by_another_library_changes_no_bit():
    torch = pytest.importorskip("torch")
    tiny = np.full((1, 1), 1e-40, np.float32)
    one = np.ones((1, 1), np.float32)
    try:
        if not torch.set_flush_denormal(True):
            pytest.skip("this CPU has no flush-to-zero mode")
        result = advcore.ops.matmul(tiny, one)
    finally:
        torch.set_flush_denormal(False)
    assert result[0, 0] == tiny[0, 0] != 0


def test_show_config_names_what_runs():
    config = advcore.show_config()
    assert config["version"] == advcore.__version__
    assert config["level"] in config["levels"]
    assert config["threads"] == advcore.get_num_threads()
    assert set(config["optional"]) == {"torch", "onnx", "onnxruntime", "faiss"}
