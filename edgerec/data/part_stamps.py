"""The number of rows, size and SHA-256 of part files. They show which files are damaged, missing or additional."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from edgerec.core.errors import LogsError
from edgerec.core.hashing import FileStamp, sha256_file
from edgerec.data.parts import count_rows

_ADVICE = "or delete 'parts' from logs.json if you changed the logs yourself"


class PartStamp(FileStamp):
    """The size in bytes, the SHA-256 and the number of rows of a part file."""

    rows: Annotated[int, Field(ge=0)]


def stamp_parts(folder: Path, files: Iterable[Path]) -> dict[str, PartStamp]:
    """Return the number of rows, size and SHA-256 of the Parquet `files`, by path within `folder`."""
    return {
        _name(folder, file): PartStamp(size=file.stat().st_size, sha256=sha256_file(file), rows=count_rows(file))
        for file in files
    }


def check_stamps(folder: Path, files: Iterable[Path], stamps: Mapping[str, PartStamp]) -> None:
    """Check that the part files in `folder` are those in `logs.json`, with the same size and SHA-256.

    Args:
        folder: the folder of logs.
        files: the part files in the folder.
        stamps: the number of rows, size and SHA-256 of each file in `logs.json`, by path within `folder`.

    Raises:
        LogsError: a file is missing, additional, changed, or cannot be read.
    """
    present = {_name(folder, file): file for file in files}
    for name in stamps:
        if name not in present:
            raise LogsError(f"logs: {folder / name} does not exist, but logs.json lists it: restore it, {_ADVICE}")
    for name, file in present.items():
        if name not in stamps:
            raise LogsError(f"logs: {file} is not in the 'parts' of logs.json: remove it, {_ADVICE}")
        try:
            same = file.stat().st_size == stamps[name].size and sha256_file(file) == stamps[name].sha256
        except OSError as error:
            raise LogsError(f"logs: {file} cannot be read ({error.strerror}): check it") from None
        if not same:
            raise LogsError(f"logs: {file} was changed after it was written: restore it, {_ADVICE}")


def _name(folder: Path, file: Path) -> str:
    return file.relative_to(folder).as_posix()
