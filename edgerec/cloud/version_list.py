"""The list of a versions folder, `versions.json` (docs/formats.md, "Versions folder")."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edgerec.core.atomic import json_bytes, write_bytes
from edgerec.core.documents import read_document
from edgerec.core.errors import FormatError, OutputError
from edgerec.core.leftovers import discard, lock
from edgerec.core.text_fields import Name

FORMAT = 1
LIST = "versions.json"
PREVIOUS = "versions.json.previous"
"""The list before the last change. It helps if somebody loses or damages the list."""
_LOCK = ".versions.lock"
_WAIT_S = 30.0
"""How long a command waits for another one that changes the list, in seconds. The list is only locked for moments."""
_POLL_S = 0.02

PLAIN_NAME = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}$"
"""The version IDs that can be published. They are parts of URLs and of names of folders."""


class VersionEntry(BaseModel):
    """One version in the list."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    version_id: Annotated[str, Field(pattern=PLAIN_NAME)]
    folder: Annotated[str, Field(pattern="^[A-Za-z0-9_][A-Za-z0-9_.-]{0,219}$")]
    """Name of the folder that has the bundle."""
    state: Literal["live", "retired"]
    share: Annotated[float, Field(ge=0, le=1, strict=True)]
    """Share of the users that the version is offered to."""
    published_at: Name
    retired_at: Name | None = None

    @property
    def live(self) -> bool:
        return self.state == "live"


class VersionList(BaseModel):
    """`versions.json`: the versions in the order in which they were published."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal[1] = 1
    kind: Literal["versions"] = "versions"
    versions: tuple[VersionEntry, ...] = ()

    @model_validator(mode="after")
    def _different(self) -> VersionList:
        for what in ("version_id", "folder"):
            values = [getattr(entry, what) for entry in self.versions]
            if len(set(values)) < len(values):
                raise ValueError(f"each {what} should occur once")
        return self

    def find(self, version_id: str) -> VersionEntry | None:
        """Return the entry of a version, or None."""
        return next((entry for entry in self.versions if entry.version_id == version_id), None)

    @property
    def offered(self) -> float:
        """The share of the users that are offered a version, because they are in the share of a live one."""
        return 1.0 - math.prod(1.0 - entry.share for entry in self.versions if entry.live)


def read_versions(folder: Path) -> VersionList:
    """Read the list of a versions folder. An empty folder has no versions yet.

    Raises:
        FormatError: the folder does not exist, it contains something else, or the list is not valid.
    """
    try:
        empty = not any(not entry.name.startswith(".") for entry in folder.iterdir())
    except OSError as error:
        raise FormatError(
            f"versions: {folder} cannot be read ({error.strerror}): give a folder that `edgerec versions publish` wrote"
        ) from None
    if empty:
        return VersionList()
    try:
        return _read(folder / LIST)
    except FormatError as error:
        new = "" if (folder / LIST).exists() else ", an empty folder, or one that does not exist yet"
        raise FormatError(f"{error}{new}{_previous(folder)}") from None


def _read(path: Path) -> VersionList:
    advice = "restore the file, or publish into another folder"
    return read_document(path, VersionList, what="versions", format_number=FORMAT, advice=advice)


def _previous(folder: Path) -> str:
    """Return how to go back to the previous list, or an empty text if there is none."""
    try:
        _read(folder / PREVIOUS)
    except FormatError:
        return ""
    return (
        f". {PREVIOUS} is the list before the last change: copy it to {LIST}, check it with `edgerec versions list`, "
        "and make the last change again"
    )


def unlisted(folder: Path) -> list[str]:
    """Return the names of folders in a versions folder that the list does not name, such as those of a killed command.

    Raises:
        FormatError: as for `read_versions`.
    """
    # The names are read first: a version that is published meanwhile is in the list.
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
    listed = {entry.folder for entry in read_versions(folder).versions}
    return [name for name in names if name not in listed and not name.startswith(".")]


@dataclass
class Change:
    """A change of the list.

    Attributes:
        entries: the entries of the new list.
        gone: folders that are removed after the new list was written.
    """

    entries: list[VersionEntry]
    gone: list[Path] = field(default_factory=list)


@contextlib.contextmanager
def changing(folder: Path) -> Iterator[Change]:
    """Lock the list and yield its entries. When the block ends without an exception, the list is written if it changed.

    The new list replaces the old one in one step and durably. A killed process leaves the old list or the new one.
    The old list is kept as `PREVIOUS`.
    Servers that have a removed folder open keep what they opened.

    Raises:
        FormatError: as for `read_versions`.
        OutputError: another command changes the list for too long, or the list cannot be written.
    """
    handle = _locked(folder / _LOCK)
    try:
        before = read_versions(folder)
        change = Change(list(before.versions))
        yield change
        after = VersionList(versions=tuple(change.entries))
        exists = (folder / LIST).exists()
        if after != before or not exists:
            if exists and before.versions:
                write_bytes(folder / PREVIOUS, json_bytes(before.model_dump(mode="json")), durable=True)
            write_bytes(folder / LIST, json_bytes(after.model_dump(mode="json")), durable=True)
        for path in change.gone:
            discard(path, path)
    except OSError as error:
        raise OutputError(
            f"versions: cannot write into {folder} ({error.strerror}): free some space, or check its permissions"
        ) from None
    finally:
        if handle is not None:
            os.close(handle)


def _locked(path: Path) -> int | None:
    """Lock the file `path`, and make it if it is missing. Wait for another process that has the lock."""
    deadline = time.monotonic() + _WAIT_S
    try:
        path.touch()
        while True:
            with contextlib.suppress(BlockingIOError):
                return lock(path)
            if time.monotonic() > deadline:
                raise OutputError(f"versions: another command has locked {path} for {_WAIT_S:.0f} s: try again later")
            time.sleep(_POLL_S)
    except OSError as error:
        raise OutputError(f"versions: cannot write into {path.parent} ({error.strerror}): check it") from None
