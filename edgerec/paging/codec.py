"""Pages and item batches as bytes (docs/formats.md, "Pages between cloud and device").

Decoding checks everything before any array is used. Wrong bytes raise `TransportError`, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgerec.core.errors import InputError
from edgerec.paging.body import ArrayReader, ArrayWriter, as_object, is_integer, open_body, wrong
from edgerec.paging.columns import MAX_TEXT, read_column, write_column
from edgerec.paging.items import EmbeddingColumn, ItemBatch
from edgerec.paging.page import Page

MEDIA_TYPE = "application/vnd.edgerec"
"""The media type of a body. A request with `Accept: application/json` gets JSON for people instead."""
MAX_ITEMS = 10_000
MAX_DIMENSION = 1024
_INT64 = range(-(2**63), 2**63)
_KEYS, _ROWS, _INDEX = "keys", "rows", "index"


def encode_items(items: ItemBatch) -> bytes:
    """Return the body of an item batch.

    Raises:
        InputError: a column has values that cannot be sent, or another length than `item_id`.
    """
    writer = ArrayWriter()
    return writer.body({"kind": "items", **_write_items(items, writer)})


def encode_page(page: Page) -> bytes:
    """Return the body of a page.

    Raises:
        InputError: as for `encode_items`.
    """
    writer = ArrayWriter()
    return writer.body({"kind": "page", **_write_items(page.items, writer), "page": page_fields(page)})


def decode_items(content: bytes) -> ItemBatch:
    """Return the item batch of a body. Its arrays are read-only.

    Raises:
        TransportError: `content` is not the valid body of an item batch.
    """
    header, reader = _open(content, "items")
    items = _read_items(header, reader)
    reader.end()
    return items


def decode_page(content: bytes) -> Page:
    """Return the page of a body. Its arrays are read-only.

    Raises:
        TransportError: `content` is not the valid body of a page.
    """
    header, reader = _open(content, "page")
    items = _read_items(header, reader)
    reader.end()
    fields = as_object(header.get("page"), "the field `page`")
    for name in ("page_id", "offered_at"):
        if not is_integer(fields.get(name)) or fields[name] not in _INT64:
            raise wrong(f"`{name}` should be an integer of 64 bits; received {fields.get(name)!r:.40}")
    served, complete = fields.get("served"), fields.get("complete")
    if not isinstance(served, list) or not all(type(name) is str and name in items.columns for name in served):
        raise wrong(f"`served` should be a list of columns; received {served!r:.80}")
    if not isinstance(complete, bool):
        raise wrong(f"`complete` should be true or false; received {complete!r:.40}")
    context = as_object(fields.get("context"), "`context`")
    for name, value in context.items():
        if not (value is None or type(value) in (int, float, bool) or (type(value) is str and len(value) <= MAX_TEXT)):
            raise wrong(f"the value {name!r:.40} of `context` should be a number or a string; received {value!r:.40}")
    return Page(fields["page_id"], fields["offered_at"], items, tuple(served), context, complete)


def page_fields(page: Page) -> dict[str, Any]:
    """Return the fields of a page without its items."""
    return {
        "page_id": page.page_id,
        "offered_at": page.offered_at,
        "served": list(page.served),
        "context": dict(page.context),
        "complete": page.complete,
    }


def _write_items(items: ItemBatch, writer: ArrayWriter) -> dict[str, Any]:
    count = len(items)
    for name, values in items.columns.items():
        if len(values) != count:
            raise InputError(f"page: column {name!r} should have {count} values; received {len(values)}")
    return {
        "version_id": items.version_id,
        "count": count,
        "item_id": writer.add(items.item_id),
        "columns": {name: write_column(name, values, writer) for name, values in items.columns.items()},
        "embeddings": {
            name: {_KEYS: writer.add(column.keys), _ROWS: writer.add(column.rows), _INDEX: writer.add(column.index)}
            for name, column in items.embeddings.items()
        },
    }


def _open(content: bytes, kind: str) -> tuple[dict[str, Any], ArrayReader]:
    header, reader = open_body(content)
    if header.get("kind") != kind:
        raise wrong(f"it should be of the kind {kind!r}; received {header.get('kind')!r:.40}")
    return header, reader


def _read_items(header: Mapping[str, Any], reader: ArrayReader) -> ItemBatch:
    version_id: Any = header.get("version_id")
    count: Any = header.get("count")
    if version_id is not None and (type(version_id) is not str or len(version_id) > MAX_TEXT):
        raise wrong(f"`version_id` should be a string or null; received {version_id!r:.40}")
    if not is_integer(count) or not 0 <= count <= MAX_ITEMS:
        raise wrong(f"`count` should be from 0 to {MAX_ITEMS}; received {count!r:.40}")
    item_id = reader.read(header.get("item_id"), ("int64",), (count,), what="`item_id`")
    columns = {
        name: read_column(description, count, reader, what=f"column {name!r:.40}")
        for name, description in as_object(header.get("columns"), "`columns`").items()
    }
    embeddings = {
        name: _read_embedding(description, count, reader, what=f"embedding {name!r:.40}")
        for name, description in as_object(header.get("embeddings"), "`embeddings`").items()
    }
    return ItemBatch(version_id, item_id, columns, embeddings)


def _read_embedding(description: object, count: int, reader: ArrayReader, *, what: str) -> EmbeddingColumn:
    fields = as_object(description, what)
    keys = reader.read(fields.get(_KEYS), ("int64",), (-1,), what=f"{what}: keys")
    rows = reader.read(fields.get(_ROWS), ("float32", "float16"), (len(keys), -1), what=f"{what}: rows")
    index = reader.read(fields.get(_INDEX), ("int32",), (count,), what=f"{what}: index")
    if not 1 <= rows.shape[1] <= MAX_DIMENSION:
        raise wrong(f"{what}: rows should have 1 to {MAX_DIMENSION} numbers; received {rows.shape[1]}")
    if len(keys) > count or len(set(keys.tolist())) != len(keys):
        raise wrong(f"{what}: keys should be different keys of at most {count} items; received {len(keys)}")
    if count and not 0 <= index.min() <= index.max() < len(keys):
        raise wrong(f"{what}: index should be from 0 to {len(keys) - 1}; received {index.min()} to {index.max()}")
    if not np.isfinite(rows).all():
        raise wrong(f"{what}: rows have NaN or an infinite number")
    return EmbeddingColumn(keys, rows, index)
