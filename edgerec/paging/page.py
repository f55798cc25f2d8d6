"""A page of the feed, and the request for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgerec.paging.items import ItemBatch


@dataclass(frozen=True)
class PageRequest:
    """A device's request for the next items of a user's feed.

    Attributes:
        user_id: the user.
        store_id: the behaviour store of the device (see `edgerec.device_runtime.store`).
        version_id: the version of the device's model; None if it has none.
        count: number of items that the device wants.
        held: the items that the device still holds and has not shown. The page should not contain them.
        time: milliseconds since 1970, on the device's clock.
    """

    user_id: int
    store_id: int
    version_id: str | None
    count: int
    held: tuple[int, ...] = ()
    time: int = 0


@dataclass(frozen=True)
class Page:
    """Items in the order of the cloud.

    Attributes:
        page_id: the ID of this page. Requests in the logs name it.
        offered_at: the time of the page in milliseconds since 1970. The cloud returns the time of the request.
        items: the items.
        served: the names of those columns of `items.columns` whose values hold for this page only (source columns of
            origin `served`). The device logs them.
        context: values of the request that the cloud knows, by column (features of origin `request`).
        complete: whether the cloud has no more items for this user at present.
    """

    page_id: int
    offered_at: int
    items: ItemBatch
    served: tuple[str, ...] = ()
    context: Mapping[str, Any] = field(default_factory=dict)
    complete: bool = False
