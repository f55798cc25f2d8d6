"""NumPy's files: nothing is unpickled, and damage, or a place that cannot be written, is one kind of error."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import FormatError, OutputError

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
        raise FormatError(f"{what}: {path} cannot be read ({error}): {advice}") from None


def load_members(path: Path, names: Iterable[str], *, what: str, advice: str) -> dict[str, NDArray[Any]]:
    """The arrays `names` of the npz file `path`.

    Raises:
        FormatError: it is missing or damaged, or lacks one of them; `what` it is and `advice` stand in the text.
    """
    try:
        # Opened here: NumPy leaves open what it cannot read.
        with path.open("rb") as content, np.load(content, allow_pickle=False) as members:
            return {name: members[name] for name in names}
    except DAMAGE as error:
        raise FormatError(f"{what} {path} cannot be read ({error}): {advice}") from None


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
