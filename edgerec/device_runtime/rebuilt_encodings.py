"""The encodings of a new model version, made in memory from the raw history. The stored ones stay as they are."""

from __future__ import annotations

from collections import deque

import numpy as np

from edgerec.core.errors import StoreError
from edgerec.device_runtime.store.adoption import RebuiltKind
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.device_runtime.store.rows import Behaviour, Encoding, States, StoredItem, StoredWindow
from edgerec.features.behaviours import BehaviourKind, Limits
from edgerec.features.recurrences import recurrence_start, window_start
from edgerec.features.relations.facts import Facts

PIECE = 64
"""Number of behaviours that are read at once. Until they are read, nothing can be recorded."""


class RebuiltEncodings:
    """Keeps the encodings of one model version in memory. Implements `EncodingStore`.

    Call `read_some` until it returns False. Then `ModelServing` can be made of it.

    Args:
        store: the user's behaviours.
        version_id: the version.
        limits: its limits.
        kinds: the kinds of behaviour that it encodes.
    """

    def __init__(
        self, store: BehaviourStore, version_id: str, limits: Limits, kinds: tuple[BehaviourKind, ...]
    ) -> None:
        self._store, self._version_id = store, version_id
        self._kinds = {kind: _Kind(limits.of(kind), store.next_ordinal(kind)) for kind in kinds}

    def read_some(self) -> bool:
        """Read some more of the history that was recorded before this object was made. Return whether there is more."""
        for kind, one in self._kinds.items():
            if one.first < one.end:
                rows = self._store.history(kind, one.first, PIECE)
                one.pending += [row for row in rows if row[0] < one.end]
                one.first = rows[-1][0] + 1 if len(rows) == PIECE else one.end
                return True
        return False

    def rebuilt(self) -> dict[BehaviourKind, RebuiltKind]:
        """Return what is encoded, by kind. A kind without encodings is absent."""
        found = {}
        for kind, one in self._kinds.items():
            if one.states is not None:
                found[kind] = RebuiltKind(list(one.encodings), one.items, one.states, one.through)
        return found

    def pending(self, kind: BehaviourKind, version_id: str) -> list[tuple[int, Behaviour]]:
        self._check(version_id)
        # Model Serving keeps them from now on.
        found, self._kinds[kind].pending = self._kinds[kind].pending, []
        return found

    def window(self, kind: BehaviourKind, version_id: str, limit: int) -> StoredWindow:
        self._check(version_id)
        floats, whole = np.zeros((0, 0), np.float32), np.zeros((0, 0), np.int64)
        none = np.zeros(0, np.int64)
        facts = Facts(whole, np.zeros((0, 0), np.float64))
        return StoredWindow(none, none, floats, floats, floats, floats, whole, facts)

    def states(self, kind: BehaviourKind, version_id: str) -> States | None:
        self._check(version_id)
        return self._kinds[kind].states

    def encoded_through(self, kind: BehaviourKind, version_id: str) -> int:
        self._check(version_id)
        return self._kinds[kind].through

    def set_item(self, kind: BehaviourKind, ordinal: int, item: StoredItem) -> None:
        self._kinds[kind].items[ordinal] = item

    def write_encoding(
        self, kind: BehaviourKind, ordinal: int, version_id: str, encoding: Encoding, states: States
    ) -> None:
        self._check(version_id)
        self._kinds[kind].write(ordinal, encoding, states)

    def _check(self, version_id: str) -> None:
        if version_id != self._version_id:
            raise StoreError(
                f"the encodings in memory are those of model version {self._version_id}. Received: {version_id}"
            )


class _Kind:
    """One kind: what is still to be read of the history, what is read, and what is encoded."""

    def __init__(self, limit: int, end: int) -> None:
        self._limit, self.end = limit, end
        self.first = recurrence_start(window_start(end, limit), limit)
        self.pending: list[tuple[int, Behaviour]] = []
        self.encodings: deque[tuple[int, Encoding]] = deque()
        self.items: dict[int, StoredItem] = {}
        self.states: States | None = None
        self.through = -1

    def write(self, ordinal: int, encoding: Encoding, states: States) -> None:
        self.encodings.append((ordinal, encoding))
        self.states, self.through = states, ordinal
        while self.encodings[0][0] <= ordinal - self._limit:  # no later window reads them
            self.items.pop(self.encodings.popleft()[0], None)
