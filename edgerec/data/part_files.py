"""The files of a table: which entries of its folder are parts, which are skipped, and which are errors.

Spark, Hive and Arrow write tables as folders. Entries are read and skipped by their conventions (docs/formats.md). Any
other entry is an error, because a part that is skipped or read twice would change the data silently.
"""

from __future__ import annotations

import os
from pathlib import Path

from edgerec.core.errors import LogsError

SUFFIXES = (".parquet", ".parq", ".pq")
"""Endings of Parquet files, in lower case. Endings in upper case are accepted, too."""
TRANSACTIONS = {"_delta_log": "Delta Lake", ".hoodie": "Hudi"}
"""Folders of table formats that keep old versions of rows. These folders list which files are current."""


def part_files(table: Path) -> list[Path]:
    """Return the Parquet files of the table `table`, sorted by path. If it does not exist, the list is empty.

    Args:
        table: a Parquet file, or a folder of them. Files may lie in partition folders (`name=value/`) and in Spark's
            folders (`x.parquet/`), to any depth.

    Raises:
        LogsError: an entry is neither a part nor skipped by convention, cannot be read, or is a link to another entry.
    """
    files: list[Path] = []
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
            # Entries are visited in order of their names. A folder's content comes before the next entry.
            left += reversed(_entries(entry))
        elif entry.is_file():
            if entry != table and not _is_parquet(entry.name):
                raise _no_part(entry, table)
            files.append(entry)
        else:
            raise LogsError(f"logs: {entry} should be a file or a folder: remove it")
    return files


def folder_columns(table: Path, file: Path) -> set[str]:
    """Return the columns that are named by partition folders (`name=value/`) between `table` and `file`."""
    folders = file.relative_to(table).parts[:-1]
    return {name.partition("=")[0] for name in folders if "=" in name}


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise LogsError(f"logs: folder {folder} cannot be read ({error.strerror}): check its permissions") from None


def _skipped(entry: Path) -> bool:
    """Return whether Spark and Arrow skip the entry, because it is hidden by its name or is an incomplete copy.

    Raises:
        LogsError: the folder is a Delta Lake or Hudi table, or only one of Spark and Arrow skips the entry.
    """
    name = entry.name
    if name in TRANSACTIONS:
        raise LogsError(
            f"logs: {entry.parent} is a table of {TRANSACTIONS[name]}, which may have files with old rows: "
            "write it as plain Parquet"
        )
    if name.startswith("_") and "=" in name:
        raise LogsError(f"logs: {entry} would be read by Spark and skipped by Arrow: rename it without the '_'")
    return name.startswith((".", "_")) or name.endswith("._COPYING_")


def _check_once(entry: Path, seen: dict[tuple[int, int], Path]) -> None:
    """Raise LogsError if the entry cannot be read, or is a link to an entry that was visited before."""
    try:
        stat = entry.stat()
    except OSError as error:
        what = "is a broken link" if entry.is_symlink() else "cannot be read"
        raise LogsError(f"logs: {entry} {what} ({error.strerror}): repair or remove it") from None
    before = seen.setdefault((stat.st_dev, stat.st_ino), entry)
    # Some file systems have no inode numbers.
    if stat.st_ino and before != entry:
        raise LogsError(f"logs: {entry} and {before} are links to the same rows, which would count twice: remove one")


def _is_parquet(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _is_folder_of_parts(name: str) -> bool:
    return name.find("=") > 0 or _is_parquet(name)


def _no_part(entry: Path, table: Path) -> LogsError:
    kind = "folder" if entry.is_dir() else "file"
    wanted = "name=value or *.parquet" if entry.is_dir() else ", ".join(f"*{suffix}" for suffix in SUFFIXES)
    return LogsError(
        f"logs: {kind} {entry} is not a part of {table.name} (expected {wanted}): rename it, move it elsewhere, or "
        "start its name with '_' to skip it"
    )
