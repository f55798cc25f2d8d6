"""A cache of rows that were looked up lately, in front of tables in another process (docs/embeddings.md, "A cache").

It is a set-associative cache, as in a CPU: the hash of a key chooses a set of eight rows, and a new row takes the place
of the row of its set that was used the longest time ago. All keys of a page are handled by a few NumPy calls.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.core.arguments import check_mapping
from edgerec.core.errors import InputError
from edgerec.kv.store import EmbeddingTables, Keys, Lookup, check_keys, no_table
from edgerec.kv.table_entry import TableEntry

WAYS = 8
"""Rows in a set."""
_FRACTION = np.uint64(0xD6E8FEB86659FD93)


@dataclass
class CacheCounts:
    """How many keys were looked up, and how many of them the cache had. Keys that no table has count, too."""

    keys: int = 0
    hits: int = 0

    @property
    def hit_rate(self) -> float:
        """The share of keys that the cache had; 0 if none was looked up."""
        return self.hits / self.keys if self.keys else 0.0


class CachedTables:
    """Tables with a cache in front of them. Implements `EmbeddingTables`.

    The rows of a version never change, so a row in the cache is never out of date. After the version is removed from
    its store, look-ups whose rows are all in the cache still succeed.

    Threads may share an instance. A forked process starts with an empty cache.

    Args:
        tables: the tables.
        entries: the size of each table.
        limit: how many bytes the cache may take. Small tables get as much as they need, the others equal parts.

    Attributes:
        counts: how often the cache had a row.

    Raises:
        InputError: `limit` is less than one.
    """

    def __init__(self, tables: EmbeddingTables, entries: Mapping[str, TableEntry], *, limit: int) -> None:
        if limit < 1:
            raise InputError(f"cache of embeddings: its bytes should be at least 1; received {limit}")
        self._tables = tables
        needed = {name: entry.keys * _row_bytes(entry.dimension) for name, entry in entries.items()}
        self._sizes = {
            name: (share // _row_bytes(entries[name].dimension), entries[name].dimension)
            for name, share in _divide(limit, needed).items()
        }
        self.counts = CacheCounts()
        self._states: dict[int, _State] = {}

    @property
    def version_id(self) -> str:
        """Id of the model version that the tables belong to."""
        return self._tables.version_id

    @property
    def dimensions(self) -> Mapping[str, int]:
        """The dimension of the rows of each feature's table."""
        return self._tables.dimensions

    @property
    def nbytes(self) -> int:
        """How many bytes the cache takes when it is full."""
        return sum(cache.nbytes for cache in self._state().caches.values())

    def get_many(self, keys_by_feature: Mapping[str, Keys]) -> dict[str, Lookup]:
        """Look up the rows of each feature's keys, int64 (m,). Only rows that the cache lacks are asked for.

        Raises:
            InputError: a feature has no table.
            ShapeError: the keys of a feature are not int64 (m,).
            StoreError, FormatError: as for the tables.
        """
        check_mapping(keys_by_feature, "embedding tables: `keys_by_feature`")
        for feature, keys in keys_by_feature.items():
            if feature not in self._sizes:
                raise no_table(feature, self._sizes)
            check_keys(keys, feature=feature)
        state = self._state()
        found, absent = {}, {}
        with state.lock:
            for feature, keys in keys_by_feature.items():
                found[feature], hit = state.caches[feature].get(keys)
                absent[feature] = np.flatnonzero(~hit)
                self.counts.keys += len(keys)
                self.counts.hits += len(keys) - len(absent[feature])
        asked = {feature: keys_by_feature[feature][places] for feature, places in absent.items() if len(places)}
        if not asked:
            return found
        # Other threads may look up rows meanwhile. If two of them ask for the same row, both get it.
        answered = self._tables.get_many(asked)
        for feature, lookup in answered.items():
            found[feature].rows[absent[feature]] = lookup.rows
            found[feature].known[absent[feature]] = lookup.known
        with state.lock:
            for feature, lookup in answered.items():
                state.caches[feature].put(asked[feature], lookup)
        return found

    def _state(self) -> _State:
        """Return the cache of this process. A forked process starts with an empty one.

        The fork may have happened while another thread held the lock and had changed half of the cache.
        """
        process = os.getpid()
        state = self._states.get(process)
        if state is None:
            caches = {name: _TableCache(*size) for name, size in self._sizes.items()}
            state = self._states.setdefault(process, _State(threading.Lock(), caches))
            for other in set(self._states) - {process}:
                self._states.pop(other, None)
        return state


@dataclass(frozen=True)
class _State:
    """The cache of a process: one for each table, and the lock for all of them."""

    lock: threading.Lock
    caches: Mapping[str, _TableCache]


class _TableCache:
    """The cached rows of one table. `capacity` is rounded down to whole sets; at least one set."""

    def __init__(self, capacity: int, dimension: int) -> None:
        sets = max(1, capacity // WAYS)
        self._keys = np.zeros((sets, WAYS), np.int64)
        self._used = np.zeros((sets, WAYS), np.int64)
        """When a row was used last, as a number of look-ups; 0: there is no row."""
        self._rows = np.empty((sets * WAYS, dimension), np.float32)
        self._known = np.zeros(sets * WAYS, np.bool_)
        self._now = 0

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in (self._keys, self._used, self._rows, self._known))

    def get(self, keys: Keys) -> tuple[Lookup, NDArray[np.bool_]]:
        """Return rows (m, dimension) and whether (m,) the cache has them. Rows that it lacks have any values."""
        self._now += 1
        sets = self._sets(keys)
        same = (self._keys[sets] == keys[:, None]) & (self._used[sets] > 0)
        ways = same.argmax(axis=1)
        hit = same[np.arange(len(keys)), ways]
        self._used[sets[hit], ways[hit]] = self._now
        places = sets * WAYS + ways
        return Lookup(self._rows[places], self._known[places]), hit

    def put(self, keys: Keys, lookup: Lookup) -> None:
        """Store the rows of different keys (m,). A set has no place for more than `WAYS` of them."""
        sets = self._sets(keys)
        left = np.arange(len(keys))
        for _ in range(WAYS):
            # Each round stores one row of each set.
            _, first = np.unique(sets[left], return_index=True)
            self._put(sets[left[first]], keys[left[first]], lookup, left[first])
            left = np.delete(left, first)
            if not len(left):
                return

    def _put(self, sets: NDArray[np.intp], keys: Keys, lookup: Lookup, rows: NDArray[np.intp]) -> None:
        """Store `rows` (n,) of `lookup` with their `keys` (n,) in different `sets` (n,)."""
        # Another thread may have stored the key in the meantime.
        same = (self._keys[sets] == keys[:, None]) & (self._used[sets] > 0)
        ways = np.where(same.any(axis=1), same.argmax(axis=1), self._used[sets].argmin(axis=1))
        self._keys[sets, ways] = keys
        self._used[sets, ways] = self._now
        places = sets * WAYS + ways
        self._rows[places] = lookup.rows[rows]
        self._known[places] = lookup.known[rows]

    def _sets(self, keys: Keys) -> NDArray[np.intp]:
        # Another factor than that of the buckets in a cluster, so that a bucket's keys are spread over all sets.
        mixed = (keys.astype(np.uint64) * _FRACTION) >> np.uint64(32)
        sets: NDArray[np.intp] = (mixed % np.uint64(len(self._keys))).astype(np.intp)
        return sets


def _row_bytes(dimension: int) -> int:
    """Return how many bytes a row takes: its numbers, key and time of use, and whether it is known."""
    return 4 * dimension + 8 + 8 + 1


def _divide(limit: int, needed: Mapping[str, int]) -> dict[str, int]:
    """Divide `limit` bytes: a table that needs less than an equal part gets what it needs."""
    shares, left = {}, limit
    for number, (name, need) in enumerate(sorted(needed.items(), key=lambda item: item[1])):
        # With some more sets than rows, nearly all rows of a small table find a place in their set.
        shares[name] = min(need + need // 2, left // (len(needed) - number))
        left -= shares[name]
    return shares
