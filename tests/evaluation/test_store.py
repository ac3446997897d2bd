"""Results on disk: nothing twice, nothing lost, nothing of another run."""

import sqlite3

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advcore.evaluation.rows import Row
from advcore.evaluation.store import NAME, Store, read_run

IDENTITY = {"run": "r", "model": "m", "data": "d", "seed": "0"}
ROWS = [
    Row(0, "pgd", 0.1, True, "success", 1.0, 2.0, 3.0, 0.1, 4, 5, 6, 7, 8, True, False, None, True, "note", 0.5, 0.25),
    Row(1, "pgd", float("inf"), False, "failed"),
]


def opened(folder, **changes):
    return Store(folder, IDENTITY | changes)


def test_rows_come_back_as_they_were(tmp_path):
    with opened(tmp_path) as store:
        store.add(ROWS)
        assert store.rows() == ROWS
    with opened(tmp_path) as store:
        assert store.rows() == ROWS
        assert store.warnings == []
    assert read_run(tmp_path) == (IDENTITY, ROWS)


@pytest.mark.parametrize("value", [-0.0, float("nan"), float("inf"), 5e-324, 1e308])
def test_no_number_is_taken_for_damage(tmp_path, value):
    """SQLite drops the sign of a zero and keeps NaN as NULL."""
    with opened(tmp_path) as store:
        store.add([Row(0, "pgd", 0.1, True, "success", l2=value, seconds=value)])
    with opened(tmp_path) as store:
        assert store.warnings == []
        (row,) = store.rows()
    np.testing.assert_array_equal([row.l2, row.seconds], [value, value])


def test_a_row_is_there_once_however_often_it_is_added(tmp_path):
    with opened(tmp_path) as store:
        for _ in range(3):
            store.add(ROWS)
        assert store.rows() == ROWS


def test_two_writers_are_refused(tmp_path):
    with opened(tmp_path), pytest.raises(OSError, match="in use: another run"):
        opened(tmp_path)
    with opened(tmp_path) as store:  # and the lock ends with its holder
        assert store.rows() == []


@pytest.mark.parametrize("key", ["model", "data", "seed"])
def test_another_run_is_refused(tmp_path, key):
    with opened(tmp_path) as store:
        store.add(ROWS)
    with pytest.raises(ValueError, match=f"another {key}: give the same {key}"):
        opened(tmp_path, **{key: "other"})
    with opened(tmp_path) as store:
        assert store.rows() == ROWS


@pytest.mark.parametrize("content", [b"SQLite format 3\0", b"nonsense" * 1000])
def test_what_is_no_database_is_set_aside(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    with opened(tmp_path) as store:
        assert store.rows() == []
        assert "is now results.sqlite.damaged-1" in store.warnings[0]
        store.add(ROWS)
    assert (tmp_path / f"{NAME}.damaged-1").read_bytes() == content
    assert read_run(tmp_path)[1] == ROWS
    with opened(tmp_path) as store:  # whoever looks at a later report is told as well
        assert store.warnings == ["results were damaged and computed again: results.sqlite.damaged-1"]


def test_a_file_that_was_only_begun_is_no_damage(tmp_path):
    (tmp_path / NAME).write_bytes(b"")
    with opened(tmp_path) as store:
        assert store.warnings == []
        store.add(ROWS)
        assert store.rows() == ROWS


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    with opened(folder) as store:
        store.add(ROWS + [Row(i, "square", 0.2, False, "failed", queries=i) for i in range(200)])
    return (folder / NAME).read_bytes(), read_run(folder)[1]


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_a_torn_or_flipped_file_never_gives_wrong_rows(tmp_path_factory, whole, data):
    content, rows = whole
    where = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        broken = content[:where]
    else:
        broken = content[:where] + bytes([content[where] ^ (1 << data.draw(st.integers(0, 7)))]) + content[where + 1 :]
    folder = tmp_path_factory.mktemp("broken")
    (folder / NAME).write_bytes(broken)
    with opened(folder) as store:
        assert store.rows() in (rows, [])


@pytest.mark.parametrize("name", sorted(IDENTITY))
def test_a_flipped_bit_of_the_identity_is_no_other_run(tmp_path, whole, name):
    content = whole[0]
    where = content.index(f'"{name}": "'.encode()) + len(name) + 5
    (tmp_path / NAME).write_bytes(content[:where] + bytes([content[where] ^ 1]) + content[where + 1 :])
    with opened(tmp_path) as store:
        assert store.rows() == []
        assert "checksum of its identity does not fit" in store.warnings[0]


def test_a_file_that_someone_has_locked_is_not_damaged(tmp_path, monkeypatch):
    monkeypatch.setattr("advcore.evaluation.store.BUSY_SECONDS", 0.0)
    with opened(tmp_path) as store:
        store.add(ROWS)
    other = sqlite3.connect(tmp_path / NAME)
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(OSError, match=r"cannot open the results in .*locked; nothing was changed"):
        opened(tmp_path)
    other.close()
    with opened(tmp_path) as store:
        assert store.rows() == ROWS
        assert store.warnings == []


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path):
    with opened(tmp_path) as store:
        store.add(ROWS)
        pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
        store.connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(OSError, match="full; what is there is kept, the same command goes on"):
            store.add([Row(i, "pgd", 0.1, False, "failed", note="x" * 100) for i in range(1000)])
        assert store.rows() == ROWS


def test_a_disk_that_was_full_before_is_one_line(tmp_path, monkeypatch):
    def full(store, connection):
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(Store, "_create", full)
    with pytest.raises(OSError, match=rf"cannot write results to {tmp_path}/{NAME}: disk I/O error; is the disk full"):
        opened(tmp_path)
    monkeypatch.undo()
    with opened(tmp_path) as store:  # and the lock is free
        assert store.rows() == []


def test_it_is_written_as_promised(tmp_path):
    with opened(tmp_path) as store:
        assert store.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert store.connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_folders_without_a_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no run of advcore evaluate"):
        read_run(tmp_path)
    sqlite3.connect(tmp_path / NAME).close()
    with pytest.raises(ValueError, match="is damaged"):
        read_run(tmp_path)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot write to the folder"):
        opened(tmp_path / "file")
