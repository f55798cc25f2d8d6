"""Times of logs that have only whole seconds (docs/your-logs.md, "Whole seconds")."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import InputError

SECOND_MS = 1000


def order_within_seconds(
    users: NDArray[np.int64], seconds: NDArray[np.int64], order: NDArray[np.integer] | None = None
) -> NDArray[np.int64]:
    """Return times in milliseconds (n,) that keep the order of a user's rows within each second.

    The rows of one user and second get the milliseconds 0, 1, 2, ... of this second. So a request knows the behaviours
    that came before it in the same second. Give the rows of events and requests in one call.

    Args:
        users: (n,), the user of each row.
        seconds: (n,), the time of each row in whole seconds since 1970.
        order: (n,), numbers that ascend with the true order, for example a sequence number of the app. Rows with equal
            numbers keep their order in the arrays. Default: all rows keep their order in the arrays.

    Raises:
        InputError: the arrays have different lengths or are no integers, or a user has more than 1,000 rows in one
            second.
    """
    columns = [np.asarray(each) for each in (users, seconds, *([] if order is None else [order]))]
    if any(each.ndim != 1 or each.dtype.kind not in "iu" or len(each) != len(columns[0]) for each in columns):
        received = ", ".join(f"{each.dtype} {each.shape}" for each in columns)
        raise InputError(f"order_within_seconds: expected integers of one length (n,); received {received}")
    # lexsort is stable, so rows that are equal in all keys keep their order.
    sequence = np.lexsort(tuple(reversed(columns)))
    user, second = columns[0][sequence], columns[1][sequence]
    starts = np.ones(len(sequence), np.bool_)
    starts[1:] = (user[1:] != user[:-1]) | (second[1:] != second[:-1])
    index = np.arange(len(sequence))
    rank = index - np.maximum.accumulate(np.where(starts, index, 0))
    if len(rank) and rank.max() >= SECOND_MS:
        row = int(rank.argmax())
        raise InputError(
            f"order_within_seconds: a user should have at most {SECOND_MS} rows in a second; user {user[row]} has more "
            f"at {second[row]}: remove repeated rows first (drop_repeats)"
        )
    times = np.empty(len(sequence), np.int64)
    times[sequence] = second.astype(np.int64) * SECOND_MS + rank
    return times
