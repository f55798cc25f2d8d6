"""Encodings that another model version made in memory, and the transaction that stores them instead of the old ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgerec.device_runtime.store.behaviours import BehaviourTable
from edgerec.device_runtime.store.database import Database
from edgerec.device_runtime.store.encodings import EncodingTable
from edgerec.device_runtime.store.rows import Encoding, States, StoredItem
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind, Limits


@dataclass(frozen=True)
class RebuiltKind:
    """What a model version has encoded of one kind of behaviour.

    Attributes:
        encodings: the encodings of the latest window by ordinal, in increasing order.
        items: what the version reads of the items of these behaviours, by ordinal.
        states: the states after the latest encoded behaviour.
        through: its ordinal.
    """

    encodings: Sequence[tuple[int, Encoding]]
    items: Mapping[int, StoredItem]
    states: States
    through: int


def replace_encodings(
    database: Database,
    behaviours: Mapping[BehaviourKind, BehaviourTable],
    version_id: str,
    limits: Limits,
    rebuilt: Mapping[BehaviourKind, RebuiltKind],
) -> dict[BehaviourKind, EncodingTable]:
    """Replace all encodings by those of another version, in one transaction. Return the new tables.

    Args:
        database: the file.
        behaviours: the raw behaviours of each kind. Those of the windows get their items of the version.
        version_id: the version.
        limits: its limits.
        rebuilt: what it has encoded. A kind that is absent has no encodings.

    Raises:
        StoreError: the file cannot be written. Then nothing was changed.
    """
    with database.transaction():
        tables = {kind: EncodingTable(database, kind, limits.of(kind)) for kind in BEHAVIOUR_KINDS}
        for kind, table in tables.items():
            table.clear()
            one = rebuilt.get(kind)
            if one is None:
                continue
            for ordinal, encoding in one.encodings:
                table.put(ordinal, encoding)
                if ordinal in one.items:
                    behaviours[kind].put_item(ordinal, one.items[ordinal])
            table.mark(one.through, version_id, one.states)
        # They read what this transaction has written. If it fails, nobody has seen them.
        return {kind: EncodingTable(database, kind, limits.of(kind)) for kind in BEHAVIOUR_KINDS}
