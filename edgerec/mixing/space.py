"""The states of one page of a plan as numbers, and where each kind of card leads: arrays that depend on no value.

A state says how many cards of each kind were taken, how many of them stand on this page (where the page's limits need
it), and the state of `recency`. The number of cards of one kind, the `main` one, follows from the place and the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgerec.mixing.recency import Recency
from edgerec.mixing.slate import Ints


@dataclass(frozen=True)
class Axes:
    """The shape of a space.

    Attributes:
        counts: (kind, largest number of cards) of each kind but the main one.
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

    def offsets(self, kinds: int) -> tuple[int, ...]:
        """Return by kind where its weights begin in a row of weights; the last one is the length of a row."""
        width = kinds + 1 if self.with_last else 1
        rows = {kind: most + 1 for kind, most in self.counts}
        if self.main is not None:
            rows[self.main] = 1 + sum(most for _, most in self.counts)
        return tuple(np.concatenate([[0], np.cumsum([rows[kind] * width for kind in range(kinds)])]).tolist())


@dataclass(frozen=True, eq=False)
class Space:
    """The states of a page. State `size` is the one that nothing reaches.

    Attributes:
        shape: see `Axes.shape`.
        follow: (kinds, size) the state after a card of each kind; `size` if a limit forbids it.
        weight: (kinds, size) the place of its value in a row of weights.
        others: (size,) number of cards that are not of the main kind.
    """

    shape: tuple[int, ...]
    follow: Ints
    weight: Ints
    others: Ints

    @property
    def size(self) -> int:
        """Number of states."""
        return len(self.others)


@lru_cache(maxsize=16)
def space(axes: Axes, recency: Recency) -> Space:
    """Return the space of some axes."""
    kinds, shape = recency.follow.shape[1], axes.shape(recency)
    size = int(np.prod(shape))
    index = np.arange(size).reshape(shape)
    strides = [step // index.itemsize for step in index.strides]
    grids = [_along(axis, len(shape), np.arange(length)) for axis, length in enumerate(shape)]
    others = sum(grids[: len(axes.counts)], np.zeros((1,) * len(shape), np.int64))
    width, offsets = kinds + 1 if axes.with_last else 1, axes.offsets(kinds)
    follow, weight = np.empty((kinds, *shape), np.int64), np.empty((kinds, *shape), np.int64)
    counted = {kind: axis for axis, (kind, _) in enumerate(axes.counts)}
    for kind in range(kinds):
        after = recency.follow[:, kind]
        follow[kind] = index + (after - np.arange(len(recency)))
        follow[kind][..., after < 0] = size
        axis = counted.get(kind)
        row = others if axis is None else grids[axis]
        weight[kind] = offsets[kind] + row * width + recency.last
        if axis is not None:
            follow[kind] += strides[axis]
            follow[kind][_at(axis, -1)] = size
        for place, (on_page, _, more) in enumerate(axes.on_page, len(axes.counts)):
            if on_page == kind:
                follow[kind] += strides[place]
                if more:
                    follow[kind][_at(place, -1)] -= strides[place]
                else:
                    follow[kind][_at(place, -1)] = size
    np.minimum(follow, size, out=follow)
    for array in (follow, weight):
        array.setflags(write=False)
    flat = np.broadcast_to(others, shape).reshape(-1)
    return Space(shape, follow.reshape(kinds, size), weight.reshape(kinds, size), flat)


def _along(axis: int, axes: int, values: Ints) -> Ints:
    """Return the values along one axis of a grid."""
    shape = [1] * axes
    shape[axis] = len(values)
    return values.reshape(shape)


def _at(axis: int, where: int | slice) -> tuple[int | slice, ...]:
    return (*(slice(None),) * axis, where)


def below(shape: tuple[int, ...], axis: int, least: int) -> tuple[slice, ...]:
    """Return the part of a grid whose value along `axis` is below `least`."""
    return (*(slice(None),) * axis, slice(0, max(least, 0)))


@lru_cache(maxsize=16)
def blocked_index(axes: Axes, recency: Recency, kind: int) -> Ints:
    """Return (size,) the place of each state in an array (cards of the kind, recency) (`recency.repeats`)."""
    shape = axes.shape(recency)
    axis = next(axis for axis, (counted, _) in enumerate(axes.counts) if counted == kind)
    grid = _along(axis, len(shape), np.arange(shape[axis])) * len(recency) + np.arange(len(recency))
    return np.ascontiguousarray(np.broadcast_to(grid, shape)).reshape(-1)


@lru_cache(maxsize=16)
def link(axes: Axes, after: Axes, recency: Recency) -> NDArray[np.int64]:
    """Return (size,) the state of the next page, where nothing stands yet, for each state at the end of a page."""
    shape, next_shape = axes.shape(recency), after.shape(recency)
    index = np.arange(int(np.prod(next_shape))).reshape(next_shape)
    counts = len(axes.counts)
    taken = tuple(slice(0, length) for length in shape[:counts])
    part = index[taken + (0,) * len(after.on_page)]
    part = part.reshape((*shape[:counts], *(1,) * len(axes.on_page), shape[-1]))
    return np.ascontiguousarray(np.broadcast_to(part, shape)).reshape(-1)
