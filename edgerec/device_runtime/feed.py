"""The feed: the list that the user sees, and which part of it may move.

The list has a fixed part and the rest. The fixed part ends with the last item that the user has seen, and never
changes. The rest are the candidates of a re-rank. All of them belong to the latest page: when a page arrives, it takes
over the items that the user has not seen yet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from edgerec.device_runtime.offered_page import OfferedPage

_NO_VALUES: Mapping[str, Any] = {}


class Feed:
    """The present list of items.

    Args:
        page: number of items that a page adds to what the user sees. Further items are candidates only.
        kept_pages: number of latest pages in which `find` searches.

    Attributes:
        complete: whether the cloud has no more items. Then all items are shown.
        columns: the names of raw columns that `fixed_values` returns.
        lists: number of lists so far. `begin` starts a new one.
    """

    def __init__(self, *, page: int, kept_pages: int) -> None:
        self._page, self._kept = page, kept_pages
        self._pages: deque[OfferedPage] = deque()
        self._fixed: list[int] = []
        self._fixed_values: list[Mapping[str, Any]] = []
        self._rest: list[int] = []
        self._on_screen: dict[int, tuple[OfferedPage, int]] = {}
        """For each item on the screen, the page on which it was shown, and its row there."""
        self._list_of: dict[int, int] = {}
        """For each kept page, by its ID, the list that it belongs to, counted as in `lists`."""
        self._visible = 0
        self.complete = False
        self.columns: tuple[str, ...] = ()
        self.lists = 0

    @property
    def latest(self) -> OfferedPage | None:
        """The latest page, to which all items of the rest belong."""
        return self._pages[-1] if self._pages else None

    def order(self) -> list[int]:
        """Return the IDs of the items to show, in the present order."""
        return self._fixed + self._ids(self._rest[: self.remaining])

    def held(self) -> list[int]:
        """Return the IDs of the items that the user has not seen, in the present order."""
        return self._ids(self._rest)

    def fixed_values(self) -> Sequence[Mapping[str, Any]]:
        """Return the values of `columns` of each item that the user has seen, from the top of the list.

        A value is that of the page on which the item was seen. Columns that were added later are absent.
        """
        return self._fixed_values

    @property
    def remaining(self) -> int:
        """Number of items that are shown and that the user has not seen yet."""
        return max(min(self._visible - len(self._fixed), len(self._rest)), 0)

    def begin(self, page: OfferedPage, *, complete: bool) -> list[OfferedPage]:
        """Start the list anew with a page. Return the pages that are not kept any more."""
        self._fixed, self._fixed_values = [], []
        self.lists += 1
        return self._put(page.take(_first_rows(page, set())), complete)

    def unseen(self) -> OfferedPage | None:
        """Return the items that the user has not seen, in the present order, as a page. None without a page."""
        page = self.latest
        return None if page is None else page.take(self._rest)

    def extend_anew(self, page: OfferedPage, *, complete: bool, unseen: OfferedPage | None) -> list[OfferedPage]:
        """Add the first page of another model version. Return the pages that are not kept any more.

        Args:
            page: the page.
            complete: whether the cloud has no more items.
            unseen: what `unseen` returned earlier, as the new version reads it. Items that the user has seen meanwhile
                are left out. None: unseen items are dropped, because the new version cannot read them.
        """
        held = [] if unseen is None else self.held()
        page = page.take(_first_rows(page, {*self._fixed, *held}))
        if unseen is not None and held:
            page = page.after(unseen.take([unseen.row_of[item_id] for item_id in held]))
        return self._put(page, complete)

    def extend(self, page: OfferedPage, *, complete: bool) -> list[OfferedPage]:
        """Add a page at the end of the list. Return the pages that are not kept any more.

        Items that are in the list already are left out. Unseen items that the model cannot read are dropped when it can
        read the new page. Otherwise no later page could be ranked.
        """
        page = page.take(self.new_rows(page))
        latest = self.latest
        readable = latest is not None and (latest.fault is None or page.fault is not None or not page.item_ids)
        if latest is not None and readable and self._rest:
            page = page.after(latest.take(self._rest))
        return self._put(page, complete)

    def new_rows(self, page: OfferedPage) -> list[int]:
        """Return the rows of a page whose items are not in the list yet."""
        return _first_rows(page, {*self._fixed, *self.held()})

    def _put(self, page: OfferedPage, complete: bool) -> list[OfferedPage]:
        self._pages.append(page)
        self._list_of[page.page_id] = self.lists
        self._rest = list(range(len(page.item_ids)))
        self._visible, self.complete = len(self._fixed) + self._page, False
        if complete:
            self.show_all(complete=True)
        dropped = [self._pages.popleft() for _ in range(len(self._pages) - self._kept)]
        for page in dropped:
            self._on_screen = {item: place for item, place in self._on_screen.items() if place[0] is not page}
            self._list_of.pop(page.page_id, None)
        return dropped

    def show_all(self, *, complete: bool = False) -> None:
        """Show all items that the device has, because the cloud cannot be reached or has no more (`complete`)."""
        self._visible = len(self._fixed) + len(self._rest)
        self.complete = complete

    def shown(self, item_id: int) -> None:
        """Note that an item of the list is on the screen. It and all before it are fixed."""
        self._on_screen.pop(item_id, None)
        place = self.find(item_id)
        if place is not None:
            self._on_screen[item_id] = place
        self._fix(item_id)

    def seen(self, item_id: int) -> None:
        """Fix an item and all before it, because the user has seen it.

        An item outside the rest changes nothing. An item that is on the screen was fixed in its list. If another list
        has replaced that one, the user has not seen the item in the new list yet.
        """
        if item_id not in self._on_screen:
            self._fix(item_id)

    def exposed(self, item_id: int) -> None:
        """Note that the exposure of an item has ended. So it is no longer on the screen."""
        self.seen(item_id)
        self._on_screen.pop(item_id, None)

    def _fix(self, item_id: int) -> None:
        page = self.latest
        row = None if page is None else page.row_of.get(item_id)
        if page is not None and row is not None and row in self._rest:
            count = self._rest.index(row) + 1
            self._fixed += self._ids(self._rest[:count])
            self._fixed_values += self._values(page, self._rest[:count])
            del self._rest[:count]

    def candidates(self, most: int) -> list[int]:
        """Return the rows on the latest page of the first `most` items that may move, in the present order."""
        return self._rest[:most]

    def reorder(self, positions: Sequence[int]) -> bool:
        """Order the first items of the rest by their positions, best one first. Return whether the order changed."""
        before = self._rest[: len(positions)]
        after = [before[position] for position in positions]
        self._rest[: len(positions)] = after
        return after != before

    def drop(self, rows: Collection[int]) -> None:
        """Drop these rows of the latest page from the items that the user has not seen."""
        self._rest = [row for row in self._rest if row not in rows]

    def find(self, item_id: int, page_id: int | None = None) -> tuple[OfferedPage, int] | None:
        """Return the page of an item, and the item's row on it. None if no kept page offered it.

        It is the page on which the item was shown, else the latest one that offered it. `page_id` asks for one page.
        """
        if page_id is None and item_id in self._on_screen:
            return self._on_screen[item_id]
        for page in reversed(self._pages):
            if page_id in (None, page.page_id) and item_id in page.row_of:
                return page, page.row_of[item_id]
        return None

    def list_of(self, page: OfferedPage) -> int:
        """Return the list that a kept page belongs to, counted as in `lists`."""
        return self._list_of.get(page.page_id, self.lists)

    def kept_lists(self) -> set[int]:
        """Return the lists that kept pages belong to."""
        return set(self._list_of.values())

    def drop_pages(self) -> list[OfferedPage]:
        """Forget all pages and the list, and return the pages."""
        pages = list(self._pages)
        self._pages.clear()
        self._on_screen.clear()
        self._list_of.clear()
        self._fixed, self._fixed_values, self._rest, self._visible, self.complete = [], [], [], 0, False
        return pages

    def _values(self, page: OfferedPage, rows: Sequence[int]) -> list[Mapping[str, Any]]:
        if not self.columns:
            return [_NO_VALUES] * len(rows)
        known = [name for name in self.columns if name in page.columns]
        return [{name: page.columns[name][row] for name in known} for row in rows]

    def _ids(self, rows: Sequence[int]) -> list[int]:
        page = self.latest
        return [] if page is None else [page.item_ids[row] for row in rows]


def _first_rows(page: OfferedPage, known: set[int]) -> list[int]:
    """Return the first row of each item of a page that is not in `known`. `known` is changed."""
    rows: list[int] = []
    for row, item_id in enumerate(page.item_ids):
        if item_id not in known:
            known.add(item_id)
            rows.append(row)
    return rows
