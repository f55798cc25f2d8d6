"""The window of a kind of behaviour in memory: the latest behaviours with their encodings.

The arrays have room for twice the limit. A behaviour is written to the next free row. When all rows are used, the
latest `limit` rows move to the front. So a behaviour costs the same, however long the history is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.device_runtime.matches import SeenItems
from edgerec.device_runtime.relations import History
from edgerec.device_runtime.store.rows import Encoding, StoredItem, StoredWindow
from edgerec.features.context import MS_PER_HOUR
from edgerec.features.recurrences import recurrence_start, window_start
from edgerec.features.relations.facts import Facts

Array = NDArray[np.float32]


@dataclass(frozen=True)
class WindowView:
    """What a request reads of one kind of behaviour, oldest behaviour first.

    Attributes:
        keys: (t, key_width) float32.
        values: (t, hidden) float32.
        ids: (t, identities) int64, the IDs of the items.
        history: facts and times of the behaviours.
    """

    keys: Array
    values: Array
    ids: NDArray[np.int64]
    history: History

    def seen(self, time: int) -> SeenItems:
        """Return the items and their ages in hours at the time of a request."""
        age = (time - self.history.time) / float(MS_PER_HOUR)
        return SeenItems(self.ids, age.astype(np.float32))


class Window:
    """The latest behaviours of one kind, with their encodings in both recurrences (`Encoding`).

    Args:
        limit: the number of ordinals that a request reads.
        encoding: widths of the encodings: the encoding of any behaviour, for example of zeros.
        item: widths of IDs and facts: any item.
        stored: the latest behaviours, as the behaviour store has them.
    """

    def __init__(self, limit: int, encoding: Encoding, item: StoredItem, stored: StoredWindow) -> None:
        self._limit, self._rows = limit, len(stored)
        shapes = {
            "ordinal": np.zeros((), np.int64),
            "time": np.zeros((), np.int64),
            "own_keys": encoding.own_key,
            "own_values": encoding.own_value,
            "previous_keys": encoding.previous_key,
            "previous_values": encoding.previous_value,
            "ids": item.ids,
            "fact_keys": item.facts.keys[0],
            "fact_numbers": item.facts.numbers[0],
        }
        self._arrays = {name: np.empty((2 * limit, *one.shape), one.dtype) for name, one in shapes.items()}
        rows = slice(0, self._rows)
        if self._rows:
            arrays = self._arrays
            arrays["ordinal"][rows], arrays["time"][rows] = stored.ordinals, stored.times
            arrays["own_keys"][rows], arrays["own_values"][rows] = stored.own_keys, stored.own_values
            arrays["previous_keys"][rows] = stored.previous_keys
            arrays["previous_values"][rows] = stored.previous_values
            arrays["ids"][rows] = stored.ids
            arrays["fact_keys"][rows], arrays["fact_numbers"][rows] = stored.facts.keys, stored.facts.numbers

    @property
    def end(self) -> int:
        """The ordinal after the latest behaviour."""
        return int(self._arrays["ordinal"][self._rows - 1]) + 1 if self._rows else 0

    def append(self, ordinal: int, time: int, encoding: Encoding, item: StoredItem) -> None:
        """Add a behaviour, the latest one."""
        if self._rows == len(self._arrays["ordinal"]):
            self._move_to_front()
        row, arrays = self._rows, self._arrays
        arrays["ordinal"][row], arrays["time"][row] = ordinal, time
        arrays["own_keys"][row], arrays["own_values"][row] = encoding.own_key, encoding.own_value
        arrays["previous_keys"][row] = encoding.previous_key
        arrays["previous_values"][row] = encoding.previous_value
        arrays["ids"][row] = item.ids
        arrays["fact_keys"][row], arrays["fact_numbers"][row] = item.facts.keys[0], item.facts.numbers[0]
        self._rows += 1

    def read(self) -> WindowView:
        """Return what a request reads: the behaviours of the latest `limit` ordinals.

        Behaviours in the segment in which the window starts have their `own` encoding, and those in the next segment
        their `previous` one. So all of them come from one recurrence, which starts with the first of the two segments.
        """
        arrays, end = self._arrays, self._rows
        first = window_start(self.end, self._limit)
        border = recurrence_start(first, self._limit) + self._limit
        ordinals = arrays["ordinal"][:end]
        begin, middle = np.searchsorted(ordinals, (first, border)).tolist()
        own, previous = slice(begin, middle), slice(middle, end)
        rows = slice(begin, end)
        return WindowView(
            np.concatenate([arrays["own_keys"][own], arrays["previous_keys"][previous]]),
            np.concatenate([arrays["own_values"][own], arrays["previous_values"][previous]]),
            arrays["ids"][rows],
            History(Facts(arrays["fact_keys"][rows], arrays["fact_numbers"][rows]), arrays["time"][rows]),
        )

    def _move_to_front(self) -> None:
        kept = self._limit
        for array in self._arrays.values():
            array[:kept] = array[self._rows - kept : self._rows]
        self._rows = kept
