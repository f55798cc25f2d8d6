"""The files of a table: which entries of its folder are parts, which are skipped, and which are refused.

Spark, Hive and Arrow write tables as folders. Their conventions are kept (docs/formats.md), and what they do not cover
is refused by name: a part that is left out, or that is read twice, would change the data without a word.
"""

from __future__ import annotations

import os
from pathlib import Path

from edgerec.core.errors import LogsError

SUFFIXES = (".parquet", ".parq", ".pq")
"""Endings of Parquet files, in capitals or not."""
TRANSACTIONS = {"_delta_log": "Delta Lake", ".hoodie": "Hudi"}
"""Folders that say which files of a table still count. The other files are old versions of the same rows."""


def part_files(table: Path) -> list[Path]:
    """The Parquet files of the table `table`, in order of their paths; none where nothing is there.

    Args:
        table: a Parquet file, or a folder of them. Files may lie in partition folders (`name=value/`) and in Spark's
            folders (`x.parquet/`), to any depth.

    Raises:
        LogsError: an entry is neither a part nor skipped by convention, cannot be read, or is there twice by a link.
    """
    found: list[Path] = []
    seen: dict[tuple[int, int], Path] = {}
    left = [table] if os.path.lexists(table) else []
    while left:
        entry = left.pop()
        if entry != table and _skipped(entry):
            continue
        _check_once(entry, seen)
        if entry.is_dir():
            if entry != table and not _is_folder_of_parts(entry.name):
                raise _no_part(entry, table)
            # Entries are visited in order of name; a folder's content comes before the next entry.
            left += reversed(_entries(entry))
        elif entry.is_file():
            if entry != table and not _is_parquet(entry.name):
                raise _no_part(entry, table)
            found.append(entry)
        else:
            raise LogsError(f"logs: {entry} is neither a file nor a folder: remove it")
    return found


def folder_columns(table: Path, file: Path) -> set[str]:
    """Names of the columns that stand in the names of the partition folders between `table` and `file`."""
    folders = file.relative_to(table).parts[:-1]
    return {name.partition("=")[0] for name in folders if "=" in name}


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise LogsError(f"logs: folder {folder} cannot be read ({error.strerror}): check its permissions") from None


def _skipped(entry: Path) -> bool:
    """Whether Spark and Arrow leave the entry out: a hidden or internal name, or a copy that is not complete."""
    name = entry.name
    if name in TRANSACTIONS:
        raise LogsError(
            f"logs: {entry.parent} is a table of {TRANSACTIONS[name]}, some of whose files no longer count: "
            "write it as plain Parquet"
        )
    if name.startswith("_") and "=" in name:
        raise LogsError(f"logs: {entry} would be read by Spark and skipped by Arrow: rename it without the '_'")
    return name.startswith((".", "_")) or name.endswith("._COPYING_")


def _check_once(entry: Path, seen: dict[tuple[int, int], Path]) -> None:
    """The entry is there, and is no other name (a link) of one that was seen before."""
    try:
        stat = entry.stat()
    except OSError as error:
        what = "is a broken link" if entry.is_symlink() else "cannot be read"
        raise LogsError(f"logs: {entry} {what} ({error.strerror}): mend or remove it") from None
    before = seen.setdefault((stat.st_dev, stat.st_ino), entry)
    # Some file systems do not number their files.
    if stat.st_ino and before != entry:
        raise LogsError(f"logs: {entry} and {before} are the same by a link: its rows would count twice, remove one")


def _is_parquet(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _is_folder_of_parts(name: str) -> bool:
    return name.find("=") > 0 or _is_parquet(name)


def _no_part(entry: Path, table: Path) -> LogsError:
    kind = "folder" if entry.is_dir() else "file"
    wanted = "name=value or *.parquet" if entry.is_dir() else ", ".join(f"*{suffix}" for suffix in SUFFIXES)
    return LogsError(
        f"logs: {kind} {entry} is no part of {table.name} (expected {wanted}): rename it, move it elsewhere, or "
        "let its name begin with '_' to leave it out"
    )
