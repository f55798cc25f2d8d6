"""The encodings of one kind: keys and values of the latest window, the newest states, and how far they reach."""

from __future__ import annotations

import numpy as np

from edgerec.core.errors import StoreError
from edgerec.device_runtime.store.database import Database, Row
from edgerec.device_runtime.store.rows import Encoding, States, StoredWindow
from edgerec.device_runtime.store.statements import read_statements
from edgerec.device_runtime.store.values import DOUBLE, FLOAT, INTEGER, array, blob, stacked
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind
from edgerec.features.relations.facts import Facts


class EncodingTable:
    """The encodings of one kind of behaviour, by one model version.

    A window has `length` ordinals, so the table has `length` rows (slots). An encoding replaces the one that is
    `length` ordinals older: no later window needs that one.
    """

    def __init__(self, database: Database, kind: BehaviourKind, length: int) -> None:
        self._database, self._kind, self._length = database, kind, length
        self._key = BEHAVIOUR_KINDS.index(kind)
        self._sql = read_statements("encodings", kind=kind.name)
        self._version, stored_length, self._through = database.row(self._sql["mark"], (self._key,)) or (None, 0, -1)
        if stored_length != length:
            self._version = None

    def through(self, version_id: str) -> int:
        """Return the ordinal of the latest behaviour that this version encoded; -1 if there is none."""
        return self._through if version_id == self._version else -1

    def write(self, ordinal: int, version_id: str, encoding: Encoding, states: States) -> None:
        """Write an encoding, the states after it, and the mark in one transaction."""
        if ordinal <= self.through(version_id):
            raise StoreError(
                f"`ordinal` should be above {self._through}, the latest encoded one of {self._kind.plural}. "
                f"Received: {ordinal}"
            )
        row, mark = self._row(ordinal, encoding), self._mark(ordinal, version_id, states)
        with self._database.transaction():
            if version_id != self._version:
                self._database.execute(self._sql["forget_encodings"])
            self._database.execute(self._sql["write_encoding"], row)
            self._database.execute(self._sql["write_states"], mark)
        self._version, self._through = version_id, ordinal

    def _row(self, ordinal: int, encoding: Encoding) -> Row:
        arrays = (encoding.own_key, encoding.own_value, encoding.previous_key, encoding.previous_value)
        return (ordinal % self._length, ordinal, *(blob("encoding", one, FLOAT) for one in arrays))

    def _mark(self, ordinal: int, version_id: str, states: States) -> Row:
        if states.own.shape != states.previous.shape or states.own.ndim != 2:
            raise StoreError(
                f"`own` and `previous` should be states of the same shape (2 * depth, units). Received: "
                f"{states.own.shape} and {states.previous.shape}"
            )
        own, previous = blob("own", states.own, FLOAT), blob("previous", states.previous, FLOAT)
        return (self._key, version_id, self._length, ordinal, len(states.own), own, previous)

    def clear(self) -> None:
        """Delete all encodings and states, as a part of the caller's transaction. This object does not notice it."""
        self._database.execute(self._sql["forget_encodings"])
        self._database.execute(self._sql["forget_states"], (self._key,))

    def put(self, ordinal: int, encoding: Encoding) -> None:
        """Write an encoding, as a part of the caller's transaction."""
        self._database.execute(self._sql["write_encoding"], self._row(ordinal, encoding))

    def mark(self, ordinal: int, version_id: str, states: States) -> None:
        """Write the states and the mark of a version, as a part of the caller's transaction."""
        self._database.execute(self._sql["write_states"], self._mark(ordinal, version_id, states))

    def stored_version(self) -> str | None:
        """Return the version that made the stored encodings, with any limit; None if there are none."""
        row = self._database.row(self._sql["mark"], (self._key,))
        return None if row is None else str(row[0])

    def states(self, version_id: str) -> States | None:
        """Return the newest states of this version, or None if it has encoded nothing."""
        row = self._database.row(self._sql["states"], (self._key,)) if version_id == self._version else None
        if row is None:
            return None
        rows, *contents = row
        try:
            # -1 is ambiguous without rows: such a model has no recurrence.
            own, previous = (array(one, FLOAT).reshape((rows, -1) if rows else (0, 0)) for one in contents)
        except ValueError as error:
            raise self._database.damaged(f"states of {self._kind.plural}: {error}") from None
        return States(own, previous)

    def window(self, version_id: str, start: int) -> StoredWindow:
        """Return the encodings of this version from the ordinal `start` on."""
        known = version_id == self._version
        rows = self._database.rows(self._sql["window"], (start,)) if known else []
        columns = list(zip(*rows, strict=True)) or [()] * 9
        try:
            own_keys, own_values, previous_keys, previous_values = (stacked(column, FLOAT) for column in columns[2:6])
            ids, facts = stacked(columns[6], INTEGER), Facts(stacked(columns[7], INTEGER), stacked(columns[8], DOUBLE))
        except (ValueError, TypeError) as error:
            raise self._database.damaged(f"encodings of {self._kind.plural}: {error}") from None
        ordinals, times = (np.array(column, np.int64) for column in columns[:2])
        return StoredWindow(ordinals, times, own_keys, own_values, previous_keys, previous_values, ids, facts)

    def forget(self) -> None:
        """Delete all encodings and states."""
        with self._database.transaction():
            self.clear()
        self._version, self._through = None, -1
