"""Boundaries, vocabularies and kinds follow the data."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from edgerec.data.starting.attributes import gives_away
from edgerec.data.starting.code import comment, plain_name, quoted
from edgerec.data.starting.kinds import decay_boundaries, feature_of, quantile_boundaries, vocabulary_size
from edgerec.data.starting.times import time_rule
from edgerec.data.starting.words import words_of

RNG = np.random.default_rng(1)


def kind(values: list[object] | np.ndarray, name: str = "x", **more: bool) -> object:
    return feature_of(name, pl.Series(name, values), embedded=True, bucketed=True, **more)


def test_boundaries_divide_the_values_evenly() -> None:
    values = pl.Series(RNG.uniform(0, 1000, 10_000))
    boundaries = quantile_boundaries(values)
    assert len(boundaries) == 7
    shares = np.diff([0, *np.searchsorted(np.sort(values.to_numpy()), boundaries), len(values)]) / len(values)
    assert shares == pytest.approx([1 / 8] * 8, abs=0.02)


def test_boundaries_of_years_and_of_small_numbers_stay_different() -> None:
    assert quantile_boundaries(pl.Series(range(1950, 2011))) == [1958, 1965, 1973, 1980, 1988, 1995, 2003]
    assert quantile_boundaries(pl.Series([0.001, 0.002, 0.003, 0.004] * 5)) == [0.002, 0.003, 0.004]
    # No bucket is empty: nothing is below the smallest value.
    assert quantile_boundaries(pl.Series([0.0] * 90 + [5.0] * 10)) == []


def test_kinds_follow_the_values() -> None:
    assert kind(["b", "a", "b"]) == {"kind": "one_hot", "values": ["b", "a"]}
    assert kind([3, 1, 2, 3]) == {"kind": "one_hot", "values": [1, 2, 3]}
    assert kind([0, 1, 1, 0]) == kind([True, False, None]) == {"kind": "binarize"}
    assert kind([0, 1, None, 0]) == {"kind": "one_hot", "values": [0, 1]}
    assert kind(RNG.lognormal(3, 1, 1000)) == {"kind": "raw", "transform": "log1p"}
    assert kind(RNG.normal(0, 1, 1000))["kind"] == "bucketize"  # type: ignore[index]
    brands = [f"brand {number % 150}" for number in range(3000)]
    assert kind(brands) == {"kind": "embedding", "dimension": 8, "vocabulary": 300}
    assert kind(list(range(150)) * 20, "category") == {"kind": "embedding", "dimension": 8, "vocabulary": 300}
    assert kind(list(range(150)) * 20, "minutes")["kind"] == "bucketize"  # type: ignore[index]
    assert "almost every row" in str(kind([f"title {number}" for number in range(1000)]))


def test_a_vocabulary_has_room() -> None:
    assert [vocabulary_size(number) for number in (1, 50, 150, 1234)] == [10, 100, 300, 2500]


def test_decay_boundaries_are_quantiles_of_the_seconds_between_instants() -> None:
    users = pl.Series([1] * 61 + [2] * 61)
    times = pl.Series([sum(range(number + 1)) * 1000 for number in range(61)] * 2)
    assert decay_boundaries(users, times) == [11, 21, 30, 40, 50]


TIMES = {
    "seconds": ([1_709_571_600, 1_709_571_601], 1_709_571_600_000),
    "milliseconds": ([1_709_571_600_123], 1_709_571_600_123),
    "microseconds": ([1_709_571_600_123_456], 1_709_571_600_123),
    "%Y-%m-%dT%H:%M:%S%.fZ": (["2024-03-04T17:00:00.123Z", "2024-03-04T17:00:00Z"], 1_709_571_600_123),
    "%Y-%m-%d %H:%M:%S%.f%z": (["2024-03-04 18:00:00+0100"], 1_709_571_600_000),
    "%d.%m.%Y %H:%M:%S%.f": (["04.03.2024 17:00:00"], 1_709_571_600_000),
    "%d/%m/%Y %H:%M:%S%.f": (["04/03/2024 17:00:00.123", "13/03/2024 17:00:00"], 1_709_571_600_123),
    "%Y-%m-%d": (["2024-03-04"], 1_709_510_400_000),
}


@pytest.mark.parametrize("unit", TIMES)
def test_times_are_read_and_the_code_gives_the_same(unit: str) -> None:
    values, first = TIMES[unit]
    series = pl.Series("t", values)
    rule = time_rule(series)
    assert rule is not None
    assert rule.unit == unit

    def milliseconds(column: str, written: str) -> pl.Expr:
        return pl.col(column).str.to_datetime(written, time_unit="ms").dt.epoch("ms")

    by_code = eval(rule.code, {"pl": pl, "milliseconds": milliseconds})
    table = series.to_frame()
    assert table.select(rule.milliseconds)["t"].to_list() == table.select(by_code)["t"].to_list()
    assert table.select(rule.milliseconds)["t"][0] == first


def test_numbers_that_are_no_times_after_2000_are_refused() -> None:
    for values in ([1, 2, 3], [1e9, float("nan")], ["yesterday"], [None]):
        assert time_rule(pl.Series("t", values, strict=False)) is None


def test_a_column_that_tells_the_click_is_found() -> None:
    clicked = pl.Series(RNG.random(2000) < 0.2)
    assert gives_away(clicked.cast(pl.Int8), clicked) == gives_away(~clicked, clicked) == 1
    assert gives_away(clicked.cast(pl.Float64) + RNG.uniform(0, 0.9, 2000), clicked) == 1
    assert gives_away(pl.Series(RNG.random(2000)), clicked) < 0.6


def test_words_of_names() -> None:
    assert words_of("userId") == words_of("USER_ID") == words_of("user-id") == ("user", "id")
    assert words_of("HTTPStatusCode2") == ("http", "status", "code2")


def test_literals_and_comments_cannot_become_code() -> None:
    for text in ("a", 'a"b', "a'b", "a\"b'c", "a\\b", "\n", "\u2028", "é"):
        assert eval(quoted(text)) == text
        assert "\n" not in quoted(text)
    assert comment("a\nimport os " + "b" * 150).count("\n# ") == comment("a\nimport os " + "b" * 150).count("\n")
    assert [plain_name(each) for each in ("Média Views", "9 lives", "__", "pageView")] == [
        "m_dia_views", "x_9_lives", "x", "page_view",
    ]  # fmt: skip
