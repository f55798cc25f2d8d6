"""Removes everything that a device keeps about a user."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from edgerec.core.errors import DamagedStoreError, StoreError
from edgerec.device_runtime.store.checksums import TABLES
from edgerec.device_runtime.store.damaged import SUFFIXES, damaged_files
from edgerec.device_runtime.store.database import Database
from edgerec.device_runtime.store.spool import create, identity
from edgerec.device_runtime.store.statements import read_migrations
from edgerec.device_runtime.store.values import whole


def forget_store(path: Path | str, user_id: int) -> list[Path]:
    """Delete the behaviour store of a user, with its write-ahead log and its damaged predecessors.

    The rows are overwritten with zeros first. Flash memory may keep old copies of a block nevertheless, until it is
    written again; the encryption of the device protects these.

    Args:
        path: the file of the store. It may not be open.
        user_id: the user. A store of another user is refused.

    Returns:
        The files that were deleted. It is empty if there is no store at `path`.

    Raises:
        StoreError: the store is open, belongs to another user, is no behaviour store, or cannot be deleted. Then its
            rows are still there.
    """
    path, user_id = Path(path), whole("user_id", user_id)
    files = [Path(f"{path}{suffix}") for suffix in SUFFIXES]
    if path.exists():
        try:
            _clear(path, user_id)
        except DamagedStoreError:
            # Whose it is can no longer be read. It is deleted, because it stands at the user's path.
            for file in files:
                _overwrite(file)
    for file in (older := damaged_files(path)):
        _overwrite(file)
    deleted = []
    try:
        for file in (*files, *older):
            with contextlib.suppress(FileNotFoundError):
                file.unlink()
                deleted.append(file)
    except OSError as error:
        raise StoreError(f"behaviour store {path} cannot be deleted ({error.strerror})") from None
    return deleted


def _clear(path: Path, user_id: int) -> None:
    """Overwrite all rows of a store, if it is the user's."""
    database = Database(path, read_migrations(), create=lambda new: create(new, user_id), check=False)
    try:
        identity(database, user_id)
        database.execute("PRAGMA secure_delete = ON")
        with database.transaction(durable=True):
            for table in TABLES:
                database.execute(f"DELETE FROM {table}")
        database.checkpoint()
    finally:
        database.close()


def _overwrite(file: Path) -> None:
    with contextlib.suppress(FileNotFoundError), file.open("r+b") as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(0)
        for start in range(0, size, 1 << 20):
            opened.write(bytes(min(1 << 20, size - start)))
        opened.flush()
        os.fsync(opened.fileno())
