"""NumPy's files: nothing is unpickled, and damage, or a place that cannot be written, is one kind of error."""

from __future__ import annotations

import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import FormatError, OutputError, first_line

DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    SyntaxError,
    tokenize.TokenError,
    MemoryError,
    OverflowError,
    TypeError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
)
"""What NumPy raises for a damaged npy or npz file: its header is parsed as Python, its members are zip entries."""


def load_array(path: Path, *, what: str, advice: str) -> NDArray[Any]:
    """The array of the npy file `path`, memory-mapped; one without elements, which cannot be mapped, is read.

    Raises:
        FormatError: it is missing or damaged; `what` it belongs to and `advice` stand in the text.
    """
    try:
        try:
            mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
            return mapped
        except ValueError:
            array: NDArray[Any] = np.load(path, allow_pickle=False)
            if not isinstance(array, np.ndarray) or array.size:
                raise
            return array
    except DAMAGE as error:
        raise FormatError(f"{what}: {path} cannot be read ({_why(error)}): {advice}") from None


def load_members(
    path: Path, names: Iterable[str], *, what: str, advice: str, most: int | None = None
) -> dict[str, NDArray[Any]]:
    """The arrays `names` of the npz file `path`, which never take more memory than the file has bytes.

    Args:
        path: the file.
        names: of the arrays.
        what: it is, for the text of errors.
        advice: what to do, likewise.
        most: bytes; a larger file is refused unread.

    Raises:
        FormatError: it is missing or damaged, or lacks one of them; `what` it is and `advice` stand in the text.
    """
    try:
        # Opened here: NumPy leaves open what it cannot read.
        with path.open("rb") as content:
            size = os.fstat(content.fileno()).st_size
            if most is not None and size > most:
                raise ValueError(f"it has {size} bytes, more than {most}")
            with np.load(content, allow_pickle=False) as members:
                arrays = {}
                for name in names:
                    _check_size(members.zip, name, size)
                    arrays[name] = members[name]
                return arrays
    except DAMAGE as error:
        raise FormatError(f"{what} {path} cannot be read ({_why(error)}): {advice}") from None


def _why(error: BaseException) -> str:
    """What is wrong with a file, without NumPy's advice to unpickle what it does not know."""
    said = first_line(error)
    return "it is no file of NumPy's" if "pickle" in said else said


def _check_size(archive: zipfile.ZipFile, name: str, limit: int) -> None:
    """Refuse a member that is packed, or that states more than it has: NumPy makes room for whatever is stated.

    Raises:
        ValueError: it is so, or its header is damaged.
    """
    member = archive.getinfo(f"{name}.npy")
    if member.compress_type != zipfile.ZIP_STORED or member.file_size > limit:
        raise ValueError(f"{name} is packed, or larger than the file")
    with archive.open(member) as content:
        version = np.lib.format.read_magic(content)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(content)
        if math.prod(shape) * dtype.itemsize != member.file_size - content.tell():
            raise ValueError(f"{name} states {shape} of {dtype}, which its bytes are not")


def save_array(path: Path, array: NDArray[Any], *, what: str) -> None:
    """Write `array` as the npy file `path`.

    Raises:
        OutputError: it cannot be written; `what` it belongs to stands in the text.
    """
    try:
        np.save(path, array)
    except OSError as error:
        raise _unwritten(path, error, what) from None


def save_members(path: Path, arrays: Mapping[str, NDArray[Any]], *, what: str) -> None:
    """Write `arrays` by their names as the npz file `path`.

    Raises:
        OutputError: as `save_array`.
    """
    try:
        np.savez(path, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        raise _unwritten(path, error, what) from None


def _unwritten(path: Path, error: OSError, what: str) -> OutputError:
    # On a full disk NumPy's own error has no number and says "n requested and m written".
    reason = error.strerror or str(error)
    return OutputError(f"{what}: cannot write {path} ({reason}): free some space or write elsewhere")
