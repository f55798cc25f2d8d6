"""All plans of a task that follow its limits, as a graph of states in layers: one layer before each place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.mixing.limits import Limits, Piece
from edgerec.mixing.recency import NOTHING, Memory, Recency, recency, start_state
from edgerec.mixing.slate import Ints
from edgerec.mixing.space import Axes, Space, along, blocked_index, link, space
from edgerec.mixing.task import Task
from edgerec.mixing.values import Floats

Bools = NDArray[np.bool_]
MINUS = -np.inf


@dataclass(frozen=True)
class Page:
    """The states of one page.

    Attributes:
        piece: its limits.
        space: its states.
        follow: (kinds, size) `space.follow`, without the cards that would stand too near to their advertiser.
        weights: (places, length) the values of the cards, in rows that `space.weight` points into.
        link: (size,) the states of the next page; None on the last page.
        main_most: largest number of cards of the main kind so far, for the masks of the first page.
    """

    piece: Piece
    axes: Axes
    space: Space
    follow: Ints
    weights: Floats
    link: Ints | None
    first: bool


@dataclass(frozen=True)
class Graph:
    """The graph of a task."""

    task: Task
    pages: tuple[Page, ...]
    recency: Recency

    def to_go(
        self, weights: Callable[[Page], tuple[Floats, Ints]] | None = None, *, stop: bool = False, least: bool = True
    ) -> list[Floats]:
        """Return by page (places + 1, size + 1) the best value from each state that a plan can reach to the end.

        Args:
            weights: returns other weights for those of a page, and what points into their rows.
            stop: a plan may end anywhere, except where a page lacks cards that it needs.
            least: whether the smallest numbers of cards hold.
        """
        found: list[Floats] = []
        following: Floats | None = None
        for page in reversed(self.pages):
            size, length = page.space.size, len(page.weights)
            rows, index = (page.weights, page.space.weight) if weights is None else weights(page)
            best = np.full((length + 1, size + 1), MINUS, rows.dtype)
            end = best[length, :size]
            end[:] = 0.0 if following is None or page.link is None else following[page.link]
            if least:
                _forbid_too_few(page, self.recency, end)
            # The states that a plan can reach are the first ones; no other one is looked at.
            reached = np.searchsorted(page.space.others, page.piece.start + np.arange(length), side="right")
            for row in range(length - 1, -1, -1):
                states = int(reached[row])
                paths = best[row + 1].take(page.follow[:, :states], mode="clip")
                paths += rows[row].take(index[:, :states], mode="clip")
                np.maximum.reduce(paths, axis=0, out=best[row, :states])
                if stop:
                    np.maximum(best[row, :states], 0.0, out=best[row, :states])
            following = best[0]
            found.append(best)
        return found[::-1]


def allowed_only(page: Page, gain: float = 0.0) -> tuple[Floats, Ints]:
    """Return `gain` for each card that may stand at a place, and minus infinity for the others."""
    return np.where(np.isneginf(page.weights), MINUS, gain), page.space.weight


def build(task: Task, limits: Limits, *, most: int) -> Graph | None:
    """Return the graph; None if it has more than `most` transitions."""
    sources, kinds = task.sources, task.kinds
    table = task.open_table
    with_last = not bool((table == table[:, :, :1]).all())
    rooms = [_rooms(kind, len(sources[kind]), limits) for kind in range(kinds)]
    memories = _memories(task, limits, rooms)
    start = start_state(limits.gap, memories, task.before.kinds, with_last=with_last)
    automaton = recency(limits.gap, memories, start, with_last=with_last)
    if automaton is None:
        return None
    unmasked = [kind for kind in range(kinds) if not memories[kind].cards]
    main = max(unmasked, key=lambda kind: rooms[kind][-1], default=None)
    lengths = [len(source) for source in sources]
    all_axes = [_axes(index, limits, rooms, lengths, main, with_last) for index in range(len(limits.pieces))]
    cost = 0
    for axes, piece in zip(all_axes, limits.pieces, strict=True):
        cost += kinds * _size(axes.shape(automaton)) * (piece.stop - piece.start)
        if cost > most:
            return None
    joined = limits.joined()
    if joined is not limits:
        # Each page takes time, so pages without limits are one.
        limits, rooms = joined, [room[-1:] for room in rooms]
        all_axes = [_axes(0, limits, rooms, lengths, main, with_last)]
    near = _near(task, automaton, memories, rooms)
    pages = []
    for index, (axes, piece) in enumerate(zip(all_axes, limits.pieces, strict=True)):
        states = space(axes, automaton)
        follow = _without(near, states, axes, automaton)
        rows = _weights(table, sources, axes, piece, limits, first=index == 0)
        leads = link(axes, all_axes[index + 1], automaton) if index + 1 < len(all_axes) else None
        pages.append(Page(piece, axes, states, follow, rows, leads, index == 0))
    return Graph(task, tuple(pages), automaton)


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _memories(task: Task, limits: Limits, rooms: list[list[int]]) -> tuple[Memory, ...]:
    """Return by kind what a plan must remember of its cards so that those of one advertiser stay apart."""
    return tuple(_memory(task, kind, limits, rooms[kind][-1]) for kind in range(task.kinds))


def _memory(task: Task, kind: int, limits: Limits, most: int) -> Memory:
    """Return what must be remembered of one kind, from the pairs of cards that could stand too near to each other."""
    gap, wide = limits.gap[kind], limits.advertiser_gap[kind]
    if wide <= gap or not most:
        return NOTHING
    source = task.problem.cards.advertisers[task.sources[kind][:most]].tolist()
    newest = [
        (back, advertiser)
        for back, (own, advertiser) in enumerate(
            zip(task.before.kinds[:-wide:-1].tolist(), task.before.advertisers[:-wide:-1].tolist(), strict=True), 1
        )
        if own == kind
    ]
    cards = 0
    for later, advertiser in enumerate(source):
        if not advertiser:
            continue
        # Cards of the plan are at least a gap apart, so only few cards before this one can be too near to it.
        for apart in range(1, min(later, (wide - 1) // gap) + 1):
            if source[later - apart] == advertiser:
                cards = max(cards, apart)
        for number, (back, shown) in enumerate(newest, 1):
            if shown == advertiser and back + later * gap < wide:
                cards = max(cards, later + number)
    return Memory(wide - 1, cards) if cards else NOTHING


def _rooms(kind: int, cards: int, limits: Limits) -> list[int]:
    """Return the largest number of cards of a kind at the end of each page."""
    total, rooms = 0, []
    for piece in limits.pieces:
        start = max(piece.start, limits.first[kind])
        fit = 0 if start >= piece.stop else 1 + (piece.stop - start - 1) // limits.gap[kind]
        total = min(cards, total + max(min(piece.most[kind] - piece.already[kind], fit), 0))
        rooms.append(total)
    return rooms


def _axes(
    index: int, limits: Limits, rooms: list[list[int]], cards: list[int], main: int | None, with_last: bool
) -> Axes:
    piece, on_page, exact = limits.pieces[index], [], set()
    if index:
        for kind, available in enumerate(cards):
            fit = min(available, 1 + (piece.stop - piece.start - 1) // limits.gap[kind])
            if piece.most[kind] < fit:
                on_page.append((kind, piece.most[kind], False))
                exact.add(kind)
            elif piece.least[kind] > 0:
                on_page.append((kind, piece.least[kind], True))
    counts = ((kind, room[index - 1] if kind in exact else room[index]) for kind, room in enumerate(rooms))
    return Axes(tuple(count for count in counts if count[0] != main), tuple(on_page), main, with_last)


def _near(task: Task, automaton: Recency, memories: tuple[Memory, ...], rooms: list[list[int]]) -> dict[int, Bools]:
    """Return by kind which cards (c * r,) would stand too near to another one of their advertiser, in each state."""
    found = {}
    before, cards = task.before, task.problem.cards
    for kind, memory in enumerate(memories):
        shown, width = automaton.shown[kind], memory.cards
        if shown is None:
            continue
        most = rooms[kind][-1]
        older = before.advertisers[before.kinds == kind][-width:]
        known = np.zeros(width + len(older) + most + 1, np.int64)
        known[width : width + len(older)] = older
        source = cards.advertisers[task.sources[kind][:most]]
        known[width + len(older) : width + len(older) + len(source)] = source
        at = width + len(older) + np.arange(most + 1)[:, None]
        own = known[at]
        same = (known[at - 1 - np.arange(width)] == own) & (own != 0)
        found[kind] = (same.astype(np.int64) @ shown).reshape(-1) > 0
    return found


def _without(near: dict[int, Bools], states: Space, axes: Axes, automaton: Recency) -> Ints:
    """Return `states.follow` without cards that would stand too near to another one of their advertiser."""
    if not near:
        return states.follow
    follow: Ints = states.follow.copy()
    for kind, blocked in near.items():
        index = blocked_index(axes, automaton, kind)
        np.copyto(follow[kind], states.size, where=blocked.take(index, mode="clip"))
    return follow


def _weights(
    table: Floats, sources: tuple[Ints, ...], axes: Axes, piece: Piece, limits: Limits, *, first: bool
) -> Floats:
    kinds, length = len(sources), piece.stop - piece.start
    width, offsets = kinds + 1 if axes.with_last else 1, axes.offsets(len(sources))
    rows = np.full((length, offsets[-1]), MINUS)
    places = np.arange(piece.start, piece.stop)
    part = table[piece.start : piece.stop, :, :width]
    for kind, most in axes.most_taken.items():
        source = sources[kind][:most]
        rows[:, offsets[kind] : offsets[kind] + len(source) * width] = part[:, source].reshape(length, -1)
    if axes.main is not None:
        source, others = sources[axes.main], 1 + sum(axes.most_taken.values())
        taken = places[:, None] - np.arange(others)
        room = piece.most[axes.main] - piece.already[axes.main] if first else len(source)
        right = (taken >= 0) & (taken < min(len(source), room))
        if len(source):
            cells = np.arange(length)[:, None] * part.shape[1] + source[np.clip(taken, 0, len(source) - 1)]
            gains = part.reshape(-1, width).take(cells, axis=0)
            np.copyto(gains, MINUS, where=~right[:, :, None])
            rows[:, offsets[axes.main] : offsets[axes.main + 1]] = gains.reshape(length, -1)
    for kind in range(kinds):
        early = places < limits.first[kind]
        if early.any():
            rows[early, offsets[kind] : offsets[kind + 1]] = MINUS
    return rows


def _forbid_too_few(page: Page, recency: Recency, end: Floats) -> None:
    """Forbid the states at the end of a page that has too few cards of a kind."""
    piece, axes = page.piece, page.axes
    if page.first:
        need = [low - have for low, have in zip(piece.least, piece.already, strict=True)]
        for axis, (kind, _) in enumerate(axes.counts):
            if need[kind] > 0:
                end[along(axes, recency, axis) < need[kind]] = MINUS
        if axes.main is not None and need[axes.main] > 0:
            end[page.space.others > piece.stop - need[axes.main]] = MINUS
        return
    for axis, (kind, _, _) in enumerate(axes.on_page, len(axes.counts)):
        if piece.least[kind] > 0:
            end[along(axes, recency, axis) < piece.least[kind]] = MINUS
