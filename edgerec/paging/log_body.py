"""The body of a log batch: JSON, which may be compressed with gzip."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from typing import Any

from edgerec.core.errors import InputError, TransportError
from edgerec.paging.body import MAX_BODY, as_object, is_integer, parse_json, wrong
from edgerec.paging.log_rows import LogBatch, Row

MAX_ROWS = 100_000
"""Maximum number of rows of a batch."""
MAX_COLUMNS, MAX_VALUES = 1000, 10_000
"""Maximum number of columns of a row, and of values of a list."""
_INT64 = range(-(2**63), 2**63)
_FIELDS = frozenset(("user_id", "store_id", "number", "events", "requests"))
_PLAIN = frozenset((float, bool, str, type(None)))
_SCALARS = _PLAIN | {int}


class TooLargeError(TransportError):
    """A compressed body has too many bytes after inflation."""


def encode_batch(batch: LogBatch) -> bytes:
    """Return a batch as JSON.

    Raises:
        InputError: a row has a value that JSON does not have, such as NaN or an array.
    """
    document = {
        "user_id": batch.user_id,
        "store_id": batch.store_id,
        "number": batch.number,
        "events": [dict(row) for row in batch.events],
        "requests": [dict(row) for row in batch.requests],
    }
    try:
        return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise InputError(f"log batch: a row has a value that JSON does not have ({error}): give it as None") from None


def inflate(content: bytes, *, most: int = MAX_BODY) -> bytes:
    """Return the bytes that gzip compressed to `content`.

    Raises:
        TransportError: `content` is not a complete gzip stream.
        TooLargeError: it has more than `most` bytes after inflation.
    """
    stream = zlib.decompressobj(31)
    try:
        inflated = stream.decompress(content, most + 1)
    except zlib.error as error:
        raise wrong(f"it is not gzip ({error})") from None
    if len(inflated) > most:
        raise TooLargeError(f"wrong body: it should have at most {most} bytes after inflation")
    if not stream.eof or stream.unused_data:
        raise wrong("it should be one complete gzip stream")
    return inflated


def decode_batch(content: bytes) -> LogBatch:
    """Return the batch of a JSON text.

    This checks the form of the batch. The cloud checks the values of its rows against the specification.

    Raises:
        TransportError: `content` is not the JSON of a batch.
    """
    # A batch is flat, so its checks refuse what is deeper, and no look at all values has to find their levels first.
    try:
        return _batch(as_object(parse_json(content, levels=None), "it"))
    except RecursionError:
        raise wrong("its JSON has too many levels") from None


def _batch(fields: dict[str, Any]) -> LogBatch:
    unknown = fields.keys() - _FIELDS
    if unknown:
        raise wrong(f"it has an unknown field {min(unknown)!r:.40}: remove it")
    for name in ("user_id", "store_id", "number"):
        if not is_integer(fields.get(name)) or fields[name] not in _INT64:
            raise wrong(f"`{name}` should be an integer of 64 bits; received {fields.get(name)!r:.40}")
    if fields["number"] < 0:
        raise wrong(f"`number` should be at least 0; received {fields['number']}")
    events, requests = (_rows(fields.get(name), name) for name in ("events", "requests"))
    return LogBatch(fields["user_id"], fields["store_id"], fields["number"], events, requests)


def _rows(rows: object, name: str) -> list[Row]:
    if not isinstance(rows, list) or len(rows) > MAX_ROWS:
        raise wrong(f"`{name}` should be a list of at most {MAX_ROWS} rows; received {rows!r:.40}")
    for row in rows:
        columns = as_object(row, f"a row of `{name}`")
        if len(columns) > MAX_COLUMNS:
            raise wrong(f"a row of `{name}` should have at most {MAX_COLUMNS} columns; received {len(columns)}")
        kinds = set(map(type, columns.values()))
        if kinds <= _PLAIN or (kinds <= _SCALARS and _are_int64(columns.values())):
            continue
        for column, value in columns.items():
            if not _is_value(value):
                raise wrong(
                    f"`{name}`: {column!r:.40} should be a value or a list of at most {MAX_VALUES} values; received "
                    f"{value!r:.40}"
                )
    return rows


def _is_value(value: Any) -> bool:
    each = value if isinstance(value, list) else (value,)
    return len(each) <= MAX_VALUES and set(map(type, each)) <= _SCALARS and _are_int64(each)


def _are_int64(values: Iterable[Any]) -> bool:
    """Return whether all integers of `values` have 64 bits."""
    return all(-(2**63) <= value < 2**63 for value in values if type(value) is int)
