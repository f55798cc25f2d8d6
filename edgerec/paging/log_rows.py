"""Log rows as a device sends them. Their columns are those of the project's logs (docs/formats.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
"""The values of one row of a table, by column. Lists have one value for each candidate."""


@dataclass(frozen=True)
class LogBatch:
    """Some rows of one store, oldest first.

    Attributes:
        user_id: the user.
        store_id: the behaviour store.
        number: number of this batch within its store: 0, 1, 2 and so on. The cloud stores each number once.
        events: rows of `events`: behaviours with raw values, `store_id` and `ordinal`.
        requests: rows of `requests` with labels, and with what the device answered.
    """

    user_id: int
    store_id: int
    number: int
    events: Sequence[Row]
    requests: Sequence[Row]
