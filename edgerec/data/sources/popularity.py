"""Count past events: for a key and a time, the events of the key before this time, or in a window that ends at it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import InputError

Integers = NDArray[np.int64]


class PastCounts:
    """Counts the events of a key before a time.

    Key and time are combined into one number, ``code(key) * span + time``. So each count is the difference of two
    binary searches in one sorted array: n queries take O(n log events), without a loop over keys.
    """

    def __init__(self, keys: Integers, times: Integers) -> None:
        """Args:
            keys: (events,), the key of each event, for example the item.
            times: (events,), the time in milliseconds at which the event became known.

        Raises:
            InputError: the arrays are not integers or differ in length. The methods raise it for their arguments, too.
        """
        keys, times = _integers(keys, times)
        self._keys, codes = np.unique(keys, return_inverse=True)
        self._start = int(times.min()) if len(times) else 0
        # Each key has its own range of numbers. A range is one millisecond longer than the time from the first to the
        # last event, so that a query after the last event stays within the range of its key.
        self._span = int(times.max()) - self._start + 2 if len(times) else 1
        self._axis = np.sort(codes.astype(np.int64) * self._span + (times - self._start))

    def before(self, keys: Integers, times: Integers) -> Integers:
        """For each pair of key and time, count the events of the key before the time. All shapes are (n,)."""
        keys, times = _integers(keys, times)
        codes, known = self._codes(keys)
        return np.where(known, self._rank(codes, times) - np.searchsorted(self._axis, codes * self._span), 0)

    def within(self, keys: Integers, times: Integers, *, window: int) -> Integers:
        """For each pair of key and time, count the events of the key in ``[time - window, time)``, in milliseconds."""
        keys, times = _integers(keys, times)
        codes, known = self._codes(keys)
        return np.where(known, self._rank(codes, times) - self._rank(codes, times - window), 0)

    def _codes(self, keys: Integers) -> tuple[Integers, NDArray[np.bool_]]:
        if not len(self._keys):
            return np.zeros(len(keys), np.int64), np.zeros(len(keys), np.bool_)
        indices = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1).astype(np.int64)
        return indices, self._keys[indices] == keys

    def _rank(self, codes: Integers, times: Integers) -> Integers:
        offsets = np.clip(times - self._start, 0, self._span - 1)
        return np.searchsorted(self._axis, codes * self._span + offsets).astype(np.int64)


class FirstSeen:
    """The age of keys: the time since each key was first seen."""

    def __init__(self, keys: Integers, times: Integers) -> None:
        """Args:
            keys: (events,), the key of each event, for example the item.
            times: (events,), the time of each event in milliseconds.

        Raises:
            InputError: the arrays are not integers or differ in length. The method raises it for its arguments, too.
        """
        keys, times = _integers(keys, times)
        order = np.lexsort((times, keys))
        self._keys, indices = np.unique(keys[order], return_index=True)
        self._times = times[order][indices]

    def age(self, keys: Integers, times: Integers) -> Integers:
        """For each pair of key and time, return the milliseconds since the first event of the key; 0 before it."""
        keys, times = _integers(keys, times)
        if not len(self._keys):
            return np.zeros(len(keys), np.int64)
        indices = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[indices] == keys, np.maximum(times - self._times[indices], 0), 0)


def pair_keys(users: Integers, items: Integers) -> Integers:
    """Return one key (n,) for each pair of a user (n,) and an item (n,).

    Raises:
        InputError: a number is below 0 or above 2^31 - 1, or the arrays are not integers or differ in length.
    """
    users, items = _integers(users, items)
    for name, values in (("users", users), ("items", items)):
        if len(values) and not 0 <= values.min() <= values.max() < 2**31:
            raise InputError(
                f"pair_keys: {name} should be from 0 to {2**31 - 1}; received {values.min()} to {values.max()}: "
                "number them first (numpy.unique with return_inverse=True)"
            )
    return (users << 32) | items


def _integers(one: NDArray[Any], other: NDArray[Any]) -> tuple[Integers, Integers]:
    """Return both arrays (n,) as int64.

    Raises:
        InputError: the arrays are not integers or differ in length.
    """
    for array in (one, other):
        if array.dtype.kind not in "iu":
            raise InputError(
                f"keys and times should be integers; received {array.dtype}: drop or fill missing values, then cast"
            )
    if one.shape != other.shape or one.ndim != 1:
        raise InputError(f"keys and times should have the same length; received {one.shape} and {other.shape}")
    return one.astype(np.int64, copy=False), other.astype(np.int64, copy=False)
