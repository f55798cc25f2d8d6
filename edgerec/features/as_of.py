"""How the values of a column are computed from past events: counts, rates and times (docs/features.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, cast

from pydantic import ConfigDict, Field, field_validator, model_serializer, model_validator

from edgerec.core.faults import CheckedModel
from edgerec.core.text_fields import Value

if TYPE_CHECKING:
    from edgerec.features.kinds.base import BaseFeature

Fact: TypeAlias = Literal["exposure", "page_view", "behaviour", "listed"]
"""What is counted. `behaviour`: exposures and page-views. `listed`: a page of a user lists the item."""

Column: TypeAlias = Annotated[Value, Field(min_length=1)]
Positive: TypeAlias = Annotated[float, Field(gt=0)]
Seconds: TypeAlias = Annotated[float, Field(ge=0.001, le=1e9)]

USER, ITEM = "user_id", "item_id"
ITEM_GROUP = "item"


class Total(CheckedModel):
    """What a rate divides by. It has the window or half-life, and the `time`, of the count."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: Fact
    by: tuple[Column, ...] | None = None
    """The key. Default: the key of the count. An empty list counts the events of all keys."""
    where: Column | None = None
    """As for the count."""
    weight: Column | None = None
    """As for the count."""

    @model_validator(mode="after")
    def _consistent(self) -> Total:
        _check_key(self.by or ())
        _check_columns_of_events(self.count, where=self.where, weight=self.weight)
        return self


class AsOf(CheckedModel):
    """How a column is computed as of an instant, from the events before this instant that have the same key.

    Exactly one of `count`, `since_last` and `since_first` is given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    count: Fact | None = None
    """Count these events."""
    since_last: Fact | None = None
    """The time since the last of these events. It is missing if there is none."""
    since_first: Fact | None = None
    """The time since the first of these events: the age of the key. It is 0 if there is none."""
    by: Annotated[tuple[Column, ...], Field(min_length=1)]
    """The key: `user_id`, `item_id`, columns of items.parquet."""
    where: Column | None = None
    """Count only events in which this column of `events` is above 0."""
    weight: Column | None = None
    """Add the values of this column of `events` instead of counting. An event without a value does not count."""
    time: Column | None = None
    """The column of `events` with the time in milliseconds at which an event became known. Default: `time`."""
    within_s: Seconds | None = None
    """Count only events of this many last seconds."""
    half_life_s: Seconds | None = None
    """An event counts 1 when it becomes known, and half as much after each half-life."""
    per: Total | None = None
    """Divide the count by the number of these events: a rate. In JSON, the name of a fact is enough."""
    prior: Annotated[float, Field(ge=0)] | None = None
    """The rate of a key without events."""
    prior_weight: Positive | None = None
    """The number of events that count as much as the prior."""
    unit_s: Seconds | None = None
    """The unit of `since_last` and `since_first` in seconds. Default: 1."""

    @field_validator("per", mode="before")
    @classmethod
    def _fact_is_enough(cls, per: Any) -> Any:
        return {"count": per} if isinstance(per, str) else per

    @model_validator(mode="after")
    def _consistent(self) -> AsOf:
        given = [name for name in ("count", "since_last", "since_first") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"should have exactly one of count, since_last and since_first; received {', '.join(given) or 'none'}"
            )
        _check_key(self.by)
        only_count = ("weight", "within_s", "half_life_s", "per", "prior", "prior_weight")
        wrong = only_count if self.count is None else ("unit_s",)
        for name in wrong:
            if getattr(self, name) is not None:
                raise ValueError(f"{name} does not belong to {given[0]}: remove it")
        if self.within_s is not None and self.half_life_s is not None:
            raise ValueError("should have within_s or half_life_s, not both")
        if len({self.per is None, self.prior is None, self.prior_weight is None}) != 1:
            raise ValueError("a rate needs per, prior and prior_weight, all three")
        of_events = {"where": self.where, "weight": self.weight}
        if self.per is None or self.per.count == "listed":
            of_events["time"] = self.time
        _check_columns_of_events(self.fact, **of_events)
        return self

    @property
    def fact(self) -> Fact:
        """What is counted, or measured the time from."""
        return cast("Fact", self.count or self.since_last or self.since_first)

    @model_serializer(mode="wrap")
    def _given(self, handler: Any) -> dict[str, Any]:
        """Leave out fields that are not given."""
        fields = {name: value for name, value in handler(self).items() if value is not None}
        if self.per is not None:
            total = {name: value for name, value in fields["per"].items() if value is not None}
            fields["per"] = self.per.count if list(total) == ["count"] else total
        return fields


def _check_key(by: Sequence[str]) -> None:
    if len(set(by)) != len(by):
        raise ValueError(f"by: columns should be unique; received {list(by)}")


def _check_columns_of_events(fact: Fact, **columns: str | None) -> None:
    for name, column in columns.items():
        if column is not None and fact == "listed":
            raise ValueError(f"{name} is a column of events, so it does not belong to listed: remove it")


def declared(features: Sequence[BaseFeature]) -> dict[str, AsOf]:
    """Return how the columns of one group of features are computed, by column. Other columns are left out.

    Raises:
        ValueError: two features compute one column in different ways.
    """
    columns: dict[str, AsOf] = {}
    for feature in features:
        if feature.as_of is not None and columns.setdefault(feature.source, feature.as_of) != feature.as_of:
            raise ValueError(f"{feature.name}: another feature computes the column {feature.source!r} in another way")
    return columns


def check_as_of(groups: Mapping[str, Sequence[BaseFeature]]) -> None:
    """Check the field `as_of` of the features in the groups of a specification.

    Raises:
        ValueError: a feature cannot have the field, or features contradict each other.
    """
    columns = {group: declared(features) for group, features in groups.items()}
    for group, features in groups.items():
        for feature in features:
            if feature.as_of is not None and feature.reads != "numbers":
                raise ValueError(
                    f"{group}.{feature.name}: as_of gives numbers, but {feature.kind} reads {feature.reads}"
                )
            if feature.as_of is not None and feature.origin == "catalogue":
                raise ValueError(f"{group}.{feature.name}: as_of is for item features of origin 'served'")
            # Events have one column of each name, for items and for actions of both kinds.
            for other, computed in columns.items():
                if feature.source not in computed or feature.origin == "catalogue" or other == group:
                    continue
                if ITEM_GROUP in (group, other) or feature.source not in columns[group]:
                    raise ValueError(
                        f"{group}.{feature.name}: the group {other} computes the column {feature.source!r}: "
                        "give as_of in both groups of actions, and use other names for columns of items"
                    )
