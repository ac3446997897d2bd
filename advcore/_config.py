"""The process-wide settings: threads, and what this installation runs on."""

from __future__ import annotations

import importlib.util
import platform
from typing import Any

import numpy as np

from advcore import _check, _core


def set_num_threads(n: int) -> None:
    """Set the number of threads of every parallel region, for the whole process.

    Results do not depend on it. Until it is called, the number follows ``omp_get_max_threads()``, that is,
    ``OMP_NUM_THREADS`` or the number of cores.

    Parameters
    ----------
    n : int
        Threads, at least 1.

    Raises
    ------
    TypeError
        If n is not an integer.
    ValueError
        If n is smaller than 1.
    """
    _core.set_num_threads(_check.integer("n", n, minimum=1, maximum=4096))


def get_num_threads() -> int:
    """Return the number of threads that parallel regions use (1 in a child forked after a parallel call)."""
    return _core.get_num_threads()


def show_config() -> dict[str, Any]:
    """Return what this installation runs on.

    Returns
    -------
    dict
        ``version``, ``level`` (instruction-set level in use), ``levels`` (available on this CPU), ``threads``,
        ``openmp`` (runtime), ``cpu``, ``python``, ``numpy`` and ``optional`` (package name to True where installed).
    """
    from advcore._version import __version__

    optional = ("torch", "onnx", "onnxruntime", "faiss")
    return {
        "version": __version__,
        "level": _core.level(),
        "levels": _core.available_levels(),
        "threads": get_num_threads(),
        "openmp": _core.openmp_runtime(),
        "cpu": _cpu_name(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "optional": {name: importlib.util.find_spec(name) is not None for name in optional},
    }


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
