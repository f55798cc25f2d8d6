"""The features of `features.json`: those of columns, and counts of the past that need no column."""

from __future__ import annotations

import keyword
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from edgerec.data.casting import is_text
from edgerec.data.starting.attributes import Attribute, Place
from edgerec.data.starting.code import plain_name, quoted
from edgerec.data.starting.kinds import (
    decay_boundaries,
    embedding_dimension,
    feature_of,
    number_feature,
    quantile_boundaries,
    vocabulary_size,
)
from edgerec.data.starting.tables import Table

GROUP: dict[Place, str] = {
    "catalogue": "item",
    "served": "item",
    "context": "context",
    "seen": "ie_action",
    "opened": "ipv_action",
}
PREFIX: dict[Place, str] = {"catalogue": "p", "served": "p", "context": "c", "seen": "e", "opened": "d"}
RESERVED = frozenset(
    [
        "item",
        "item_id",
        "user_id",
        "request_id",
        "list_time",
        "list",
        "time",
        "kind",
        "clicked",
        "click_count",
        "trigger",
        "model_version",
        "page_id",
        "opened_from",
        "offered_at",
        "store_id",
        "ordinal",
        "position",
        "seen",
        "seen_s",
        "page_s",
        "seen_before",
        "time_decay_s",
        "score",
        "opens_24h",
        "open_rate",
        "visit",
        "part",
        "new",
        "hour_utc",
        "weekday_utc",
        "list_length",
        "exposures",
        "page_views",
        "seconds_since_exposure",
        "seconds_since_page_view",
        "self",
    ]
)
"""Names that the script uses for other columns, and `self`, which a method of polars has already."""
ROWS_AN_ITEM = 20
"""With fewer impressions of an item, its own ID teaches a model nothing."""


@dataclass(frozen=True)
class Made:
    """A column of the logs that the script makes from a column of a file.

    Attributes:
        place: where the values come from.
        name: the column of the logs.
        file: the name of the file.
        column: its column.
        code: the expression of the values.
    """

    place: Place
    name: str
    file: str
    column: str
    code: str


@dataclass
class Columns:
    """The columns and features that were chosen so far.

    Attributes:
        features: the features by group.
        made: the columns of the logs that features read.
        reasons: why each feature has its kind, for the report.
        left_out: why each other column is left out.
    """

    features: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {"ie_action": [], "ipv_action": [], "item": [], "context": []}
    )
    made: list[Made] = field(default_factory=list)
    reasons: list[dict[str, str]] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)

    def add_attribute(self, table: Table, attribute: Attribute, values: pl.Series) -> bool:
        """Add the feature of a column, if it can have one. Return whether it has one.

        Args:
            table: the file of the column.
            attribute: where its values come from.
            values: the values from which the feature is made.
        """
        place, column = attribute.place, attribute.column
        of_item = place in ("catalogue", "served")
        kind = feature_of(column, values, embedded=of_item, bucketed=place != "served")
        if isinstance(kind, str):
            self.leave_out(table, column, kind)
            return False
        name = self._free_name(column)
        origin = {"catalogue": "catalogue", "served": "served", "context": "request"}.get(place)
        feature = {
            "name": f"{PREFIX[place]}_{name}"[:64],
            "source": name,
            **({"origin": origin} if origin else {}),
            **kind,
        }
        self.features[GROUP[place]].append(feature)
        self.made.append(Made(place, name, table.name, column, value_code(table, column, str(kind["kind"]))))
        self.reason(str(feature["name"]), GROUP[place], str(kind["kind"]), column, attribute.why)
        return True

    def leave_out(self, table: Table, column: str, why: str) -> None:
        """Note that a column is not used."""
        self.left_out.append({"file": table.name, "column": column, "why": why})

    def add(self, group: str, feature: dict[str, Any], column: str, why: str) -> None:
        """Add a feature that needs no choice."""
        self.features[group].append(feature)
        self.reason(feature["name"], group, feature["kind"], column, why)

    def reason(self, name: str, group: str, kind: str, column: str, why: str) -> None:
        """Note why there is a feature."""
        self.reasons.append({"feature": name, "group": group, "kind": kind, "column": column, "why": why})

    def _free_name(self, column: str) -> str:
        taken = {*RESERVED, *(each.name for each in self.made)}
        plain = plain_name(column)
        name = f"{plain}_value" if plain in RESERVED or keyword.iskeyword(plain) else plain
        number = 2
        while name in taken:
            name, number = f"{plain}_{number}", number + 1
        return name


def value_code(table: Table, column: str, kind: str) -> str:
    """Return the expression for the values of a column, for one kind of feature."""
    dtype, code = table.rows.schema[column], f"pl.col({quoted(column)})"
    if kind == "embedding":
        return f"hash_ids({quoted(column)})" if is_text(dtype) else f"{code}.cast(pl.Int64)"
    return f"{code}.cast(pl.Int8)" if dtype == pl.Boolean else code


@dataclass(frozen=True)
class Past:
    """What is known of users and times, for the features that EdgeRec computes.

    Attributes:
        rows: `user`, `item` and `time` of the impressions.
        opened: the same of the clicks.
        click_rate: share of clicked impressions.
        daily: whether times are whole days.
    """

    rows: pl.DataFrame
    opened: pl.DataFrame
    click_rate: float
    daily: bool


def add_computed(columns: Columns, past: Past) -> None:
    """Add what EdgeRec computes: times since the last behaviour, counts of the past, and the hour."""
    computed = "computed from earlier rows (`as_of`)"
    columns.add(
        "ie_action",
        {
            "name": "e2_seen_before", "source": "seen_before", "kind": "bucketize", "boundaries": [1, 2, 4],
            "as_of": {"count": "exposure", "by": ["user_id", "item_id"]},
        },
        "",
        computed,
    )  # fmt: skip
    for group, name, kind, rows in (
        ("ie_action", "e7_time_decay", "exposure", past.rows),
        ("ipv_action", "d12_time_decay", "page_view", past.opened),
    ):
        feature = {
            "name": name, "source": "time_decay_s", "kind": "bucketize",
            "boundaries": decay_boundaries(rows["user"], rows["time"]),
            "as_of": {"since_last": kind, "by": ["user_id"]},
        }  # fmt: skip
        columns.add(group, feature, "", computed)
    columns.add(
        "item",
        {
            "name": "p7_opens_24h", "source": "opens_24h", "origin": "served", "kind": "raw", "transform": "log1p",
            "as_of": {"count": "page_view", "by": ["item_id"], "within_s": 86_400},
        },
        "",
        computed,
    )  # fmt: skip
    columns.add(
        "item",
        {
            "name": "p7_open_rate", "source": "open_rate", "origin": "served", "kind": "raw",
            "as_of": {
                "count": "page_view", "per": "exposure", "by": ["item_id"],
                "prior": float(f"{past.click_rate:.2g}"), "prior_weight": 20,
            },
        },
        "",
        computed,
    )  # fmt: skip
    if not past.daily:
        hours = past.rows["time"] // 3_600_000 % 24
        boundaries = quantile_boundaries(hours, buckets=6)
        if len(boundaries) > 1:
            feature = {
                "name": "c1_hour", "source": "hour_utc", "origin": "derived", "kind": "bucketize",
                "boundaries": boundaries,
            }  # fmt: skip
            columns.add("context", feature, "", "the hour of the request in UTC")


def add_lengths(columns: Columns, group: str, *, name: str, source: str, seconds: pl.Series, column: str) -> None:
    """Add a feature of seconds, if there are any."""
    known = seconds.drop_nulls()
    if len(known):
        columns.add(group, {"name": name, "source": source, **number_feature(known, bucketed=True)}, column, "its role")


def add_item(columns: Columns, items: pl.Series) -> bool:
    """Add an embedding of the item's own ID, if items have enough impressions. Return whether it was added."""
    different = items.n_unique()
    if len(items) < ROWS_AN_ITEM * different:
        return False
    feature = {
        "name": "p1_item", "source": "item", "origin": "catalogue", "kind": "embedding",
        "dimension": embedding_dimension(different), "vocabulary": vocabulary_size(different),
        "min_count": ROWS_AN_ITEM,
    }  # fmt: skip
    columns.add("item", feature, "", f"an item has {len(items) // different} impressions on average")
    return True


def specification_text(name: str, features: dict[str, list[dict[str, Any]]]) -> str:
    """Return `features.json` with one line for each feature."""
    import json

    lines = ["{", '  "format": 1,', f'  "name": {json.dumps(name)},']
    groups = [(group, found) for group, found in features.items() if found]
    for index, (group, found) in enumerate(groups):
        lines.append(f'  "{group}": [')
        rows = [f"    {json.dumps(each, ensure_ascii=False)}" for each in found]
        lines.append(",\n".join(rows))
        lines.append("  ]" + ("," if index < len(groups) - 1 else ""))
    return "\n".join([*lines, "}"]) + "\n"
