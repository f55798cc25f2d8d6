"""Write a `.tar.gz` archive whose bytes depend only on its members."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from edgerec.core.atomic import FILE, check_output
from edgerec.core.errors import OutputError
from edgerec.core.leftovers import temporary_file

FOLDER = "edgerec-kit"
"""The folder that contains every member. An archive unpacks into one new folder."""
HEAD = f"{FOLDER}/kit.json"
"""The first member of each kit. `--force` replaces only an archive that begins with it."""
_TIME = 315_532_800
"""1 January 1980, the time of every member. The zip format, and so a wheel, has no earlier time."""


class Member(NamedTuple):
    """One file of an archive: its name within the folder, its content, and whether it is a program."""

    name: str
    content: bytes
    executable: bool = False


def check_name(path: Path) -> None:
    """Check that the name of a kit says what the file is.

    Raises:
        OutputError: the name ends neither with `.tar.gz` nor with `.tgz`.
    """
    if not path.name.endswith((".tar.gz", ".tgz")):
        raise OutputError(f"kit: the name of --out should end with .tar.gz or .tgz; received {path}")


def check_kit(path: Path, *, force: bool, inputs: Iterable[Path]) -> None:
    """Check that the kit `path` can be written. `force` only replaces a kit.

    Raises:
        OutputError: as for `check_output`, or `path` is a file that is not a kit.
    """
    check_output(path, force=force, kind=FILE, inputs=inputs)
    if path.exists() and not _is_kit(path):
        raise OutputError(f"output {path} exists already and is not a kit of EdgeRec: choose another name")


def write_archive(path: Path, members: Iterable[Member]) -> None:
    """Write the members to `path` atomically, in the given order. The first one should be that of `HEAD`.

    Raises:
        OutputError: the name of a member is too long for the format USTAR.
    """
    with temporary_file(path) as partial:
        with (
            partial.open("wb") as file,
            gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
        ):
            for member in members:
                entry = tarfile.TarInfo(f"{FOLDER}/{member.name}")
                entry.size, entry.mtime = len(member.content), _TIME
                entry.mode = 0o755 if member.executable else 0o644
                try:
                    archive.addfile(entry, io.BytesIO(member.content))
                except ValueError:
                    raise OutputError(
                        f"kit: an archive cannot hold a file with the name {member.name!r}: it should have at most "
                        "100 bytes after the last /, and 150 before it: rename the file"
                    ) from None
        partial.chmod(0o644)
        partial.replace(path)


def _is_kit(path: Path) -> bool:
    try:
        with tarfile.open(path, "r:gz") as archive:
            first = archive.next()
    except (OSError, EOFError, tarfile.TarError):
        return False
    return first is not None and first.name == HEAD
