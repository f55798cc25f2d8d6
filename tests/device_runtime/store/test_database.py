"""The file of a store: formats, locks, damage, a full disk, threads and forks."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgerec.core.errors import StoreError
from edgerec.device_runtime.store import BehaviourStore
from edgerec.device_runtime.store.database import APPLICATION_ID, Database
from edgerec.device_runtime.store.statements import SQL, read_migrations, read_statements
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW
from tests.device_runtime.store.example_rows import VERSION, behaviour, encode_all, open_store, request
from tests.forked import run_script
from tests.full_disk import files_up_to

OPEN_STORE = """
import sys
from tests.device_runtime.store.example_rows import open_store
from pathlib import Path
try:
    open_store(Path(sys.argv[1]))
except Exception as error:
    print(type(error).__name__, error)
"""
READ_FILE = """
import sqlite3, sys
try:
    print(sqlite3.connect(sys.argv[1], timeout=0).execute("SELECT user_id FROM store").fetchall())
except sqlite3.Error as error:
    print(error)
"""


def elsewhere(script: str, path: Path) -> str:
    """Run a script in another process. Return what it prints."""
    return subprocess.run([sys.executable, "-c", script, str(path)], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """Return the path of a closed store with 200 behaviours."""
    with open_store(tmp_path / "store.db") as store:
        for number in range(200):
            store.record(behaviour(number))
            encode_all(store)
    return tmp_path / "store.db"


def open_database(path: Path, migrations: list[str]) -> Database:
    return Database(
        path, migrations, create=lambda database: database.write("INSERT INTO a VALUES (1)"), checksums=False
    )


def test_every_sql_statement_is_valid(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        for file in SQL.glob("*.sql"):
            for kind in (EXPOSURE, PAGE_VIEW):
                for statement in read_statements(file.stem, kind=kind.name).values():
                    assert sqlite3.complete_statement(statement)
                    count = len(set(re.findall(r"\?\d+", statement))) or statement.count("?")
                    store._database.rows(f"EXPLAIN {statement}", (0,) * count)


def test_an_older_file_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    first, second = (
        "CREATE TABLE a (x);",
        "-- A column.\nALTER TABLE a ADD COLUMN y DEFAULT 5;\nUPDATE a SET x = x + 1;",
    )
    open_database(path, [first]).close()
    database = open_database(path, [first, second])
    assert database.rows("SELECT * FROM a") == [(2, 5)]
    assert database.rows("PRAGMA user_version") == [(2,)]
    database.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    first = "CREATE TABLE a (x);"
    open_database(path, [first]).close()
    before = path.read_bytes()
    with pytest.raises(StoreError):
        open_database(path, [first, "UPDATE a SET x = 9;", "UPDATE b SET x = 9;"])
    assert path.read_bytes() == before
    database = open_database(path, [first])
    assert database.rows("SELECT * FROM a") == [(1,)]
    database.close()


def test_a_newer_file_is_refused_and_unchanged(filled: Path) -> None:
    with contextlib.closing(sqlite3.connect(filled)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute(f"PRAGMA user_version = {len(read_migrations()) + 1}")
    before = filled.read_bytes()
    with pytest.raises(StoreError, match="has format 5, but this version of EdgeRec reads formats up to 4"):
        open_store(filled)
    assert filled.read_bytes() == before


def test_a_database_of_another_application_is_refused_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE notes (text)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="is not a behaviour store, but a file of another application"):
        open_store(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["other.db"]


def test_a_file_that_is_no_database_is_refused_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("some notes\n" * 1000)
    before = path.read_bytes()
    with pytest.raises(
        StoreError, match=r"notes.txt is not a behaviour store, but a file of another application: nothing was changed"
    ):
        open_store(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("path", ["", "missing/store.db", "store.db/store.db"])
def test_a_path_that_cannot_be_opened_is_an_error(tmp_path: Path, path: str) -> None:
    (tmp_path / "store.db").write_bytes(b"")
    with pytest.raises(StoreError, match="behaviour store"):
        open_store(tmp_path / path)


@pytest.mark.parametrize(
    ("path", "settings", "message"),
    [
        (None, {}, "`path` should be the path of a file. Received: None"),
        ("a\0b", {}, "`path` should be the path of a file"),
        ("user.db", {"limits": 5}, r"`limits` should be Limits\(...\). Received: 5"),
        ("user.db", {"retention": 5}, r"`retention` should be Retention\(...\)"),
    ],
)
def test_an_argument_of_a_wrong_type_is_an_error(path: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(StoreError, match=message):
        open_store(path, **settings)


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"")
    with open_store(tmp_path / "store.db") as store:
        assert store.record(behaviour(0)) == 0


def test_a_store_belongs_to_one_user(filled: Path) -> None:
    with pytest.raises(StoreError, match="belongs to user 7, received user 8"):
        BehaviourStore(filled, user_id=8)


def use(path: Path) -> None:
    with open_store(path) as store:
        for kind in (EXPOSURE, PAGE_VIEW):
            store.latest(kind, 1000)
            store.item_counts(kind)
            store.pending(kind, VERSION)
            store.states(kind, VERSION)
            store.window(kind, VERSION, store.limits.of(kind))
        store.unsent(1000)
        store.record(behaviour(1000))
        store.prune(behaviour(1000).time)


@pytest.mark.parametrize("place", range(100, 60_000, 3700))
def test_a_damaged_page_gives_an_error_or_no_change(filled: Path, place: int) -> None:
    """SQLite has no checksums in the file, so some damage changes values and is not found."""
    content = bytearray(filled.read_bytes())
    place %= len(content) - 700
    content[place : place + 700] = bytes(range(1, 251)) * 2 + b"\xff" * 200
    filled.write_bytes(content)
    with contextlib.suppress(StoreError):
        use(filled)


@pytest.mark.parametrize("size", [1, 50, 100, 2048, 9000, 40_000])
def test_a_truncated_file_gives_an_error_and_is_unchanged(filled: Path, size: int) -> None:
    filled.write_bytes(filled.read_bytes()[:size])
    before = filled.read_bytes()
    with pytest.raises(StoreError, match="is damaged" if size > 50 else "is not a behaviour store"):
        use(filled)
    assert filled.read_bytes() == before


def test_a_store_without_its_tables_is_damaged(filled: Path) -> None:
    with contextlib.closing(sqlite3.connect(filled)) as connection:
        connection.execute("DROP TABLE page_views")
    with pytest.raises(StoreError, match=r"is damaged \(no such table: page_views"):
        open_store(filled)


def test_an_array_of_a_wrong_length_is_damage(filled: Path) -> None:
    with open_store(filled) as store:
        store._database.write("UPDATE exposure_encodings SET own_key = x'00' WHERE slot = 1")
        with pytest.raises(StoreError, match=r"is damaged \(encodings of exposures"):
            store.window(EXPOSURE, VERSION, 4)
        store._database.write("UPDATE exposures SET action = '{' WHERE ordinal = 3")
        with pytest.raises(StoreError, match=r"is damaged \(exposure 3"):
            store.latest(EXPOSURE, 200)


def test_a_second_process_cannot_open_the_store(filled: Path) -> None:
    store = open_store(filled)
    assert elsewhere(OPEN_STORE, filled).startswith(f"StoreError behaviour store {filled} is open already")
    # A second connection of this process is refused, too. Closing it does not end the lock of the first one.
    with pytest.raises(StoreError, match="is open already, in another process or in this one"):
        open_store(filled)
    assert elsewhere(READ_FILE, filled) == "database is locked\n"
    assert store.record(behaviour(200)) == 200
    store.close()
    assert elsewhere(READ_FILE, filled) == "[(7,)]\n"


@contextlib.contextmanager
def most_pages(store: BehaviourStore, more: int) -> Iterator[None]:
    """Let SQLite report a full disk when the file grows by more than a few pages."""
    pages = store._database.rows("PRAGMA page_count")[0][0]
    store._database.rows(f"PRAGMA max_page_count = {pages + more}")
    yield
    store._database.rows("PRAGMA max_page_count = 1000000")


def fill_up(store: BehaviourStore) -> int:
    """Record, encode and ask until the store reports an error. Return the number of recorded behaviours."""

    def work() -> None:
        for number in range(100_000):
            store.record(behaviour(number))
            encode_all(store)
            store.record_request(request(number, exposures_end=number))

    with pytest.raises(StoreError, match=r"cannot be written .*free space on the disk and try again"):
        work()
    return store.next_ordinal(EXPOSURE)


@pytest.mark.parametrize("how", ["database", "file system"])
def test_after_a_full_disk_the_store_stays_usable(tmp_path: Path, how: str) -> None:
    store = open_store(tmp_path / "store.db")
    with most_pages(store, 10) if how == "database" else files_up_to(60_000):
        count = fill_up(store)
        assert len(store.latest(EXPOSURE, 100_000)) == count
        with contextlib.suppress(StoreError):
            store.end_page(1)
    assert store.record(behaviour(count)) == count
    encode_all(store)
    store.end_page(1)
    store.close()
    with open_store(tmp_path / "store.db") as store:
        assert [ordinal for ordinal, _ in store.latest(EXPOSURE, 100_000)] == list(range(count + 1))
        assert store.encoded_through(EXPOSURE, VERSION) == count
        assert store._database.rows("PRAGMA integrity_check") == [("ok",)]


def test_after_a_power_cut_ordinals_follow_what_is_in_the_file(tmp_path: Path) -> None:
    """A copy of the open files is what a power cut leaves, if it loses the commits after the copy."""
    with open_store(tmp_path / "store.db") as store:
        for number in range(5):
            store.record(behaviour(number))
        sent = store.unsent(10)
        for suffix in ("", "-wal"):
            (tmp_path / f"cut.db{suffix}").write_bytes((tmp_path / f"store.db{suffix}").read_bytes())
        store.mark_sent(0)
        store.record(behaviour(5))
    with open_store(tmp_path / "cut.db") as store:
        assert store.unsent(10) == sent
        store.mark_sent(0)
        assert store.record(behaviour(6)) == 5
        batch = store.unsent(10)
        assert batch is not None
        assert (batch.number, [row["ordinal"] for row in batch.events]) == (1, [5])


def test_threads_can_share_a_store(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.db") as store:
        errors: list[BaseException] = []

        def work(kind: object, action: object) -> None:
            try:
                for number in range(60):
                    action(number, kind)  # type: ignore[operator]
            except BaseException as error:
                errors.append(error)

        def send(number: int, _: object) -> None:
            batch = store.unsent(7)
            if batch is not None:
                store.mark_sent(batch.number)
            store.prune(behaviour(number).time)

        works = [
            (EXPOSURE, lambda number, kind: store.record(behaviour(number, kind))),
            (PAGE_VIEW, lambda number, kind: store.record(behaviour(number, kind))),
            (EXPOSURE, lambda _, kind: encode_all(store, kind)),
            (None, send),
        ]
        threads = [threading.Thread(target=work, args=each) for each in works]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert store.next_ordinal(EXPOSURE) == store.next_ordinal(PAGE_VIEW) == 60
        encode_all(store)
        assert store.window(EXPOSURE, VERSION, 4).ordinals.tolist() == [56, 57, 58, 59]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_gets_an_error(filled: Path) -> None:
    script = """
    from pathlib import Path
    from tests.device_runtime.store.example_rows import behaviour, open_store
    store = open_store(Path(sys.argv[1]))
    print(child(lambda: store.record(behaviour(200))), file=sys.stderr)
    print(store.record(behaviour(200)), file=sys.stderr)
    """
    refused, recorded = run_script(script, filled)
    assert refused.startswith(f"StoreError: behaviour store {filled} should be used by the process that opened it")
    assert recorded == "200"


def test_a_closed_store_gives_an_error(filled: Path) -> None:
    store = open_store(filled)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.record(behaviour(0))


@pytest.mark.parametrize("synchronous", ["normal", "full"])
def test_synchronous_is_set_and_restored_after_a_batch(tmp_path: Path, synchronous: str) -> None:
    with open_store(tmp_path / "store.db", synchronous=synchronous) as store:
        store.record(behaviour(0))
        assert store.unsent(5) is not None
        assert store._database.rows("PRAGMA synchronous") == [({"normal": 1, "full": 2}[synchronous],)]
        assert store._database.rows("PRAGMA journal_mode") == [("wal",)]
        assert store._database.rows("PRAGMA application_id") == [(APPLICATION_ID,)]
    with pytest.raises(StoreError, match=r"`synchronous` should be 'normal' or 'full'\. Received: 'off'"):
        open_store(tmp_path / "store.db", synchronous="off")
