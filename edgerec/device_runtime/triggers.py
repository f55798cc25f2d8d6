"""Triggers (section 2.2.1): which event starts a re-rank.

A trigger is a function of an event and of the configuration. Its name is the reason of the request in the logs. An
application adds its own one:

    def added_to_cart(event, config):
        return event.what == "left_page" and bool(event.values.get("add_cart"))

    config = ClientConfig(triggers=("cart", "click", "delete"), own_triggers={"cart": added_to_cart})
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from edgerec.device_runtime.config import ClientConfig


@dataclass(frozen=True)
class Event:
    """Something that happened in the feed, after it was recorded.

    Attributes:
        what: `exposed`, `clicked`, `left_page`, or `never_left`: a page is open for longer than `page_timeout_ms`.
        item_id: the item.
        values: the values of the behaviour by column, for `exposed` and `left_page`.
        from_feed: whether the item's page was opened by a click in the feed.
        deleted: whether the user removed the item.
        exposures: number of exposures without a click since the last trigger, this one included.
    """

    what: Literal["exposed", "clicked", "left_page", "never_left"]
    item_id: int
    values: Mapping[str, Any] = field(default_factory=dict)
    from_feed: bool = True
    deleted: bool = False
    exposures: int = 0


Trigger = Callable[[Event, "ClientConfig"], bool]


def click(event: Event, config: ClientConfig) -> bool:
    """The user clicked on an item of the feed and is back from its page, or has been there for too long.

    The page-view is then a behaviour that the ranker reads.
    """
    return event.what in ("left_page", "never_left") and event.from_feed


def early_click(event: Event, config: ClientConfig) -> bool:
    """The user clicked on an item of the feed. The page-view is not known yet."""
    return event.what == "clicked"


def delete(event: Event, config: ClientConfig) -> bool:
    """The user removed an item."""
    return event.what == "exposed" and event.deleted


def exposures(event: Event, config: ClientConfig) -> bool:
    """The user saw several items, and clicked on none of them."""
    return event.what == "exposed" and event.exposures >= config.exposures_without_click


TRIGGERS: Mapping[str, Trigger] = {
    "click": click,
    "early_click": early_click,
    "delete": delete,
    "exposures": exposures,
}
