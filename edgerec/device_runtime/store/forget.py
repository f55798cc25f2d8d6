"""Removes everything that a device keeps about a user."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from edgerec.core.errors import DamagedStoreError, StoreError
from edgerec.device_runtime.store.checksums import TABLES
from edgerec.device_runtime.store.damaged import LOGS, SUFFIXES, damaged_files
from edgerec.device_runtime.store.database import Database
from edgerec.device_runtime.store.ownership import is_store, owner
from edgerec.device_runtime.store.spool import create, identity, wrong_owner
from edgerec.device_runtime.store.statements import read_migrations
from edgerec.device_runtime.store.values import whole


def forget_store(path: Path | str, user_id: int, *, force: bool = False) -> list[Path]:
    """Delete the behaviour store of a user, with its write-ahead log and its damaged predecessors.

    The rows are overwritten with zeros first. Flash memory may keep old copies of a block nevertheless, until it is
    written again; the encryption of the device protects these.

    Args:
        path: the file of the store. It may not be open.
        user_id: the user. A store of another user is refused, and a damaged predecessor of another user stays.
        force: whether a damaged store is deleted if whose it is cannot be read. A file that is no behaviour store is
            refused nevertheless.

    Returns:
        The files that were deleted. It is empty if there is no store at `path`.

    Raises:
        StoreError: the store is open, belongs to another user, is no behaviour store, is damaged so that whose it is
            cannot be read, or cannot be deleted. Then its rows are still there.
    """
    path, user_id = Path(path), whole("user_id", user_id)
    files = [Path(f"{path}{suffix}") for suffix in SUFFIXES]
    older = _of_user(damaged_files(path), user_id, force=force)
    if path.exists():
        try:
            _clear(path, user_id)
        except DamagedStoreError:
            if (found := _owner(path, force=force)) not in (None, user_id):
                raise wrong_owner(path, found, user_id) from None
            for file in files:
                _overwrite(file)
    for file in older:
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
        with database.transaction(durable=True):
            for table in TABLES:
                database.execute(f"DELETE FROM {table}")
        database.checkpoint()
    finally:
        database.close()


def _owner(path: Path, *, force: bool) -> int | None:
    """Return the user of a damaged store. With `force`, it is None if that cannot be read."""
    found = owner(path)
    if found is None and not force:
        raise StoreError(
            f"behaviour store {path} is damaged, and whose it is cannot be read: nothing was deleted; delete it with "
            "force=True (edgerec forget --force) if it is this user's"
        )
    return found


def _of_user(files: list[Path], user_id: int, *, force: bool) -> list[Path]:
    """Return the damaged predecessors that are the user's, with their logs."""
    found = []
    for file in files:
        if file.name.endswith(LOGS):
            continue
        if file.stat().st_size and is_store(file) and _owner(file, force=force) in (None, user_id):
            found += [each for suffix in SUFFIXES if (each := Path(f"{file}{suffix}")).exists()]
    return found


def _overwrite(file: Path) -> None:
    with contextlib.suppress(FileNotFoundError), file.open("r+b") as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(0)
        for start in range(0, size, 1 << 20):
            opened.write(bytes(min(1 << 20, size - start)))
        opened.flush()
        os.fsync(opened.fileno())
