"""Writes the logs that devices send, as a folder of logs that `edgerec samples` reads (docs/cloud.md).

A batch first goes into the journal. Then the device gets its answer. From time to time, and when the server ends, the
batches of the journal become two Parquet files, which are named after the first batch. If the process is killed between
writing the files and clearing the journal, the next server writes files with the same names again.
"""

from __future__ import annotations

import logging
import queue
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from edgerec.cloud.forget import finish_forgetting
from edgerec.cloud.journal import Journal, Sent
from edgerec.cloud.log_parts import check_overwritten, check_parts, part_path, write_durably
from edgerec.cloud.log_rows import CheckedRows, LogTables, WrongRowsError, check_owner, followed
from edgerec.core.atomic import write_json
from edgerec.core.errors import EdgeRecError, OutputError, first_line
from edgerec.core.leftovers import clear_leftovers
from edgerec.core.paths import AnyPath, to_path
from edgerec.core.text import printable
from edgerec.data.logs import HEAD, JOURNAL, SPEC, TABLES, LogsHead
from edgerec.data.parts import read_part
from edgerec.data.schema import EVENTS, ITEM_ID, ITEMS, REQUESTS, TIME
from edgerec.features.spec import FeatureSpec, load_spec
from edgerec.paging.log_body import decode_batch, encode_batch
from edgerec.paging.log_rows import LogBatch

ROLL_ROWS, ROLL_S = 50_000, 300.0
"""The journal becomes Parquet when it has this many rows, or when its first batch is this old in seconds."""
_MOST_QUEUED, _MOST_BYTES = 1000, 32 * 1024 * 1024
"""Maximum number of batches that wait to be stored, and of the bytes of their JSON. Their rows in memory take up to
seven times as much."""

Learn = Callable[[pl.DataFrame, pl.DataFrame], None]


class BusyLogsError(OutputError):
    """The writer takes no batch now. It was not stored; the device sends it again."""


@dataclass(frozen=True)
class _Waiting:
    """A batch that waits, the JSON from which it was made, and the future of its answer."""

    batch: LogBatch
    body: bytes | None
    done: Future[dict[str, Any]]

    def content(self) -> bytes:
        """Return the JSON of the batch."""
        return encode_batch(self.batch) if self.body is None else self.body


def _refuse(waiting: list[_Waiting], error: Exception) -> None:
    for one in waiting:
        one.done.set_exception(error)


class LogWriter:
    """Stores batches. Threads may share an instance; one thread of its own writes.

    Args:
        path: the folder of the logs. It is made if it does not exist.
        specs: the specifications of all versions; the first one becomes `features.json`.
        items: the catalogue, sorted by `item_id`.
        learn: called with the new rows of events and requests after they are on disk.
        roll_rows: the journal becomes Parquet when it has this many rows,
        roll_s: or when its first batch is this old in seconds.

    Raises:
        OutputError: the folder cannot be written, contains something else or parts with other columns, or another
            server uses it.
        LogsError: a part cannot be read.
    """

    def __init__(
        self,
        path: AnyPath,
        specs: list[FeatureSpec],
        items: pl.DataFrame,
        *,
        learn: Learn = lambda events, requests: None,
        roll_rows: int = ROLL_ROWS,
        roll_s: float = ROLL_S,
    ) -> None:
        self._path = to_path(path, "LogWriter: `path`")
        self._tables = LogTables(specs, items[ITEM_ID].to_numpy())
        self._learn, self._roll_rows, self._roll_s = learn, roll_rows, roll_s
        self._counts = {"batches": 0, "repeated": 0, "events": 0, "requests": 0, "dropped_rows": 0}
        _make_folder(self._path)
        self._journal = Journal(self._path / JOURNAL)
        try:
            finish_forgetting(self._path, self._journal)
            check_parts(self._path, self._journal, self._tables.schemas)
            self._prepare(specs[0], items)
            self._recover()
            recovered = self._joined(self._pending)
            self._roll()
        except BaseException:
            self._journal.close()
            raise
        self._since = 0.0
        self._queue: queue.Queue[_Waiting | None] = queue.Queue(_MOST_QUEUED)
        self._waiting_bytes = 0
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="edgerec-logs", daemon=True)
        self._thread.start()
        if len(recovered[EVENTS]) or len(recovered[REQUESTS]):
            self._teach(recovered)

    def admit(self, spec: FeatureSpec) -> None:
        """Accept the rows of one more specification, if it needs no other columns.

        Raises:
            OutputError: it needs a column that the files in the folder do not have.
        """
        if spec in self._tables.specs:
            return
        column = self._tables.missing(spec)
        if column is not None:
            raise OutputError(
                f"logs: the version needs the column {column}, which the logs of this server do not have, or with "
                "another type: restart the server with another --logs"
            )
        self._tables = self._tables.admitting(spec)

    def submit(self, batch: LogBatch, *, body: bytes | None = None) -> Future[dict[str, Any]]:
        """Store a batch. The future ends when the batch is on disk.

        `body` is the JSON from which `decode_batch` made the batch. It goes into the journal. Default: it is made.

        Its result says whether the batch is new (`stored`), and how many rows were dropped (`dropped_rows`) because the
        catalogue does not have their items. It raises WrongRowsError if a row does not follow the schema, BusyLogsError
        if too many batches wait or the writer is closed, and OutputError if the disk cannot be written.
        """
        done: Future[dict[str, Any]] = Future()
        with self._lock:
            try:
                if self._closed:
                    raise BusyLogsError("logs: the server is being stopped: send the batch again later")
                size = len(body or b"")
                if self._waiting_bytes and self._waiting_bytes + size > _MOST_BYTES:
                    raise queue.Full
                self._queue.put_nowait(_Waiting(batch, body, done))
                self._waiting_bytes += size
            except queue.Full:
                done.set_exception(BusyLogsError("logs: too many batches are waiting: send the batch again later"))
            except BusyLogsError as error:
                done.set_exception(error)
        return done

    def state(self) -> dict[str, int]:
        """Return what this writer has stored since it was made."""
        return dict(self._counts)

    def close(self) -> None:
        """Store what is waiting, write the journal as Parquet, and close it. A second call has no effect."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join()
        try:
            self._roll()
        finally:
            self._journal.close()

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _work(self) -> None:
        ended = False
        while not ended:
            waiting = self._waiting()
            ended = None in waiting
            batches = [each for each in waiting if each is not None]
            with self._lock:
                self._waiting_bytes -= sum(len(each.body or b"") for each in batches)
            try:
                self._store(batches)
            except Exception as error:  # the thread goes on, and no caller waits for ever
                logging.getLogger(__name__).exception("batches of logs could not be stored")
                _refuse([one for one in batches if not one.done.done()], OutputError(f"logs: {first_line(error)}"))
            if self._pending and (self._rows() >= self._roll_rows or time.monotonic() >= self._since + self._roll_s):
                try:
                    self._roll()
                except Exception as error:  # the batches stay in the journal; they are written later
                    sys.stderr.write(f"edgerec: {printable(first_line(error))}\n")
                    self._since = time.monotonic()

    def _waiting(self) -> list[Any]:
        """Return all waiting batches. Wait for one if there are none, at most until the journal is due."""
        due = max(self._since + self._roll_s - time.monotonic(), 0) if self._pending else None
        found = []
        try:
            found.append(self._queue.get(timeout=due))
            while True:
                found.append(self._queue.get_nowait())
        except queue.Empty:
            return found

    def _recover(self) -> None:
        """Read all rows of the journal again."""
        self._pending = [self._recovered(body) for body in self._journal.bodies()]
        self._pending_batches = len(self._pending)

    def _recovered(self, body: bytes) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return the rows of a batch that a killed server left in the journal."""
        try:
            rows = self._tables.of([decode_batch(body)])
        except EdgeRecError as error:
            raise OutputError(
                f"logs: {self._path / JOURNAL} has rows of another specification ({error}): start the server once with "
                "the bundles that it had before"
            ) from None
        return rows.events, rows.requests

    def _store(self, waiting: list[_Waiting]) -> None:
        """Store batches in one transaction of the journal, and answer them."""
        # A batch whose caller has given up is not stored. From here on, no caller can cancel its future.
        waiting = [one for one in waiting if one.done.set_running_or_notify_cancel()]
        while waiting:
            # Two batches of one store are stored one after the other.
            first = {one.batch.store_id: one for one in reversed(waiting)}
            self._store_each(list(first.values()))
            waiting = [one for one in waiting if one is not first[one.batch.store_id]]

    def _store_each(self, waiting: list[_Waiting]) -> None:
        """Store batches of different stores."""
        try:
            sent = self._journal.sent({one.batch.store_id for one in waiting})
        except EdgeRecError as error:
            _refuse(waiting, error)
            return
        new = []
        for one in waiting:
            before = sent[one.batch.store_id]
            try:
                check_owner(before, one.batch)
            except WrongRowsError as error:
                one.done.set_exception(error)
                continue
            if one.batch.number <= before.number:
                self._counts["repeated"] += 1
                one.done.set_result({"stored": False, "dropped_rows": 0})
            else:
                new.append(one)
        kept: list[tuple[_Waiting, Sent]] = []
        tables = []
        for batches, rows in self._checked(new):
            following = self._following(batches, rows, sent)
            if following:
                kept += following
                whole = len(following) == len(batches)
                tables.append(rows if whole else rows.of_stores({one.batch.store_id for one, _ in following}))
        if kept:
            self._keep(kept, tables)

    def _checked(self, new: list[_Waiting]) -> list[tuple[list[_Waiting], CheckedRows]]:
        """Return the checked rows of batches. If one is wrong, halves are checked, until it is alone and refused."""
        if not new:
            return []
        try:
            return [(new, self._tables.of([one.batch for one in new]))]
        except Exception as error:  # a fault of one batch must not end the thread
            if len(new) == 1:
                _refuse(new, error if isinstance(error, EdgeRecError) else WrongRowsError(first_line(error)))
                return []
            middle = len(new) // 2
            return self._checked(new[:middle]) + self._checked(new[middle:])

    @staticmethod
    def _following(batches: list[_Waiting], rows: CheckedRows, sent: Mapping[int, Sent]) -> list[tuple[_Waiting, Sent]]:
        """Return the batches that follow what their stores have sent, and how far these have sent then."""
        marks, found = rows.marks(), []
        for one in batches:
            store = one.batch.store_id
            try:
                found.append((one, followed(sent[store], one.batch, marks.get(store, {}))))
            except WrongRowsError as error:
                one.done.set_exception(error)
        return found

    def _keep(self, kept: list[tuple[_Waiting, Sent]], tables: list[CheckedRows]) -> None:
        """Write checked batches to the journal, learn from them, and answer them."""
        counts: dict[int, int] = {}
        for rows in tables:
            counts |= rows.counts()
        try:
            self._journal.append([(one.batch.store_id, now, one.content()) for one, now in kept])
        except EdgeRecError as error:
            _refuse([one for one, _ in kept], error)
            return
        self._since = self._since if self._pending else time.monotonic()
        self._pending += [(rows.events, rows.requests) for rows in tables]
        self._pending_batches += len(kept)
        try:
            self._count_and_teach(len(kept), self._joined(self._pending[-len(tables) :]))
        finally:
            # A device that asks for a page after this answer gets one that knows its behaviours.
            for one, _ in kept:
                sent = len(one.batch.events) + len(one.batch.requests)
                dropped = sent - counts.get(one.batch.store_id, 0)
                self._counts["dropped_rows"] += dropped
                one.done.set_result({"stored": True, "dropped_rows": dropped})

    def _count_and_teach(self, batches: int, tables: dict[str, pl.DataFrame]) -> None:
        """Count new batches that are in the journal, and let the recall learn from them."""
        self._counts["batches"] += batches
        for name, table in tables.items():
            self._counts[name] += len(table)
        self._teach(tables)

    def _teach(self, tables: dict[str, pl.DataFrame]) -> None:
        try:
            self._learn(tables[EVENTS], tables[REQUESTS])
        except Exception:  # a recall of an application may raise anything; the logs are stored all the same
            logging.getLogger(__name__).exception("the recall could not learn from new logs")

    def _rows(self) -> int:
        return sum(len(events) + len(requests) for events, requests in self._pending)

    def _joined(self, tables: list[tuple[pl.DataFrame, pl.DataFrame]]) -> dict[str, pl.DataFrame]:
        return {
            name: pl.concat([self._tables.empty(name), *(pair[index] for pair in tables)])
            for index, name in enumerate((EVENTS, REQUESTS))
        }

    def _roll(self) -> None:
        """Write the batches of the journal as Parquet, and remove them from the journal."""
        first = self._journal.first()
        if first is None:
            return
        if self._journal.count() != self._pending_batches:
            # A fault in between, such as a lack of memory, has left out rows that are in the journal.
            self._recover()
        tables = {name: table for name, table in self._joined(self._pending).items() if len(table)}
        paths = {name: part_path(self._path, name, first) for name in tables}
        if any(path.exists() for path in paths.values()):
            batches = [decode_batch(body) for body in self._journal.bodies()]
            for name, path in paths.items():
                check_overwritten(path, name, batches)
        for name, table in tables.items():
            write_durably(table.sort(TIME, maintain_order=True), paths[name])
        self._journal.clear()
        self._pending, self._pending_batches = [], 0

    def _prepare(self, spec: FeatureSpec, items: pl.DataFrame) -> None:
        """Write the catalogue and the heads. Items that only an earlier catalogue had are kept: rows may name them."""
        head = self._path / HEAD
        if head.exists():
            if load_spec(self._path / SPEC) != spec:
                raise OutputError(f"logs: {self._path} has another specification: choose another --logs")
            old = read_part(self._path / TABLES[ITEMS])
            gone = old.filter(~pl.col(ITEM_ID).is_in(items[ITEM_ID].implode()))
            items = pl.concat([items, gone], how="diagonal_relaxed")
        write_durably(items, self._path / TABLES[ITEMS])
        for name in (EVENTS, REQUESTS):
            (self._path / TABLES[name]).mkdir(exist_ok=True)
            # A table needs one file at least. It also shows the types before the first rows arrive.
            write_durably(self._tables.empty(name), part_path(self._path, name, 0))
        write_json(self._path / SPEC, spec.model_dump(mode="json", exclude_none=True))
        write_json(head, LogsHead(name=spec.name).model_dump(mode="json"))


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        foreign = any(path.iterdir()) and not (path / JOURNAL).exists()
        clear_leftovers(path / HEAD)
    except OSError as error:
        raise OutputError(f"logs: {path} cannot be used ({error.strerror}): choose another --logs") from None
    if foreign:
        raise OutputError(f"logs: {path} contains something else and no {JOURNAL}: choose another --logs")
