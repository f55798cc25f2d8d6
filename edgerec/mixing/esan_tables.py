"""The tables of ESAN for one order of kinds: what the kinds around a card add to its hidden layer (docs/mixing.md)."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.mixing.head import SurroundingsHead
from edgerec.mixing.slate import Ints
from edgerec.mixing.surroundings import NO_CARD, PATTERNS, SPAN, count_row, distance_row
from edgerec.mixing.values import Floats

Array = NDArray[np.float32]
BITS = (np.arange(PATTERNS)[:, None] >> np.arange(SPAN)) & 1


@dataclass(frozen=True)
class EsanTables:
    """The tables of a head in the order of kinds of the rules.

    Attributes:
        previous: (kinds, kinds + 1, hidden), by own kind, and kind of the card before; the last column is for no card.
        shown: (kinds, PATTERNS, hidden), by own kind, and `pattern_of` the cards before.
        back: (kinds * (kinds + 1) * PATTERNS, hidden), the sum of these two: by own kind, kind of the card before
            plus 1 (so column 0 is for no card), and pattern.
        rows: (kinds, kinds + 1) where `back` begins, by own kind, and kind of the card before; the last column is for
            no card.
        following: (kinds, kinds, hidden), by own kind, and kind of the card after.
    """

    previous: Array
    shown: Array
    back: Array
    rows: Ints
    following: Array


@functools.lru_cache(maxsize=4)
def tables_of(head: SurroundingsHead, names: tuple[str, ...]) -> EsanTables:
    """Return the tables of a head for kinds in this order."""
    codes, patterns = np.array([head.code(name) for name in names]), np.arange(PATTERNS)
    own = codes[:, None]
    previous = head.previous[own, np.append(2 + codes, NO_CARD)]
    shown = head.distance[own, distance_row(patterns)] + head.count[own, count_row(patterns)]
    back = np.roll(previous, 1, axis=1)[:, :, None, :] + shown[:, None, :, :]
    rows = np.roll(PATTERNS * np.arange(previous.shape[0] * previous.shape[1]).reshape(previous.shape[:2]), -1, axis=1)
    return EsanTables(previous, shown, back.reshape(-1, head.hidden), rows, head.following[own, 1 + codes])


def mean_back(tables: EsanTables, share: Floats) -> Array:
    """Return (kinds, kinds + 1, hidden) the mean of `back` by own kind and kind of the card before (last: no card).

    Each of the cards before that one is of a kind with the probability `share`.
    """
    kinds = len(share)
    older = np.where(BITS[: PATTERNS // 2, :-1], share[:, None, None], 1 - share[:, None, None]).prod(axis=2)
    # The newest bit is the highest one: whether the card before has the same kind.
    shown = tables.shown.reshape(kinds, 2, PATTERNS // 2, -1)
    mean = np.matmul(older.astype(np.float32)[:, None, None, :], shown)
    back: Array = tables.previous + mean[:, 0]
    back[np.arange(kinds), np.arange(kinds)] += mean[:, 1, 0] - mean[:, 0, 0]
    return back
