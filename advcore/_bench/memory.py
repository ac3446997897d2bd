"""How much memory this process holds of its own: what it wrote, not the pages of programs and files. Linux only."""

from __future__ import annotations

import ctypes
from pathlib import Path

STATUS = Path("/proc/self/status")
SUPPORTED = STATUS.exists()


def held() -> int:
    """Return the bytes that are held now."""
    return _status()["RssAnon"]


def trim() -> None:
    """Give free memory back to the system."""
    ctypes.CDLL(None).malloc_trim(0)


def forget_peak() -> None:
    """Start a new peak with what is held now."""
    trim()
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    """Return the most bytes that were held since ``forget_peak``; pages of programs read since then are left out."""
    status = _status()
    return status["VmHWM"] - status["RssFile"] - status["RssShmem"]


def _status() -> dict[str, int]:
    lines = (line.split() for line in STATUS.read_text().splitlines())
    return {words[0][:-1]: 1024 * int(words[1]) for words in lines if words[-1] == "kB"}
