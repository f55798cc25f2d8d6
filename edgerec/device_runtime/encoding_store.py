"""What Model Serving needs of the place that keeps its encodings."""

from __future__ import annotations

from typing import Protocol

from edgerec.device_runtime.store.rows import Behaviour, Encoding, States, StoredItem, StoredWindow
from edgerec.features.behaviours import BehaviourKind


class EncodingStore(Protocol):
    """Keeps encodings. The behaviour store does, and so does `RebuiltEncodings` while a version is rebuilt in memory.

    `BehaviourStore` describes the methods.
    """

    def pending(self, kind: BehaviourKind, version_id: str) -> list[tuple[int, Behaviour]]: ...

    def window(self, kind: BehaviourKind, version_id: str, limit: int) -> StoredWindow: ...

    def states(self, kind: BehaviourKind, version_id: str) -> States | None: ...

    def encoded_through(self, kind: BehaviourKind, version_id: str) -> int: ...

    def set_item(self, kind: BehaviourKind, ordinal: int, item: StoredItem) -> None: ...

    def write_encoding(
        self, kind: BehaviourKind, ordinal: int, version_id: str, encoding: Encoding, states: States
    ) -> None: ...
