"""Pages of the logs: which page an exposure belongs to, and whether it was clicked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edgerec.bench.replay.timeline import LoggedBehaviour, LoggedRequest


@dataclass
class LoggedPage:
    """A page of the logs.

    Attributes:
        opening: the first request of the page, which lists all its items.
        exposed: the items that were exposed so far.
    """

    opening: LoggedRequest
    exposed: set[int] = field(default_factory=set)

    def clicked(self, item_id: int) -> bool:
        """Return whether the item was clicked on this page."""
        return self.opening.clicked[self.opening.item_ids.index(item_id)] == 1

    def served(self, item_id: int) -> dict[str, Any]:
        """Return the served values of the item by column."""
        position = self.opening.item_ids.index(item_id)
        return {name: values[position] for name, values in self.opening.served.items()}


class LoggedPages:
    """The pages of a timeline that were opened so far. `open` and `page_of` are called in order of time."""

    def __init__(self) -> None:
        self._pages: list[LoggedPage] = []

    @property
    def latest(self) -> LoggedPage | None:
        return self._pages[-1] if self._pages else None

    def open(self, request: LoggedRequest) -> None:
        self._pages.append(LoggedPage(request))

    def page_of(self, exposure: LoggedBehaviour) -> LoggedPage | None:
        """Return the page of an exposure, and note that its item was exposed there. None if no page lists the item.

        If the logs name the page, it is this one. If they say when the item was offered, it is the page of that time.
        Otherwise it is the latest page that lists the item and has not exposed it.
        """
        for page in reversed(self._pages):
            opening = page.opening
            if exposure.page_id is not None:
                same = opening.page_id == exposure.page_id
            else:
                same = exposure.offered_at in (None, opening.time)
            if same and exposure.item_id in opening.item_ids and exposure.item_id not in page.exposed:
                page.exposed.add(exposure.item_id)
                return page
        return None
