"""The spool: rows that were not sent yet. Nothing is copied; marks say how far the rows of each table were sent."""

from __future__ import annotations

import heapq
import json
import logging
import secrets
from dataclasses import dataclass
from itertools import islice
from math import inf
from pathlib import Path
from typing import Any

from edgerec.core.errors import StoreError
from edgerec.device_runtime.store.database import Database
from edgerec.device_runtime.store.retention import DAY_MS, Retention
from edgerec.device_runtime.store.statements import read_statements
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind
from edgerec.paging.log_rows import LogBatch

REQUESTS_AT_ONCE = 8
"""The largest number of requests in a batch. In memory, one with 100 candidates takes as much as a hundred events."""
_OLDEST = ("oldest_exposures", "oldest_page_views", "oldest_requests")
_BYTES = ("exposure_bytes", "page_view_bytes", "request_bytes")
_LOG = logging.getLogger(__name__)


def create(database: Database, user_id: int) -> None:
    """Write the row of a new store. Its ID is random."""
    database.execute(read_statements("spool")["create"], (secrets.randbits(63), user_id))


def identity(database: Database, user_id: int) -> tuple[int, int]:
    """Return the ID of the store and the latest time that was stored with it.

    Raises:
        StoreError: the store belongs to another user.
    """
    row = database.row(read_statements("spool")["identity"])
    if row is None:
        raise database.damaged("its table `store` is empty")
    store_id, owner, last_time = row
    if owner != user_id:
        raise wrong_owner(database.path, owner, user_id)
    return store_id, last_time


def wrong_owner(path: Path, owner: int | None, user_id: int) -> StoreError:
    """Return the error for a store of another user."""
    return StoreError(
        f"behaviour store {path} belongs to user {owner}, received user {user_id}: give each user a file of their own"
    )


@dataclass(frozen=True)
class _Marks:
    """How far the rows were sent.

    Attributes:
        batch: the number of the next batch.
        lost: number of rows that were dropped before they were sent.
        sent: the first ordinal that was not sent, of exposures and of page-views.
        offered: the end of the batch that is being sent: ordinals of exposures and of page-views, and sequence numbers
            of requests. None if no batch is being sent.
    """

    batch: int
    lost: int
    sent: tuple[int, int]
    offered: tuple[int, int, int] | None


class Spool:
    """The rows that were not sent yet."""

    def __init__(self, database: Database, *, user_id: int, store_id: int) -> None:
        self._database = database
        self._user_id, self._store_id = user_id, store_id
        self._sql = read_statements("spool")
        self._unreadable = 0
        """Number of rows of the batch that is being sent that cannot be read."""

    def unsent(self, most_rows: int, last_time: int) -> LogBatch | None:
        """Return the batch that is being sent, else the oldest rows as a new batch, or None if there are none.

        Rows that cannot be read are left out. They would stop the delivery of all later rows.
        """
        while True:
            marks = self._marks()
            end = marks.offered
            if end is None:
                end = self._oldest(marks, most_rows, most_requests=REQUESTS_AT_ONCE)
                if end == (*marks.sent, 0):
                    return None
                # What was sent must survive a power cut: its ordinals and the batch's number would be used again.
                with self._database.transaction(durable=True):
                    self._database.execute(self._sql["offer"], end)
            batch = self._batch(marks, end)
            if batch.events or batch.requests:
                return batch
            with self._database.transaction():
                self._advance(self._marks(), end, last_time)
                self._lose(self._unreadable)

    def mark_sent(self, number: int, last_time: int) -> None:
        """Mark a batch as sent and delete its requests. A batch that was marked already has no effect."""
        marks = self._marks()
        if 0 <= number < marks.batch:
            return
        if number != marks.batch or marks.offered is None:
            raise StoreError(f"batch {number} was not returned by `unsent`: mark the batch that it returned")
        with self._database.transaction():
            self._advance(marks, marks.offered, last_time)
            self._lose(self._unreadable)

    def refuse(self, number: int, last_time: int) -> int:
        """Halve the batch that is being sent, or drop its only row. Return the number of lost rows."""
        marks = self._marks()
        if number != marks.batch or marks.offered is None:
            raise StoreError(f"batch {number} is not being sent: refuse the batch that `unsent` returned")
        batch = self._batch(marks, marks.offered)
        rows = len(batch.events) + len(batch.requests)
        if rows > 1:
            # After a power cut, the whole batch must not come back with the number of a half that the cloud has stored.
            with self._database.transaction(durable=True):
                self._database.execute(self._sql["offer"], self._oldest(marks, rows // 2))
            return 0
        with self._database.transaction():
            self._advance(marks, marks.offered, last_time)
            self._lose(rows + self._unreadable)
        return rows

    def bound(self, retention: Retention, now: int, last_time: int) -> int:
        """Drop the oldest unsent rows if there are more than `retention` allows. Return the number of dropped rows.

        If rows of the batch that is being sent have to go, the whole batch goes, and its number is not used again:
        the cloud may have stored this batch already.
        """
        dropped = 0
        with self._database.transaction():
            marks = self._marks()
            while (end := self._excess(marks, retention, now)) is not None:
                unsent = self._totals(marks)[0]
                self._advance(marks, marks.offered or end, last_time)
                marks = self._marks()
                dropped += unsent - self._totals(marks)[0]
            self._lose(dropped)
        if dropped:
            _LOG.warning("%d log rows were dropped before they could be sent", dropped)
        return dropped

    def is_sending(self) -> bool:
        """Return whether a batch is being sent."""
        return self._marks().offered is not None

    def sent(self) -> tuple[int, int]:
        """Return the first ordinal that was not sent, of exposures and of page-views."""
        return self._marks().sent

    def lost(self) -> int:
        """Return the number of rows that were dropped before they were sent."""
        return self._marks().lost

    def _marks(self) -> _Marks:
        row = self._database.row(self._sql["marks"])
        if row is None:
            raise self._database.damaged("its table `store` is empty")
        batch, lost, exposures, page_views, *offered = row
        return _Marks(batch, lost, (exposures, page_views), None if None in offered else (*offered,))

    def _lose(self, rows: int) -> None:
        """Count rows that will never be sent, as a part of the caller's transaction."""
        if rows:
            self._database.execute(self._sql["add_lost"], (rows,))
        self._unreadable = 0

    def _totals(self, marks: _Marks) -> tuple[int, int]:
        """Return the number of unsent rows and their bytes."""
        rows, size = self._database.rows(self._sql["totals"], marks.sent)[0]
        return rows, size

    def _excess(self, marks: _Marks, retention: Retention, now: int) -> tuple[int, int, int] | None:
        """Return the end of the oldest rows that the retention does not allow; None if it allows all rows."""
        rows, size = self._totals(marks)
        first = now - retention.unsent_days * DAY_MS
        arguments: tuple[tuple[int, ...], ...] = ((marks.sent[0],), (marks.sent[1],), ())
        streams = (
            [(time, table, number, length) for time, number, length in self._database.rows(self._sql[name], values)]
            for table, (name, values) in enumerate(zip(_BYTES, arguments, strict=True))
        )
        end = [*marks.sent, 0]
        for time, table, number, length in heapq.merge(*streams):
            if rows <= retention.unsent_rows and size <= retention.unsent_bytes and time >= first:
                break
            end[table] = number + 1
            rows, size = rows - 1, size - length
        return None if end == [*marks.sent, 0] else (end[0], end[1], end[2])

    def _oldest(self, marks: _Marks, most_rows: int, *, most_requests: int | None = None) -> tuple[int, int, int]:
        """Return the end of the oldest unsent rows in each table. Rows of one table stay in their order.

        If a batch is being sent, only its rows are looked at. If there are more than `most_requests` requests, the
        others are left out.
        """
        ends = marks.offered or (inf, inf, inf)
        requests = most_rows if most_requests is None else min(most_rows, most_requests)
        arguments = (*((sent, most_rows) for sent in marks.sent), (requests,))
        streams = (
            [(time, table, number) for time, number in self._database.rows(self._sql[name], values) if number < end]
            for table, (name, values, end) in enumerate(zip(_OLDEST, arguments, ends, strict=True))
        )
        oldest = [*marks.sent, 0]
        for _, table, number in islice(heapq.merge(*streams), most_rows):
            oldest[table] = number + 1
        return oldest[0], oldest[1], oldest[2]

    def _batch(self, marks: _Marks, end: tuple[int, int, int]) -> LogBatch:
        streams = (self._events(*part) for part in zip(BEHAVIOUR_KINDS, marks.sent, end[:2], strict=True))
        found = list(heapq.merge(*streams, key=lambda row: row[0]))
        rows = self._database.rows(self._sql["requests"], (end[2],))
        events = [event for _, event in found if event is not None]
        requests = [request for request in (_parsed(text) for (text,) in rows) if request is not None]
        self._unreadable = len(found) + len(rows) - len(events) - len(requests)
        if self._unreadable:
            _LOG.warning("%d log rows cannot be sent, because they are damaged", self._unreadable)
        return LogBatch(self._user_id, self._store_id, marks.batch, tuple(events), tuple(requests))

    def _events(self, kind: BehaviourKind, start: int, end: int) -> list[tuple[int, dict[str, Any] | None]]:
        rows = self._database.rows(self._sql[kind.plural], (start, end))
        return [(row[0], self._event(kind, *row)) for row in rows]

    def _event(
        self,
        kind: BehaviourKind,
        time: int,
        ordinal: int,
        item_id: int,
        action: str,
        served: str,
        page_id: int | None,
        offered_at: int | None,
        opened_from: str | None,
    ) -> dict[str, Any] | None:
        """Return a row of the logs; None if the stored row is damaged."""
        raw, values = _parsed(action), _parsed(served)
        if raw is None or values is None:
            return None
        return {
            "user_id": self._user_id,
            "time": time,
            "kind": kind.name,
            "item_id": item_id,
            "store_id": self._store_id,
            "ordinal": ordinal,
            "page_id": page_id,
            "offered_at": offered_at,
            "opened_from": opened_from,
            **raw,
            **values,
        }

    def _advance(self, marks: _Marks, end: tuple[int, int, int], last_time: int) -> None:
        """Count the rows before `end` as sent. The number of a batch that is being sent is used up."""
        self._database.execute(self._sql["delete_requests"], (end[2],))
        self._database.execute(self._sql["advance"], (marks.batch + (marks.offered is not None), last_time, *end[:2]))


def _parsed(text: Any) -> dict[str, Any] | None:
    """Return the object of a JSON text, or None if it is none."""
    try:
        found = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
