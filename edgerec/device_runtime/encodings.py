"""The keys and values that the device stores for behaviours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgerec.core.errors import SessionError
from edgerec.device_runtime.arguments import check_count, is_plain
from edgerec.device_runtime.matches import SeenItems

Array = npt.NDArray[np.float32]

_WIDEST = 1 << 20


@dataclass(frozen=True)
class Encodings:
    """The stored keys and values of a user's behaviours of one kind, oldest first.

    Attributes:
        keys: `(t, key_width)` float32, `Step.key` of each behaviour. In the product form of attention
            (`edgerec.graphs.attention`) its numbers are exponentials, so they are positive.
        values: `(t, hidden)` float32, `Step.value` of each behaviour.
        seen: the IDs and ages of the behaviours' items, for a model that reads exact matches (CRBAN+); else None.
    """

    keys: Array
    values: Array
    seen: SeenItems | None = None

    def latest(self, count: int) -> Encodings:
        """Return the last `count` behaviours, or all if there are fewer.

        Raises:
            SessionError: `count` is negative or not a whole number, or keys, values and seen items differ in length.
        """
        check_count("count", count)
        lengths = [_length(array) for array in (self.keys, self.values)]
        if self.seen is not None:
            if not isinstance(self.seen, SeenItems):
                raise SessionError(f"`seen` should be SeenItems or None. Received: {type(self.seen).__name__}")
            lengths += [_length(array) for array in (self.seen.ids, self.seen.age)]
        if None in lengths or len(set(lengths)) > 1:
            raise SessionError(
                f"`keys`, `values`, and `ids` and `age` of `seen` should have the same length. Received: {lengths}"
            )
        start = max(len(self.keys) - int(count), 0)
        return Encodings(self.keys[start:], self.values[start:], self.seen and self.seen.since(start))

    @classmethod
    def empty(cls, key_width: int, hidden: int) -> Encodings:
        """Return the encodings of a user without behaviours.

        Raises:
            SessionError: a width is not a whole number from 0 to 2^20.
        """
        check_count("key_width", key_width, most=_WIDEST)
        check_count("hidden", hidden, most=_WIDEST)
        return cls(np.zeros((0, key_width), np.float32), np.zeros((0, hidden), np.float32))


def _length(array: object) -> int | None:
    """Return the number of rows of an array, or None if `array` is not a plain NumPy array."""
    return len(array) if is_plain(array) and array.ndim else None
