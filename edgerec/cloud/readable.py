"""Pages and items as JSON for people. Devices use the binary body (`edgerec.paging.codec`)."""

from __future__ import annotations

from typing import Any

from edgerec.paging.codec import page_fields
from edgerec.paging.items import ItemBatch
from edgerec.paging.page import Page


def page_document(page: Page) -> dict[str, Any]:
    """Return a page as a JSON object. Each item has its own values and embedding rows."""
    return {**page_fields(page), **items_document(page.items)}


def items_document(items: ItemBatch) -> dict[str, Any]:
    """Return an item batch as a JSON object. Each item has its own values and embedding rows."""
    rows = [
        {
            "item_id": item,
            "values": {name: values[number] for name, values in items.columns.items()},
            "embeddings": {
                name: {"key": int(column.keys[place]), "row": column.rows[place].tolist()}
                for name, column in items.embeddings.items()
                for place in (column.index[number],)
            },
        }
        for number, item in enumerate(items.item_id.tolist())
    ]
    return {"version_id": items.version_id, "items": rows}
