"""What as-of columns count: rows of events, or lists, with a key."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from edgerec.core.errors import LogsError
from edgerec.data.casting import exact_cast
from edgerec.data.page_openings import page_openings
from edgerec.data.schema import EVENTS, ITEM_ID, KIND, TIME, USER_ID
from edgerec.features.as_of import AsOf, Fact

COLUMNS = (USER_ID, ITEM_ID, TIME)


@dataclass(frozen=True)
class Facts:
    """A set of events, or of listed items, that several columns may share.

    Attributes:
        fact: what is counted.
        by: the columns of the key.
        where: the column of events that has to be above 0, or None.
        time: the column of events that says when an event became known.
    """

    fact: Fact
    by: tuple[str, ...]
    where: str | None
    time: str

    @classmethod
    def counted(cls, as_of: AsOf) -> Facts:
        """Return what the column counts."""
        return cls._of(as_of, as_of.fact, as_of.where)

    @classmethod
    def total(cls, as_of: AsOf) -> Facts | None:
        """Return what a rate divides by; None if the column is no rate."""
        return None if as_of.per is None else cls._of(as_of, as_of.per, None)

    @classmethod
    def _of(cls, as_of: AsOf, fact: Fact, where: str | None) -> Facts:
        time = TIME if as_of.time is None or fact == "listed" else as_of.time
        return cls(fact, as_of.by, where, time)

    @property
    def by_user(self) -> bool:
        """Whether the user is a part of the key."""
        return USER_ID in self.by

    def rows(self, events: pl.DataFrame, requests: pl.DataFrame) -> pl.DataFrame:
        """Return a row for each fact in the checked tables, with the columns `COLUMNS`.

        Raises:
            LogsError: a column of events does not exist or has a wrong type.
        """
        if self.fact == "listed":
            return page_openings(requests).select(COLUMNS).explode(ITEM_ID)
        if self.fact != "behaviour":
            events = events.filter(pl.col(KIND) == self.fact)
        if self.where is not None:
            _check_column(events, self.where)
            if not (events.schema[self.where].is_numeric() or events.schema[self.where] == pl.Boolean):
                raise LogsError(
                    f"logs: {EVENTS}.{self.where} should hold numbers; received {events.schema[self.where]}"
                )
            events = events.filter(pl.col(self.where).cast(pl.Float64) > 0)
        _check_column(events, self.time)
        rows = exact_cast(events, {self.time: pl.Int64()}, where=f"logs: {EVENTS}.")
        return rows.select(USER_ID, ITEM_ID, pl.col(self.time).alias(TIME)).drop_nulls(TIME)

    def columns(self) -> tuple[str, ...]:
        """Return the columns of events that `rows` reads."""
        return tuple(dict.fromkeys((USER_ID, ITEM_ID, KIND, self.time, *([self.where] if self.where else []))))


def all_facts(columns: list[AsOf]) -> list[Facts]:
    """Return the different sets of facts that `columns` need."""
    needed = [facts for as_of in columns for facts in (Facts.counted(as_of), Facts.total(as_of))]
    return list(dict.fromkeys(facts for facts in needed if facts is not None))


def _check_column(events: pl.DataFrame, column: str) -> None:
    if column not in events.columns:
        raise LogsError(
            f"logs: table {EVENTS!r} has no column {column!r}, which as_of of the specification reads; its columns "
            f"are: {', '.join(events.columns)}. Add or rename it"
        )
