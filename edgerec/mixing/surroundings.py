"""The surroundings of cards, as rows of the tables of ESAN (docs/mixing.md).

A card has a code of its kind: 0 if the kind is not listed, else 1, 2, ... Row 0 of each table means unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.mixing.slate import NONE, WINDOW, Ints

SPAN = WINDOW - 1
"""Number of cards before a card in which ESAN looks for cards of the same kind.

It is one less than `WINDOW`, so that `Prefixes.kinds` also has all that the last card of a prefix depends on.
"""
PLACES = 51
"""Number of places that have a row of their own. The last one holds for all later places."""
UNKNOWN = 0
NO_CARD = 1
"""The row of `previous` for a card at the top of the list."""

PATTERNS = 1 << SPAN
_PATTERNS = (np.arange(PATTERNS)[:, None] & (1 << np.arange(SPAN))) > 0
_DISTANCE = np.where(_PATTERNS.any(axis=1), SPAN - (SPAN - 1 - _PATTERNS[:, ::-1].argmax(axis=1)), SPAN + 1)
_COUNT = 1 + _PATTERNS.sum(axis=1)


def rows_of(codes: int) -> dict[str, int]:
    """Return the number of rows of each table, by name, for this number of codes."""
    return {"previous": codes + 2, "following": codes + 1, "distance": SPAN + 2, "count": SPAN + 2}


def pattern_of(window: Ints, own: Ints) -> NDArray[np.uint8]:
    """Return which of the cards before a card have its kind: a number with a bit for each card, newest card highest.

    Args:
        window: (..., w) kinds of the cards before each card, the newest one last; w is at most 8.
        own: (...) the card's own kind.
    """
    # `packbits` takes half the time of a product with powers of two.
    pattern: NDArray[np.uint8] = np.packbits(window == own[..., None], axis=-1, bitorder="little")[..., 0]
    return pattern


def distance_row(pattern: NDArray[Any]) -> Ints:
    """Return the rows of `distance`: places back to the last card of the same kind; SPAN + 1 if there is none."""
    row: Ints = _DISTANCE[pattern]
    return row


def count_row(pattern: NDArray[Any]) -> Ints:
    """Return the rows of `count`: one more than the number of cards of the same kind among the last `SPAN` cards."""
    row: Ints = _COUNT[pattern]
    return row


def place_row(place: Ints) -> Ints:
    """Return the rows of `place`. Places are counted from 0 at the top of the list."""
    row: Ints = 1 + np.minimum(place, PLACES - 1)
    return row


@dataclass(frozen=True)
class Surroundings:
    """The surroundings of n cards: one row of each table for each card. All arrays are (n,) int64.

    Attributes:
        own: the code of the card's kind.
        previous: `UNKNOWN`, `NO_CARD`, or 2 plus the code of the card before.
        following: `UNKNOWN`, or 1 plus the code of the card after.
        distance, count: see `distance_row` and `count_row`.
        place: see `place_row`.
    """

    own: Ints
    previous: Ints
    following: Ints
    distance: Ints
    count: Ints
    place: Ints

    @classmethod
    def unknown(cls, own: Ints) -> Surroundings:
        """Return unknown surroundings. `own` are the codes of the cards."""
        zeros = np.zeros_like(own)
        return cls(own, zeros, zeros, zeros, zeros, zeros)

    @classmethod
    def in_list(cls, codes: Ints, seen: Ints) -> Surroundings:
        """Return the surroundings of the cards of a list in the order shown. The card after the last one is unknown.

        Args:
            codes: (n,) codes of the cards of the list, n at least 1.
            seen: (m,) codes of all cards of this session before the list, oldest first.
        """
        line = np.concatenate([np.full(SPAN, NONE, np.int64), seen[-SPAN:], codes])
        start = len(line) - len(codes)
        windows = np.lib.stride_tricks.sliding_window_view(line[start - SPAN : -1], SPAN)
        pattern = pattern_of(windows, codes)
        before = windows[:, -1]
        return cls(
            own=codes,
            previous=np.where(before == NONE, NO_CARD, 2 + before),
            following=np.append(1 + codes[1:], UNKNOWN),
            distance=distance_row(pattern),
            count=count_row(pattern),
            place=place_row(len(seen) + np.arange(len(codes))),
        )
