"""The behaviours that each request knows: the latest ones of its user before its time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Instants:
    """The user (n,) and the time (n,) of each behaviour or request."""

    user: NDArray[np.int64]
    time: NDArray[np.int64]


def known_before(requests: Instants, known: Instants, limit: int) -> NDArray[np.int64]:
    """For each request, return the range of the latest behaviours of its user before its time, at most `limit`.

    A behaviour at the time of the request is left out, because the device may not have encoded it before the request.

    A recurrence starts with a state of zeros at the first behaviour of a user, or at every `limit`-th behaviour after
    it. For a range, it starts at the last of these behaviours that is not after the start of the range. So successive
    requests often start at the same behaviour and share computation, and training sees states after up to `limit`
    earlier behaviours, as on a device.

    Args:
        requests: (r,), users and times of the requests, in any order.
        known: (n,), users and times of the behaviours, in order of user and time.
        limit: the largest number of behaviours in a range.

    Returns:
        (r, 3): the index at which the recurrence starts, the index of the first behaviour of the range, and the index
        after the last one.
    """
    if not len(known.user) or not len(requests.user):
        return np.zeros((len(requests.user), 3), np.int64)
    new = np.concatenate([[True], known.user[1:] != known.user[:-1]])
    starts = np.flatnonzero(new)
    users = known.user[starts]
    index = np.minimum(np.searchsorted(users, requests.user), len(users) - 1)
    has_user = users[index] == requests.user
    now, then = requests.time, known.time
    first, last = min(now.min(), then.min()), max(now.max(), then.max())
    if (int(last) - int(first) + 1) * len(users) >= 2**63:
        # The keys below would overflow. So times are replaced by their ranks, which have the same order and are small.
        times = np.unique(np.concatenate([now, then]))
        now, then = np.searchsorted(times, now), np.searchsorted(times, then)
        first, last = np.int64(0), np.int64(len(times) - 1)
    span = last - first + 1
    # User and time become one number, so that a single search finds the ends of all ranges.
    keys = (np.cumsum(new) - 1) * span + (then - first)
    end = np.searchsorted(keys, index * span + (now - first))
    begin = np.maximum(starts[index], end - limit)
    start = begin - (begin - starts[index]) % limit
    return np.where(has_user[:, None], np.stack([start, begin, end], axis=1), 0)
