"""What a behaviour was, in words: the values of its action that say something."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from edgerec.features.kinds import Feature

NOTHING = (None, "", "none", 0, 0.0, False)
"""Values that say that nothing happened."""
SILENT = frozenset({"time_decay_s", "scroll_speed", "scroll_duration_s"})
"""Columns that are left out: what they say is said better by other words, or by none."""
DONE = {
    "view_details": "looked at the details",
    "read_comments": "read comments",
    "choose_sku": "chose a variant",
    "add_favorite": "added it to the favourites",
    "add_cart": "put it in the cart",
    "buy": "bought it",
    "customer_service": "asked customer service",
    "enter_shop": "entered the shop",
    "share": "shared it",
    "view_similar": "looked at similar items",
}
"""The actions of Table 1 that a user does or does not do."""
AMOUNTS = {
    "exposure_duration_s": "on the screen for {}",
    "page_duration_s": "stayed {}",
}
"""The durations of Table 1."""
COUNTS = {"exposure_count": "saw it", "page_view_count": "opened it"}
"""How often the user had this behaviour with the item, this one included."""


def actions_in_words(features: Iterable[Feature], values: Mapping[str, Any]) -> list[str]:
    """Return what a user did, one text for each value that says something.

    Args:
        features: the features of the actions of this kind. They give the order.
        values: the raw values by column.
    """
    columns = dict.fromkeys(feature.source for feature in features)
    found = (_word(column, values.get(column)) for column in columns)
    return [word for word in found if word is not None]


def ago(seconds: float) -> str:
    """Return a duration before the request, such as ``40 s ago``. It is rounded down to whole units."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{int(seconds / size):,} {unit} ago"
    return f"{int(seconds)} s ago" if seconds >= 1 else "less than 1 s ago"


def _word(column: str, value: Any) -> str | None:
    if column in SILENT or value in NOTHING or value != value:
        return None
    if column in DONE:
        return DONE[column]
    if column in AMOUNTS:
        return AMOUNTS[column].format(_seconds(value))
    if column == "delete_reason":
        return f"deleted it ({_plain(value)})"
    if column == "scroll_count":
        return "scrolled once" if value == 1 else f"scrolled {_number(value)} times"
    if column in COUNTS:
        return f"{COUNTS[column]} {int(value)} times so far" if value > 1 else None
    name = column.removesuffix("_s").replace("_", " ")
    if isinstance(value, bool) or (isinstance(value, int) and value == 1):
        return name
    if isinstance(value, str):
        return f"{name} {_plain(value)}"
    return f"{name} {_seconds(value) if column.endswith('_s') else _number(value)}"


def _plain(value: Any) -> str:
    return str(value).replace("_", " ")


def _seconds(value: Any) -> str:
    """Return a duration in seconds with its unit: milliseconds if it is below 0.1 s."""
    if isinstance(value, (int, float)) and abs(value) < 0.1:
        return f"{_number(value * 1000)} ms"
    return f"{_number(value)} s"


def _number(value: Any) -> str:
    if not isinstance(value, (int, float)):
        return _plain(value)
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"
