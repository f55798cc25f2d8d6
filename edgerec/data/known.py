"""The behaviours that each request knows: the latest ones of its user and store before its time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.data.ordinals import NONE
from edgerec.features.recurrences import recurrence_start, window_start

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Instants:
    """The user (n,) and the time (n,) of each behaviour or request.

    Attributes:
        user: the user.
        time: milliseconds since 1970.
        store: the store, or None if each user has one store.
        ordinal: for behaviours, the number within the kind in the store, or `NONE`. None if no behaviour has one.
    """

    user: Integers
    time: Integers
    store: Integers | None = None
    ordinal: Integers | None = None


@dataclass(frozen=True)
class KnownBehaviours:
    """The behaviours of one kind that r requests know.

    Attributes:
        ranges: (r, 3), for each request the index of the first behaviour of its recurrence, the index of the first
            behaviour of its window, and the index after the last one.
        gaps: (r,), whether behaviours are missing between the start of the recurrence and the end of the window.
    """

    ranges: Integers
    gaps: NDArray[np.bool_]


def known_before(requests: Instants, known: Instants, limit: int) -> KnownBehaviours:
    """For each request, find the latest behaviours of its user and store before its time, at most `limit`.

    A behaviour at the time of the request is left out, because the device may not have encoded it before the request.

    Where windows and recurrences start follows from ordinals (`edgerec.features.recurrences`). If a behaviour has no
    ordinal, its position among the behaviours of its user and store is its ordinal. Missing behaviours are skipped.
    Successive requests often start at the same behaviour and share computation, and training sees states after up to
    `limit` earlier behaviours, as on a device.

    Args:
        requests: (r,), the requests in any order.
        known: (n,), the behaviours in order of user, store, time and ordinal.
        limit: the largest number of behaviours in a window.
    """
    if not len(known.user) or not len(requests.user):
        return KnownBehaviours(np.zeros((len(requests.user), 3), np.int64), np.zeros(len(requests.user), np.bool_))
    asking, owner = _owners(requests, known)
    new = np.concatenate([[True], owner[1:] != owner[:-1]])
    starts = np.flatnonzero(new)
    owners = owner[starts]
    index = np.minimum(np.searchsorted(owners, asking), len(owners) - 1)
    has_owner = owners[index] == asking
    of_owner = np.cumsum(new) - 1
    end = _search(of_owner, known.time, index, requests.time)
    first = starts[index]
    if known.ordinal is None:
        begin = first + window_start(end - first, limit)
        start = first + recurrence_start(begin - first, limit)
        gaps = np.zeros(len(index), np.bool_)
    else:
        ordinal = np.where(known.ordinal == NONE, np.arange(len(owner)) - starts[of_owner], known.ordinal)
        next_ordinal = np.where(end > first, ordinal[np.maximum(end - 1, 0)] + 1, 0)
        window = window_start(next_ordinal, limit)
        recurrence = recurrence_start(window, limit)
        begin = np.minimum(_search(of_owner, ordinal, index, window), end)
        start = np.minimum(_search(of_owner, ordinal, index, recurrence), end)
        gaps = has_owner & (end - start < next_ordinal - recurrence)
    return KnownBehaviours(np.where(has_owner[:, None], np.stack([start, begin, end], axis=1), 0), gaps)


def _owners(requests: Instants, known: Instants) -> tuple[Integers, Integers]:
    """Number users and stores in the order of behaviours. Return the number of each request (r,) and behaviour (n,)."""
    if requests.store is None or known.store is None:
        return requests.user, known.user
    users, stores = (
        np.unique(np.concatenate(pair), return_inverse=True)[1]
        for pair in ((requests.user, known.user), (requests.store, known.store))
    )
    owners = users * (stores.max() + 1) + stores
    return owners[: len(requests.user)], owners[len(requests.user) :]


def _search(owner: Integers, values: Integers, of: Integers, wanted: Integers) -> Integers:
    """For each wanted value, return the index of the first row of the owner `of` whose value is not smaller.

    Args:
        owner: (n,), the owner of each row, from 0, ascending.
        values: (n,), ascending within each owner.
        of: (r,), the owner of each wanted value.
        wanted: (r,), the values.
    """
    first, last = min(wanted.min(), values.min()), max(wanted.max(), values.max())
    if (int(last) - int(first) + 1) * (int(owner[-1]) + 1) >= 2**63:
        # The keys below would overflow. So values are replaced by their ranks, which have the same order and are small.
        distinct = np.unique(np.concatenate([wanted, values]))
        wanted, values = np.searchsorted(distinct, wanted), np.searchsorted(distinct, values)
        first, last = np.int64(0), np.int64(len(distinct) - 1)
    span = last - first + 1
    # Owner and value become one number, so that a single search finds all rows.
    found: Integers = np.searchsorted(owner * span + (values - first), of * span + (wanted - first))
    return found
