"""Compute and check the sizes and hashes of a bundle's files (`FileStamp`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from edgerec.core.errors import IntegrityError
from edgerec.core.hashing import FileStamp, sha256_bytes, sha256_file


def stamp_files(folder: Path, paths: Iterable[Path]) -> dict[str, FileStamp]:
    """Return the size and the hash of each of the files `paths`, sorted by path within `folder`."""
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: FileStamp(size=path.stat().st_size, sha256=sha256_file(path)) for name, path in sorted(names.items())}


def check_files(folder: Path, files: Mapping[str, FileStamp]) -> None:
    """Check that every file in `files` exists in `folder` and has the given size and hash.

    Raises:
        IntegrityError: a file is missing or was changed, or a part of its path is a link. The text names the first one.
    """
    for name, stamp in files.items():
        path = _own_file(folder, name, stamp)
        if sha256_file(path) != stamp.sha256:
            raise IntegrityError(f"bundle: {path} was changed after it was written: fetch or export the bundle again")


def read_stamped(folder: Path, name: str, stamp: FileStamp) -> bytes:
    """Read the file `name` in `folder` once, check the hash of its bytes, and return the bytes.

    Raises:
        IntegrityError: as for `check_files`.
    """
    path = _own_file(folder, name, stamp)
    with path.open("rb") as file:
        content = file.read(stamp.size + 1)
    if sha256_bytes(content) != stamp.sha256:
        raise IntegrityError(f"bundle: {path} was changed after it was written: fetch or export the bundle again")
    return content


def refuse_link(path: Path) -> None:
    """Check that a part of a bundle is not a link. A link can lead to files outside the bundle.

    Raises:
        IntegrityError: `path` is a link.
    """
    if path.is_symlink():
        raise IntegrityError(
            f"bundle: {path} should not be a link, because a link can lead out of the bundle: replace it by the real "
            "file or folder"
        )


def _own_file(folder: Path, name: str, stamp: FileStamp) -> Path:
    """Return the path of a file. Check that its size is that of `stamp` and that no part of its path is a link."""
    path = folder / name
    steps = [path, *(folder / parent for parent in PurePosixPath(name).parents)][:-1]
    if any(step.is_symlink() for step in steps) or not path.is_file():
        raise IntegrityError(f"bundle: {path} is missing or a link: fetch or export the bundle again")
    size = path.stat().st_size
    if size != stamp.size:
        raise IntegrityError(f"bundle: {path} has {size} bytes instead of {stamp.size}: fetch or export it again")
    return path
