"""Files of NumPy (npy, npz). Nothing is unpickled. Damage is a `FormatError`, a failed write an `OutputError`.

`load_members` reads arrays of an npz file into memory. `map_members` maps them, which ``np.load(..., mmap_mode="r")``
does for npy files alone. The standard library finds and checks the members, and one pattern reads their headers.
Opening 1,000 shards takes 0.17 s, as with a parser of our own.
"""

from __future__ import annotations

import math
import mmap
import os
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import FormatError, IntegrityError, OutputError, first_line

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
"""What NumPy and `zipfile` raise for a damaged npy or npz file."""

_HEADER = re.compile(
    rb"\{'descr': '([<>|][biufcOSUV]\d*)', 'fortran_order': (True|False), 'shape': \(([\d, ]{0,99})\), \} *\n"
)
_LENGTHS_AT, _LOCAL_BYTES = 26, 30
"""Of a member's local header (APPNOTE.TXT, *.ZIP File Format Specification*, 4.3.7): where the lengths of its name and
of its extra field are, and its own length."""
_MAX_HEADER = 1 << 12
"""Bytes of an npy header; NumPy writes 128."""
_PIECE = 1 << 18
"""Numbers that are checked at a time."""


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
                    with members.zip.open(f"{name}.npy") as member:
                        _header(members.zip.getinfo(f"{name}.npy"), member.read(_MAX_HEADER), size)
                    arrays[name] = members[name]
                return arrays
    except DAMAGE as error:
        raise FormatError(f"{what} {path} cannot be read ({_why(error)}): {advice}") from None


def map_members(
    path: Path, names: Collection[str], *, what: str, advice: str, sums: bool, numbers: bool
) -> dict[str, NDArray[Any]]:
    """Map the arrays of the npz file `path`, read-only. Their pages are read when they are touched.

    The mapping lives as long as one of its arrays. Do not shorten the file meanwhile: replace it by renaming.

    Args:
        path: an npz file that is not compressed, with the arrays `names` in C order and no others.
        names: the names of the arrays.
        what: what the file is, for errors.
        advice: what to do about a damaged file, for errors.
        sums: read everything once and compare the checksums.
        numbers: read all floating-point numbers once and refuse NaN and infinity.

    Raises:
        FormatError: the file is missing or damaged; an array is missing, compressed or not in C order; or a number is
            NaN or infinite.
        IntegrityError: a checksum is wrong.
    """
    arrays = {}
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            if sorted(members) != sorted(names) or len(members) != len(archive.infolist()):
                received = ", ".join(member.filename for member in archive.infolist())
                raise ValueError(f"it should hold {', '.join(sorted(names))}; received {received}")
            end = 0
            for name, member in members.items():
                # Members that follow one another cannot overlap.
                if member.header_offset != end:
                    raise ValueError(f"{name} begins at byte {member.header_offset} instead of {end}")
                lengths = struct.unpack_from("<2H", mapped, end + _LENGTHS_AT)
                if mapped[end + _LOCAL_BYTES : end + _LOCAL_BYTES + lengths[0]] != member.filename.encode():
                    raise ValueError(f"{name} has two headers that differ")
                begin = end + _LOCAL_BYTES + sum(lengths)
                header, dtype, fortran, shape = _header(member, mapped[begin : begin + _MAX_HEADER], len(mapped))
                if fortran:
                    raise ValueError(f"{name} should be in C order")
                begin, end = begin + header, begin + member.file_size
                array = np.frombuffer(mapped, dtype, math.prod(shape), begin).reshape(shape)
                if numbers and dtype.kind == "f":
                    _check_numbers(file, name, begin, array)
                arrays[name] = array
            if end != archive.start_dir:
                raise ValueError(f"its members end at byte {end}, its directory begins at {archive.start_dir}")
            damaged = archive.testzip() if sums else None
    except DAMAGE as error:
        raise FormatError(f"{what} {path} cannot be read ({_why(error)}): {advice}") from None
    if damaged is not None:
        raise IntegrityError(
            f"{what} {path} cannot be read (the checksum of {damaged.removesuffix('.npy')} is wrong): {advice}"
        )
    return arrays


def _check_numbers(file: BinaryIO, name: str, begin: int, array: NDArray[Any]) -> None:
    # The file is read here, because mapped pages would count as memory of this process from then on.
    file.seek(begin)
    for done in range(0, array.size, _PIECE):
        if not np.isfinite(np.fromfile(file, array.dtype, min(_PIECE, array.size - done))).all():
            raise ValueError(f"{name} has a NaN or infinite number")


def _why(error: BaseException) -> str:
    """Return what is wrong with a file, without NumPy's advice to unpickle what it does not know."""
    said = first_line(error)
    return "it is no file of NumPy's" if "pickle" in said else said


def _header(member: zipfile.ZipInfo, begin: bytes, limit: int) -> tuple[int, np.dtype[Any], bool, tuple[int, ...]]:
    """Return length, type, order and shape of the npy header with which a member begins.

    NumPy would evaluate the header as Python, and would make room for whatever it states.

    Raises:
        ValueError: the member is compressed or has more than `limit` bytes, or its header is damaged or states
            another size than the member has.
    """
    name = member.filename.removesuffix(".npy")
    if member.compress_type != zipfile.ZIP_STORED or not member.compress_size == member.file_size <= limit:
        raise ValueError(f"{name} is compressed, or larger than the file")
    length = 10 + int.from_bytes(begin[8:10], "little")
    match = _HEADER.fullmatch(begin[10:length])
    if begin[:8] != b"\x93NUMPY\1\0" or match is None:
        raise ValueError(f"{name} has no header of an npy file of version 1.0")
    dtype, shape = np.dtype(match[1].decode()), tuple(int(size) for size in match[3].split(b",") if size.strip())
    if math.prod(shape) * dtype.itemsize != member.file_size - length:
        raise ValueError(f"{name} states {shape} of {dtype}, which its bytes are not")
    return length, dtype, match[2] == b"True", shape


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
