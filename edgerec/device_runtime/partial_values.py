"""Values that are reported while an item is on the screen or its page is open. They belong to the next behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgerec.device_runtime.config import ActionColumns
from edgerec.device_runtime.dropped import Dropped

MOST_ITEMS = 1_000
"""Number of items whose values wait for a behaviour. The one whose latest value is the oldest is forgotten first."""


@dataclass
class _Scrolls:
    """The scroll gestures during one exposure: their number, their seconds, and the distance in screens."""

    count: int = 0
    duration_s: float = 0.0
    distance: float = 0.0


@dataclass
class _OfItem:
    scrolls: _Scrolls = field(default_factory=_Scrolls)
    deleted: bool = False
    delete_reason: Any = None
    page: dict[str, Any] = field(default_factory=dict)


class PartialValues:
    """Collects values by item until the exposure or the page-view of the item is recorded.

    Args:
        columns: the columns of scrolls and deletions.

    Attributes:
        dropped: the items whose values were forgotten before their behaviour.
    """

    def __init__(self, columns: ActionColumns) -> None:
        self._columns = columns
        self._items: dict[int, _OfItem] = {}
        self.dropped = Dropped("values of items", MOST_ITEMS)

    def scrolled(self, item_id: int, speed: float, duration_s: float) -> None:
        """Add a scroll gesture. `speed` is in screens per second."""
        scrolls = self._of(item_id).scrolls
        scrolls.count += 1
        scrolls.duration_s += duration_s
        scrolls.distance += speed * duration_s

    def deleted(self, item_id: int, reason: Any) -> None:
        """Note that the user removed the item, and why."""
        one = self._of(item_id)
        one.deleted, one.delete_reason = True, reason

    def acted(self, item_id: int, column: str, value: Any) -> None:
        """Set a value of the page-view of the item."""
        self._of(item_id).page[column] = value

    def of_exposure(self, item_id: int) -> tuple[dict[str, Any], bool]:
        """Return the values of the exposure of an item, and whether the item was removed."""
        one = self._items.get(item_id)
        if one is None:
            return {}, False
        names, scrolls = self._columns, one.scrolls
        values: dict[str, Any] = {}
        if scrolls.count:
            values[names.scroll_count] = scrolls.count
            values[names.scroll_duration] = scrolls.duration_s
            values[names.scroll_speed] = scrolls.distance / scrolls.duration_s if scrolls.duration_s else 0.0
        if one.deleted:
            values[names.delete_reason] = one.delete_reason
        return values, one.deleted

    def forget_exposure(self, item_id: int) -> None:
        """Forget the values of the exposure of an item, because it is recorded."""
        one = self._items.get(item_id)
        if one is not None:
            one.scrolls, one.deleted, one.delete_reason = _Scrolls(), False, None
            self._forget_if_empty(item_id, one)

    def of_page_view(self, item_id: int) -> Mapping[str, Any]:
        """Return the values of the page-view of an item."""
        one = self._items.get(item_id)
        return {} if one is None else one.page

    def forget_page_view(self, item_id: int) -> None:
        """Forget the values of the page-view of an item, because it is recorded."""
        one = self._items.get(item_id)
        if one is not None:
            one.page = {}
            self._forget_if_empty(item_id, one)

    def _of(self, item_id: int) -> _OfItem:
        one = self._items[item_id] = self._items.pop(item_id, _OfItem())  # the latest one is at the end
        if len(self._items) > MOST_ITEMS:
            del self._items[next(iter(self._items))]
            self.dropped.add()
        return one

    def _forget_if_empty(self, item_id: int, one: _OfItem) -> None:
        if not (one.page or one.deleted or one.scrolls.count):
            del self._items[item_id]
