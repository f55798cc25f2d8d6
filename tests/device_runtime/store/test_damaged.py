"""A damaged file is found when it is opened, and moved aside. 50 random places are a proof (`scripts/prove faults`)."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from edgerec.core.errors import DamagedStoreError, StoreError
from edgerec.device_runtime.store import BehaviourStore, checksums
from edgerec.device_runtime.store.damaged import damaged_files
from edgerec.device_runtime.store.database import Database
from edgerec.device_runtime.store.forget import forget_store
from edgerec.device_runtime.store.statements import read_migrations
from edgerec.features.behaviours import EXPOSURE
from tests.device_runtime.store.damage import changed, content, copy, outcome, write_store
from tests.device_runtime.store.example_rows import behaviour, open_store


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(tmp_path_factory.mktemp("whole") / "store.db", 40)


@pytest.fixture
def damaged(whole: Path, tmp_path: Path) -> Path:
    """Return the path of a store with one changed digit, which SQLite does not notice."""
    path = copy(whole, tmp_path / "store.db")
    found = path.read_bytes()
    place = found.index(b'"duration_s":5.0')
    path.write_bytes(found[: place + 13] + b"6" + found[place + 14 :])
    return path


def test_damage_at_any_place_is_found_or_changes_nothing(whole: Path, tmp_path: Path) -> None:
    with open_store(copy(whole, tmp_path / "copy.db")) as store:
        intact = content(store)
    rng, seen = random.Random(3), set()
    for number in range(12):
        path = copy(whole, tmp_path / f"{number}.db")
        path.write_bytes(changed(path.read_bytes(), rng, rng.randrange(path.stat().st_size)))
        seen.add(outcome(path, intact))
    assert seen == {"intact", "moved aside"}


def test_a_changed_digit_is_found_only_by_the_checksum(
    damaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = damaged.read_bytes()
    with pytest.raises(DamagedStoreError, match=r"a row of the table `exposures` was changed.*if_damaged='move'"):
        open_store(damaged)
    assert damaged.read_bytes() == before
    monkeypatch.setattr(checksums, "TABLES", ())
    with open_store(damaged) as store:
        assert any(one.action["duration_s"] == 6.0 for _, one in store.latest(EXPOSURE, 100) if one.item_id == 0)


def test_a_damaged_store_is_moved_aside_and_a_new_one_starts(damaged: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = damaged.read_bytes()
    for count in (1, 2):
        with open_store(damaged, if_damaged="move") as store:
            assert store.damaged is not None
            assert store.damaged.read_bytes() == before
            assert store.record(behaviour(0)) == 0
        with open_store(damaged, if_damaged="move") as store:
            assert store.damaged is None
            assert store.next_ordinal(EXPOSURE) == 1
        damaged.write_bytes(before)
        assert len(damaged_files(damaged)) == count
    assert "Rows that were not sent are in the old file only" in caplog.text
    with pytest.raises(StoreError, match="`if_damaged` should be 'raise' or 'move'"):
        open_store(damaged, if_damaged="delete")


@pytest.mark.parametrize("place", [60, 68])
def test_a_changed_header_is_damage(whole: Path, tmp_path: Path, place: int) -> None:
    """The bytes at 60 are the format, those at 68 say that the file is a behaviour store."""
    path = copy(whole, tmp_path / "store.db")
    found = path.read_bytes()
    path.write_bytes(found[:place] + b"\x51" + found[place + 1 :])
    with open_store(path, if_damaged="move") as store:
        assert store.damaged is not None


def test_a_changed_name_of_a_column_is_damage(whole: Path, tmp_path: Path) -> None:
    path = copy(whole, tmp_path / "store.db")
    found = path.read_bytes()
    place = found.index(b"action TEXT NOT NULL")
    path.write_bytes(found[:place] + b"axtion" + found[place + 6 :])
    with pytest.raises(DamagedStoreError, match="its tables have other columns"):
        open_store(path)


def test_a_file_of_format_1_gets_checksums(tmp_path: Path) -> None:
    path = tmp_path / "old.db"

    def fill(database: Database) -> None:
        database.execute(
            "INSERT INTO store (store_id, user_id, last_time, batch, lost, exposures_sent, page_views_sent) "
            "VALUES (5, 7, 0, 0, 0, 0, 0)"
        )
        database.execute(
            "INSERT INTO exposures (ordinal, time, item_id, seen, action, served) VALUES (0, 9, 3, 1, '{}', '{}')"
        )

    Database(path, read_migrations()[:1], create=fill, checksums=False).close()
    with open_store(path) as store:
        assert [one.item_id for _, one in store.latest(EXPOSURE, 9)] == [3]
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT COUNT(*) FROM exposures WHERE checksum NOT NULL").fetchone() == (1,)
        connection.execute("UPDATE exposures SET item_id = 4")
    connection.close()
    with pytest.raises(DamagedStoreError, match="a row of the table `exposures` was changed"):
        open_store(path)


def test_forget_deletes_the_files_and_overwrites_them_first(whole: Path, damaged: Path, tmp_path: Path) -> None:
    open_store(damaged, if_damaged="move").close()
    with open_store(damaged) as store:
        store.record(behaviour(0, action={"note": "what the user did"}))
        with pytest.raises(StoreError, match="is open already"):
            forget_store(damaged, 7)
    keep = damaged.open("rb"), damaged_files(damaged)[0].open("rb")
    with pytest.raises(StoreError, match="belongs to user 7, received user 8"):
        forget_store(damaged, 8)
    with open_store(damaged) as store:
        assert store.next_ordinal(EXPOSURE) == 1
    deleted = forget_store(damaged, 7)
    assert len(deleted) == 2
    assert list(tmp_path.iterdir()) == []
    for file in keep:
        with file:
            left = file.read()  # what a reader of the disk finds
        assert left
        assert b"what the user did" not in left
        assert b"duration_s" not in left
    assert forget_store(damaged, 7) == []


def test_forget_deletes_a_damaged_store_of_the_user_only(whole: Path, damaged: Path) -> None:
    with pytest.raises(StoreError, match="belongs to user 7, received user 8"):
        forget_store(damaged, 8)
    damaged.write_bytes(damaged.read_bytes()[:4096])  # whose it was can no longer be read
    before = damaged.read_bytes()
    with pytest.raises(StoreError, match=r"whose it is cannot be read: nothing was deleted; .*force"):
        forget_store(damaged, 7)
    assert damaged.read_bytes() == before
    assert forget_store(damaged, 7, force=True) == [damaged]


def test_forget_leaves_damaged_predecessors_of_other_users(damaged: Path) -> None:
    open_store(damaged, if_damaged="move").close()
    (older,) = damaged_files(damaged)
    damaged.unlink()
    with BehaviourStore(damaged, user_id=8):
        pass
    assert forget_store(damaged, 8) == [damaged]
    assert older.exists()
    older.write_bytes(older.read_bytes()[:4096])
    with pytest.raises(StoreError, match="whose it is cannot be read"):
        forget_store(damaged, 8)
    assert older.exists()


def write_notes(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE notes (text)")
    connection.close()


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_text("my thesis " * 1000),
        lambda path: path.write_bytes(b"\0" * 4096),
        lambda path: path.write_text(" ".join(read_migrations())),
        write_notes,
    ],
)
def test_files_that_are_no_stores_are_refused_and_unchanged(write: Any, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    write(path)
    before = path.read_bytes()
    for use in (
        lambda: forget_store(path, 7),
        lambda: forget_store(path, 7, force=True),
        lambda: open_store(path, if_damaged="move"),
    ):
        with pytest.raises(StoreError, match="is not a behaviour store"):
            use()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("length", [16, 72])
def test_a_store_without_its_header_is_damaged_and_not_foreign(whole: Path, tmp_path: Path, length: int) -> None:
    path = copy(whole, tmp_path / "store.db")
    path.write_bytes(b"x" * length + path.read_bytes()[length:])
    with open_store(path, if_damaged="move") as store:
        assert store.damaged is not None
