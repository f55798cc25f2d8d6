"""If columns of logs have other types than the schema, the samples are the same or there is an error."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from edgerec.core.errors import LogsError
from edgerec.data.build_samples import write_samples
from edgerec.data.log_checks import check_tables
from edgerec.data.logs import LogsHead, load_logs, open_logs, write_logs
from edgerec.data.statistics.counting import count_logs
from tests.synthetic import make_logs, unstamp

LOGS = make_logs(users=6, requests=5)
LENGTH = 4
FIXED = replace(
    LOGS,
    requests=LOGS.requests.filter(pl.col("item_id").list.len() >= LENGTH).with_columns(
        pl.col("item_id", "clicked", "score").list.head(LENGTH)
    ),
)
"""The logs with lists of equal length."""

Change = Callable[[pl.DataFrame], pl.DataFrame]
EVENTS, REQUESTS = "events/part-00000.parquet", "requests/part-00000.parquet"


def changed(path: Path, logs: object, name: str, change: Change) -> Path:
    """Write a folder of logs in which one file is changed."""
    write_logs(logs, path)  # type: ignore[arg-type]
    unstamp(path)
    change(pl.read_parquet(path / name)).write_parquet(path / name)
    return path


def in_two(path: Path, name: str, first: Change, second: Change) -> tuple[Path, Path]:
    """Divide the file `name` into two parts. Change them with `first` and `second`, and return their paths."""
    unstamp(path)
    file = path / name
    table = pl.read_parquet(file)
    half = len(table) // 2
    first(table[:half]).write_parquet(file)
    second(table[half:]).write_parquet(file.with_name("part-00001.parquet"))
    return file, file.with_name("part-00001.parquet")


def samples_of(path: Path) -> dict[str, bytes]:
    """Make samples of the logs, and return the content of their files without the path of the logs."""
    made = write_samples(path, path.with_name(f"{path.name}-samples"), target=60).path
    files = {str(file.relative_to(made)): file.read_bytes() for file in sorted(made.rglob("*")) if file.is_file()}
    head = json.loads(files.pop("samples.json"))
    del head["logs"]
    return {**files, "samples.json": json.dumps(head).encode()}


def cast(**types: pl.DataType | type[pl.DataType]) -> Change:
    return lambda table: table.cast(types)  # type: ignore[arg-type]


def same(table: pl.DataFrame) -> pl.DataFrame:
    return table


SAME: dict[str, tuple[str, Change]] = {
    "small integers": (EVENTS, cast(user_id=pl.UInt16, item_id=pl.Int16)),
    "large integers": (EVENTS, cast(user_id=pl.UInt64, time=pl.UInt64)),
    "categories": (EVENTS, cast(kind=pl.Categorical, reason=pl.Categorical)),
    "an enum": (EVENTS, cast(kind=pl.Enum(["page_view", "exposure"]), reason=pl.Enum(["seen", "bad"]))),
    "triggers in categories": (REQUESTS, cast(trigger=pl.Categorical)),
    "boolean labels": (REQUESTS, cast(clicked=pl.List(pl.Boolean))),
    "lists of a fixed length": (
        REQUESTS,
        cast(**{name: pl.Array(t, LENGTH) for name, t in (("item_id", pl.Int32), ("clicked", pl.Int64))}),
    ),
    "served values of a fixed length": (REQUESTS, cast(score=pl.Array(pl.Float64, LENGTH))),
    "unsigned IDs": ("items.parquet", cast(shop=pl.UInt64)),
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], pl.DataFrame]:
    """Return the samples and the requests of `FIXED` with the types of the schema."""
    path = tmp_path_factory.mktemp("fixed") / "plain"
    write_logs(FIXED, path)
    return samples_of(path), load_logs(path).requests


@pytest.mark.parametrize("name", SAME)
def test_other_types_of_the_same_values_give_the_same_samples(
    tmp_path: Path, name: str, plain: tuple[dict[str, bytes], pl.DataFrame]
) -> None:
    file, change = SAME[name]
    odd = changed(tmp_path / "odd", FIXED, file, change)
    assert samples_of(odd) == plain[0]
    assert load_logs(odd).requests.equals(plain[1])


def test_parts_of_other_types_give_the_same_samples(tmp_path: Path) -> None:
    write_logs(LOGS, tmp_path / "plain")
    write_logs(LOGS, tmp_path / "odd")
    first = cast(user_id=pl.UInt64, time=pl.UInt64, kind=pl.Categorical, reason=pl.String)
    in_two(tmp_path / "odd", EVENTS, first, cast(user_id=pl.Int8, kind=pl.Enum(["page_view", "exposure"])))
    in_two(tmp_path / "plain", EVENTS, same, same)
    assert samples_of(tmp_path / "odd") == samples_of(tmp_path / "plain")


TEXT = pl.col("user_id").cast(pl.String)

REFUSED: dict[str, tuple[str, Change, str]] = {
    "users in categories": (
        EVENTS, lambda t: t.with_columns(TEXT.cast(pl.Categorical)), r"events\.user_id should be Int64; received Cat"),
    "users in categories of requests": (
        REQUESTS, lambda t: t.with_columns(TEXT.cast(pl.Categorical)), r"requests\.user_id should be Int64; received"),
    "users as text": (
        REQUESTS, lambda t: t.with_columns(user_id=pl.Series(["007", "7", "+7"] * 99).head(len(t))),
        r"requests\.user_id should be Int64; received String; write integers: docs/your-logs.md, .IDs.,"),
    "fractions as labels": (
        REQUESTS, lambda t: t.with_columns(pl.col("clicked").list.eval(pl.element() * 0.9).cast(
            pl.Array(pl.Float64, LENGTH))), r"requests\.clicked should be List\(Int8\); received Array\(Float64"),
    "a label beyond int8": (
        REQUESTS, lambda t: t.with_columns(pl.when(pl.int_range(pl.len()) == 3).then(pl.lit([0, 300, 0, 0])).otherwise(
            pl.col("clicked").cast(pl.List(pl.Int64))).alias("clicked")),
        r"requests\.clicked should be List\(Int8\); row 4 \(the first is 1\) holds 300"),
    "an ID beyond int64": (
        EVENTS, lambda t: t.with_columns(pl.when(pl.int_range(pl.len()) == 7).then(pl.lit(2**63, pl.UInt64)).otherwise(
            pl.col("user_id").cast(pl.UInt64)).alias("user_id")),
        r"events\.user_id should be Int64; row 8 \(the first is 1\) holds 9223372036854775808"),
    "times as datetimes": (
        REQUESTS, cast(time=pl.Datetime("ms")), r"requests\.time should be Int64; received Datetime.*; write millisec"),
    "times as durations": (EVENTS, cast(time=pl.Duration("ms")), r"events\.time should be Int64; received Duration"),
    "decimals": (EVENTS, cast(item_id=pl.Decimal(10, 1)), r"events\.item_id should be Int64; received Decimal"),
    "kinds as numbers": (EVENTS, lambda t: t.with_columns(kind=pl.lit(1)), r"events\.kind should be String"),
    "kinds as bytes": (EVENTS, cast(kind=pl.Binary), r"events\.kind should be String; received Binary"),
    "words as numbers": (EVENTS, lambda t: t.with_columns(reason=pl.lit(1)), r"events\.reason should be String"),
    "IDs as floats": ("items.parquet", cast(shop=pl.Float64), r"items\.shop should be Int64; received Float64"),
    "an embedding beyond int64": (
        "items.parquet", lambda t: t.with_columns(shop=pl.lit(2**63, pl.UInt64)),
        r"items\.shop should be Int64; row 1 \(the first is 1\) holds 9223372036854775808"),
    "the value that stands for a missing ID": (
        "items.parquet", lambda t: t.with_columns(shop=pl.lit(-(2**63))),
        r"items\.shop holds -9223372036854775808, which stands for a missing ID"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_an_error_names_the_row_of_a_value_that_cannot_be_represented(tmp_path: Path, name: str) -> None:
    file, change, said = REFUSED[name]
    path = changed(tmp_path / "logs", FIXED, file, change)
    where = "" if "missing" in name else f"logs: {path / file}: "
    for read in (lambda: samples_of(path), lambda: load_logs(path), lambda: count_logs(path)):
        with pytest.raises(LogsError, match=said) as caught:
            read()
        assert str(caught.value).startswith(where)
        assert "\n" not in str(caught.value)


def test_types_are_checked_in_each_part(tmp_path: Path) -> None:
    """In one part, the user IDs are integers. In the other part, they are categories."""
    write_logs(LOGS, tmp_path / "logs")
    text = TEXT.cast(pl.Categorical)
    _, second = in_two(tmp_path / "logs", EVENTS, same, lambda table: table.with_columns(text))
    with pytest.raises(LogsError, match="received Categorical") as caught:
        open_logs(tmp_path / "logs")
    assert str(caught.value).startswith(f"logs: {second}: events.user_id should be Int64")


def test_an_error_counts_rows_from_the_start_of_the_file(tmp_path: Path) -> None:
    write_logs(LOGS, tmp_path / "logs")

    def odd(table: pl.DataFrame) -> pl.DataFrame:
        last = pl.int_range(pl.len()) == pl.len() - 1
        return table.with_columns(
            item_id=pl.when(last).then(pl.lit(2**64 - 1, pl.UInt64)).otherwise(pl.col("item_id").cast(pl.UInt64))
        )

    _, second = in_two(tmp_path / "logs", EVENTS, same, odd)
    rows = pl.scan_parquet(second).select(pl.len()).collect().item()
    with pytest.raises(LogsError, match=rf"row {rows} \(the first is 1\) holds 18446744073709551615") as caught:
        write_samples(tmp_path / "logs", tmp_path / "samples", target=20)
    assert str(caught.value).startswith(f"logs: {second}: ")


def repeat(table: pl.DataFrame) -> pl.DataFrame:
    """In the second request, replace the third item by the first item."""
    items = pl.col("item_id").list
    again = pl.concat_list(items.slice(0, 2), items.slice(0, 1), items.slice(3))
    return table.with_columns(item_id=pl.when(pl.int_range(pl.len()) == 1).then(again).otherwise("item_id"))


def test_a_repeated_item_in_a_list_is_an_error(tmp_path: Path) -> None:
    path = changed(tmp_path / "logs", FIXED, REQUESTS, repeat)
    request, item = pl.read_parquet(path / REQUESTS).select("request_id", pl.col("item_id").list.first()).row(1)
    said = rf"request {request} lists item {item} at positions 1 and 3 of its 4; a list should contain an item once"
    for read in (lambda: samples_of(path), lambda: load_logs(path), lambda: count_logs(path)):
        with pytest.raises(LogsError, match=said):
            read()
    with pytest.raises(LogsError, match=said):
        write_logs(replace(FIXED, requests=repeat(read_logs_of(FIXED))), tmp_path / "other")


def read_logs_of(logs: object) -> pl.DataFrame:
    """Return the requests of `logs` as `write_logs` writes them."""
    tables = {name: getattr(logs, name) for name in ("items", "events", "requests")}
    return check_tables(tables, LOGS.spec)["requests"]


def test_repeated_items_are_accepted_if_the_logs_state_them(tmp_path: Path) -> None:
    """Each entry of a repeated item keeps its own label."""
    path = changed(tmp_path / "logs", FIXED, REQUESTS, repeat)
    head = LogsHead(name="alike", repeated_items=True)
    (path / "logs.json").write_text(head.model_dump_json())
    labels = load_logs(path).requests["clicked"].to_list()
    assert labels == read_logs_of(FIXED)["clicked"].to_list()
    assert count_logs(path).statistics.requests == len(labels)
    assert samples_of(path)
