"""Read the requests that changed the user's order, and the exposures, from logs that devices sent."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from edgerec.cloud.log_rows import EXPLORED_AMONG, OUTCOME, POSITIONS, PROPENSITIES, SCORES
from edgerec.core.errors import LogsError
from edgerec.data.casting import exact_cast
from edgerec.data.catalogue import ItemIndex
from edgerec.data.log_checks import check_events, check_requests, check_unique, lists_of_arrays
from edgerec.data.log_order import sort_events
from edgerec.data.logs import LogsFolder
from edgerec.data.parts import Parts, joined, read_part, read_schema
from edgerec.data.schema import (
    EVENTS,
    ITEM_ID,
    KIND,
    OPTIONAL,
    ORDINAL,
    PAGE_ID,
    REQUEST_ID,
    REQUESTS,
    REQUIRED,
    STORE_ID,
    TIME,
    USER_ID,
    table_name,
)
from edgerec.features.behaviours import EXPOSURE

BASE_SCORE = "score"
"""The served column with the score of the cloud's initial ranking."""
REORDERED = "reordered"
"""The outcome of a request whose order the user saw."""
_ANSWER: dict[str, pl.DataType] = {
    OUTCOME: pl.String(),
    POSITIONS: pl.List(pl.Int64()),
    SCORES: pl.List(pl.Float64()),
    PROPENSITIES: pl.List(pl.Float64()),
    EXPLORED_AMONG: pl.Int64(),
}
_BASE_SCORES = pl.coalesce(BASE_SCORE, pl.lit(None, pl.Float64).repeat_by(pl.col(ITEM_ID).list.len()))
_ADVICE = 'correct the column (docs/formats.md, "The answer of a device")'


def read_orders(logs: LogsFolder) -> pl.DataFrame:
    """Return the requests with the outcome `reordered`, in order of user, store, page and time.

    The columns are those of the schema and of the answer. A column that the logs do not have is null. If the logs have
    it, there is also `BASE_SCORE`. At least one request has propensities, and those that have are valid.

    Raises:
        LogsError: no request has propensities, or a column is damaged.
    """
    _refuse_repeated(logs)
    types = {**REQUIRED[REQUESTS], **OPTIONAL[REQUESTS], **_ANSWER, BASE_SCORE: pl.List(pl.Float64())}
    requests = _read(logs.requests, types)
    if not requests[PROPENSITIES].count():
        raise LogsError(
            f"logs: {logs.path} has no {PROPENSITIES}: explore was never on: set ClientConfig(explore=...) and collect "
            "new logs, or simulate some with `edgerec abtest --logs` and a bucket that explores (docs/off-policy.md)"
        )
    requests = requests.filter(pl.col(OUTCOME) == REORDERED)
    if not requests[PROPENSITIES].count():
        raise LogsError(
            f"logs: {REQUESTS}.{OUTCOME} should be {REORDERED!r} where {PROPENSITIES} has a value, because only such "
            f"an order is shown; no request has both: {_ADVICE}"
        )
    required = set(REQUIRED[REQUESTS])
    requests = check_requests(requests, (), ItemIndex.of(logs.items[ITEM_ID].to_numpy()), columns=required)
    check_unique(requests[REQUEST_ID].to_numpy())
    explored = requests.filter(pl.col(PROPENSITIES).is_not_null())
    _check_answers(explored)
    requests = requests.drop(BASE_SCORE) if not explored[BASE_SCORE].count() else requests.with_columns(_BASE_SCORES)
    return requests.sort(USER_ID, STORE_ID, PAGE_ID, TIME, REQUEST_ID)


def read_exposures(logs: LogsFolder) -> pl.DataFrame:
    """Return the exposures in the order in which they ended, with the column `order` (0, 1, 2 ...).

    The other columns are user, store, page, item and time. A column that the logs do not have is null.

    Raises:
        LogsError: a column is damaged.
    """
    types = {**REQUIRED[EVENTS], STORE_ID: pl.Int64(), ORDINAL: pl.Int64(), PAGE_ID: pl.Int64()}
    events = _read(logs.events, types)
    events = check_events(events, (), ItemIndex.of(logs.items[ITEM_ID].to_numpy()), columns=set(REQUIRED[EVENTS]))
    events = sort_events(events).with_row_index("order")
    return events.filter(pl.col(KIND) == EXPOSURE.name).select(
        pl.col("order").cast(pl.Int64), USER_ID, STORE_ID, PAGE_ID, ITEM_ID, TIME
    )


def _refuse_repeated(logs: LogsFolder) -> None:
    if logs.head.repeated_items:
        raise LogsError(
            f"logs: the lists of {logs.path} contain an item several times, so it is unclear which place showed it: "
            "no off-policy evaluation is possible"
        )


def _read(parts: Parts, types: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Return the columns `types` of all files of a table. A column that a file does not have is null."""
    tables = []
    for file in parts.files:
        present = read_schema(file)
        rows = lists_of_arrays(read_part(file, [name for name in types if name in present]))
        rows = exact_cast(rows, types, where=f"{table_name(parts.name, file)}.")
        absent = [pl.lit(None, dtype).alias(name) for name, dtype in types.items() if name not in rows.columns]
        tables.append(rows.with_columns(absent).select(list(types)).cast(dict(types)))  # type: ignore[arg-type]
    return joined(pl.Schema(types), tables)


def _check_answers(explored: pl.DataFrame) -> None:
    """Check the answers of requests that have propensities."""
    count = pl.col(ITEM_ID).list.len()
    faults = {
        f"{POSITIONS} should have each number below the number of candidates once": ~pl.col(POSITIONS)
        .list.sort()
        .eq_missing(pl.int_ranges(0, count, dtype=pl.Int64)),
        f"{SCORES} should have one finite number for each candidate": pl.col(SCORES).list.len().ne_missing(count)
        | ~_all(SCORES, pl.element().is_finite()),
        f"{PROPENSITIES} should have numbers above 0 and at most 1, and not more than candidates": ~pl.col(PROPENSITIES)
        .list.len()
        .is_between(1, count)
        | ~_all(PROPENSITIES, (pl.element() > 0) & (pl.element() <= 1)),
        f"{BASE_SCORE} should have one value for each candidate, or be null": pl.col(BASE_SCORE).list.len() != count,
        f"{EXPLORED_AMONG} should be at least 1, or null": pl.col(EXPLORED_AMONG).fill_null(1) < 1,
    }
    for text, wrong in faults.items():
        rows = explored.filter(wrong)
        if len(rows):
            raise LogsError(f"logs: request {rows[REQUEST_ID][0]}: {text} ({len(rows)} requests): {_ADVICE}")


def _all(column: str, holds: pl.Expr) -> pl.Expr:
    """Return whether a condition holds for all entries of a list. A null, as an entry or for the list, does not."""
    return pl.col(column).list.eval(holds.fill_null(False)).list.all().fill_null(False)
