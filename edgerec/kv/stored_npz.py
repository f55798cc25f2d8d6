"""npz files whose members are stored as they are, each on a boundary of 64 bytes, so that their arrays can be mapped.

NumPy reads them as any other. It maps no members itself (``np.load(..., mmap_mode=)`` loads them), so the reader here
finds each array's place in the file by the zip directory. It knows the one form that this module and ``np.savez`` write
and refuses all else; headers are compared with a pattern, not evaluated, and nothing is unpickled.

Source: APPNOTE.TXT, *.ZIP File Format Specification*, 4.3; ``numpy.lib.format``, version 1.0.
"""

from __future__ import annotations

import io
import mmap
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from edgerec.core.errors import FormatError, IntegrityError

ALIGNMENT = 64
MAX_MEMBER_BYTES = 2**31 - 1
"""What needs no zip64 sizes anywhere, and what `zipfile` writes without them."""

_END = struct.Struct("<4s4H2LH")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_SIZE_ELSEWHERE = 0xFFFFFFFF  # np.savez leaves room for zip64 sizes in local headers.
_PADDING = struct.Struct("<HHH")
_PADDING_ID = 0xD935  # The field by which Android's tools align members, too.
_MAX_DIRECTORY = 1 << 16
_MAX_HEADER = 1 << 12
_PIECE = 1 << 20
_NPY = re.compile(
    rb"\{'descr': '(?P<dtype><i8|<f4|<f2)', 'fortran_order': False, "
    rb"'shape': \((?P<first>\d{1,12}),(?: (?P<second>\d{1,12}))?\), \} *\n"
)


@dataclass(frozen=True)
class _Member:
    """An array within the file, in bytes from its begin: zip member `begin` to `end`, of it npy file and data."""

    begin: int
    npy: int
    data: int
    end: int
    crc: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class StoredWriter:
    """Writes one such file within a `with` block, array after array. Equal arrays give equal bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._archive = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED)

    def write(self, name: str, *, dtype: str, shape: tuple[int, ...], pieces: Iterable[NDArray[Any]]) -> None:
        """Write the array `name` of `dtype` and `shape`, whose rows come in `pieces` one after the other."""
        header = io.BytesIO()
        npy.write_array_header_1_0(header, {"descr": dtype, "fortran_order": False, "shape": shape})
        # The date is that of ZipInfo: always the same.
        info = zipfile.ZipInfo(f"{name}.npy")
        padding = -(self._file.tell() + _LOCAL.size + len(info.filename) + _PADDING.size) % ALIGNMENT
        info.extra = _PADDING.pack(_PADDING_ID, 2 + padding, ALIGNMENT) + bytes(padding)
        with self._archive.open(info, "w") as member:
            member.write(header.getvalue())
            for piece in pieces:
                member.write(np.ascontiguousarray(piece, dtype).reshape(-1).view(np.uint8).data)

    def __enter__(self) -> StoredWriter:
        return self

    def __exit__(self, *_: object) -> None:
        # Writes the directory; the file stays open.
        self._archive.close()


def map_members(
    path: Path, names: Iterable[str], *, what: str, advice: str, sums: bool, numbers: bool
) -> dict[str, NDArray[Any]]:
    """The arrays of the npz file `path`, mapped and read-only; their pages are read when they are touched.

    The mapping lives as long as an array of it. The file must not be shortened meanwhile: replace it by renaming.

    Args:
        path: an npz file with the arrays `names` and no others.
        names: of the arrays, one- or two-dimensional, int64, float32 or float16.
        what: the file is, for errors.
        advice: what to do about a bad one, for errors.
        sums: read all of it once and compare checksums.
        numbers: read all floating-point numbers once and refuse NaN and infinite ones.

    Raises:
        FormatError: missing, or not of the one form: compressed, another type or order, members that overlap, leave the
            file or do not have the size that they state; or a NaN or infinite number.
        IntegrityError: a checksum is wrong.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            members = _members(file, size, sorted(names))
            for name, member in members.items():
                if sums:
                    _check_sum(file, name, member)
                if numbers and member.dtype.kind == "f":
                    _check_numbers(file, name, member)
            mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    except OSError as error:
        raise FormatError(f"{what} {path} cannot be read ({error.strerror}): {advice}") from None
    except _FaultyError as fault:
        raise (IntegrityError if fault.integrity else FormatError)(
            f"{what} {path} cannot be read ({fault}): {advice}"
        ) from None
    return {name: _array(mapped, member) for name, member in members.items()}


class _FaultyError(Exception):
    """What is wrong with the file."""

    def __init__(self, text: str, *, integrity: bool = False) -> None:
        super().__init__(text)
        self.integrity = integrity


def _refuse(text: str) -> NoReturn:
    raise _FaultyError(text)


def _members(file: BinaryIO, size: int, names: list[str]) -> dict[str, _Member]:
    """Members by name, which together fill the file up to its directory."""
    found = {}
    place, directory = 0, _directory(file, size)
    for name, entry in directory.entries:
        found[name] = _member(file, name, entry, end=directory.begin)
        if found[name].begin != place:
            _refuse(f"{name} begins at byte {found[name].begin} instead of {place}")
        place = found[name].end
    if place != directory.begin:
        _refuse(f"its members end at byte {place}, its directory begins at {directory.begin}")
    if sorted(found) != names or len(directory.entries) != len(names):
        _refuse(f"it should hold {', '.join(names)}; received {', '.join(name for name, _ in directory.entries)}")
    return found


@dataclass(frozen=True)
class _Directory:
    begin: int
    entries: list[tuple[str, tuple[Any, ...]]]


def _directory(file: BinaryIO, size: int) -> _Directory:
    if size < _END.size:
        _refuse(f"{size} bytes are no npz file")
    mark, *disks, count, length, begin, comment = _END.unpack(_bytes(file, size - _END.size, _END.size))
    if mark != b"PK\5\6" or disks != [0, 0, count] or comment or begin + length != size - _END.size:
        _refuse("no zip directory at its end")
    if length > _MAX_DIRECTORY:
        _refuse(f"a directory of {length} bytes")
    content = _bytes(file, begin, length)
    entries, at = [], 0
    for _ in range(count):
        if at + _ENTRY.size > length:
            _refuse("a directory that is cut off")
        entry = _ENTRY.unpack_from(content, at)
        name_length, extra_length, comment_length = entry[10:13]
        name = content[at + _ENTRY.size : at + _ENTRY.size + name_length]
        if entry[0] != b"PK\1\2" or not re.fullmatch(rb"[a-z_]{1,64}\.npy", name):
            _refuse("a directory entry of no array")
        entries.append((name[:-4].decode(), entry))
        at += _ENTRY.size + name_length + extra_length + comment_length
    if at != length:
        _refuse("a directory of another length than it states")
    return _Directory(begin, entries)


def _member(file: BinaryIO, name: str, entry: tuple[Any, ...], *, end: int) -> _Member:
    _, _, _, flags, method, _, _, crc, stored, size, *_, begin = entry
    if method != zipfile.ZIP_STORED or flags or stored != size:
        _refuse(f"{name} is compressed, encrypted or of unknown length: it should be stored")
    if begin + _LOCAL.size > end:
        _refuse(f"{name} lies outside the file")
    local = _LOCAL.unpack(_bytes(file, begin, _LOCAL.size))
    local_name = _bytes(file, begin + _LOCAL.size, local[9]) if local[9] == len(name) + 4 else b""
    sizes = {local[7], local[8]}
    if (
        local[0] != b"PK\3\4"
        or local_name != f"{name}.npy".encode()
        or local[2:4] != (flags, method)
        or local[6] != crc
        or (sizes != {size} and sizes != {_SIZE_ELSEWHERE})
    ):
        _refuse(f"{name} has two headers that differ")
    start = begin + _LOCAL.size + local[9] + local[10]
    header, dtype, shape = _header(file, name, start, size)
    # Whole numbers of Python: no product is too large.
    rows = shape[0] * (shape[1] if len(shape) > 1 else 1)
    if rows * dtype.itemsize != size - header:
        _refuse(f"{name} should have {rows * dtype.itemsize} bytes for its shape {shape}; received {size - header}")
    return _Member(begin, start, start + header, start + size, crc, dtype, shape)


def _header(file: BinaryIO, name: str, start: int, size: int) -> tuple[int, np.dtype[Any], tuple[int, ...]]:
    """Length, type and shape that the npy header at `start` states."""
    front = _bytes(file, start, 10) if size >= 10 else b""
    length = int.from_bytes(front[8:], "little")
    if front[:8] != b"\x93NUMPY\1\0" or length > min(_MAX_HEADER, size - 10):
        _refuse(f"{name} is no npy file of version 1")
    text = _bytes(file, start + 10, length)
    match = _NPY.fullmatch(text)
    if not match:
        _refuse(f"{name} should be little-endian int64, float32 or float16 in C order; received {text[:80]!r}")
    shape = tuple(int(match[axis]) for axis in ("first", "second") if match[axis])
    return 10 + length, np.dtype(match["dtype"].decode()), shape


def _check_sum(file: BinaryIO, name: str, member: _Member) -> None:
    crc = 0
    for piece in _pieces(file, member.npy, member.end):
        crc = zlib.crc32(piece, crc)
    if crc != member.crc:
        raise _FaultyError(f"the checksum of {name} is wrong", integrity=True)


def _check_numbers(file: BinaryIO, name: str, member: _Member) -> None:
    # Read and not mapped: pages that are mapped would count as the process's memory from then on.
    for piece in _pieces(file, member.data, member.end):
        if not np.isfinite(np.frombuffer(piece, member.dtype)).all():
            _refuse(f"{name} has a NaN or infinite number")


def _pieces(file: BinaryIO, begin: int, end: int) -> Iterator[bytes]:
    for at in range(begin, end, _PIECE):
        yield _bytes(file, at, min(_PIECE, end - at))


def _bytes(file: BinaryIO, at: int, length: int) -> bytes:
    file.seek(at)
    found = file.read(length)
    if len(found) != length:
        _refuse("it is cut off")
    return found


def _array(mapped: mmap.mmap, member: _Member) -> NDArray[Any]:
    count = (member.end - member.data) // member.dtype.itemsize
    if not count:
        return np.empty(member.shape, member.dtype)
    return np.frombuffer(mapped, member.dtype, count, member.data).reshape(member.shape)
