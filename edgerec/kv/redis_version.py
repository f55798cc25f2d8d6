"""The description of a version in Redis, and the encoding of its names, keys and rows (docs/embeddings.md)."""

from __future__ import annotations

import re
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from edgerec.core.errors import FormatError, InputError
from edgerec.core.faults import first_fault
from edgerec.kv.table_entry import TableEntry

UNKNOWN = b"unknown"
"""The field of the row for unknown keys. It has seven bytes, so it cannot equal a key, which has eight."""
REPLACE = "open another version, or publish this one again with replace=True"
ADVICE = "open another version, or publish this one again, and let the server's maxmemory-policy be noeviction"


class StoredTable(BaseModel):
    """The description of one table of a version."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    place: str
    """The Redis key of the table's hash."""
    entry: TableEntry

    @property
    def fields(self) -> int:
        """Number of fields in the hash: one for each key, and one for unknown keys."""
        return self.entry.keys + 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the rows in the server."""
        return np.dtype("<f2" if self.entry.dtype == "float16" else "<f4")

    @property
    def row_bytes(self) -> int:
        """Number of bytes of a row in the server."""
        return self.entry.dimension * self.dtype.itemsize


class Description(BaseModel):
    """The description of a version. It is stored as JSON in the hash `PREFIX:versions`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal[1] = 1
    version_id: str
    tables: dict[str, StoredTable]

    @property
    def redis_keys(self) -> list[str]:
        """The Redis keys of the version's tables."""
        return [table.place for table in self.tables.values()]


def parse_description(content: bytes, version_id: str, *, address: str) -> Description:
    """Parse a description that came from the server.

    Raises:
        FormatError: the content is not a description of this format.
    """
    try:
        return Description.model_validate_json(content)
    except ValidationError as error:
        raise FormatError(
            f"embedding store {address}: the description of version {version_id} is invalid "
            f"({first_fault(error)}): publish it with this version of EdgeRec"
        ) from None


def describe_damage(table: StoredTable, field_count: int, *, name: str, version_id: str) -> str | None:
    """Return an error text if a table does not have all its rows, else None. Its hash now has `field_count` fields."""
    if field_count == table.fields:
        return None
    if not field_count:
        return f"{name} of version {version_id} does not exist any more: it was removed or evicted; {ADVICE}"
    rows = f"has {field_count - 1} instead of {table.entry.keys} rows"
    return f"{name} of version {version_id} {rows}: {ADVICE}"


def row_fields(keys: NDArray[np.int64]) -> list[bytes]:
    """Return the hash field (eight bytes) of each key of `keys` (m,)."""
    content = keys.astype("<i8", copy=False).tobytes()
    return [content[start : start + 8] for start in range(0, len(content), 8)]


def name_bytes(name: str, *, what: str) -> bytes:
    """Encode a name for the server.

    Raises:
        InputError: the name is not a string that UTF-8 can encode.
    """
    if not isinstance(name, str) or re.search("[\ud800-\udfff]", name):
        raise InputError(f"embedding store: a {what} should be a name in UTF-8; received {name!a:.80}")
    return name.encode()


def name_text(name: bytes, *, address: str) -> str:
    """Decode a version id that came from the server.

    Raises:
        FormatError: the bytes are not UTF-8.
    """
    try:
        return name.decode()
    except (UnicodeDecodeError, AttributeError):
        raise FormatError(
            f"embedding store {address}: {name!r:.80} is not a version id of EdgeRec: delete it from the server, or "
            "choose another prefix"
        ) from None
