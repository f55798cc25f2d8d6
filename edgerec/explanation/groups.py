"""Groups of behaviours: those with items of one category, left out together.

Behaviours often say the same, for example three pages of one category in a row. Then each single one has a small
effect, because the others remain. So the behaviours of a category are also left out together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from edgerec.bench.replay.timeline import LoggedBehaviour
from edgerec.explanation.effects import Floats, Situation
from edgerec.explanation.items import LoggedItems, text
from edgerec.features.behaviours import BehaviourKind


@dataclass(frozen=True)
class Group:
    """The behaviours with items of one category.

    Attributes:
        name: for example ``category 4``.
        value: the value of the column.
        members: the behaviours: kind, and index in the window of this kind.
        without: (c,), the logits without all of them.
    """

    name: str
    value: Any
    members: tuple[tuple[BehaviourKind, int], ...]
    without: Floats


def groups_of(situation: Situation, items: LoggedItems) -> list[Group]:
    """Return the groups of behaviours by the column `items.main`, in order of their first behaviour.

    Behaviours whose item has no value are in no group. There are no groups if the catalogue has no such column.
    """
    members: dict[Any, list[tuple[BehaviourKind, int]]] = {}
    for kind, index, logged in _behaviours(situation):
        value = items.attributes(logged.item_id).get(items.main or "")
        if value is not None:
            members.setdefault(value, []).append((kind, index))
    return [
        Group(f"{items.main} {text(value)}", value, tuple(found), situation.score_without_group(found))
        for value, found in members.items()
    ]


def _behaviours(situation: Situation) -> Iterable[tuple[BehaviourKind, int, LoggedBehaviour]]:
    for kind, past in situation.past.items():
        for index, logged in enumerate(past.logged):
            yield kind, index, logged
