"""Served values: what the cloud knows of an item at the moment of a page, such as the score of the initial ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.cloud.catalogue import Catalogue
from edgerec.cloud.past_facts import KnownFacts, PastFacts
from edgerec.core.errors import InputError
from edgerec.data.as_of.columns import values as as_of_values
from edgerec.data.as_of.facts import Facts, all_facts
from edgerec.data.as_of.keys import ItemKeys
from edgerec.data.schema import PAGE_ID, USER_ID
from edgerec.features.as_of import AsOf, declared
from edgerec.features.spec import FeatureSpec, of_origin

SCORE = "score"
"""The served column that has the score of the initial ranking."""


class ServedValues(Protocol):
    """Supplies the values of served columns. Put your own feature service behind these two methods.

    The server calls one method at a time, so an implementation needs no lock.
    """

    def values(
        self,
        columns: Sequence[str],
        user_id: int,
        item_ids: NDArray[np.int64],
        scores: NDArray[np.float64] | None,
        time: int,
    ) -> Mapping[str, Any]:
        """Return the values (n,) of some or all of `columns`. A column that is left out has no values (None).

        Args:
            columns: the served columns that the device's version reads.
            user_id: the user.
            item_ids: (n,), the items of the page.
            scores: (n,), the scores of the recall; None if the device asked for single items.
            time: the time of the page in milliseconds since 1970.

        Returns:
            The values by column: a list, an array or a Polars series. An array of float64 is the fastest.
        """
        ...

    def learn(self, events: pl.DataFrame, requests: pl.DataFrame) -> None:
        """Update the values with new rows of the logs' tables `events` and `requests`."""
        ...


class DefaultServedValues:
    """The score of the recall, and the as-of columns, counted from the logs. Implements `ServedValues`.

    Args:
        specs: the specifications of all versions.
        catalogue: the catalogue.

    Attributes:
        absent: the served columns that have no value here. Their features get a missing value.

    Raises:
        InputError: two specifications compute one column in different ways.
    """

    def __init__(self, specs: Sequence[FeatureSpec], catalogue: Catalogue) -> None:
        self._columns = as_of_columns(specs)
        keys = ItemKeys(catalogue.items)
        self._facts = {facts: PastFacts(facts, keys) for facts in all_facts(list(self._columns.values()))}
        self._pages: set[tuple[int, int]] = set()
        self.absent = self.absent_of(specs)

    @property
    def event_columns(self) -> tuple[str, ...]:
        """The columns of events that the values are counted from."""
        return tuple(dict.fromkeys(name for facts in self._facts for name in facts.columns()))

    def absent_of(self, specs: Sequence[FeatureSpec]) -> list[str]:
        """Return the served columns of `specs` that have no value here."""
        served = {feature.source: None for spec in specs for feature in of_origin(spec.item, "served")}
        return [name for name in served if name != SCORE and name not in self._columns]

    def check(self, spec: FeatureSpec) -> None:
        """Check that the as-of columns of one more version are counted here. They are counted from the start on.

        Raises:
            InputError: a column is not counted, or in another way.
        """
        for name, as_of in declared(spec.item).items():
            if self._columns.get(name) != as_of:
                how = "in another way" if name in self._columns else "not"
                raise InputError(
                    f"served values: the as-of column {name!r} is {how} counted by this server: restart it, so that it "
                    "counts the logs for this version"
                )

    def values(
        self,
        columns: Sequence[str],
        user_id: int,
        item_ids: NDArray[np.int64],
        scores: NDArray[np.float64] | None,
        time: int,
    ) -> Mapping[str, Any]:
        """Return the values (n,) of the columns that are known here."""
        found: dict[str, Any] = {}
        if SCORE in columns and SCORE not in self._columns and scores is not None:
            found[SCORE] = scores
        wanted = [name for name in columns if name in self._columns]
        if not wanted:
            return found
        users, times = (np.full(len(item_ids), value, np.int64) for value in (user_id, time))
        known: dict[Facts, KnownFacts] = {}

        def instants(facts: Facts) -> KnownFacts:
            if facts not in known:
                known[facts] = self._facts[facts].at(users, item_ids, times)
            return known[facts]

        with np.errstate(all="ignore"):
            found.update((name, as_of_values(self._columns[name], instants).to_list()) for name in wanted)
        return found

    def learn(self, events: pl.DataFrame, requests: pl.DataFrame) -> None:
        """Count new events and lists. A page that was counted in an earlier batch is not counted again."""
        if not self._facts:
            return
        if PAGE_ID in requests.columns:
            pages = list(zip(requests[USER_ID].to_list(), requests[PAGE_ID].to_list(), strict=True))
            requests = requests.filter(pl.Series([page not in self._pages for page in pages], dtype=pl.Boolean))
            self._pages.update(pages)
        for facts in self._facts.values():
            facts.add(events, requests)


def as_of_columns(specs: Sequence[FeatureSpec]) -> dict[str, AsOf]:
    """Return the as-of columns of all versions.

    Raises:
        InputError: two specifications compute one column in different ways.
    """
    columns: dict[str, AsOf] = {}
    for spec in specs:
        for name, as_of in declared(spec.item).items():
            if columns.setdefault(name, as_of) != as_of:
                raise InputError(
                    f"served values: two versions compute the column {name!r} with a different as_of: give the "
                    "feature of one of them another source"
                )
    return columns
