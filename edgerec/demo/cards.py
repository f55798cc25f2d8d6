"""What a card of the page shows of an item."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from edgerec.core.text import printable
from edgerec.data.logs import LogsFolder
from edgerec.data.parts import read_parts
from edgerec.data.schema import CATEGORY, ITEM_ID
from edgerec.demo.folder import is_simulated
from edgerec.demo.names import CATEGORIES, brand_name, category_name, product_name

TITLES = ("title", "name")
BRAND, PRICE = "brand", "price"
MOST_CHARACTERS = 80
_HUE = 137
"""Degrees between the colours of two categories. Near to the golden angle, so that neighbours differ."""


class Cards:
    """The catalogue as people read it.

    Args:
        rows: the values of each item by column, by item ID.
        simulated: whether categories and brands are the numbers of a simulated world, which get names.
    """

    def __init__(self, rows: Mapping[int, Mapping[str, Any]], *, simulated: bool) -> None:
        self._rows, self._simulated = rows, simulated
        found = sorted({str(row[CATEGORY]) for row in rows.values() if row.get(CATEGORY) is not None})
        self._number = {name: number for number, name in enumerate(found)}

    @classmethod
    def open(cls, logs: LogsFolder) -> Cards:
        """Read the catalogue of logs. Without a column `category`, the first embedding of the specification counts."""
        table = read_parts(logs.catalogue)
        names = table.columns
        sources = [feature.source for feature in logs.spec.embeddings if feature.source in names]
        main = next((name for name in (CATEGORY, *sources) if name in names and name != ITEM_ID), None)
        columns = [name for name in (*TITLES, BRAND, PRICE) if name in names and name != main]
        rows: dict[int, dict[str, Any]] = {}
        for row in table.select(ITEM_ID, *columns, *([main] if main else [])).iter_rows(named=True):
            rows[row[ITEM_ID]] = {**row, CATEGORY: row[main] if main else None}
        return cls(rows, simulated=is_simulated(logs.path))

    def card(self, item_id: int) -> dict[str, Any]:
        """Return the card of an item, as JSON.

        `picture` is the number of a picture of the page, or None: then the page shows the first letter. `hue` is the
        colour in degrees.
        """
        row = self._rows.get(item_id, {})
        category, brand, price = row.get(CATEGORY), row.get(BRAND), row.get(PRICE)
        title = next((str(row[name]) for name in TITLES if row.get(name)), f"Item {item_id}")
        number = self._number.get(str(category), 0)
        picture = None
        if self._simulated and isinstance(category, int):
            number, picture, title = category, category % len(CATEGORIES), product_name(category, item_id)
            category, brand = category_name(category), brand_name(brand) if isinstance(brand, int) else brand
        return {
            "id": str(item_id),
            "title": _short(title),
            "category": "" if category is None else _short(str(category)),
            "brand": "" if brand is None else _short(str(brand)),
            "price": f"{float(price):,.2f}" if isinstance(price, (int, float, Decimal)) and price == price else "",
            "picture": picture,
            "hue": number * _HUE % 360,
        }


def _short(text: str) -> str:
    text = printable(text)
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
