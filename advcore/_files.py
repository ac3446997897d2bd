"""Results on disk: a folder is checked before the work starts, and a file is there whole or not at all."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path


def check_writable(folder: Path) -> None:
    """Make the folder where it is missing; raise OSError with its name where files cannot be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"cannot write to the folder {folder}: {error.strerror or error}") from error


def refuse_folders(*files: Path) -> None:
    """Refuse folders where files are to be written."""
    for file in files:
        if file.is_dir():
            raise IsADirectoryError(f"{file} must be a file, but is a folder")


def write(file: Path, content: str | bytes) -> None:
    """Write a file by way of a temporary one beside it; it is on the disk when this returns."""
    refuse_folders(file)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        with temporary.open("wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(file.parent, os.O_RDONLY)  # a name is on the disk when its folder is
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
