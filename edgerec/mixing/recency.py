"""What a plan must remember of its latest cards so that gaps hold: an automaton, built once for each set of gaps.

A kind needs one of two memories. If only its gap matters: the number of places that it must still wait. If its
advertisers matter, too: on which of the latest places it stands, as the bits of a number (bit 0 is the place before).
Which cards stand there follows from how many were taken, because each source is taken in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import comb, prod
from typing import NamedTuple

import numpy as np

from edgerec.mixing.slate import Ints

MOST_STATES = 3000
FEWER = 4
"""How many times fewer states there are than `_estimate` says, at most in practice: no two cards share a place."""
State = tuple[int, ...]


class Memory(NamedTuple):
    """What must be remembered of a kind because of its advertisers.

    Attributes:
        window: number of the latest places that matter.
        cards: number of its latest cards that matter; 0: none.
    """

    window: int
    cards: int


NOTHING = Memory(0, 0)
Memories = tuple[Memory, ...]


@dataclass(frozen=True, eq=False)
class Recency:
    """The automaton.

    Attributes:
        follow: (r, kinds) the state after a card of the kind; -1 if its gap forbids the card.
        last: (r,) the kind of the card before; `kinds` if there is none; 0 everywhere if it does not matter.
        shown: by kind, (cards, r) whether the card of the kind that was taken 1, 2, ... cards ago is in the window;
            None if its advertisers do not matter.
    """

    follow: Ints
    last: Ints
    shown: tuple[Ints | None, ...]

    def __len__(self) -> int:
        return len(self.last)


def start_state(gaps: State, memories: Memories, seen: Ints, *, with_last: bool) -> State:
    """Return the state after cards of the kinds `seen`.

    Args:
        gaps: by kind, the smallest distance.
        memories: by kind, what its advertisers need.
        seen: kinds of the cards, the newest one last.
        with_last: whether the kind of the card before matters.
    """
    latest = seen[::-1].tolist()
    state = []
    for kind, (gap, (window, cards)) in enumerate(zip(gaps, memories, strict=True)):
        if cards:
            bits = sum(1 << place for place, shown in enumerate(latest[:window]) if shown == kind)
            state.append(_newest(bits, cards))
        else:
            near = latest[: gap - 1]
            state.append(gap - 1 - near.index(kind) if kind in near else 0)
    return (*state, (latest[0] if latest else len(gaps)) if with_last else 0)


@lru_cache(maxsize=64)
def recency(gaps: State, memories: Memories, start: State, *, with_last: bool) -> Recency | None:
    """Return the automaton of all states after `start`, which is state 0; None if there are too many."""
    count = len(gaps)
    if _estimate(gaps, memories) > FEWER * MOST_STATES:
        return None
    number: dict[State, int] = {start: 0}
    states, follow = [start], []
    for state in states:
        row = []
        for kind in range(count):
            after = _after(state, kind, gaps, memories, with_last=with_last)
            if after is not None and after not in number:
                number[after] = len(states)
                states.append(after)
            row.append(-1 if after is None else number[after])
        follow.append(row)
        if len(states) > MOST_STATES:
            return None
    columns = np.array(states, np.int64)
    shown = tuple(
        _shown(columns[:, kind], memory.cards) if memory.cards else None for kind, memory in enumerate(memories)
    )
    return Recency(np.array(follow, np.int64), columns[:, count], shown)


def _estimate(gaps: State, memories: Memories) -> int:
    """Return how many states there would be if the kinds did not depend on each other.

    If no kind is free, one stands where the others do not, so the kind with the most states does not count.
    """
    own = []
    for gap, (window, cards) in zip(gaps, memories, strict=True):
        # Cards that are a gap apart are like cards anywhere in a window that is shorter by the places between them.
        shorter = (window - (shown - 1) * (gap - 1) for shown in range(1, cards + 1))
        own.append(1 + sum(comb(max(room, 0), shown) for shown, room in enumerate(shorter, 1)) if cards else gap)
    return prod(own) // (1 if 1 in own else max(own))


def _after(state: State, kind: int, gaps: State, memories: Memories, *, with_last: bool) -> State | None:
    own = memories[kind]
    near = (1 << (gaps[kind] - 1)) - 1 if own.cards else -1
    if state[kind] & near:
        return None
    after = [
        ((bits << 1) & ((1 << window) - 1)) if cards else max(bits - 1, 0)
        for bits, (window, cards) in zip(state[:-1], memories, strict=True)
    ]
    after[kind] = _newest(after[kind] | 1, own.cards) if own.cards else gaps[kind] - 1
    return (*after, kind if with_last else 0)


def _newest(bits: int, cards: int) -> int:
    """Return the lowest `cards` bits that are set."""
    kept = 0
    for _ in range(cards):
        kept |= bits & -bits
        bits &= bits - 1
    return kept


def _shown(masks: Ints, cards: int) -> Ints:
    counts = np.array([mask.bit_count() for mask in masks.tolist()])
    shown: Ints = (np.arange(cards)[:, None] < counts).astype(np.int64)
    return shown
