"""Exact matches, which CRBAN+ reads: a candidate and a seen item have the same ID. The device compares stored IDs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgerec.core.errors import SessionError
from edgerec.device_runtime.arguments import check_array, check_count, is_plain, received

Array = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

UNKNOWN = -1
"""The ID of an item or an embedding key that no table contains. Two IDs never match if they are below 0."""


@dataclass(frozen=True)
class SeenItems:
    """The items of a user's behaviours, and the age of each behaviour, oldest behaviour first.

    Attributes:
        ids: `(t, identities)` int64. The first column identifies the item by its index in the catalogue or by its own
            ID. Each further column has the ID of the key of one embedding feature, in the specification's order. An ID
            that no table contains is negative.
        age: `(t,)` float32, hours from each behaviour to the request. They are not negative.
    """

    ids: Ids
    age: Array

    def since(self, start: int) -> SeenItems:
        """Return the behaviours from index `start` on.

        Raises:
            SessionError: `start` is negative or not a whole number.
        """
        check_count("start", start)
        return SeenItems(self.ids[start:], self.age[start:])


def matches(candidates: Ids, behaviours: Ids) -> npt.NDArray[np.bool_]:
    """Compare the IDs of every candidate with the IDs of every behaviour.

    Args:
        candidates: (c, identities), the IDs of candidates.
        behaviours: (t, identities), the IDs of the behaviours' items.

    Returns:
        (identities, c, t). An element is true if candidate and behaviour have the same ID and it is not negative.
    """
    seen = behaviours.T[:, None, :]
    equal: npt.NDArray[np.bool_] = (candidates.T[:, :, None] == seen) & (seen >= 0)
    return equal


def check_ids(name: str, ids: object, count: int, identities: int) -> None:
    """Check that `ids` is an int64 array of shape `(count, identities)`.

    Raises:
        SessionError: `ids` is not such an array.
    """
    if is_plain(ids) and ids.dtype == np.int64 and ids.shape == (count, identities):
        return
    raise SessionError(
        f"`{name}` should be an int64 array of shape {(count, identities)}, because this model (such as crban_plus) "
        "compares IDs: each item's own ID, then its key of each embedding (docs/python.md). Received: "
        f"{received(ids)}"
    )


def check_seen(name: str, seen: object, count: int, identities: int) -> None:
    """Check that `seen` has `count` behaviours and no negative age. If `count` is 0, `seen` may be None.

    Raises:
        SessionError: `seen` is not such an object.
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
        raise SessionError(
            f"`{name}.age` should be finite hours of at least 0. Received: {seen.age.min()} to {seen.age.max()}"
        )
