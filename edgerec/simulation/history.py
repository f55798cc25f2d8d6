"""What users have seen so far: one record for each pair of user and item, in a hash table made of NumPy arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgerec.simulation.world import Ints

_EMPTY = -1
_HASH_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""2**64 divided by the golden ratio. A multiplication by this number distributes neighbouring keys over the table
(Knuth, *The Art of Computer Programming*, 6.4)."""


class History:
    """A hash table from user-item keys to records, with open addressing and linear probing.

    Attributes:
        exposures: number of earlier exposures. A click counts as three.
        looks: how often the item came into the user's view (e2).
        session: number of the last session in which the user saw the item.
        removed: whether the user removed the item.
    """

    def __init__(self, capacity: int = 1 << 16) -> None:
        self._keys: Ints = np.full(capacity, _EMPTY, np.int64)
        self._used = 0
        self.exposures: NDArray[np.float32] = np.zeros(capacity, np.float32)
        self.looks: NDArray[np.int32] = np.zeros(capacity, np.int32)
        self.session: NDArray[np.int32] = np.zeros(capacity, np.int32)
        self.removed: NDArray[np.bool_] = np.zeros(capacity, np.bool_)

    def find(self, keys: Ints) -> Ints:
        """Return the index of each key's record, or -1 if the key has no record. Shapes (n,)."""
        indices, slots = np.full(len(keys), -1, np.int64), self._slots(keys)
        pending = np.arange(len(keys))
        while len(pending):
            stored = self._keys[slots[pending]]
            matches = stored == keys[pending]
            indices[pending[matches]] = slots[pending[matches]]
            pending = pending[~matches & (stored != _EMPTY)]
            slots[pending] = (slots[pending] + 1) & (len(self._keys) - 1)
        return indices

    def put(self, keys: Ints) -> Ints:
        """Return the index of each key's record, and add empty records for new keys. The keys (n,) must be distinct."""
        while 2 * (self._used + len(keys)) > len(self._keys):
            self._grow()
        indices, slots = np.full(len(keys), -1, np.int64), self._slots(keys)
        pending = np.arange(len(keys))
        while len(pending):
            free = pending[self._keys[slots[pending]] == _EMPTY]
            # If several keys hash to one free slot, NumPy keeps the last one. The others try the next slot.
            self._keys[slots[free]] = keys[free]
            self._used += int((self._keys[slots[free]] == keys[free]).sum())
            stored = self._keys[slots[pending]] == keys[pending]
            indices[pending[stored]] = slots[pending[stored]]
            pending = pending[~stored]
            slots[pending] = (slots[pending] + 1) & (len(self._keys) - 1)
        return indices

    def _slots(self, keys: Ints) -> Ints:
        shift = np.uint64(64 - (len(self._keys) - 1).bit_length())
        slots: Ints = ((keys.astype(np.uint64) * _HASH_MULTIPLIER) >> shift).astype(np.int64)
        return slots

    def _grow(self) -> None:
        larger = History(2 * len(self._keys))
        old = np.flatnonzero(self._keys != _EMPTY)
        new = larger.put(self._keys[old])
        for name in ("exposures", "looks", "session", "removed"):
            getattr(larger, name)[new] = getattr(self, name)[old]
            setattr(self, name, getattr(larger, name))
        self._keys, self._used = larger._keys, larger._used
