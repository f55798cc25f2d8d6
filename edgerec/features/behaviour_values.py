"""Values of a behaviour that follow from the user's earlier behaviours, such as the time since the last one.

A device computes them when it records a behaviour, and logs them. So training reads the values that the device read.
Behaviours of one instant do not know each other: "earlier" means a strictly smaller time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from edgerec.features.as_of import ITEM, USER, AsOf
from edgerec.features.behaviours import BEHAVIOUR_KINDS, EXPOSURE, PAGE_VIEW, BehaviourKind
from edgerec.features.kinds import Feature

TIME_DECAY = "time_decay_s"
"""The column with the seconds since the user's previous instant with a behaviour of the same kind."""
COUNTS: Mapping[BehaviourKind, str] = {EXPOSURE: "exposure_count", PAGE_VIEW: "page_view_count"}
"""The column with the number of the user's earlier behaviours of this kind with the same item, plus this one."""

MS_PER_SECOND = 1000


class EarlierBehaviours:
    """What is known of a user's behaviours of one kind.

    Args:
        counts: the number of behaviours with each item, by item ID. The object keeps and changes this dictionary.
        latest: time and item ID of the latest behaviours, oldest first. They are included in `counts`. They should
            include all behaviours of the latest instant, and one behaviour before it if there is one.
    """

    def __init__(self, counts: dict[int, int], latest: Iterable[tuple[int, int]]) -> None:
        self._counts = counts
        self._time: int | None = None
        self._previous: int | None = None
        self._now: dict[int, int] = {}
        """Number of behaviours of the latest instant, by item ID."""
        for time, item_id in latest:
            self._move_to(time)
            self._now[item_id] = self._now.get(item_id, 0) + 1

    def seconds_since(self, time: int) -> float | None:
        """Return the seconds from the last earlier behaviour to `time`, or None if there is none."""
        last = self._previous if time == self._time else self._time
        return None if last is None else (time - last) / MS_PER_SECOND

    def count(self, item_id: int, time: int) -> int:
        """Return the number of behaviours with an item before `time`."""
        now = self._now.get(item_id, 0) if time == self._time else 0
        return self._counts.get(item_id, 0) - now

    def add(self, item_id: int, time: int) -> None:
        """Add a behaviour, the latest one. `time` is in milliseconds and does not go back."""
        self._move_to(time)
        self._now[item_id] = self._now.get(item_id, 0) + 1
        self._counts[item_id] = self._counts.get(item_id, 0) + 1

    def _move_to(self, time: int) -> None:
        if time != self._time:
            self._previous, self._time, self._now = self._time, time, {}


Earlier = Mapping[BehaviourKind, EarlierBehaviours]
Rule = Callable[[Earlier, int, int], "float | int | None"]
"""Returns a value from the earlier behaviours, the item, and the time of the behaviour."""


def derived_columns(kind: BehaviourKind, features: Sequence[Feature]) -> dict[str, Rule]:
    """Return the columns of actions that follow from earlier behaviours, with their rules.

    Args:
        kind: the kind of behaviour.
        features: the features of its actions. A column is derived if its feature has `as_of` with a rule of one of two
            forms (`since_last` by the user, `count` by user and item), or if it has the name `TIME_DECAY` or that of
            `COUNTS`.
    """
    found: dict[str, Rule] = {}
    for feature in features:
        if feature.as_of is not None:
            rule = _rule_of(feature.as_of)
        elif feature.source == TIME_DECAY:
            rule = _since(kind, 1.0)
        else:
            rule = _count(kind, own=1) if feature.source == COUNTS[kind] else None
        if rule is not None:
            found[feature.source] = rule
    return found


def _rule_of(as_of: AsOf) -> Rule | None:
    """Return the rule of an as-of column, or None if a device cannot compute it from what it keeps."""
    kind = next((kind for kind in BEHAVIOUR_KINDS if kind.name == as_of.fact), None)
    if kind is None or as_of.where is not None or as_of.time is not None:
        return None
    if as_of.since_last is not None and as_of.by == (USER,):
        return _since(kind, as_of.unit_s or 1.0)
    plain = (as_of.weight, as_of.within_s, as_of.half_life_s, as_of.per) == (None,) * 4
    if as_of.count is not None and set(as_of.by) == {USER, ITEM} and plain:
        return _count(kind, own=0)
    return None


def _since(kind: BehaviourKind, unit_s: float) -> Rule:
    def seconds(earlier: Earlier, item_id: int, time: int) -> float | None:
        since = earlier[kind].seconds_since(time)
        return None if since is None else since / unit_s

    return seconds


def _count(kind: BehaviourKind, *, own: int) -> Rule:
    def count(earlier: Earlier, item_id: int, time: int) -> int:
        return earlier[kind].count(item_id, time) + own

    return count
