"""What the Redis store keeps of a version: its description and its tables' hashes (docs/embeddings.md)."""

from __future__ import annotations

import re
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from edgerec.core.documents import first_fault
from edgerec.core.errors import FormatError, InputError
from edgerec.kv.table_entry import TableEntry

UNKNOWN = b"unknown"
"""The field of the unknown row. It has seven bytes, so that it is nobody's key."""
REPLACE = "open another version, or publish this one again with replace=True"
ADVICE = "open another version, or publish this one again, and let the server's maxmemory-policy be noeviction"


class StoredTable(BaseModel):
    """A table of a version."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    place: str
    """The Redis key of its hash."""
    entry: TableEntry

    @property
    def fields(self) -> int:
        """How many fields its hash has: the rows and the unknown row."""
        return self.entry.keys + 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its rows in the server."""
        return np.dtype("<f2" if self.entry.dtype == "float16" else "<f4")

    @property
    def row_bytes(self) -> int:
        """Length of a row in the server."""
        return self.entry.dimension * self.dtype.itemsize


class Description(BaseModel):
    """What `PREFIX:versions` says of a version."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal[1] = 1
    version_id: str
    tables: dict[str, StoredTable]

    @property
    def places(self) -> list[str]:
        """The Redis keys of its tables."""
        return [table.place for table in self.tables.values()]


def parse_description(content: bytes, version_id: str, *, address: str) -> Description:
    """Read a description that came from the server.

    Raises:
        FormatError: it is none of this format.
    """
    try:
        return Description.model_validate_json(content)
    except ValidationError as error:
        raise FormatError(
            f"embedding store {address}: version {version_id}: {first_fault(error)}: publish it with this version of "
            "EdgeRec"
        ) from None


def damage(table: StoredTable, held: int, *, name: str, version_id: str) -> str | None:
    """Say what is wrong with a table whose hash has `held` fields; None where it has as many as were published."""
    if held == table.fields:
        return None
    if not held:
        return f"{name} of version {version_id} is no longer there: it was removed or evicted; {ADVICE}"
    rows = f"holds {held - 1} instead of {table.entry.keys} rows"
    return f"{name} of version {version_id} {rows}: {ADVICE}"


def row_fields(keys: NDArray[np.int64]) -> list[bytes]:
    """Names (m) of the hash fields of `keys` (m,)."""
    packed = keys.astype("<i8", copy=False).tobytes()
    return [packed[at : at + 8] for at in range(0, len(packed), 8)]


def name_bytes(name: str, *, what: str) -> bytes:
    """A name as the server gets it.

    Raises:
        InputError: no text, or one that is not UTF-8.
    """
    if not isinstance(name, str) or re.search("[\ud800-\udfff]", name):
        raise InputError(f"embedding store: a {what} should be a name in UTF-8; received {name!a:.80}")
    return name.encode()


def name_text(name: bytes, *, address: str) -> str:
    """A version's name as it came from the server.

    Raises:
        FormatError: it is not UTF-8.
    """
    try:
        return name.decode()
    except (UnicodeDecodeError, AttributeError):
        raise FormatError(
            f"embedding store {address}: {name!r:.80} is no name that EdgeRec wrote: delete it from the server, or "
            "choose another prefix"
        ) from None
