"""The patches in the file of a store that no client has open: what they are, and their reset."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgerec.core.errors import StoreError
from edgerec.device_runtime.store.database import Database
from edgerec.device_runtime.store.personal import PersonalTables
from edgerec.device_runtime.store.rows import PatchState
from edgerec.device_runtime.store.spool import create, identity
from edgerec.device_runtime.store.statements import read_migrations
from edgerec.device_runtime.store.values import whole


@dataclass(frozen=True)
class StoredPatch:
    """What a store keeps for the patch of one model version.

    Attributes:
        version_id: the model version.
        pages: number of pages with events.
        events: number of events that the next training reads.
        state: what the latest training has left; None before the first one.
    """

    version_id: str
    pages: int
    events: int
    state: PatchState | None


@contextmanager
def personal_tables(path: Path, user_id: int) -> Iterator[PersonalTables]:
    """Open the tables of patches. Pages that an earlier process had open stay open, unlike with `BehaviourStore`.

    A store of an older format is brought to the present one.

    Raises:
        StoreError: there is no such file, it is open, it belongs to another user, is damaged or is no behaviour store.
    """
    user_id = whole("user_id", user_id)
    if not path.is_file() or not path.stat().st_size:
        raise StoreError(f"there is no behaviour store {path}: check the path")
    database = Database(path, read_migrations(), create=lambda new: create(new, user_id))
    try:
        identity(database, user_id)
        yield PersonalTables(database, user_id=user_id)
    finally:
        database.close()


def read_patches(path: Path, user_id: int) -> list[StoredPatch]:
    """Return what a store keeps for patches, by version.

    Raises:
        StoreError: see `personal_tables`; or a row is damaged.
    """
    with personal_tables(path, user_id) as tables:
        counts = tables.counts()
        return [StoredPatch(each, *counts.get(each, (0, 0)), tables.state(each)) for each in tables.versions()]
