"""The states of one page of a plan as numbers, and where each kind of card leads: arrays that depend on no value.

A state says how many cards of each kind were taken, how many of them stand on this page (where the page's limits need
it), and the state of `recency`. The number of cards of one kind, the `main` one, follows from the place and the others.
States are numbered by the number of these other cards. So those that a plan can reach at a place are the first ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from edgerec.mixing.recency import Recency
from edgerec.mixing.slate import Ints


@dataclass(frozen=True)
class Axes:
    """The shape of a space.

    Attributes:
        counts: (kind, largest number of cards) of each kind but the main one. For a kind that is also in `on_page` and
            is counted exactly there, it is the number before the page, else the number so far.
        on_page: (kind, largest number on this page, whether more count as this number) where limits need it.
        main: the main kind; None: all kinds are counted.
        with_last: whether values depend on the kind of the card before.
    """

    counts: tuple[tuple[int, int], ...]
    on_page: tuple[tuple[int, int, bool], ...]
    main: int | None
    with_last: bool

    def shape(self, recency: Recency) -> tuple[int, ...]:
        """Return the lengths of the axes: counts, then numbers on the page, then recency."""
        return (*(most + 1 for _, most in self.counts), *(most + 1 for _, most, _ in self.on_page), len(recency))

    @property
    def exact_on_page(self) -> dict[int, tuple[int, int]]:
        """Return the axis of the page and its largest number, by kind that is counted exactly on the page."""
        first = len(self.counts)
        return {kind: (first + axis, most) for axis, (kind, most, more) in enumerate(self.on_page) if not more}

    @property
    def most_taken(self) -> dict[int, int]:
        """Return by kind but the main one, the largest number of cards taken so far."""
        exact = self.exact_on_page
        return {kind: most + (exact[kind][1] if kind in exact else 0) for kind, most in self.counts}

    def taken(self, shape: tuple[int, ...]) -> dict[int, Ints]:
        """Return by kind but the main one, the number of cards taken so far, along the axes of a grid."""
        exact, found = self.exact_on_page, {}
        for axis, (kind, _) in enumerate(self.counts):
            found[kind] = _along(axis, shape)
            if kind in exact:
                found[kind] = found[kind] + _along(exact[kind][0], shape)
        return found

    def offsets(self, kinds: int) -> tuple[int, ...]:
        """Return by kind where its weights begin in a row of weights; the last one is the length of a row."""
        width, rows, offsets = kinds + 1 if self.with_last else 1, self.most_taken, [0]
        others = sum(rows.values())
        for kind in range(kinds):
            offsets.append(offsets[-1] + ((others if kind == self.main else rows[kind]) + 1) * width)
        return tuple(offsets)


@dataclass(frozen=True, eq=False)
class Space:
    """The states of a page. State `size` is the one that nothing reaches.

    Attributes:
        shape: see `Axes.shape`.
        follow: (kinds, size) the state after a card of each kind; `size` if a limit forbids it.
        weight: (kinds, size) the place of its value in a row of weights.
        others: (size,) number of cards that are not of the main kind; it never falls from one state to the next.
    """

    follow: Ints
    weight: Ints
    others: Ints

    @property
    def size(self) -> int:
        """Number of states."""
        return len(self.others)


@dataclass(frozen=True, eq=False)
class Order:
    """The order of the states.

    Attributes:
        cells: (size,) the cell of each state in a grid of `Axes.shape`, as a flat index.
        states: (size + 1,) the state of each cell; the last one is `size`.
        others: see `Space`.
    """

    cells: Ints
    states: Ints
    others: Ints

    def of(self, grid: Ints) -> Ints:
        """Return (..., size) the values (..., cells) of the states."""
        values: Ints = grid.take(self.cells, axis=-1)
        values.setflags(write=False)
        return values


@lru_cache(maxsize=32)
def order(axes: Axes, recency: Recency) -> Order:
    """Return the order of the states of some axes."""
    shape = axes.shape(recency)
    size = _product(shape)
    others = sum(axes.taken(shape).values(), np.zeros((1,) * len(shape), np.int64))
    flat = np.broadcast_to(others, shape).reshape(-1)
    # Sorting small numbers takes a tenth of the time of large ones. The first state stays the first one.
    cells = np.argsort(flat.astype(np.uint16), kind="stable")
    states = np.empty(size + 1, np.int64)
    states[cells], states[size] = np.arange(size), size
    return Order(cells, states, flat.take(cells))


@lru_cache(maxsize=32)
def space(axes: Axes, recency: Recency) -> Space:
    """Return the space of some axes."""
    kinds, shape = recency.follow.shape[1], axes.shape(recency)
    size = _product(shape)
    index = np.arange(size).reshape(shape)
    strides = [step // index.itemsize for step in index.strides]
    taken = axes.taken(shape)
    others = sum(taken.values(), np.zeros((1,) * len(shape), np.int64))
    width, offsets = kinds + 1 if axes.with_last else 1, axes.offsets(kinds)
    follow, weight = np.empty((kinds, *shape), np.int64), np.empty((kinds, *shape), np.int64)
    counted = {kind: axis for axis, (kind, _) in enumerate(axes.counts) if kind not in axes.exact_on_page}
    for kind in range(kinds):
        after = recency.follow[:, kind]
        steps = [(counted[kind], False)] if kind in counted else []
        steps += [(axis, more) for axis, (own, _, more) in enumerate(axes.on_page, len(axes.counts)) if own == kind]
        np.add(index, sum(strides[axis] for axis, _ in steps) + after - np.arange(len(recency)), out=follow[kind])
        for axis in (axis for axis, more in steps if more):
            follow[kind][_last(axis)] -= strides[axis]
        for axis in (axis for axis, more in steps if not more):
            follow[kind][_last(axis)] = size
        follow[kind][..., after < 0] = size
        weight[kind] = offsets[kind] + taken.get(kind, others) * width + recency.last
    ordered = order(axes, recency)
    return Space(
        ordered.of(ordered.states.take(follow.reshape(kinds, size))),
        ordered.of(weight.reshape(kinds, size)),
        ordered.others,
    )


def _product(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def _along(axis: int, shape: tuple[int, ...]) -> Ints:
    """Return 0, 1, ... along one axis of a grid."""
    lengths = [1] * len(shape)
    lengths[axis] = shape[axis]
    return np.arange(shape[axis]).reshape(lengths)


def _last(axis: int) -> tuple[int | slice, ...]:
    return (*(slice(None),) * axis, -1)


@lru_cache(maxsize=32)
def along(axes: Axes, recency: Recency, axis: int) -> Ints:
    """Return (size,) the number of each state along one axis."""
    shape = axes.shape(recency)
    return order(axes, recency).of(np.broadcast_to(_along(axis, shape), shape).reshape(-1))


@lru_cache(maxsize=32)
def blocked_index(axes: Axes, recency: Recency, kind: int) -> Ints:
    """Return (size,) the place of each state in an array (cards of the kind taken, state of `recency`)."""
    shape = axes.shape(recency)
    grid = axes.taken(shape)[kind] * len(recency) + np.arange(len(recency))
    return order(axes, recency).of(np.broadcast_to(grid, shape).reshape(-1))


@lru_cache(maxsize=32)
def link(axes: Axes, after: Axes, recency: Recency) -> Ints:
    """Return (size,) the state of the next page, where nothing stands yet, for each state at the end of a page."""
    shape, next_shape = axes.shape(recency), after.shape(recency)
    index = np.arange(_product(next_shape)).reshape(next_shape)
    strides = [step // index.itemsize for step in index.strides]
    taken = axes.taken(shape)
    state = np.arange(len(recency))
    for axis, (kind, most) in enumerate(after.counts):
        state = state + np.minimum(taken[kind], most) * strides[axis]
    cells = order(axes, recency).of(np.broadcast_to(state, shape).reshape(-1))
    return order(after, recency).states.take(cells)


@lru_cache(maxsize=32)
def pair_index(axes: Axes, recency: Recency) -> Ints:
    """Return (kinds, size) the place of (next card, card before) in a square of `offsets` without kinds before.

    The card before is the last one taken of its kind; the last column is for no card.
    """
    kinds, shape = recency.follow.shape[1], axes.shape(recency)
    offsets, taken = np.array(axes.offsets(kinds)) // (kinds + 1), axes.taken(shape)
    others = sum(taken.values(), np.zeros((1,) * len(shape), np.int64))
    index = np.empty((kinds, *shape), np.int64)
    before = np.broadcast_to(recency.last, shape).copy()
    slots = np.full(shape, offsets[-1])
    for kind in range(kinds):
        np.copyto(slots, offsets[kind] + taken.get(kind, others), where=before == kind)
    for kind in range(kinds):
        index[kind] = (offsets[kind] + taken.get(kind, others)) * (offsets[-1] + 1) + slots
    return order(axes, recency).of(index.reshape(kinds, -1))
