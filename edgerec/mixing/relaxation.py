"""What happens if the rules cannot all hold: they are given up one after the other, as late and as few as possible."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from edgerec.mixing.limits import SHARES, Caps, Limits, limits_of
from edgerec.mixing.rules import MixRules
from edgerec.mixing.task import Task

ALL = "all"
"""In `Plan.relaxed`: no rules that may be given up were enough, so the cards stand in base order."""
STAGES = 4
"""From this stage on, rules are given up for all places that are left."""


@dataclass(frozen=True)
class Filled:
    """What a solver found for a task.

    Attributes:
        cards: the plan; empty if no plan fills all places.
        length: the largest number of places that a plan could fill, if it is not all.
        blocked: whether pages lack cards that they need.
        relaxed: the rules that were given up.
    """

    cards: list[int]
    length: int = 0
    blocked: bool = False
    relaxed: tuple[str, ...] = field(default=())


Solve = Callable[[Task, Limits], Filled]


def fill(task: Task, rules: MixRules, solve: Solve, *, caps: Caps | None = None) -> Filled:
    """Fill all places of a task.

    All rules hold for as many places as possible. For the places after these, rules are given up in the order of
    `rules.relax`, the caps before them, until another card may stand there. The smallest numbers of cards on a page are
    given up earlier: before the plan becomes shorter because of them.
    """
    relaxed: tuple[str, ...] = ()
    for stage in range(task.left):
        if not task.left:
            break
        cards, given_up = _next_cards(task, rules, solve, caps, whole=stage + 1 >= STAGES)
        relaxed = max(relaxed, given_up, key=len) if ALL not in (*relaxed, *given_up) else (ALL,)
        task = replace(task, done=(*task.done, *cards))
    return Filled(list(task.done), relaxed=relaxed)


def _next_cards(
    task: Task, rules: MixRules, solve: Solve, caps: Caps | None, *, whole: bool
) -> tuple[list[int], tuple[str, ...]]:
    """Return the next cards of the plan, at least one, and the rules that were given up for them."""
    seen, tried = task.before.kinds.tolist(), None
    for given_up in _steps(rules, caps):
        limits = limits_of(rules, seen, task.left, caps=caps, given_up=given_up)
        if limits == tried:
            continue
        tried, here = limits, replace(task, any_order=limits.any_order)
        found = solve(here, limits)
        if found.cards:
            return found.cards, given_up
        if found.length and not found.blocked and not whole:
            part = here.until(len(task.done) + found.length)
            shorter = limits_of(rules, seen, found.length, caps=caps, given_up=given_up)
            cards = solve(part, shorter).cards
            if cards:
                return cards, given_up
    free = set(range(len(task.problem.cards))) - set(task.done)
    return sorted(free)[: task.left], (ALL,)


def _steps(rules: MixRules, caps: Caps | None) -> Iterator[tuple[str, ...]]:
    given_up: tuple[str, ...] = ()
    yield given_up
    for name in ((SHARES,) if caps else ()) + tuple(rules.relax):
        given_up = (*given_up, name)
        yield given_up
