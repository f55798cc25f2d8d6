"""The number of rows, size and SHA-256 of part files. They show which files are damaged, missing or additional."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from edgerec.core.hashing import FileStamp, sha256_file
from edgerec.data.log_faults import Fault, Found, refuse
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
    refuse(find_stamps(folder, files, stamps))


def find_stamps(folder: Path, files: Iterable[Path], stamps: Mapping[str, PartStamp]) -> Found[None]:
    """Find the files that `check_stamps` refuses."""
    present = {_name(folder, file): file for file in files}
    for name in stamps:
        if name not in present:
            yield _fault(folder / name, "does not exist, but logs.json lists it", f"restore it, {_ADVICE}")
    for name, file in present.items():
        if name not in stamps:
            yield _fault(file, "is not in the 'parts' of logs.json", f"remove it, {_ADVICE}")
            continue
        try:
            same = file.stat().st_size == stamps[name].size and sha256_file(file) == stamps[name].sha256
        except OSError as error:
            yield _fault(file, f"cannot be read ({error.strerror})", "check it")
            continue
        if not same:
            yield _fault(file, "was changed after it was written", f"restore it, {_ADVICE}")


def _fault(file: Path, found: str, advice: str) -> Fault:
    return Fault(
        f"logs: {file} {found}: {advice}",
        expected="the files in the 'parts' of logs.json, unchanged",
        found=found,
        advice=advice,
        file=file,
    )


def _name(folder: Path, file: Path) -> str:
    return file.relative_to(folder).as_posix()
