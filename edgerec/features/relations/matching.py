"""The behaviours that have the key of a candidate, found by binary search."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgerec.features.vocabulary import MISSING_ID

Integers = NDArray[np.int64]


class Matching:
    """The behaviours that have the key of a candidate and that its request knows.

    Args:
        keys: (n,) the key of each behaviour, in order of user, store and time.
        wanted: (c,) the key of each candidate. `MISSING_ID` matches no behaviour.
        request: (c,) the request of each candidate.
        begin, end: (r,) the range of behaviours that each request knows.
        uncut: whether there is one request that knows all behaviours, as on the device.

    Attributes:
        order: (n,) the behaviours in the order of their keys. Those of a candidate are a range of it, oldest first.
        stop: (c,) the end of each candidate's range in `order`.
    """

    def __init__(
        self, keys: Integers, wanted: Integers, request: Integers, begin: Integers, end: Integers, uncut: bool
    ) -> None:
        self.order = keys.argsort(kind="stable")
        self._sorted = keys.take(self.order)
        # The behaviours of all requests that have the key.
        self._left = self._sorted.searchsorted(wanted)
        self._right = self._sorted.searchsorted(wanted, "right")
        if len(keys) and self._sorted[0] == MISSING_ID:
            self._right = np.where(wanted == MISSING_ID, self._left, self._right)
        self._request = request
        self._codes: Integers | None = None
        self._all_from = begin if uncut else None
        self.stop = self._right if uncut else self._cut(end)

    def start(self, first: Integers) -> Integers:
        """Return the start (c,) of each range without the behaviours before index `first` (r,) of the request."""
        return self._left if first is self._all_from else self._cut(first)

    def _cut(self, index: Integers) -> Integers:
        """Return the position (c,) in `order` where the behaviours of each candidate reach `index` (r,)."""
        # One number stands for a key and an index. In place of the key, it has the position of its first behaviour.
        size = len(self.order) + 1
        if self._codes is None:
            self._codes = self._sorted.searchsorted(self._sorted) * size + self.order
        codes = self._left * size + index[self._request]
        # If no behaviour has the key, the search finds the next key, and the range stays empty.
        return np.minimum(self._codes.searchsorted(codes), self._right)
