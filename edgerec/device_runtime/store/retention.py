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
        unsent_rows: the number of unsent rows. If there are more, the oldest ones are never sent.
    """

    rows: int = 10_000
    days: int = 90
    unsent_rows: int = 20_000

    def __post_init__(self) -> None:
        for name, least in (("rows", 0), ("days", 0), ("unsent_rows", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise StoreError(f"`{name}` of Retention should be a whole number from {least} on. Received: {value!r}")

    def keep_from(self, table: BehaviourTable, now: int) -> int:
        """Return the first ordinal that these rows and days keep."""
        return max(table.next_ordinal - self.rows, table.first_since(now - self.days * DAY_MS))
