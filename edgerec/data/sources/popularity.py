"""Counts over the past alone: how many events of a key were known before an instant, or in a window that ends there."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import InputError

Integers = NDArray[np.int64]


class PastCounts:
    """Events of keys at times, to be counted strictly before any instant.

    Key and time are laid out on one axis, ``code(key) * span + time``, so that each count is the difference of two
    binary searches in one sorted array: n queries cost O(n log events), with no loop over keys.
    """

    def __init__(self, keys: Integers, times: Integers) -> None:
        """Args:
            keys: (events,) what is counted, for example the item.
            times: (events,) milliseconds at which the event became known.

        Raises:
            InputError: they are no integers of one length; so do the methods.
        """
        keys, times = _integers(keys, times)
        self._keys, codes = np.unique(keys, return_inverse=True)
        self._start = int(times.min()) if len(times) else 0
        # One instant beyond the last event, so that a later query still lies within its own key's stretch.
        self._span = int(times.max()) - self._start + 2 if len(times) else 1
        self._axis = np.sort(codes.astype(np.int64) * self._span + (times - self._start))

    def before(self, keys: Integers, times: Integers) -> Integers:
        """Events (n,) of each of `keys` (n,) known strictly before its `times` (n,)."""
        keys, times = _integers(keys, times)
        codes, known = self._codes(keys)
        return np.where(known, self._rank(codes, times) - np.searchsorted(self._axis, codes * self._span), 0)

    def within(self, keys: Integers, times: Integers, *, window: int) -> Integers:
        """Events (n,) of each of `keys` (n,) known in ``[time - window, time)``; `window` in milliseconds."""
        keys, times = _integers(keys, times)
        codes, known = self._codes(keys)
        return np.where(known, self._rank(codes, times) - self._rank(codes, times - window), 0)

    def _codes(self, keys: Integers) -> tuple[Integers, NDArray[np.bool_]]:
        if not len(self._keys):
            return np.zeros(len(keys), np.int64), np.zeros(len(keys), np.bool_)
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1).astype(np.int64)
        return places, self._keys[places] == keys

    def _rank(self, codes: Integers, times: Integers) -> Integers:
        offsets = np.clip(times - self._start, 0, self._span - 1)
        return np.searchsorted(self._axis, codes * self._span + offsets).astype(np.int64)


class FirstSeen:
    """When each key was seen first, asked only about the past."""

    def __init__(self, keys: Integers, times: Integers) -> None:
        """Args:
            keys: (events,) for example the item.
            times: (events,) milliseconds.

        Raises:
            InputError: they are no integers of one length; so does the method.
        """
        keys, times = _integers(keys, times)
        order = np.lexsort((times, keys))
        self._keys, places = np.unique(keys[order], return_index=True)
        self._times = times[order][places]

    def age(self, keys: Integers, times: Integers) -> Integers:
        """Milliseconds (n,) since each of `keys` (n,) was first seen; 0 where that was not before its `times` (n,)."""
        keys, times = _integers(keys, times)
        if not len(self._keys):
            return np.zeros(len(keys), np.int64)
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[places] == keys, np.maximum(times - self._times[places], 0), 0)


def pair_keys(users: Integers, items: Integers) -> Integers:
    """One key (n,) for each pair of a user (n,) and an item (n,).

    Raises:
        InputError: one of them is below 0 or above 2^31 - 1, or they are no integers of one length.
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
    """Both (n,) as int64."""
    for array in (one, other):
        if array.dtype.kind not in "iu":
            raise InputError(
                f"keys and times should be integers; received {array.dtype}: drop or fill empty places, then cast"
            )
    if one.shape != other.shape or one.ndim != 1:
        raise InputError(f"keys and times should be of one length; received {one.shape} and {other.shape}")
    return one.astype(np.int64, copy=False), other.astype(np.int64, copy=False)
