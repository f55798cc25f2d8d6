"""Retention: how much of the raw history and of the spool a store keeps."""

from __future__ import annotations

from dataclasses import dataclass

from edgerec.core.errors import StoreError
from edgerec.device_runtime.store.behaviours import BehaviourTable

DAY_MS = 86_400_000
STEP_ROWS = 500
"""The largest number of rows that one transaction deletes. Other threads can record between two of them."""


@dataclass(frozen=True)
class Retention:
    """How much a store keeps. Behaviours that the model still needs and unsent rows are kept anyway.

    Attributes:
        rows: the number of behaviours of each kind.
        days: the age of a behaviour.
        unsent_rows: the number of unsent rows.
        unsent_bytes: the bytes of their values. A request with 100 candidates has as many as about fifty behaviours.
        unsent_days: their age, counted from the latest behaviour. If there are more rows, more bytes or older rows, the
            oldest rows are never sent.
    """

    rows: int = 10_000
    days: int = 90
    unsent_rows: int = 20_000
    unsent_bytes: int = 32 * 1024 * 1024
    unsent_days: int = 90

    def __post_init__(self) -> None:
        least_of = {"rows": 0, "days": 0, "unsent_rows": 1, "unsent_bytes": 1, "unsent_days": 1}
        for name, least in least_of.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise StoreError(f"`{name}` of Retention should be a whole number from {least} on. Received: {value!r}")

    def keep_from(self, table: BehaviourTable, now: int) -> int:
        """Return the first ordinal that these rows and days keep."""
        return max(table.next_ordinal - self.rows, table.first_since(now - self.days * DAY_MS))
