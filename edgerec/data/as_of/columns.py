"""The as-of columns that tables of logs lack, and their values."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.core.errors import LogsError
from edgerec.data.as_of.facts import Facts
from edgerec.data.as_of.timeline import Instants
from edgerec.data.schema import EVENTS, REQUESTS
from edgerec.features.as_of import AsOf, declared
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.features.kinds import Feature
from edgerec.features.spec import FeatureSpec


@dataclass(frozen=True)
class AbsentColumns:
    """The columns that a specification computes and the logs do not have.

    Attributes:
        served: columns of requests and events, as of the instant at which the item was offered.
        actions: for each kind of behaviour, columns of its events, as of their own time.
    """

    served: dict[str, AsOf]
    actions: dict[str, dict[str, AsOf]]

    @classmethod
    def of(cls, spec: FeatureSpec, *, events: Collection[str], requests: Collection[str]) -> AbsentColumns:
        """Return the columns that are computed, given the columns of both tables.

        Raises:
            LogsError: only one of the tables has a column of served values.
        """
        served = declared(spec.item)
        for column in served:
            if (column in events) != (column in requests):
                has, lacks = (EVENTS, REQUESTS) if column in events else (REQUESTS, EVENTS)
                raise LogsError(
                    f"logs: {has} has the column {column!r}, but {lacks} lacks it: write it to both tables, or to "
                    "none, and EdgeRec computes it"
                )
        actions = {
            kind.name: {name: as_of for name, as_of in declared(spec.actions(kind)).items() if name not in events}
            for kind in BEHAVIOUR_KINDS
        }
        return cls({name: as_of for name, as_of in served.items() if name not in events}, actions)

    def __bool__(self) -> bool:
        return bool(self.names)

    @property
    def names(self) -> list[str]:
        """The names of the columns, without repetition."""
        return list(dict.fromkeys([*self.served, *(name for columns in self.actions.values() for name in columns)]))

    @property
    def computed(self) -> list[AsOf]:
        """How the columns are computed."""
        return [*self.served.values(), *(as_of for columns in self.actions.values() for as_of in columns.values())]

    def without(self, spec: FeatureSpec) -> FeatureSpec:
        """Return `spec` without the features and relations that read these columns. A group may be empty."""
        names = set(self.names)

        def reads(feature: Feature) -> bool:
            return feature.source in names or (feature.relation is not None and feature.relation.column in names)

        groups = {
            group: tuple(feature for feature in features if not reads(feature))
            for group, features in spec.groups.items()
        }
        return spec.model_copy(update=groups)


def dtype(as_of: AsOf) -> pl.DataType:
    """Return the type of a column: int32 for counts of whole events, float32 otherwise."""
    whole = as_of.count is not None and as_of.per is None and as_of.half_life_s is None and as_of.weight is None
    return pl.Int32() if whole else pl.Float32()


def values(as_of: AsOf, known: Callable[[Facts], Instants]) -> pl.Series:
    """Return the values of a column at some instants.

    Args:
        as_of: how the column is computed.
        known: returns what is known of a set of facts at the instants.
    """
    instants = known(Facts.counted(as_of))
    if as_of.count is None:
        since = instants.since_first() if as_of.since_first else instants.since_last()
        units = since / (1000 * (as_of.unit_s or 1))
        return pl.Series(np.where(since < 0, np.nan, units), dtype=pl.Float32, nan_to_null=True)
    counts, total = _amount(as_of, Facts.counted(as_of), instants), Facts.total(as_of)
    if total is not None and as_of.prior is not None and as_of.prior_weight is not None:
        weight = as_of.prior_weight
        counts = (counts + weight * as_of.prior) / (_amount(as_of, total, known(total)) + weight)
    return pl.Series(counts.astype(np.int32 if dtype(as_of) == pl.Int32 else np.float32))


def _amount(as_of: AsOf, facts: Facts, instants: Instants) -> NDArray[np.int64] | NDArray[np.float64]:
    if as_of.half_life_s is not None:
        return instants.decayed(milliseconds(as_of.half_life_s))
    within = None if as_of.within_s is None else milliseconds(as_of.within_s)
    return instants.count(within) if facts.weight is None else instants.sum(within)


def half_life(as_of: AsOf, facts: Facts) -> list[int | None]:
    """Return the half-life of the running sums that the column needs of `facts`; none if it needs no sums."""
    if facts not in (Facts.counted(as_of), Facts.total(as_of)):
        return []
    if as_of.half_life_s is not None:
        return [milliseconds(as_of.half_life_s)]
    return [] if facts.weight is None or as_of.count is None else [None]


def milliseconds(seconds: float) -> int:
    """Return the seconds of a specification in milliseconds."""
    return round(seconds * 1000)
