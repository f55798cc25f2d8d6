"""The journal: batches that are on disk but not in Parquet yet, and how far each store has sent its rows.

It is one SQLite file in WAL mode with `synchronous=FULL`: when `append` returns, the batches survive a killed process
and a power cut (if the disk does not lie). The process that has the journal open locks it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from edgerec.core.errors import OutputError, TransportError
from edgerec.paging.log_body import decode_batch

VERSION = 3
_TABLES = """
CREATE TABLE batches (sequence INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL);
CREATE TABLE stores (store_id INTEGER PRIMARY KEY, number INTEGER, exposure INTEGER, exposure_time INTEGER, \
page_view INTEGER, page_view_time INTEGER, user_id INTEGER) WITHOUT ROWID;
"""

_KEPT = "WHERE length(body) > 0"
"""The batches that were not forgotten."""


class Sent(NamedTuple):
    """How far a store has sent its rows.

    Attributes:
        number: the number of the last batch; -1 if there is none.
        exposure, exposure_time: ordinal and time of the last exposure; -1 if there is none.
        page_view, page_view_time: the same of the last page-view.
        user_id: the user of the store; None if it is not known, because a journal of version 2 did not keep it.
    """

    number: int = -1
    exposure: int = -1
    exposure_time: int = -1
    page_view: int = -1
    page_view_time: int = -1
    user_id: int | None = None


class Journal:
    """The open journal. One thread at a time may use it.

    Raises:
        OutputError: the file cannot be opened or written, or another process has it open.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0.2)
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute("BEGIN IMMEDIATE")
            version = self._database.execute("PRAGMA user_version").fetchone()[0]
            if not version:
                for statement in _TABLES.strip().split("\n"):
                    self._database.execute(statement)
            if version == 2:
                self._database.execute("ALTER TABLE stores ADD COLUMN user_id INTEGER")
            if version in (0, 2):
                self._database.execute(f"PRAGMA user_version = {VERSION}")
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._failed(error) from None
        if version not in (0, 2, VERSION):
            self._database.close()
            raise OutputError(f"logs: {path} has the format {version}, expected {VERSION}: choose another --logs")

    def sent(self, stores: Iterable[int]) -> dict[int, Sent]:
        """Return how far each store has sent its rows."""
        found = {}
        try:
            for store in stores:
                row = self._database.execute("SELECT * FROM stores WHERE store_id = ?", (store,)).fetchone()
                found[store] = Sent() if row is None else Sent(*row[1:])
        except sqlite3.Error as error:
            raise self._failed(error) from None
        return found

    def append(self, batches: Sequence[tuple[int, Sent, bytes]]) -> None:
        """Store batches in one transaction. Each has its store, how far the store has sent its rows, and its body.

        Raises:
            OutputError: the disk is full or cannot be written. Then no batch was stored.
        """
        try:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                for store, sent, body in batches:
                    self._database.execute("INSERT INTO batches (body) VALUES (?)", (body,))
                    self._database.execute("INSERT OR REPLACE INTO stores VALUES (?, ?, ?, ?, ?, ?, ?)", (store, *sent))
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._failed(error) from None

    def bodies(self) -> list[bytes]:
        """Return the body of every batch that is not in Parquet yet, in order."""
        try:
            return [body for (body,) in self._database.execute(f"SELECT body FROM batches {_KEPT} ORDER BY sequence")]
        except sqlite3.Error as error:
            raise self._failed(error) from None

    def count(self) -> int:
        """Return the number of batches that are not in Parquet yet."""
        return self._number(f"SELECT count(*) FROM batches {_KEPT}") or 0

    def first(self) -> int | None:
        """Return the sequence number of the first batch that is not in Parquet yet; None if there is none.

        A batch that was forgotten keeps its number. So a part that was written before has the same name when it is
        written again.
        """
        return self._number("SELECT min(sequence) FROM batches")

    def last(self) -> int:
        """Return the largest sequence number that was ever given to a batch; 0 if there was no batch."""
        return self._number("SELECT max(seq) FROM sqlite_sequence") or 0

    def clear(self) -> None:
        """Remove all batches, because they are in Parquet now. The numbers of the stores are kept."""
        try:
            self._database.execute("DELETE FROM batches")
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise self._failed(error) from None

    def forget(self, user_id: int, stores: Iterable[int] = ()) -> int:
        """Remove a user's batches, and how far their stores have sent their rows. Nothing of it stays in the file.

        Args:
            user_id: the user.
            stores: more stores of the user. A journal of version 2 did not keep whose they are.

        Returns:
            The number of rows of the batches.

        Raises:
            OutputError: the disk is full or cannot be written, or a batch cannot be read. Then nothing was removed.
        """
        rows, sequences, found = 0, [], set(stores)
        try:
            for sequence, body in self._database.execute(f"SELECT sequence, body FROM batches {_KEPT}"):
                batch = decode_batch(body)
                if batch.user_id == user_id:
                    sequences.append((sequence,))
                    found.add(batch.store_id)
                    rows += len(batch.events) + len(batch.requests)
            # Freed pages are overwritten with zeros, also those of earlier batches, and the copies in the log of SQLite
            # are removed.
            self._database.execute("PRAGMA secure_delete = ON")
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("UPDATE batches SET body = x'' WHERE sequence = ?", sequences)
            self._database.executemany("DELETE FROM stores WHERE store_id = ?", [(store,) for store in found])
            self._database.execute("DELETE FROM stores WHERE user_id = ?", (user_id,))
            self._database.execute("COMMIT")
            self._database.execute("VACUUM")
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise self._failed(error) from None
        except TransportError as error:
            raise OutputError(f"logs: {self._path} has a batch that cannot be read ({error})") from None
        return rows

    def close(self) -> None:
        """Close the file and give up the lock."""
        self._database.close()

    def _number(self, query: str) -> int | None:
        try:
            number: int | None = self._database.execute(query).fetchone()[0]
        except sqlite3.Error as error:
            raise self._failed(error) from None
        return number

    def _failed(self, error: sqlite3.Error) -> OutputError:
        if "locked" in str(error):
            return OutputError(
                f"logs: {self._path.parent} is used by another server: stop it, or choose another --logs"
            )
        return OutputError(f"logs: {self._path} cannot be used ({error}): check the disk and its permissions")
