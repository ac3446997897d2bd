"""Results on disk: one SQLite file a run, which a killed process, a full disk or Ctrl-C leaves whole.

A row that ``add`` has returned from is on the disk (write-ahead log, synchronous=FULL). Rows are added again without
harm: their key is the run, sample, attack and eps. One process writes; it holds a lock on a file beside the database,
which the operating system takes back however the process ends.
"""

from __future__ import annotations

import fcntl
import json
import math
import sqlite3
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from advcore import _files
from advcore.evaluation.rows import COLUMNS, FLAGS, NUMBERS, Row

NAME = "results.sqlite"
LOCK = ".lock"
FORMAT = "1"
_TYPES = {"sample": "INTEGER", "attack": "TEXT", "eps": "REAL", "status": "TEXT", "note": "TEXT"}
BUSY_SECONDS = 10.0  # a reader may be mending the log that a killed run left
# What SQLite says of a file that is not, or no longer, what was written; all else (a lock, a full disk) passes.
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR}
_INTEGERS = {"queries", "gradients", "verification", "queries_to_success", "prediction", *FLAGS}


class DamagedError(Exception):
    """The file is not what this module wrote."""


class Store:
    """The rows of one run in a folder.

    Parameters
    ----------
    folder : Path
        Is made where it is missing.
    identity : mapping of str to str
        What the results depend on, by name (hashes of model, data and options; the seed): a folder with another
        identity is refused.

    Attributes
    ----------
    warnings : list of str
        What has been set aside.

    Raises
    ------
    OSError
        If the folder cannot be written, or another process writes to it.
    ValueError
        If it holds another run.
    """

    def __init__(self, folder: Path, identity: Mapping[str, str]) -> None:
        self.folder, self.file, self.identity = folder, folder / NAME, dict(identity)
        self.run = self.identity["run"]
        earlier = sorted(path.name for path in folder.glob(f"{NAME}.damaged-*") if path.name[-1].isdigit())
        self.warnings = [f"results were damaged and computed again: {', '.join(earlier)}"] if earlier else []
        _files.check_writable(folder)
        self._lock = _locked(folder)
        try:
            self.connection = self._open()
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.connection.close()
        self._lock.close()

    def rows(self) -> list[Row]:
        """Return all rows, in the order of their keys."""
        return _rows(self.connection, self.run)

    def add(self, rows: Iterable[Row]) -> None:
        """Write rows, all or none; they are on the disk when this returns."""
        marks = ", ".join("?" for _ in range(len(COLUMNS) + 2))
        values = [(self.run, *row.values(), _check_of(row)) for row in rows]
        names = ", ".join(("run", *COLUMNS, "crc"))
        try:
            with self.connection:
                self.connection.executemany(f"INSERT OR REPLACE INTO rows ({names}) VALUES ({marks})", values)
        except sqlite3.OperationalError as error:
            raise OSError(
                f"cannot write results to {self.file}: {error}; what is there is kept, the same command goes on"
            ) from error

    def _open(self) -> sqlite3.Connection:
        if self.file.exists():
            try:
                return self._existing()
            except DamagedError as error:
                self._set_aside(str(error))
            except sqlite3.DatabaseError as error:
                if not _is_damage(error):
                    raise OSError(
                        f"cannot open the results in {self.file}: {error}; nothing was changed, try again"
                    ) from error
                self._set_aside(str(error))
        try:
            return self._new()
        except sqlite3.OperationalError as error:
            raise OSError(f"cannot write results to {self.file}: {error}; is the disk full?") from error

    def _new(self) -> sqlite3.Connection:
        connection = _connect(self.file)
        try:
            self._create(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _create(self, connection: sqlite3.Connection) -> None:
        columns = ", ".join(
            f"{name} {_TYPES.get(name, 'INTEGER' if name in _INTEGERS else 'REAL')}" for name in COLUMNS
        )
        with connection:  # all or nothing, whenever it is killed
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT)")
            connection.execute(
                f"CREATE TABLE rows (run TEXT, {columns}, crc INTEGER, PRIMARY KEY (run, sample, attack, eps))"
                " WITHOUT ROWID"
            )
            told = json.dumps(self.identity, sort_keys=True)
            entries = {"format": FORMAT, "identity": told, "crc": _crc(told)}
            connection.executemany("INSERT INTO meta VALUES (?, ?)", entries.items())

    def _existing(self) -> sqlite3.Connection:
        connection = _connect(self.file)
        try:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if found is None or found[0] != "ok":
                raise DamagedError(str(found))
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):  # killed at its first step
                self._create(connection)
            there = read_identity(connection)
            _rows(connection, there["run"])
            _refuse_other(self.folder, there, self.identity)
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_aside(self, reason: str) -> None:
        """Rename what is damaged, with its log, so that nobody takes it for results."""
        number = 1
        while (aside := self.folder / f"{NAME}.damaged-{number}").exists():
            number += 1
        self.file.rename(aside)
        for ending in ("-wal", "-shm"):
            if (other := self.folder / (NAME + ending)).exists():
                other.rename(f"{aside}{ending}")
        self.warnings.append(f"{self.file} was damaged ({reason}): it is now {aside.name}, and is computed again")


def read_identity(connection: sqlite3.Connection) -> dict[str, str]:
    """Return what the run in a database depends on."""
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    if meta.get("format") != FORMAT:
        raise DamagedError(f"format {meta.get('format')!r}")
    if meta.get("crc", _crc(meta.get("identity", ""))) != _crc(meta.get("identity", "")):
        raise DamagedError("the checksum of its identity does not fit")
    try:
        identity = json.loads(meta["identity"])
        return {str(key): str(value) for key, value in identity.items()} | {"run": str(identity["run"])}
    except (KeyError, ValueError, AttributeError) as error:
        raise DamagedError("its identity cannot be read") from error


def _crc(text: str) -> str:
    return str(zlib.crc32(text.encode()))


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", None)  # absent where Python's own module found it
    return code is None or code & 0xFF in _DAMAGE


def _refuse_other(folder: Path, there: Mapping[str, str], given: Mapping[str, str]) -> None:
    differing = [key for key in given if key != "run" and given[key] != there.get(key)]
    if differing:
        names = " and ".join(differing)
        raise ValueError(
            f"{folder} holds the results of a run with another {names}: give the same {names} to go on with it, "
            "or another output folder"
        )


def _connect(file: Path) -> sqlite3.Connection:
    # Only one thread at a time uses it, but not always the one that opened it.
    connection = sqlite3.connect(file, timeout=BUSY_SECONDS, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def _rows(connection: sqlite3.Connection, run: str) -> list[Row]:
    names = ", ".join((*COLUMNS, "crc"))
    found = []
    for *values, crc in connection.execute(
        f"SELECT {names} FROM rows WHERE run = ? ORDER BY sample, attack, eps", (run,)
    ):
        row = _row(values)
        if crc != _check_of(row):
            raise DamagedError(f"the checksum of sample {row.sample}, {row.attack}, eps {row.eps:g} does not fit")
        found.append(row)
    return found


def _row(values: list[Any]) -> Row:
    named = dict(zip(COLUMNS, values, strict=True))
    for name in FLAGS:
        named[name] = None if named[name] is None else bool(named[name])
    for name in NUMBERS:
        named[name] = math.nan if named[name] is None else named[name]
    return Row(**named)


def _check_of(row: Row) -> int:
    """Return a checksum of what the database must give back."""
    return zlib.crc32(repr(tuple(_kept(value) for value in row.values())).encode())


def _kept(value: Any) -> Any:
    """Return a value as SQLite gives it back: numbers as floats, without the sign of a zero, and None for NaN."""
    if isinstance(value, str) or value is None or value != value:
        return value if isinstance(value, str) else None
    return float(value) + 0.0


def _locked(folder: Path) -> IO[str]:
    file = (folder / LOCK).open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise OSError(f"{folder} is in use: another run writes its results there") from None
    return file


def read_run(folder: Path) -> tuple[dict[str, str], list[Row]]:
    """Return the identity and the rows of a finished or half-finished run, which is left as it is.

    Raises
    ------
    FileNotFoundError
        If the folder holds no run.
    ValueError
        If the run is damaged.
    """
    file = folder / NAME
    if not file.is_file():
        raise FileNotFoundError(f"{folder} holds no run of advcore evaluate: {file} is missing")
    connection = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)
    try:
        identity = read_identity(connection)
        return identity, _rows(connection, identity["run"])
    except (DamagedError, sqlite3.DatabaseError) as error:
        raise ValueError(f"{file} is damaged: {error}") from error
    finally:
        connection.close()
