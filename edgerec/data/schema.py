"""The schema of logs: tables, columns and their types (docs/formats.md)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import polars as pl

from edgerec.data.columns import TYPES
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.features.kinds import Feature
from edgerec.features.relations.rule import same_columns
from edgerec.features.spec import FeatureSpec, of_origin

ITEMS, EVENTS, REQUESTS = "items", "events", "requests"
ITEM_ID, USER_ID, TIME, KIND, REQUEST_ID = "item_id", "user_id", "time", "kind", "request_id"
CLICKED, TRIGGER, MODEL_VERSION = "clicked", "trigger", "model_version"
CLICK_COUNT = "click_count"
"""Optional in requests: how often each candidate was clicked. It is above 0 where `clicked` is 1, and 0 elsewhere."""
PAGE_ID = "page_id"
"""Optional in requests: the ID of the user's page that shows the candidates. Several requests may be of one page."""
CATEGORY = "category"
"""Optional in items: integers or strings. `edgerec stats` counts exposures and clicks by category."""
OPENED_FROM = "opened_from"
"""Optional in events: where a page was opened, in the `feed` or in a `search`."""
OFFERED_AT = "offered_at"
"""Optional in events: the time of the request that offered the item; null if none did. Only as-of columns need it."""
STORE_ID = "store_id"
"""Optional in events and requests: the behaviour store (device) of the row. Null is the user's only store."""
ORDINAL = "ordinal"
"""Optional in events: the behaviour's number within its kind in its store, from 0."""

MAX_TIME_MS = 4_102_444_800_000
"""2100-01-01. A larger time has another unit (microseconds or nanoseconds)."""
SECONDS = (946_684_800, 4_102_444_800)
"""2000-01-01 and 2100-01-01 in seconds. If the smallest time of a table is between them, its unit is the second: in
milliseconds, the time would be in the first weeks of 1970. Artificial times that start at 0 are smaller, so they are
accepted."""

REQUIRED: dict[str, dict[str, pl.DataType]] = {
    ITEMS: {ITEM_ID: pl.Int64()},
    EVENTS: {USER_ID: pl.Int64(), TIME: pl.Int64(), KIND: pl.String(), ITEM_ID: pl.Int64()},
    REQUESTS: {
        REQUEST_ID: pl.Int64(),
        USER_ID: pl.Int64(),
        TIME: pl.Int64(),
        TRIGGER: pl.String(),
        MODEL_VERSION: pl.String(),
        ITEM_ID: pl.List(pl.Int64()),
        CLICKED: pl.List(pl.Int8()),
    },
}
"""The columns that every data set has. The columns that its features read are needed, too."""

OPTIONAL: dict[str, dict[str, pl.DataType]] = {
    ITEMS: {},
    EVENTS: {OPENED_FROM: pl.String(), OFFERED_AT: pl.Int64(), STORE_ID: pl.Int64(), ORDINAL: pl.Int64()},
    REQUESTS: {PAGE_ID: pl.Int64(), STORE_ID: pl.Int64()},
}
"""Columns that a data set may have, and their types."""

NULLABLE = {MODEL_VERSION, OPENED_FROM, OFFERED_AT, STORE_ID, ORDINAL}


def columns_to_read(name: str, spec: FeatureSpec) -> frozenset[str]:
    """Return the columns that are read from the table `name` if they exist. Other columns are ignored."""
    extra = (CATEGORY, *relation_columns(spec)) if name == ITEMS else ()
    sources = (feature.source for feature in table_features(name, spec))
    return frozenset((*REQUIRED[name], *OPTIONAL[name], *extra, *sources))


def table_features(name: str, spec: FeatureSpec) -> tuple[Feature, ...]:
    """Return the features that read columns of the table `name`."""
    if name == ITEMS:
        return of_origin(spec.item, "catalogue")
    return event_features(spec) if name == EVENTS else request_features(spec)


def event_features(spec: FeatureSpec) -> tuple[Feature, ...]:
    """Return the features that read columns of events."""
    actions = (feature for kind in BEHAVIOUR_KINDS for feature in spec.actions(kind))
    return (*actions, *of_origin(spec.item, "served"))


def request_features(spec: FeatureSpec) -> tuple[Feature, ...]:
    """Return the features that read columns of requests: lists of served values, and values of the request."""
    return (*of_origin(spec.item, "served"), *of_origin(spec.context, "request"))


def relation_columns(spec: FeatureSpec) -> tuple[str, ...]:
    """Return the columns of the catalogue that relations read, in addition to the item's ID."""
    numbers = (rule.column for rule in spec.rules.values() if spec.column_origin(rule) == "catalogue" and rule.column)
    return tuple(dict.fromkeys(name for name in (*same_columns(spec.rules.values()), *numbers) if name != ITEM_ID))


def column_types(name: str, columns: Collection[str], features: Iterable[Feature]) -> dict[str, pl.DataType]:
    """Return the types that `columns` must have. Only columns of the schema, IDs and strings must have a certain type.

    Args:
        name: name of the table.
        columns: the columns of the table.
        features: the features whose columns are read.
    """
    types = {column: dtype for column, dtype in {**REQUIRED[name], **OPTIONAL[name]}.items() if column in columns}
    for feature in features:
        # Numbers may be of any numeric type.
        if feature.reads != "numbers" and feature.source in columns:
            wanted = TYPES[feature.reads]
            lists = name == REQUESTS and feature.origin == "served"
            types.setdefault(feature.source, pl.List(wanted) if lists else wanted)
    return types


def table_name(name: str, file: Path | None = None) -> str:
    """Return the name of a table, or of one of its files, for errors."""
    return f"logs: {name}" if file is None else f"logs: {file}: {name}"
