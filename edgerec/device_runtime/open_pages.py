"""The pages of items that the user has opened and not left yet."""

from __future__ import annotations

from dataclasses import dataclass

from edgerec.device_runtime.clock import TOLERANCE_MS, due_time
from edgerec.device_runtime.dropped import Dropped
from edgerec.device_runtime.offered_page import OfferedPage

MOST = 64
"""Number of open pages that are remembered. The oldest one is forgotten first."""


@dataclass
class OpenPage:
    """An item's page that was opened from the feed.

    Attributes:
        place: the page of the feed that offered the item, and the item's row on it; None if no kept page did.
        time: the time of the click.
        timed_out: whether the page counts as never left.
    """

    place: tuple[OfferedPage, int] | None
    time: int
    timed_out: bool = False


class OpenPages:
    """The open pages by item.

    Args:
        timeout_ms: after this time, a page counts as never left.

    Attributes:
        dropped: the pages that were forgotten. If the user leaves one, its page-view counts as found by search.
    """

    def __init__(self, timeout_ms: int) -> None:
        self._timeout = timeout_ms
        self._pages: dict[int, OpenPage] = {}
        self.dropped = Dropped("open pages", MOST)

    def open(self, item_id: int, page: OpenPage) -> None:
        """Add a page that the user has opened."""
        self._pages.pop(item_id, None)
        self._pages[item_id] = page
        if len(self._pages) > MOST:
            del self._pages[next(iter(self._pages))]
            self.dropped.add()

    def of(self, item_id: int) -> OpenPage | None:
        """Return the page of an item, or None if it is not open."""
        return self._pages.get(item_id)

    def leave(self, item_id: int) -> None:
        """Remove a page that the user has left."""
        self._pages.pop(item_id, None)

    def due(self, now: int) -> int | None:
        """Return when the next page times out, in milliseconds since 1970, or None."""
        times = [self._end(page, now) for page in self._pages.values() if not page.timed_out]
        return min(times, default=None)

    def _end(self, page: OpenPage, now: int) -> int:
        # The time of a click may be a little after the clock: it is not before the latest request.
        return due_time(page.time + self._timeout, now, self._timeout + TOLERANCE_MS)

    def time_out(self, now: int) -> list[tuple[int, OpenPage]]:
        """Return the pages that time out now, by item. They stay open, but do not time out again."""
        found = []
        for item_id, page in self._pages.items():
            if not page.timed_out and now >= self._end(page, now):
                page.timed_out = True
                found.append((item_id, page))
        return found
