"""Count the past for keys of any number: for a key and an instant, the events of the key before this instant."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import InputError
from edgerec.data.as_of.timeline import AsOfInstants, Floats, Integers, Timeline


class PastEvents:
    """The events of keys, for example of items or of pairs of user and item (`pair_keys`).

    n questions take O(n log events), without a loop over keys.
    """

    def __init__(self, keys: Integers, times: Integers, weights: Floats | None = None) -> None:
        """Args:
            keys: (events,), the key of each event, for example the item.
            times: (events,), the time in milliseconds at which the event became known.
            weights: (events,), how much each event counts in sums; default: 1.

        Raises:
            InputError: the arrays are not integers or differ in length. `at` raises it for its arguments, too.
        """
        keys, times = _integers(keys, times)
        self._keys, codes = np.unique(keys, return_inverse=True)
        self._timeline = Timeline.of(codes.astype(np.int64), times, weights)

    def at(self, keys: Integers, times: Integers) -> AsOfInstants:
        """Return what is known of each key (n,) strictly before each time (n,): counts, and times since events."""
        keys, times = _integers(keys, times)
        if not len(self._keys):
            return self._timeline.at(np.full(len(keys), -1, np.int64), times)
        codes = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return self._timeline.at(np.where(self._keys[codes] == keys, codes, -1), times)


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
