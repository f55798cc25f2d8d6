"""The description of a version in Redis, and the encoding of its names, keys and rows (docs/embeddings.md)."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edgerec.core.errors import FormatError, InputError
from edgerec.core.faults import first_fault
from edgerec.kv.table_entry import TableEntry

UNKNOWN = b"unknown"
"""The field of the row for unknown keys. It has seven bytes, so it cannot equal a key, which has eight."""
REPLACE = "open another version, or publish this one again with replace=True"
ADVICE = "open another version, or publish this one again, and let the server's maxmemory-policy be noeviction"


class Bucket(BaseModel):
    """One hash with a part of a table's rows."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    place: str
    """The Redis key of the hash."""
    rows: Annotated[int, Field(ge=0)]

    @property
    def fields(self) -> int:
        """Number of fields in the hash: one for each key, and one for unknown keys."""
        return self.rows + 1


class StoredTable(BaseModel):
    """The description of one table of a version: one hash, or several in a cluster."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    entry: TableEntry
    place: str | None = None
    """The Redis key of the only hash."""
    buckets: tuple[Bucket, ...] = ()
    """The hashes, if there are several."""

    @model_validator(mode="after")
    def _check_rows(self) -> StoredTable:
        if self.place is None and sum(bucket.rows for bucket in self.buckets) != self.entry.keys:
            raise ValueError("the buckets should have as many rows as the table")
        return self

    @property
    def hashes(self) -> tuple[Bucket, ...]:
        """The hashes. `bucket_of` says which of them has the row of a key."""
        return self.buckets if self.place is None else (Bucket(place=self.place, rows=self.entry.keys),)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the rows in the server."""
        return np.dtype("<f2" if self.entry.dtype == "float16" else "<f4")

    @property
    def row_bytes(self) -> int:
        """Number of bytes of a row in the server."""
        return self.entry.dimension * self.dtype.itemsize


def bucket_of(keys: NDArray[np.int64], buckets: int) -> NDArray[np.int64]:
    """Return the number (m,) of the bucket of each key of `keys` (m,).

    IDs are often given in order. The multiplication (Fibonacci hashing, Knuth vol. 3, 6.4) spreads them evenly.
    """
    mixed = (keys.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
    numbers: NDArray[np.int64] = (mixed % np.uint64(buckets)).astype(np.int64)
    return numbers


class Description(BaseModel):
    """The description of a version. It is stored as JSON in the hash `PREFIX:versions`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal[1] = 1
    version_id: str
    tables: dict[str, StoredTable]

    @property
    def redis_keys(self) -> list[str]:
        """The Redis keys of the hashes of the version's tables."""
        return [bucket.place for table in self.tables.values() for bucket in table.hashes]


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


def describe_damage(bucket: Bucket, field_count: int, *, name: str, version_id: str) -> str | None:
    """Return an error text if a hash of table `name` does not have all its rows, else None.

    Args:
        bucket: the hash as it was published.
        field_count: how many fields it has now.
        name, version_id: for the text. It does not say which of several hashes it is, because no user needs that.
    """
    if field_count == bucket.fields:
        return None
    if not field_count:
        return f"{name} of version {version_id} does not exist any more: it was removed or evicted; {ADVICE}"
    rows = f"has {field_count - 1} instead of {bucket.rows} rows"
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
