"""What users have seen so far: one record a pair of user and item, in a hash table made of arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgerec.simulation.world import Ints

_EMPTY = -1
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
"""2**64 over the golden ratio: neighbouring keys land far apart (Knuth, *The Art of Computer Programming*, 6.4)."""


class History:
    """Records of pairs of user and item, found and made by the thousand: open addressing with linear probing.

    Attributes:
        exposures: earlier exposures, a click as three.
        looks: times the item came into the user's view (e2).
        session: number of the user's session that showed it last.
        removed: whether the user removed it.
    """

    def __init__(self, capacity: int = 1 << 16) -> None:
        self._keys: Ints = np.full(capacity, _EMPTY, np.int64)
        self._used = 0
        self.exposures: NDArray[np.float32] = np.zeros(capacity, np.float32)
        self.looks: NDArray[np.int32] = np.zeros(capacity, np.int32)
        self.session: NDArray[np.int32] = np.zeros(capacity, np.int32)
        self.removed: NDArray[np.bool_] = np.zeros(capacity, np.bool_)

    def find(self, keys: Ints) -> Ints:
        """Places (n,) of the records of `keys` (n,), not negative; -1 where there is none."""
        places, slots = np.full(len(keys), -1, np.int64), self._slots(keys)
        open_ = np.arange(len(keys))
        while len(open_):
            there = self._keys[slots[open_]]
            found = there == keys[open_]
            places[open_[found]] = slots[open_[found]]
            open_ = open_[~found & (there != _EMPTY)]
            slots[open_] = (slots[open_] + 1) & (len(self._keys) - 1)
        return places

    def put(self, keys: Ints) -> Ints:
        """Places (n,) of the records of `keys` (n,), all different; missing ones are made, empty."""
        while 2 * (self._used + len(keys)) > len(self._keys):
            self._grow()
        places, slots = np.full(len(keys), -1, np.int64), self._slots(keys)
        open_ = np.arange(len(keys))
        while len(open_):
            free = open_[self._keys[slots[open_]] == _EMPTY]
            # Of several keys that want one slot the last one written has it.
            self._keys[slots[free]] = keys[free]
            self._used += int((self._keys[slots[free]] == keys[free]).sum())
            there = self._keys[slots[open_]] == keys[open_]
            places[open_[there]] = slots[open_[there]]
            open_ = open_[~there]
            slots[open_] = (slots[open_] + 1) & (len(self._keys) - 1)
        return places

    def _slots(self, keys: Ints) -> Ints:
        shift = np.uint64(64 - (len(self._keys) - 1).bit_length())
        slots: Ints = ((keys.astype(np.uint64) * _SPREAD) >> shift).astype(np.int64)
        return slots

    def _grow(self) -> None:
        larger = History(2 * len(self._keys))
        old = np.flatnonzero(self._keys != _EMPTY)
        new = larger.put(self._keys[old])
        for name in ("exposures", "looks", "session", "removed"):
            getattr(larger, name)[new] = getattr(self, name)[old]
            setattr(self, name, getattr(larger, name))
        self._keys, self._used = larger._keys, larger._used
