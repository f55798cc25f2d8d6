"""What happens if the rules cannot all hold: they are given up one after the other, until all places can be filled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from edgerec.mixing.limits import SHARES, Caps, Limits, limits_of
from edgerec.mixing.room import room, too_few
from edgerec.mixing.rules import MixRules
from edgerec.mixing.task import Task

ALL = "all"
"""In `Plan.relaxed`: no rules that may be given up were enough, so cards of the plan stand in base order."""


class Paths(Protocol):
    """What `fill` needs of a solver."""

    def path(self, task: Task, limits: Limits) -> list[int] | None:
        """Return the candidates of the best plan found; None if it does not fill all places."""
        ...

    def reach(self, task: Task, limits: Limits, *, least: bool = True) -> int:
        """Return the largest number of places from the first one that a plan can fill.

        Args:
            task: the task.
            limits: its limits.
            least: whether the smallest numbers of cards hold on the pages that are filled.
        """
        ...


@dataclass(frozen=True)
class Filled:
    """A plan of all places of a task.

    Attributes:
        cards: the plan.
        kept: number of places from the first one where no rule was given up.
        given_up: the rules that were given up, in the order in which they were. The plan need not break each of them.
    """

    cards: list[int]
    kept: int
    given_up: tuple[str, ...] = ()


def fill(task: Task, rules: MixRules, paths: Paths, *, caps: Caps | None = None) -> Filled:
    """Fill all places of a task.

    The caps and then the rules of `rules.relax` are given up one after the other until a plan fills all places. If all
    of them are not enough, the plan fills as many places as it can, and the other cards follow in base order.
    """
    found = _whole(task, rules, paths, caps)
    if found is not None:
        return found
    *_, last = _steps(rules, caps)
    length = _longest(task, _limits(task, rules, caps, last), paths)
    top = _whole(task.until(len(task.done) + length), rules, paths, caps) if length else None
    cards = top.cards if top else []
    rest = sorted(set(range(len(task.problem.cards))) - {*task.done, *cards})
    return Filled([*cards, *rest[: task.left - len(cards)]], top.kept if top else 0, (ALL,))


def _whole(task: Task, rules: MixRules, paths: Paths, caps: Caps | None) -> Filled | None:
    """Return the plan of the first step that fills all places."""
    tried = None
    for given_up in _steps(rules, caps):
        limits = _limits(task, rules, caps, given_up)
        if limits == tried:
            continue
        tried = limits
        cards = _path(task, limits, paths)
        if cards is not None:
            top = _top(task, rules, paths, caps, given_up)
            return top or Filled(cards, 0 if given_up else len(cards), given_up)
    return None


def _top(task: Task, rules: MixRules, paths: Paths, caps: Caps | None, given_up: tuple[str, ...]) -> Filled | None:
    """Return a plan that gives up rules as late as possible; None if the places after them cannot be filled then.

    Smallest numbers of cards hold for whole pages. If only they (and caps before them) were given up, they were for the
    whole plan.
    """
    if not given_up or given_up[-1] == "at_least":
        return None
    limits = _limits(task, rules, caps, ())
    length = _longest(task, limits, paths)
    least: tuple[str, ...] = ()
    if limits.needs_cards and "at_least" in given_up:
        least = ("at_least",)
        longer = _longest(task, _limits(task, rules, caps, least), paths)
        least, length = (least, longer) if longer > length else ((), length)
    if not 0 < length < task.left:
        return None
    part = task.until(len(task.done) + length)
    first = _path(part, _limits(part, rules, caps, least), paths)
    if first is None:
        return None
    after = replace(task, done=(*task.done, *first))
    rest = _path(after, _limits(after, rules, caps, given_up), paths)
    return None if rest is None else Filled([*first, *rest], 0 if least else length, given_up)


def _longest(task: Task, limits: Limits, paths: Paths) -> int:
    """Return the largest number of places that a plan fills."""
    most = min(room(task, limits), task.left)
    return paths.reach(replace(task, any_order=limits.any_order), limits) if most else 0


def _path(task: Task, limits: Limits, paths: Paths) -> list[int] | None:
    if room(task, limits) < task.left or too_few(task, limits):
        return None
    return paths.path(replace(task, any_order=limits.any_order), limits)


def _limits(task: Task, rules: MixRules, caps: Caps | None, given_up: tuple[str, ...]) -> Limits:
    return limits_of(rules, task.before.kinds.tolist(), task.left, caps=caps, given_up=given_up)


def _steps(rules: MixRules, caps: Caps | None) -> Iterator[tuple[str, ...]]:
    given_up: tuple[str, ...] = ()
    yield given_up
    for name in ((SHARES,) if caps else ()) + tuple(rules.relax):
        given_up = (*given_up, name)
        yield given_up
