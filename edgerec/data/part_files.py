"""The files of a table: which entries of its folder are parts, which are skipped, and which are errors.

Spark, Hive and Arrow write tables as folders. Entries are read and skipped by their conventions (docs/formats.md). Any
other entry is an error, because a part that is skipped or read twice would change the data silently.
"""

from __future__ import annotations

import os
from pathlib import Path

from edgerec.core.text import shown
from edgerec.data.log_faults import Fault, Found, refuse

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
    return refuse(find_part_files(table))


def find_part_files(table: Path) -> Found[list[Path]]:
    """Find the entries that `part_files` refuses. Return the files without them."""
    files: list[Path] = []
    seen: dict[tuple[int, int], Path] = {}
    left = [table] if os.path.lexists(table) else []
    while left:
        entry = left.pop()
        if entry != table:
            skipped = yield from _find_skipped(entry)
            if skipped:
                continue
            named = yield from _find_name(entry)
            if not named:
                continue
        once = yield from _find_once(entry, seen)
        if not once:
            continue
        if entry.is_dir():
            if entry != table and not _is_folder_of_parts(entry.name):
                yield _no_part(entry, table)
                continue
            # Entries are visited in order of their names. A folder's content comes before the next entry.
            entries = yield from _find_entries(entry)
            left += reversed(entries)
        elif entry.is_file():
            if entry != table and not _is_parquet(entry.name):
                yield _no_part(entry, table)
                continue
            files.append(entry)
        else:
            yield _fault(
                f"{entry} should be a file or a folder: remove it",
                expected="files and folders",
                found="another entry",
                advice="remove it",
                file=entry,
            )
    return files


def folder_columns(table: Path, file: Path) -> set[str]:
    """Return the columns that are named by partition folders (`name=value/`) between `table` and `file`."""
    folders = file.relative_to(table).parts[:-1]
    return {name.partition("=")[0] for name in folders if "=" in name}


def _fault(text: str, *, expected: str, found: str, advice: str, file: Path) -> Fault:
    return Fault(f"logs: {text}", expected=expected, found=found, advice=advice, file=file)


def _find_entries(folder: Path) -> Found[list[Path]]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        yield _fault(
            f"folder {folder} cannot be read ({error.strerror}): check its permissions",
            expected="a folder that can be read",
            found=str(error.strerror),
            advice="check its permissions",
            file=folder,
        )
        return []


def _find_skipped(entry: Path) -> Found[bool]:
    """Return whether Spark and Arrow skip the entry, because it is hidden by its name or is an incomplete copy.

    It is a fault if the entry belongs to a Delta Lake or Hudi table, or if only one of Spark and Arrow skips it.
    """
    name = entry.name
    if name in TRANSACTIONS:
        yield _fault(
            f"{entry.parent} is a table of {TRANSACTIONS[name]}, which may have files with old rows: "
            "write it as plain Parquet",
            expected="plain Parquet",
            found=f"a table of {TRANSACTIONS[name]}, which may have files with old rows",
            advice="write it as plain Parquet",
            file=entry.parent,
        )
        return True
    if name.startswith("_") and "=" in name:
        yield _fault(
            f"{entry} would be read by Spark and skipped by Arrow: rename it without the '_'",
            expected="names of partition folders without '_' at the start",
            found=name,
            advice="rename it without the '_'",
            file=entry,
        )
        return True
    return name.startswith((".", "_")) or name.endswith("._COPYING_")


def _find_name(entry: Path) -> Found[bool]:
    """Find a name that is not UTF-8, because polars cannot open such a file. Return whether the name is UTF-8."""
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        yield _fault(
            f"{shown(str(entry))} has a name that is not UTF-8: rename it",
            expected="names in UTF-8",
            found=shown(entry.name),
            advice="rename it",
            file=entry,
        )
        return False
    return True


def _find_once(entry: Path, seen: dict[tuple[int, int], Path]) -> Found[bool]:
    """Find out whether the entry cannot be read, or is a link to an entry that was visited before.

    Return whether it should be read.
    """
    try:
        stat = entry.stat()
    except OSError as error:
        what = "is a broken link" if entry.is_symlink() else "cannot be read"
        yield _fault(
            f"{entry} {what} ({error.strerror}): repair or remove it",
            expected="files that can be read",
            found=f"{what} ({error.strerror})",
            advice="repair or remove it",
            file=entry,
        )
        return False
    before = seen.setdefault((stat.st_dev, stat.st_ino), entry)
    # Some file systems have no inode numbers.
    if stat.st_ino and before != entry:
        yield _fault(
            f"{entry} and {before} are links to the same rows, which would count twice: remove one",
            expected="each row once",
            found=f"a link to the same rows as {before}",
            advice="remove one",
            file=entry,
        )
        return False
    return True


def _is_parquet(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _is_folder_of_parts(name: str) -> bool:
    return name.find("=") > 0 or _is_parquet(name)


def _no_part(entry: Path, table: Path) -> Fault:
    kind = "folder" if entry.is_dir() else "file"
    wanted = "name=value or *.parquet" if entry.is_dir() else ", ".join(f"*{suffix}" for suffix in SUFFIXES)
    advice = "rename it, move it elsewhere, or start its name with '_' to skip it"
    return _fault(
        f"{kind} {entry} is not a part of {table.name} (expected {wanted}): {advice}",
        expected=wanted,
        found=f"the {kind} {entry.name}",
        advice=advice,
        file=entry,
    )
