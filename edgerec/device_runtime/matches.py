"""Exact matches between candidates and behaviours, which CRBAN+ reads; the device has all of them itself."""

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
"""An identity that no table has, and every other negative one: it matches nothing, not even itself."""


@dataclass(frozen=True)
class Met:
    """Which items behaviours were of, and when; oldest first.

    Attributes:
        ids: `(t, identities)` int64: the item's place in the catalogue or its own identity, then the key of each
            embedding feature in the specification's order; negative where no table has it.
        age: `(t,)` float32, hours from each behaviour to the request; not negative.
    """

    ids: Ids
    age: Array

    def since(self, start: int) -> Met:
        """Those from place `start` on.

        Raises:
            SessionError: `start` is no whole number from 0.
        """
        check_count("start", start)
        return Met(self.ids[start:], self.age[start:])


def matches(candidates: Ids, behaviours: Ids) -> npt.NDArray[np.bool_]:
    """Where a candidate (c, identities) and a behaviour (t, identities) are of one identity: (identities, c, t)."""
    theirs = behaviours.T[:, None, :]
    found: npt.NDArray[np.bool_] = (candidates.T[:, :, None] == theirs) & (theirs >= 0)
    return found


def check_count(name: str, value: object, *, most: int = sys.maxsize) -> None:
    """Refuse anything but a whole number from 0 to `most`.

    Raises:
        SessionError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 <= value <= most:
        raise SessionError(f"`{name}` should be a whole number from 0 to {most}. Received: {value!r:.80}")


def check_ids(name: str, ids: object, count: int, identities: int) -> None:
    """Refuse anything but an int64 array `(count, identities)`.

    Raises:
        SessionError: it is something else.
    """
    if is_plain(ids) and ids.dtype == np.int64 and ids.shape == (count, identities):
        return
    raise SessionError(f"`{name}` should be an int64 array of shape {(count, identities)}. Received: {received(ids)}")


def check_met(name: str, met: object, count: int, identities: int) -> None:
    """Refuse anything but the `Met` of `count` behaviours, of ages from 0 on; none is as good for no behaviour.

    Raises:
        SessionError: it is something else.
    """
    if met is None and not count:
        return
    if not isinstance(met, Met):
        raise SessionError(f"`{name}` should be Met, for this model matches identities. Received: {type(met).__name__}")
    check_ids(f"{name}.ids", met.ids, count, identities)
    check_array(f"{name}.age", met.age, (count,))
    if count and not (met.age.min() >= 0 and np.isfinite(met.age).all()):
        raise SessionError(f"`{name}.age` should be hours from 0 on. Received: {met.age.min()} to {met.age.max()}")
