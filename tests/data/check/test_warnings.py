"""`check_logs` warns of what is accepted but spoils a model. Ordinary logs have no warning, and each change has one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from edgerec.data.check.document import check_logs
from edgerec.data.check.label_counts import LabelCounts
from edgerec.data.logs import Logs, LogsHead, write_logs
from edgerec.features.spec import FeatureSpec
from tests.synthetic import HOUR, SPEC, make_logs

LOGS = make_logs(users=40, requests=6)
Change = Callable[[Logs], Logs]


def found(tmp_path: Path, logs: Logs) -> list[dict[str, Any]]:
    write_logs(logs, tmp_path / "logs")
    document = check_logs(tmp_path / "logs")
    assert (document["errors"], document["skipped"]) == (0, [])
    assert document["warnings"] == len(document["findings"])
    json.dumps(document, allow_nan=False)
    return list(document["findings"])


def test_ordinary_logs_have_no_warning(tmp_path: Path) -> None:
    assert found(tmp_path, LOGS) == []


def events(**columns: pl.Expr) -> Change:
    return lambda logs: replace(logs, events=logs.events.with_columns(**columns))


def requests(**columns: pl.Expr) -> Change:
    return lambda logs: replace(logs, requests=logs.requests.with_columns(**columns))


def items(**columns: pl.Expr) -> Change:
    return lambda logs: replace(logs, items=logs.items.with_columns(**columns))


def labels(each: pl.Expr) -> pl.Expr:
    return pl.col("clicked").list.eval(each.cast(pl.Int8))


LABEL = pl.element()
AT = pl.int_range(pl.len())
SECOND = (pl.col("time") // 1000) * 1000


def _leaking(logs: Logs) -> Logs:
    """Every request ends with its click: in half of the lists the last label is 1, and no other label is."""
    lists = pl.col("clicked").list.drop_nulls().list.eval(LABEL * 0)
    last = pl.concat_list(lists.list.head(lists.list.len() - 1), (AT % 2).cast(pl.Int8))
    padded = pl.concat_list(last, pl.col("clicked").list.tail(pl.col("clicked").list.len() - lists.list.len()))
    return replace(logs, requests=logs.requests.with_columns(clicked=padded))


def _all_at_whole_seconds(logs: Logs) -> Logs:
    # Requests are half a minute later, so that none has the time of a behaviour.
    return requests(time=SECOND + 500_000_000)(events(time=SECOND)(logs))


def _same_time(logs: Logs) -> Logs:
    request = logs.requests.filter(pl.col("request_id") % 10 == 3).select("user_id", at="time")
    shown = logs.events.join(request, on="user_id").with_columns(time="at").unique("user_id").drop("at")
    return replace(logs, events=pl.concat([logs.events, shown]))


def _longest(logs: Logs) -> Logs:
    ids = list(range(1000, 1120))
    many = pl.DataFrame({"item_id": ids, "shop": [1] * 120, "level": [1] * 120}, schema=logs.items.schema)
    lists = {"item_id": ids, "clicked": [0] * 120, "score": [each / 7 for each in ids]}
    row = logs.requests.row(0, named=True) | lists | {"request_id": 10**6}
    longer = pl.concat([logs.requests, pl.DataFrame([row], schema=logs.requests.schema)])
    return replace(logs, items=pl.concat([logs.items, many]), requests=longer)


def _other_items(logs: Logs) -> Logs:
    more = logs.items.with_columns(item_id=pl.col("item_id") + 1000)
    other = pl.when((AT % 5 == 0) & (pl.col("kind") == "exposure")).then(pl.col("item_id") + 1000).otherwise("item_id")
    return replace(events(item_id=other)(logs), items=pl.concat([logs.items, more]))


def _spec(group: str, index: int, **changes: object) -> Change:
    def change(logs: Logs) -> Logs:
        spec = SPEC.model_dump(mode="json", exclude_none=True)
        spec[group][index] |= changes
        return replace(logs, spec=FeatureSpec.model_validate(spec))

    return change


WARNED: dict[str, tuple[Change, list[tuple[str, str, str]]]] = {
    "the last label": (_leaking, [("requests", "clicked", "the last label is clicked in 50%, the others in 0%")]),
    "a click in every list": (
        requests(clicked=labels(pl.when(pl.int_range(pl.len()) == 1).then(1).when(LABEL.is_not_null()).then(0))),
        [("requests", "clicked", "lists with labels have a click")],
    ),
    "a high click rate": (
        requests(clicked=pl.when(AT % 9 == 0).then(labels(LABEL * 0)).otherwise(
            labels(pl.when(pl.int_range(pl.len()) != 2).then(LABEL * 0 + 1).otherwise(LABEL * 0)))),
        [("requests", "clicked", "labels are 1")],
    ),
    "no request with both labels": (
        requests(clicked=labels(LABEL * 0)), [("requests", "clicked", "0 of 240 requests with labels")],
    ),
    "requests without an exposure": (
        requests(clicked=pl.when(AT % 10 == 0).then(labels(pl.lit(None))).otherwise("clicked")),
        [("requests", "clicked", "24 of 240 requests have only nulls")],
    ),
    "values that are not listed": (
        events(reason=pl.col("reason").str.to_titlecase()),
        [("events", "reason", "100% of the values are not listed, for example '")],
    ),
    "integers that are not listed": (
        _spec("item", 1, values=[7, 8]), [("items", "level", "100% of the values are not listed, for example ")],
    ),
    "only nulls": (events(bought=pl.lit(None, pl.Int64)), [("events", "bought", "only nulls")]),
    "nearly only nulls": (
        requests(score=pl.when(AT % 30 == 0).then("score").otherwise(pl.col("score").list.eval(
            pl.when(LABEL.is_null()).then(LABEL)))),
        [("requests", "score", "% nulls")],
    ),
    "one bucket": (
        _spec("ie_action", 0, boundaries=[1000.0]),
        [("events", "duration_s", "100.0% of the values are in the bucket -inf to 1000")],
    ),
    "whole seconds": (_all_at_whole_seconds, [("requests", "time", "of events and requests are whole seconds")]),
    "requests at the time of a behaviour": (_same_time, [("requests", "time", "40 of 240 requests share the time")]),
    "items that are never offered": (
        _other_items,
        [
            ("events", "item_id", "exposures are of items that no request offers"),
            ("events", "kind", "exposures are of items that no request of the user labels"),
        ],
    ),
    "exposures of another user": (
        events(user_id=pl.when(pl.col("kind") == "exposure").then((pl.col("user_id") + 1) % 40).otherwise("user_id")),
        [("events", "kind", "exposures are of items that no request of the user labels")],
    ),
    "an empty test period": (
        lambda logs: replace(logs, head=LogsHead(name="late", test_from=10**12)),
        [("requests", "time", "a test period from 1000000000000 on has 0 requests")],
    ),
    "one request of each user": (
        lambda logs: replace(logs, requests=logs.requests.filter((pl.col("request_id") % 1000 < 3) & (
            (pl.col("request_id") % 1000 == 2) | (pl.col("user_id") < 10)))),
        [("requests", "user_id", "30 of 40 users have only one request")],
    ),
    "scores that are constant": (
        requests(score=pl.col("score").list.eval(LABEL * 0 + pl.lit(0.5))),
        [("requests", "score", "one value for all candidates in each of 240 lists")],
    ),
    "a long list": (_longest, [("requests", "item_id", "a list of 120")]),
}  # fmt: skip


def test_cards_that_a_request_itself_offered_did_not_trigger_it(tmp_path: Path) -> None:
    same = _same_time(LOGS)
    assert not found(tmp_path, replace(same, events=same.events.with_columns(offered_at="time")))


def test_few_rows_without_values_are_chance(tmp_path: Path) -> None:
    exposures, page_views = (LOGS.events.filter(kind=kind) for kind in ("exposure", "page_view"))
    one = page_views.head(1).with_columns(bought=pl.lit(None, pl.Int64))
    warnings = found(tmp_path, replace(LOGS, events=pl.concat([exposures, one])))
    assert "bought" not in [each["column"] for each in warnings]


@pytest.mark.parametrize("warning", WARNED)
def test_a_change_is_warned_of(tmp_path: Path, warning: str) -> None:
    change, expected = WARNED[warning]
    warnings = found(tmp_path, change(LOGS))
    for table, column, said in expected:
        same = [each for each in warnings if (each["table"], each["column"]) == (table, column)]
        assert any(said in each["found"] for each in same), warnings
        assert all(each["advice"] for each in same)
    # Some changes take labels or requests away. Then other warnings are right, too.
    others = {(each["table"], each["column"]) for each in warnings} - {(table, column) for table, column, _ in expected}
    assert not others - {("events", "kind"), ("events", "item_id")}, warnings


def test_label_counts_by_hand() -> None:
    counts = LabelCounts()
    lists = [[0, None, 1], [None], [1], [0, 1, None, 0], [1, 1]]
    counts.add(pl.DataFrame({"clicked": pl.Series(lists, dtype=pl.List(pl.Int8))}))
    assert counts == LabelCounts(
        requests=5, labelled=4, with_click=4, both=2, labels=8, clicks=5, several=3, last_clicks=2, other_labels=4,
        other_clicks=2,
    )  # fmt: skip


def test_few_rows_are_no_warning(tmp_path: Path) -> None:
    """In a few requests any share may be chance."""
    logs = make_logs(users=2, requests=4)
    assert HOUR < logs.requests["time"].max() < HOUR * 6  # type: ignore[operator]
    assert found(tmp_path, _leaking(logs)) == []


def test_a_table_that_cannot_be_read_has_no_whole_seconds(tmp_path: Path) -> None:
    write_logs(LOGS, tmp_path / "logs")
    file = tmp_path / "logs" / "events" / "part-00000.parquet"
    content = bytearray(file.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    file.write_bytes(content)
    document = check_logs(tmp_path / "logs")
    assert document["rows"]["events"] == len(LOGS.events)
    assert document["warnings"] == 0
    assert document["errors"] == 2  # It cannot be read, and its hash is another.
