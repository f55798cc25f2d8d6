"""Copy a folder from an object store to a local folder. A second copy downloads only what has changed."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Container
from pathlib import Path, PurePosixPath
from typing import Any

from edgerec.core.atomic import write_json
from edgerec.core.console import progress
from edgerec.core.documents import read_object
from edgerec.core.errors import FormatError, OutputError
from edgerec.core.hashing import sha256_bytes
from edgerec.core.leftovers import temporary_file
from edgerec.core.resumable import held
from edgerec.core.text import shown
from edgerec.core.urls import open_store, store_errors
from edgerec.core.written import LAYOUTS

INDEX = ".edgerec-fetched.json"
"""In the local folder: the size and the version of each object that was copied."""
RECORD = "edgerec-upload.json"
"""The object in which `edgerec.data.remote.push` records what it has uploaded."""
SKIPPED = re.compile(rf"truth/.*|{re.escape(RECORD)}|(.*/)?[._][^/]*", re.DOTALL)
"""Objects that no command reads: the truth of a simulation, and hidden files. Other names are free: logs that other
programs wrote may have any names of parts."""


def cache_folder() -> Path:
    """Return the folder of local copies: ``$EDGEREC_CACHE``, or ``edgerec`` in the user's folder for caches.

    It is made if it does not exist. Then only its owner can read it, because logs are private.

    Raises:
        OutputError: it cannot be made.
    """
    given = os.environ.get("EDGEREC_CACHE")
    folder = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgerec"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the folder of copies {shown(str(folder))} cannot be made ({error.strerror}): set EDGEREC_CACHE"
        ) from None
    return folder


def cached(url: str) -> Path:
    """Return the local folder for the copy of `url`. Its name begins with a hash of the URL."""
    url = url.rstrip("/")
    name = re.sub(r"[^\w.-]", "_", url.rpartition("/")[2])[-60:]
    return (cache_folder() / f"{sha256_bytes(url.encode())[:16]}-{name}").absolute()


def output_of(url: str) -> Path:
    """Return the local folder in which an output for `url` is made. It is not that of the copy."""
    copy = cached(url)
    return copy.with_name(f"{copy.name}-out")


def local(folder: Path | str, *, head: str) -> Path:
    """Return `folder`. If it is a URL (a string), return the path of its copy.

    Raises:
        EdgeRecError: as for `fetch`.
    """
    return fetch(folder, head=head) if isinstance(folder, str) else folder


def fetch(url: str, *, head: str) -> Path:
    """Copy the folder `url` into the cache, and return the path of the copy. The file `head` is copied last.

    Objects that have the same size and version as at the last copy are not downloaded again. The truth of a
    simulation and hidden files are left out.

    Args:
        url: a folder that EdgeRec wrote.
        head: the name of the file that describes the folder, a key of `edgerec.core.written.LAYOUTS`.

    Raises:
        FormatError: the folder has no `head`, a name in it cannot be a file's, or it changed while it was copied.
        InputError: the folder cannot be read.
        OutputError: another process is copying it, or the disk is full.
        MissingExtraError: fsspec, or its package for the protocol, is not installed.
    """
    store, root = open_store(url)
    target = cached(url)
    layout = LAYOUTS[head]
    with held(target, busy="wait until it ends"):
        with store_errors(url):
            objects = stored_objects(store, root)
        if head not in objects:
            raise FormatError(
                f"{shown(url)} has no {head}: it is not a folder of {layout.kind}, or its upload has not ended"
            )
        wanted = {key: stamp for key, stamp in objects.items() if not SKIPPED.fullmatch(key)}
        for key in wanted:
            _check_name(key, url, wanted)
        known = read_object(target / INDEX) or {}
        (target / INDEX).unlink(missing_ok=True)
        for entry in sorted(target.rglob("*"), reverse=True):
            if entry.is_dir():
                with contextlib.suppress(OSError):  # It is not empty.
                    entry.rmdir()
            elif entry.relative_to(target).as_posix() not in wanted:
                entry.unlink()
        changed = [key for key, stamp in wanted.items() if not _has(target / key, known.get(key), stamp)]
        if changed:
            (target / head).unlink(missing_ok=True)
            changed = sorted({*changed, head}, key=lambda key: (key == head, key))
        for key in progress(changed, what="download", total=len(changed)):
            (target / key).parent.mkdir(parents=True, exist_ok=True)
            with temporary_file(target / key) as partial:
                with store_errors(url):
                    store.get_file(f"{root}/{key}", str(partial))
                partial.replace(target / key)
        with store_errors(url):
            after = stored_objects(store, root)
        if any(after.get(key) != stamp for key, stamp in wanted.items()):
            (target / head).unlink(missing_ok=True)
            raise FormatError(f"{shown(url)} changed while it was copied: run the command again")
        write_json(target / INDEX, wanted)
    return target


def _check_name(key: str, url: str, keys: Container[str] = ()) -> None:
    """Check that an object's name is a path inside the folder, and no folder of its path is one of `keys`.

    A store allows any name.
    """
    parts = key.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\0" in key or "\\" in key:
        raise FormatError(f"{shown(url)} has an object with the name {shown(key[:200])}: remove it")
    both = next((str(each) for each in PurePosixPath(key).parents if str(each) in keys), None)
    if both is not None:
        raise FormatError(
            f"{shown(url)} has an object {shown(both[:200])} and objects in a folder of this name: remove it"
        )


def stored_objects(store: Any, root: str) -> dict[str, list[Any]]:
    """Return the size and the version of each object in the folder, by its name within the folder."""
    store.invalidate_cache()
    found = store.find(root, detail=True)
    return {key[len(root) + 1 :]: [info["size"], _stamp(info)] for key, info in found.items() if key != root}


def _stamp(info: dict[str, Any]) -> str:
    """Return what changes when an object is written again: its tag or its time. It is empty if a store has neither."""
    names = ("ETag", "etag", "LastModified", "last_modified", "mtime", "created")
    return str(next((info[name] for name in names if info.get(name)), ""))


def _has(file: Path, known: Any, stamp: list[Any]) -> bool:
    return bool(stamp[1]) and known == stamp and file.is_file() and file.stat().st_size == stamp[0]
