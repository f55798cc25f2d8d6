"""Upload a finished folder to an object store. Its head is uploaded last, so that no reader sees half of it.

An object store cannot rename a folder. So the head of an older folder is removed first. Until the new head is there,
readers say that the upload has not ended.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from edgerec.core.atomic import json_bytes
from edgerec.core.console import progress
from edgerec.core.errors import OutputError
from edgerec.core.hashing import sha256_file
from edgerec.core.text import shown
from edgerec.core.urls import open_store, store_errors
from edgerec.core.written import LAYOUTS
from edgerec.data.remote.fetch import RECORD, stored_objects

# The record has the SHA-256 of each uploaded file. It is written before the head, and removed before any change.


def check_url_output(url: str, *, head: str, force: bool) -> None:
    """Check that the folder `url` may be written. Call this before any work.

    Raises:
        OutputError: it has a head and `force` is false, it has objects that EdgeRec did not write, or it cannot be
            listed.
        InputError, MissingExtraError: as for `edgerec.core.urls.open_store`.
    """
    store, root = open_store(url)
    with store_errors(url, writing=True):
        _check_free(url, stored_objects(store, root), head=head, force=force)


def push(folder: Path, url: str, *, head: str, force: bool = False) -> int:
    """Upload the files of `folder` to `url`, and return how many were uploaded.

    Files that the last upload left there with the same bytes are not uploaded again.

    Args:
        folder: a finished folder.
        url: the folder to write.
        head: the name of the file that describes the folder, a key of `edgerec.core.written.LAYOUTS`.
        force: replace an older folder.

    Raises:
        OutputError: as for `check_url_output`, or an object cannot be written.
        InputError, MissingExtraError: as for `edgerec.core.urls.open_store`.
    """
    store, root = open_store(url)
    with store_errors(url, writing=True):
        there = stored_objects(store, root)
        _check_free(url, there, head=head, force=force)
        files = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}
        hashes = {key: sha256_file(file) for key, file in files.items()}
        record = _record(store, root, there) if head in there else {}
        same = {
            key
            for key, file in files.items()
            if record.get(key) == hashes[key] and key in there and there[key][0] == file.stat().st_size
        }
        stale = [key for key in there if key not in files and key != RECORD]
        if len(same) == len(files) and not stale:
            return 0
        for key in (head, RECORD):
            if key in there:
                store.rm_file(f"{root}/{key}")
        for key in stale:
            store.rm_file(f"{root}/{key}")
        new = [key for key in files if key not in same and key != head]
        for key in progress(new, what="upload", total=len(new)):
            store.makedirs(f"{root}/{key}".rpartition("/")[0], exist_ok=True)
            store.put_file(str(files[key]), f"{root}/{key}")
        store.pipe_file(f"{root}/{RECORD}", json_bytes(hashes))
        store.put_file(str(files[head]), f"{root}/{head}")
        return len(new) + 1


def _check_free(url: str, there: dict[str, Any], *, head: str, force: bool) -> None:
    layout = LAYOUTS[head]
    named = re.compile("|".join(f"(?:{each})" for each in (*layout.files, re.escape(RECORD))), re.ASCII)
    foreign = next((key for key in sorted(there) if not named.fullmatch(key)), None)
    if foreign is not None:
        raise OutputError(
            f"output {shown(url)} contains {shown(foreign[:200])}, which EdgeRec did not write: choose another --out"
        )
    if head in there and not force:
        raise OutputError(f"output {shown(url)} exists already: choose another name, or pass --force")


def _record(store: Any, root: str, there: dict[str, Any]) -> dict[str, Any]:
    """Return what the last upload recorded. Without a valid record, everything is uploaded again."""
    if RECORD not in there:
        return {}
    try:
        document = json.loads(store.cat_file(f"{root}/{RECORD}"))
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
