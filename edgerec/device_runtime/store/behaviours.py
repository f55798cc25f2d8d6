"""The raw behaviours of one kind: a table to whose end each behaviour is appended."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from edgerec.core.errors import StoreError
from edgerec.device_runtime.store.database import Database, Row
from edgerec.device_runtime.store.rows import Behaviour, StoredItem
from edgerec.device_runtime.store.statements import read_statements
from edgerec.device_runtime.store.values import DOUBLE, FLOAT, INTEGER, array, blob, json_text, optional, whole
from edgerec.features.behaviours import BehaviourKind
from edgerec.features.relations.facts import Facts

RESERVED = frozenset(
    ("user_id", "time", "kind", "item_id", "store_id", "ordinal", "page_id", "offered_at", "opened_from")
)
"""Columns of `events` that no raw value may have."""


class BehaviourTable:
    """The raw behaviours of one kind.

    Attributes:
        next_ordinal: the ordinal of the next behaviour.
        last_time: the time of the latest behaviour; -1 if there is none.
    """

    def __init__(self, database: Database, kind: BehaviourKind) -> None:
        self._database, self._kind = database, kind
        self._sql = read_statements("behaviours", kind=kind.name)
        ordinal, time = database.row(self._sql["newest"]) or (-1, -1)
        self.next_ordinal, self.last_time = int(ordinal) + 1, int(time)
        self._counts: dict[int, int] | None = None

    def append(
        self, behaviour: Behaviour, time: int, ordinal: int | None, *, also: Callable[[], object] | None = None
    ) -> int:
        """Append a behaviour with the given time. Return its ordinal.

        Args:
            behaviour: the behaviour.
            time: its time.
            ordinal: its ordinal; None for the next one.
            also: executes further statements of the same transaction.
        """
        ordinal = self.next_ordinal if ordinal is None else whole("ordinal", ordinal)
        if ordinal < self.next_ordinal:
            raise StoreError(
                f"`ordinal` should be at least {self.next_ordinal}, the next one of {self._kind.plural}. "
                f"Received: {ordinal}"
            )
        counts = self._loaded_counts()
        item_id = whole("item_id", behaviour.item_id)
        seen = counts.get(item_id, 0) + 1
        for name in ("action", "served"):
            if reserved := RESERVED & getattr(behaviour, name).keys():
                raise StoreError(f"`{name}` should not have the column {min(reserved)!r}: the store fills it in")
        row = (
            ordinal,
            time,
            item_id,
            seen,
            json_text("action", behaviour.action),
            json_text("served", behaviour.served),
            optional("page_id", behaviour.page_id),
            optional("offered_at", behaviour.offered_at),
            behaviour.opened_from,
            *_item_columns(behaviour.item),
        )
        if also is None:
            self._database.write(self._sql["insert"], row)
        else:
            with self._database.transaction():
                self._database.execute(self._sql["insert"], row)
                also()
        self.next_ordinal, self.last_time = ordinal + 1, time
        counts[item_id] = seen
        return ordinal

    def set_item(self, ordinal: int, item: StoredItem) -> None:
        """Replace the item of a behaviour."""
        if not self._database.write(self._sql["set_item"], (*_item_columns(item), whole("ordinal", ordinal))):
            raise StoreError(f"the store has no {self._kind.name} with the ordinal {ordinal}: set no item for it")

    def put_item(self, ordinal: int, item: StoredItem) -> None:
        """Replace the item of a behaviour, as a part of the caller's transaction. A deleted behaviour gets none."""
        self._database.execute(self._sql["set_item"], (*_item_columns(item), ordinal))

    def some_since(self, ordinal: int, most: int) -> list[tuple[int, Behaviour]]:
        """Return at most `most` behaviours from an ordinal on, oldest first."""
        return [self._parse(row) for row in self._database.rows(self._sql["some_since"], (ordinal, most))]

    def since(self, ordinal: int) -> list[tuple[int, Behaviour]]:
        """Return the behaviours from an ordinal on, oldest first."""
        return [self._parse(row) for row in self._database.rows(self._sql["since"], (ordinal,))]

    def latest(self, count: int) -> list[tuple[int, Behaviour]]:
        """Return the latest behaviours, oldest first."""
        rows = self._database.rows(self._sql["latest"], (count,))
        return [self._parse(row) for row in reversed(rows)]

    def counts(self) -> dict[int, int]:
        """Return the number of behaviours of each item."""
        return dict(self._loaded_counts())

    def count(self) -> int:
        """Return the number of rows."""
        return int(self._database.rows(self._sql["count"])[0][0])

    def first_since(self, time: int) -> int:
        """Return the first ordinal with at least this time, or the next ordinal if there is none."""
        row = self._database.row(self._sql["first_since"], (time,))
        return self.next_ordinal if row is None else int(row[0])

    def delete(self, before: int, most_rows: int) -> int:
        """Delete the oldest rows whose ordinal is below `before`. Return the number of rows that were deleted."""
        return self._database.write(self._sql["delete"], (before, most_rows))

    def _loaded_counts(self) -> dict[int, int]:
        if self._counts is None:
            self._counts = dict(self._database.rows(self._sql["counts"]))
        return self._counts

    def _parse(self, row: Row) -> tuple[int, Behaviour]:
        ordinal, time, item_id, action, served, page_id, offered_at, opened_from, *item = row
        try:
            behaviour = Behaviour(
                kind=self._kind,
                time=time,
                item_id=item_id,
                action=json.loads(action),
                served=json.loads(served),
                page_id=page_id,
                offered_at=offered_at,
                opened_from=opened_from,
                item=_item(*item),
            )
        except (ValueError, TypeError) as error:
            raise self._database.damaged(f"{self._kind.name} {ordinal}: {error}") from None
        return ordinal, behaviour


def _item_columns(item: StoredItem | None) -> Row:
    if item is None:
        return None, None, None, None, None
    if len(item.facts) != 1:
        raise StoreError(f"`facts` of an item should have one row. Received: {len(item.facts)}")
    return (
        item.version_id,
        blob("vector", item.vector, FLOAT),
        blob("ids", item.ids, INTEGER),
        blob("keys of facts", item.facts.keys, INTEGER),
        blob("numbers of facts", item.facts.numbers, DOUBLE),
    )


def _item(version_id: str | None, vector: Any, ids: Any, keys: Any, numbers: Any) -> StoredItem | None:
    if version_id is None:
        return None
    facts = Facts(array(keys, INTEGER)[None], array(numbers, DOUBLE)[None])
    return StoredItem(version_id, array(vector, FLOAT), array(ids, INTEGER), facts)
