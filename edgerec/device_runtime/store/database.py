"""The SQLite file of a behaviour store: one connection, its transactions, its format and its errors."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from edgerec.core.errors import DamagedStoreError, StoreError
from edgerec.device_runtime import forks
from edgerec.device_runtime.store.checksums import FIRST_TABLES, damage, write_checksums
from edgerec.device_runtime.store.ownership import APPLICATION_ID, is_store

PAGE_BYTES = 2048
CACHE_KIB = 256
"""Memory for pages of the file. SQLite's default is 2,000 KiB, but a store reads few rows again."""
WAL_BYTES = 4 * 1024 * 1024
"""If the write-ahead log is longer than this after a commit, it is copied into the file (a checkpoint)."""
CHECKED_COMMITS = 32
"""The length of the write-ahead log is checked after so many commits, because asking for it takes microseconds."""
_DAMAGE = (
    "malformed",
    "not a database",
    "no such",
    "already exists",
    "duplicate column",
    "decode",
    "unsupported file format",
    "NOT NULL",
)
"""Words of SQLite's errors that say that the file is damaged."""
_FAULTS = (sqlite3.Error, OverflowError, UnicodeError)
"""What Python's `sqlite3` raises. Damaged text, also in an error of SQLite, is a UnicodeDecodeError."""
HIGHEST_FORMAT = 255
"""A higher number of the format is damage, and no newer format."""
Synchronous = Literal["normal", "full"]
Row = tuple[Any, ...]


class Database:
    """One connection to a SQLite file in WAL mode. Threads may share it.

    The connection locks the file for itself (`locking_mode = EXCLUSIVE`) until it is closed or the process ends. SQLite
    itself makes this lock, so it also holds against other programs that use SQLite. In this mode the index of the
    write-ahead log is in the memory of the process, so there is no file for shared memory.

    Args:
        path: the file. It is created if it does not exist.
        migrations: scripts that make format 1 from an empty file, format 2 from format 1, and so on.
        create: adds the first rows of a new file. It runs in the transaction that creates the tables.
        synchronous: `full` waits for the disk at every commit, `normal` only at checkpoints.
        check: whether the whole file is checked now.
        checksums: whether the tables are those of a behaviour store, whose rows have checksums.

    Raises:
        StoreError: the file is open elsewhere, has a newer format, is damaged, is no behaviour store, or cannot be
            opened.
    """

    def __init__(
        self,
        path: Path,
        migrations: Sequence[str],
        *,
        create: Callable[[Database], object],
        synchronous: Synchronous = "normal",
        check: bool = True,
        checksums: bool = True,
    ) -> None:
        if synchronous not in ("normal", "full"):
            raise StoreError(f"`synchronous` should be 'normal' or 'full'. Received: {synchronous!r}")
        self.path, self._checksums = path, checksums
        self._wal = Path(f"{path}-wal")
        self._lock, self._forks = threading.RLock(), forks.forks
        self._synchronous, self._wal_before, self._commits = synchronous, 0, 0
        self._check_foreign(len(migrations))
        try:
            self._connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise self._error(error) from error
        try:
            self.execute("PRAGMA locking_mode = EXCLUSIVE")
            self.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            # What is deleted becomes zeros at once. SQLite's own default depends on how it was compiled.
            self.execute("PRAGMA secure_delete = ON")
            self._migrate(migrations, create)
            self._start_wal()
            if self._checksums and check:
                self._check_content(migrations)
            self.execute(f"PRAGMA synchronous = {synchronous}")
            self.execute("PRAGMA wal_autocheckpoint = 0")
            self.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        except BaseException:
            self._connection.close()
            raise

    @property
    def lock(self) -> threading.RLock:
        """Return the lock of the connection.

        Raises:
            StoreError: this process was forked after the store was opened.
        """
        if forks.forks != self._forks:
            raise StoreError(
                f"behaviour store {self.path} should be used by the process that opened it, but this process was "
                "forked later: open the store after the fork"
            )
        return self._lock

    def execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Execute one statement. Outside of `transaction`, it is a transaction of its own."""
        try:
            return self._connection.execute(sql, values)
        except _FAULTS as error:
            raise self._error(error) from error

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of a query."""
        try:
            return self._connection.execute(sql, values).fetchall()
        except _FAULTS as error:
            raise self._error(error) from error

    def row(self, sql: str, values: Sequence[Any] = ()) -> Row | None:
        """Return the first row of a query, or None."""
        return next(iter(self.rows(sql, values)), None)

    def write(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Execute one statement as a transaction of its own. Return the number of rows that it changed."""
        with self.lock:
            count = self.execute(sql, values).rowcount
            self._bound_wal()
            return count

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[None]:
        """Make the statements of the block one transaction. If the block raises, none of them has an effect.

        Args:
            durable: wait for the disk. Then this transaction and all earlier ones survive a power cut.
        """
        with self.lock:
            if durable:
                self.execute("PRAGMA synchronous = FULL")
            try:
                self.execute("BEGIN IMMEDIATE")
                yield
                self.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
            finally:
                if durable:
                    self.execute(f"PRAGMA synchronous = {self._synchronous}")
            self._bound_wal()

    def checkpoint(self) -> None:
        """Copy the write-ahead log into the file and empty it. This waits for the disk."""
        with self.lock:
            size = self._wal_bytes()
            self.rows("PRAGMA wal_checkpoint(TRUNCATE)")
            self._wal_before += size

    def sizes(self) -> dict[str, int]:
        """Return the bytes of the file, of its unused pages, of the write-ahead log, and the bytes written to the log.

        `written_bytes` counts from the time when the store was opened.
        """
        pages, unused, size = (
            int(self.rows(f"PRAGMA {name}")[0][0]) for name in ("page_count", "freelist_count", "page_size")
        )
        wal = self._wal_bytes()
        return {
            "file_bytes": pages * size,
            "unused_bytes": unused * size,
            "wal_bytes": wal,
            "written_bytes": self._wal_before + wal,
        }

    def close(self) -> None:
        """Close the file and end its lock."""
        with self.lock:
            self._connection.close()

    def damaged(self, what: str) -> DamagedStoreError:
        """Return the error for a file whose content is invalid."""
        return DamagedStoreError(
            f"behaviour store {self.path} is damaged ({what}): nothing was changed; open it with if_damaged='move', "
            "which moves the file to another name and starts a new store"
        )

    def _check_content(self, migrations: Sequence[str]) -> None:
        try:
            what = damage(self._connection, migrations)
        except _FAULTS as error:
            raise self._error(error) from error
        if what is not None:
            raise self.damaged(what)

    def _write_checksums(self, *, all_rows: bool) -> None:
        try:
            write_checksums(self._connection, all_rows=all_rows)
        except _FAULTS as error:
            raise self._error(error) from error

    def _bound_wal(self) -> None:
        self._commits += 1
        if self._commits % CHECKED_COMMITS == 0 and self._wal_bytes() > WAL_BYTES:
            # The commit before is complete. If the disk is full, the next commit tries again.
            with contextlib.suppress(StoreError):
                self.checkpoint()

    def _wal_bytes(self) -> int:
        try:
            return os.stat(self._wal).st_size
        except OSError:
            return 0

    def _roll_back(self) -> None:
        # SQLite has already rolled back after some errors. Then there is no transaction.
        if self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def _check_foreign(self, newest: int) -> None:
        """Raise if the file exists and is no behaviour store. `immutable` lets SQLite change nothing."""
        try:
            if self.path.stat().st_size == 0:
                return
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._error(error) from error
        foreign = StoreError(
            f"{self.path} is not a behaviour store, but a file of another application: nothing was changed; give "
            "another path"
        )
        try:
            with contextlib.closing(sqlite3.connect(f"{self.path.absolute().as_uri()}?immutable=1", uri=True)) as file:
                (application,), (number,) = (
                    file.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")
                )
                tables = set() if application == APPLICATION_ID else _tables(file)
        except _FAULTS as error:
            fault = self._error(error)
            if isinstance(fault, DamagedStoreError) and not is_store(self.path):
                raise foreign from error
            raise fault from error
        if application != APPLICATION_ID:
            if self._checksums and tables >= FIRST_TABLES:
                raise self.damaged("its header was changed")
            raise foreign
        self._check_format(number, newest)

    def _check_format(self, number: int, newest: int) -> None:
        if not 0 <= number <= HIGHEST_FORMAT:
            raise self.damaged(f"its header has the format {number}")
        if number > newest:
            raise StoreError(
                f"behaviour store {self.path} has format {number}, but this version of EdgeRec reads formats up to "
                f"{newest}: nothing was changed; use a newer version of EdgeRec"
            )

    def _migrate(self, migrations: Sequence[str], create: Callable[[Database], object]) -> None:
        """Bring the file to the newest format in one transaction."""
        self.execute("BEGIN EXCLUSIVE")
        try:
            number = self.rows("PRAGMA user_version")[0][0]
            self._check_format(number, len(migrations))
            for script in migrations[number:]:
                for statement in _statements(script):
                    self.execute(statement)
            if self._checksums:
                # The rows of an older format get theirs in this transaction.
                self._write_checksums(all_rows=0 < number < len(migrations))
            if not number:
                self.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                create(self)
            if number < len(migrations):
                self.execute(f"PRAGMA user_version = {len(migrations)}")
            self.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def _start_wal(self) -> None:
        (mode,) = self.rows("PRAGMA journal_mode = WAL")[0]
        if mode != "wal":
            raise StoreError(
                f"behaviour store {self.path} should be on a file system on which SQLite can write a log (WAL). "
                f"Received: journal mode {mode}; use another folder"
            )

    def _error(self, error: Exception) -> StoreError:
        text = str(error)
        if "locked" in text:
            return StoreError(
                f"behaviour store {self.path} is open already, in another process or in this one: only one may use it; "
                "close it there first"
            )
        if "full" in text or "disk I/O" in text:
            return StoreError(
                f"behaviour store {self.path} cannot be written ({text}): everything recorded before is kept; free "
                "space on the disk and try again"
            )
        if any(words in text for words in _DAMAGE):
            return self.damaged(text)
        return StoreError(f"behaviour store {self.path}: {text}")


def _tables(file: sqlite3.Connection) -> set[str]:
    try:
        return {name for (name,) in file.execute("SELECT name FROM sqlite_master")}
    except (sqlite3.Error, UnicodeDecodeError):
        return set()


def _statements(script: str) -> Iterator[str]:
    """Yield the statements of a script."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
