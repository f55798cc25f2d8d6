"""The download of a version, piece by piece. It resumes where a killed process stopped."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from edgerec.core.errors import AnswerError, IntegrityError, OutputError
from edgerec.core.hashing import sha256_file
from edgerec.paging.model_offer import ModelOffer, OfferedFile
from edgerec.paging.transport import ModelTransport

PART = ".part"
"""The suffix of a file that is not complete."""


class Download:
    """Downloads the files of an offer into a folder. Files that are there already, with the right hash, stay.

    Args:
        transport: the cloud.
        offer: the offer.
        folder: the folder. What an earlier process downloaded is in it.
        piece_bytes: number of bytes of one request.
    """

    def __init__(self, transport: ModelTransport, offer: ModelOffer, folder: Path, piece_bytes: int) -> None:
        self._transport, self._version_id = transport, offer.version_id or ""
        self._folder, self._piece = folder, piece_bytes
        self._left = list(offer.files)

    def step(self) -> bool:
        """Download one piece, or check what an earlier process downloaded. Return whether there is more to do.

        Raises:
            TransportError: the cloud does not answer. What is downloaded stays.
            IntegrityError: a file has another hash than offered. It was removed.
            OutputError: the disk is full, or the folder cannot be written.
        """
        if not self._left:
            return False
        file = self._left[0]
        path = self._folder / file.path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if _has(path, file) or self._piece_of(file, path):
                self._left.pop(0)
        except OSError as error:
            raise OutputError(f"update: {path} cannot be written ({error.strerror}): free space on the disk") from None
        return bool(self._left)

    def check_space(self) -> None:
        """Raise OutputError if the disk has less space than the rest of the download needs."""
        need = sum(file.size - _bytes_of(self._folder / file.path, file) for file in self._left)
        free = shutil.disk_usage(self._folder.parent).free
        if free < need:
            raise OutputError(f"update: version {self._version_id} needs {need} bytes; the disk has {free} left")

    def _piece_of(self, file: OfferedFile, path: Path) -> bool:
        """Append one piece to the part of a file. Return whether the file is complete."""
        part = _part(path)
        size = _size(part)
        if size > file.size:
            part.unlink()
            size = 0
        if size < file.size:
            most = min(self._piece, file.size - size)
            piece = self._transport.model_file(self._version_id, file.path, size, most)
            if not 0 < len(piece) <= most:
                raise AnswerError(
                    f"cloud: {file.path} of version {self._version_id} should have {file.size} bytes; the cloud sent "
                    f"{len(piece)} bytes from byte {size} on"
                )
            with part.open("ab") as out:
                out.write(piece)
                if size + len(piece) == file.size:
                    out.flush()
                    os.fsync(out.fileno())
            size += len(piece)
        elif not part.exists():
            part.touch()
        if size < file.size:
            return False
        if sha256_file(part) != file.sha256:
            part.unlink()
            raise IntegrityError(
                f"update: {file.path} of version {self._version_id} was damaged on its way: it is downloaded again"
            )
        part.replace(path)
        return True


def has_all(folder: Path, offer: ModelOffer) -> bool:
    """Return whether a folder has all files of an offer, with their sizes and hashes."""
    return all(_has(folder / file.path, file) for file in offer.files)


def _has(path: Path, file: OfferedFile) -> bool:
    return path.is_file() and path.stat().st_size == file.size and sha256_file(path) == file.sha256


def _bytes_of(path: Path, file: OfferedFile) -> int:
    """Return how many bytes of a file are downloaded. Their hash is not checked."""
    return file.size if path.is_file() and _size(path) == file.size else min(_size(_part(path)), file.size)


def _part(path: Path) -> Path:
    return path.with_name(path.name + PART)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
