"""Exact matches between candidates and seen items, which CRBAN+ reads. The device computes them from stored IDs."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgerec.core.errors import SessionError
from edgerec.device_runtime.session import check_array, is_plain, received

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

UNKNOWN = -1
"""The ID of an item or embedding key that is in no table. An ID below 0 matches nothing, not even itself."""


@dataclass(frozen=True)
class SeenItems:
    """The items of a user's behaviours and the ages of the behaviours, oldest first.

    Attributes:
        ids: `(t, identities)` int64. The first column has the item: its index in the catalogue or its own ID. Then
            comes one column for the key of each embedding feature, in the specification's order. An ID that is in no
            table is negative.
        age: `(t,)` float32, hours from each behaviour to the request; not negative.
    """

    ids: Ids
    age: Array

    def since(self, start: int) -> SeenItems:
        """Return the behaviours from index `start` on.

        Raises:
            SessionError: `start` is not a whole number from 0 on.
        """
        check_count("start", start)
        return SeenItems(self.ids[start:], self.age[start:])


def matches(candidates: Ids, behaviours: Ids) -> npt.NDArray[np.bool_]:
    """Return whether each ID of each candidate equals that of each behaviour, as an array (identities, c, t).

    Args:
        candidates: (c, identities), the IDs of candidates.
        behaviours: (t, identities), the IDs of the behaviours' items.
    """
    seen = behaviours.T[:, None, :]
    equal: npt.NDArray[np.bool_] = (candidates.T[:, :, None] == seen) & (seen >= 0)
    return equal


def check_count(name: str, value: object, *, most: int = sys.maxsize) -> None:
    """Check that `value` is a whole number from 0 to `most`.

    Raises:
        SessionError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 <= value <= most:
        raise SessionError(f"`{name}` should be a whole number from 0 to {most}. Received: {value!r:.80}")


def check_ids(name: str, ids: object, count: int, identities: int) -> None:
    """Check that `ids` is an int64 array `(count, identities)`.

    Raises:
        SessionError: it is something else.
    """
    if is_plain(ids) and ids.dtype == np.int64 and ids.shape == (count, identities):
        return
    raise SessionError(f"`{name}` should be an int64 array of shape {(count, identities)}. Received: {received(ids)}")


def check_seen(name: str, seen: object, count: int, identities: int) -> None:
    """Check that `seen` has the items of `count` behaviours, with ages from 0 on. If `count` is 0, it may be None.

    Raises:
        SessionError: it is something else.
    """
    if seen is None and not count:
        return
    if not isinstance(seen, SeenItems):
        raise SessionError(
            f"`{name}` should be SeenItems, because this model reads exact matches. Received: {type(seen).__name__}"
        )
    check_ids(f"{name}.ids", seen.ids, count, identities)
    check_array(f"{name}.age", seen.age, (count,))
    if count and not (seen.age.min() >= 0 and np.isfinite(seen.age).all()):
        raise SessionError(f"`{name}.age` should be hours from 0 on. Received: {seen.age.min()} to {seen.age.max()}")
