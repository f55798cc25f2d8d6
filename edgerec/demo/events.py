"""What the page reports, as pydantic models. A wrong body is refused with one line."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_EVENTS = 200
SessionId = Annotated[str, Field(min_length=1, max_length=64)]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, le=10_000, allow_inf_nan=False)]


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class PageEvent(_Body):
    """Something that the user did with one card.

    - `shown`: the card came on the screen.
    - `exposed`: it left the screen, after `seconds`. `speed` is the mean speed of scrolling in screens per second,
      `scroll_seconds` its duration, and `scrolls` the number of gestures.
    - `deleted`: the user removed it, with the same values as `exposed`.
    - `clicked`: the user opened the item. `acted`: the user did the action `column` there. `left`: the user is back in
      the feed, after `seconds`.
    """

    what: Literal["shown", "exposed", "deleted", "clicked", "acted", "left"]
    item: Annotated[str, Field(pattern=r"^-?[0-9]{1,19}$")]
    seconds: Seconds = 0.0
    speed: Amount = 0.0
    scroll_seconds: Seconds = 0.0
    scrolls: Annotated[int, Field(ge=0, le=10_000)] = 0
    column: Annotated[str, Field(max_length=100)] | None = None

    @property
    def item_id(self) -> int:
        """The item."""
        return int(self.item)


class EventsBody(_Body):
    """Events of one bucket, in their order."""

    session: SessionId
    bucket: Literal["A", "B"]
    events: Annotated[list[PageEvent], Field(max_length=MOST_EVENTS)]


class SessionBody(_Body):
    """The session of a page; null for a new one."""

    session: SessionId | None = None
