"""Values of a behaviour that follow from the user's earlier behaviours of the same kind.

A device computes them when it records a behaviour, and logs them. So training reads the values that the device read.
Behaviours of one instant do not know each other: "earlier" means a strictly smaller time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW, BehaviourKind

TIME_DECAY = "time_decay_s"
"""Seconds since the user's previous instant with a behaviour of this kind. None for the first instant."""
COUNTS: Mapping[BehaviourKind, str] = {EXPOSURE: "exposure_count", PAGE_VIEW: "page_view_count"}
"""The column with the number of the user's earlier behaviours of this kind with this item, plus this one."""

MS_PER_SECOND = 1000


class EarlierBehaviours:
    """What is known of a user's behaviours of one kind.

    Args:
        kind: the kind of behaviour.
        counts: the number of behaviours with each item, by item ID. The object keeps and changes this dictionary.
        latest: time and item ID of the latest behaviours, oldest first. They are included in `counts`. They should
            include all behaviours of the latest instant, and one behaviour before it if there is one.
    """

    def __init__(self, kind: BehaviourKind, counts: dict[int, int], latest: Iterable[tuple[int, int]]) -> None:
        self._column = COUNTS[kind]
        self._counts = counts
        self._time: int | None = None
        self._previous: int | None = None
        self._now: dict[int, int] = {}
        """Number of behaviours of the latest instant, by item ID."""
        for time, item_id in latest:
            self._move_to(time)
            self._now[item_id] = self._now.get(item_id, 0) + 1

    def values(self, item_id: int, time: int) -> dict[str, float | int | None]:
        """Return the values of a behaviour by column. `time` is in milliseconds and does not go back."""
        same = time == self._time
        previous = self._previous if same else self._time
        earlier = self._counts.get(item_id, 0) - (self._now.get(item_id, 0) if same else 0)
        decay = None if previous is None else (time - previous) / MS_PER_SECOND
        return {TIME_DECAY: decay, self._column: earlier + 1}

    def add(self, item_id: int, time: int) -> None:
        """Add a behaviour, the latest one."""
        self._move_to(time)
        self._now[item_id] = self._now.get(item_id, 0) + 1
        self._counts[item_id] = self._counts.get(item_id, 0) + 1

    def _move_to(self, time: int) -> None:
        if time != self._time:
            self._previous, self._time, self._now = self._time, time, {}
