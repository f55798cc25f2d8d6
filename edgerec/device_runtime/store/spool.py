"""The spool: rows that were not sent yet. Nothing is copied; marks say how far the rows of each table were sent."""

from __future__ import annotations

import heapq
import json
import logging
import secrets
from dataclasses import dataclass
from itertools import islice
from math import inf
from typing import Any

from edgerec.core.errors import StoreError
from edgerec.device_runtime.store.database import Database
from edgerec.device_runtime.store.statements import read_statements
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind
from edgerec.paging.log_rows import LogBatch

REQUESTS_AT_ONCE = 8
"""The largest number of requests in a batch. In memory, one with 100 candidates takes as much as a hundred events."""
_OLDEST = ("oldest_exposures", "oldest_page_views", "oldest_requests")


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
        raise StoreError(
            f"behaviour store {database.path} belongs to user {owner}, received user {user_id}: give each user a file "
            "of their own"
        )
    return store_id, last_time


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

    def unsent(self, most_rows: int) -> LogBatch | None:
        """Return the batch that is being sent, else the oldest rows as a new batch, or None if there are none."""
        marks = self._marks()
        if marks.offered is None:
            end = self._oldest(marks, most_rows, most_requests=REQUESTS_AT_ONCE)
            if end == (*marks.sent, 0):
                return None
            # What was sent must not be lost at a power cut: its ordinals and the batch's number would be used again.
            with self._database.transaction(durable=True):
                self._database.execute(self._sql["offer"], end)
            return self._batch(marks, end)
        return self._batch(marks, marks.offered)

    def mark_sent(self, number: int, last_time: int) -> None:
        """Mark a batch as sent and delete its requests. A batch that was marked already has no effect."""
        marks = self._marks()
        if 0 <= number < marks.batch:
            return
        if number != marks.batch or marks.offered is None:
            raise StoreError(f"batch {number} was not returned by `unsent`: mark the batch that it returned")
        with self._database.transaction():
            self._advance(marks, marks.offered, last_time)

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
            self._database.execute(self._sql["add_lost"], (rows,))
        return rows

    def bound(self, most_rows: int, last_time: int) -> int:
        """Drop the oldest unsent rows if there are more than `most_rows`. Return the number of dropped rows.

        If rows of the batch that is being sent have to go, the whole batch goes, and its number is not used again:
        the cloud may have stored this batch already.
        """
        dropped = 0
        with self._database.transaction():
            marks = self._marks()
            while (unsent := self._count(marks)) > most_rows:
                end = marks.offered or self._oldest(marks, unsent - most_rows)
                self._advance(marks, end, last_time)
                marks = self._marks()
                dropped += unsent - self._count(marks)
            if dropped:
                self._database.execute(self._sql["add_lost"], (dropped,))
        if dropped:
            logging.getLogger(__name__).warning("%d log rows were dropped before they could be sent", dropped)
        return dropped

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

    def _count(self, marks: _Marks) -> int:
        return int(self._database.rows(self._sql["count"], marks.sent)[0][0])

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
        try:
            streams = (self._events(*part) for part in zip(BEHAVIOUR_KINDS, marks.sent, end[:2], strict=True))
            events = tuple(heapq.merge(*streams, key=lambda row: row["time"]))
            requests = tuple(json.loads(text) for (text,) in self._database.rows(self._sql["requests"], (end[2],)))
        except (ValueError, TypeError) as error:
            raise self._database.damaged(f"unsent rows: {error}") from None
        return LogBatch(self._user_id, self._store_id, marks.batch, events, requests)

    def _events(self, kind: BehaviourKind, start: int, end: int) -> list[dict[str, Any]]:
        return [self._event(kind, *row) for row in self._database.rows(self._sql[kind.plural], (start, end))]

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
    ) -> dict[str, Any]:
        """Return a row of the logs."""
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
            **json.loads(action),
            **json.loads(served),
        }

    def _advance(self, marks: _Marks, end: tuple[int, int, int], last_time: int) -> None:
        """Count the rows before `end` as sent. The number of a batch that is being sent is used up."""
        self._database.execute(self._sql["delete_requests"], (end[2],))
        self._database.execute(self._sql["advance"], (marks.batch + (marks.offered is not None), last_time, *end[:2]))
