from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.core.errors import LogsError
from edgerec.data.build_samples import write_samples
from edgerec.data.known import Instants, KnownBehaviours, known_before
from edgerec.data.logs import Logs, load_logs, write_logs
from edgerec.data.ordinals import NONE
from edgerec.data.samples import SPLITS, Samples
from edgerec.data.statistics.counting import statistics_of
from tests.data.test_samples import checked, read_back
from tests.synthetic import LIMITS, build, make_logs, make_logs_with_context, whole

Row = tuple[int, int, int, int]
"""A behaviour: user, store, time, ordinal."""
Asked = tuple[int, int, int]
"""A request: user, store, time."""


@st.composite
def histories(draw: st.DrawFn, *, gaps: bool = True, users: int = 2, stores: int = 2) -> list[Row]:
    """Draw behaviours of some users and stores, in order. Several have the same time."""
    rows = []
    for user in range(users):
        for store in range(stores):
            time, ordinal = 0, -1
            for _ in range(draw(st.integers(0, 14))):
                time += draw(st.integers(0, 2))
                ordinal += draw(st.integers(1, 7)) if gaps and draw(st.integers(0, 4)) == 0 else 1
                rows.append((user, store, time, ordinal))
    return rows


ASKED = [(user, store, time) for user in range(3) for store in range(2) for time in range(0, 30, 3)]


def known(rows: list[Row], limit: int, asked: list[Asked] = ASKED) -> KnownBehaviours:
    user, store, time, ordinal = (np.array([row[column] for row in rows], np.int64) for column in range(4))
    requests = Instants(*(np.array([one[column] for one in asked]) for column in (0, 2, 1)))
    return known_before(requests, Instants(user, time, store, ordinal), limit)


@dataclass
class Device:
    """A device that steps two recurrences of one kind. A state is the list of the behaviours that it has seen."""

    limit: int
    segment: int = 0
    own: list[int] = field(default_factory=list)
    previous: list[int] = field(default_factory=list)
    stored: list[tuple[int, int, list[int], list[int]]] = field(default_factory=list)

    def record(self, number: int, time: int, ordinal: int) -> None:
        segment = ordinal // self.limit
        if segment > self.segment:
            self.previous = self.own if segment == self.segment + 1 else []
            self.own, self.segment = [], segment
        self.own, self.previous = [*self.own, number], [*self.previous, number]
        self.stored.append((ordinal, time, self.own, self.previous))

    def window(self, time: int) -> list[list[int]]:
        """Return the states that a re-rank at `time` reads."""
        seen = [each for each in self.stored if each[1] < time]
        first = max(seen[-1][0] + 1 - self.limit, 0) if seen else 0
        inside = [each for each in seen if each[0] >= first]
        return [own if ordinal // self.limit == first // self.limit else old for ordinal, _, own, old in inside]


@settings(max_examples=40)
@given(rows=histories(), limit=st.integers(1, 5))
def test_samples_have_the_states_that_a_device_computes_step_by_step(rows: list[Row], limit: int) -> None:
    found = known(rows, limit)
    for index, (user, store, time) in enumerate(ASKED):
        device = Device(limit)
        for number, row in enumerate(rows):
            if row[:2] == (user, store):
                device.record(number, *row[2:])
        start, begin, end = found.ranges[index]
        assert [list(range(start, last + 1)) for last in range(begin, end)] == device.window(time)
        # A request has gaps exactly if a device without gaps would have stepped more behaviours.
        if end > begin:
            last = rows[end - 1][3]
            window = max(last + 1 - limit, 0)
            assert found.gaps[index] == (end - start < last + 1 - window // limit * limit)
        else:
            assert not found.gaps[index]


@settings(max_examples=40)
@given(rows=histories(gaps=False), limit=st.integers(1, 5))
def test_ordinals_without_gaps_equal_positions(rows: list[Row], limit: int) -> None:
    found, by_position = known(rows, limit), known([(*row[:3], NONE) for row in rows], limit)
    np.testing.assert_array_equal(found.ranges, by_position.ranges)
    assert not found.gaps.any()
    user, store, time = (np.array([row[column] for row in rows], np.int64) for column in range(3))
    requests = Instants(*(np.array([one[column] for one in ASKED]) for column in (0, 2, 1)))
    np.testing.assert_array_equal(known_before(requests, Instants(user, time, store), limit).ranges, found.ranges)


@settings(max_examples=40)
@given(rows=histories(), limit=st.integers(1, 5), keep=st.lists(st.booleans(), min_size=60, max_size=60))
def test_lost_behaviours_do_not_shift_windows_and_starts(rows: list[Row], limit: int, keep: list[bool]) -> None:
    kept = [number for number in range(len(rows)) if keep[number]]
    before, after = known(rows, limit).ranges, known([rows[number] for number in kept], limit).ranges
    for (start, begin, end), now in zip(before.tolist(), after.tolist(), strict=True):
        # A request that has lost its latest behaviour has another window, as it would on the device.
        if end > begin and keep[end - 1]:
            for first, now_first in ((start, now[0]), (begin, now[1])):
                assert kept[now_first : now[2]] == [number for number in range(first, end) if keep[number]]


@settings(max_examples=40)
@given(rows=histories(), limit=st.integers(1, 5))
def test_two_stores_of_a_user_equal_two_users(rows: list[Row], limit: int) -> None:
    apart = known(
        [(2 * user + store, 0, *rest) for user, store, *rest in rows],
        limit,
        [(2 * user + store, 0, time) for user, store, time in ASKED],
    )
    together = known(rows, limit)
    np.testing.assert_array_equal(together.ranges, apart.ranges)
    np.testing.assert_array_equal(together.gaps, apart.gaps)


def test_large_stores_and_ordinals_do_not_overflow() -> None:
    far = 2**62 - 4
    rows = [
        (user, 2**63 - 2 + store, 5 + number, far + number)
        for user in (0, 1)
        for store in (0, 1)
        for number in range(3)
    ]
    asked = [(user, 2**63 - 2 + store, 7) for user in (0, 1) for store in (0, 1)]
    assert known(rows, 2, asked).ranges.tolist() == [[at, at, at + 2] for at in (0, 3, 6, 9)]


def numbered(logs: Logs, *, stores: int = 0, skip: int = 0) -> Logs:
    """Return logs with ordinals from `skip` on. With `stores`, each user's rows alternate between so many stores."""
    logs = checked(logs)
    events, requests = logs.events, logs.requests
    owner = ["user_id"]
    if stores:
        owner.append("store_id")
        events = events.with_columns(store_id=pl.col("item_id") % stores + 10)
        requests = requests.with_columns(store_id=pl.col("request_id") % stores + 10)
    events = events.with_columns(ordinal=pl.int_range(pl.len()).over(*owner, "kind") + skip)
    return checked(replace(logs, events=events, requests=requests))


def files(samples: Samples) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted((samples.path / "shards").rglob("*.parquet"))}


def test_samples_with_ordinals_without_gaps_have_the_same_bytes(tmp_path: Path) -> None:
    logs = make_logs_with_context(users=4)
    plain, with_ordinals = (build(tmp_path, each, limits=LIMITS) for each in (logs, numbered(logs)))
    assert files(plain) == files(with_ordinals)
    assert "requests_with_gaps" not in plain.counts()
    assert "requests_with_gaps" not in (plain.path / "samples.json").read_text()
    assert with_ordinals.counts()["requests_with_gaps"] == 0


def test_samples_of_two_stores_equal_those_of_two_users(tmp_path: Path) -> None:
    logs = numbered(make_logs_with_context(users=4), stores=2)
    apart = replace(
        logs,
        events=logs.events.with_columns(user_id=pl.col("user_id") * 2 + pl.col("store_id") - 10).drop("store_id"),
        requests=logs.requests.with_columns(user_id=pl.col("user_id") * 2 + pl.col("store_id") - 10).drop("store_id"),
    )
    one, two = (build(tmp_path, each, limits=LIMITS) for each in (logs, checked(apart)))
    assert read_back(one) == read_back(two)
    assert (one.head.spec, one.counts()["users"], two.counts()["users"]) == (two.head.spec, 4, 8)
    counted = statistics_of(logs).known, statistics_of(checked(apart)).known
    for kind, found in counted[0].items():
        np.testing.assert_array_equal(found.counts, counted[1][kind].counts)


def test_requests_with_gaps_are_counted_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs = numbered(make_logs(users=4))
    samples = build(tmp_path, logs, limits=LIMITS)
    # It is not the latest exposure that a request knows. A missing latest one cannot be noticed.
    lost = (pl.col("kind") == "exposure") & (pl.col("user_id") == 2) & (pl.col("ordinal") == 8)
    gaps = build(tmp_path, replace(logs, events=logs.events.filter(~lost)), limits=LIMITS)
    expected = 0
    for split in SPLITS:
        full, less = (whole(each, split).requests for each in (samples, gaps))
        steps = [each.exposures[:, 1] - each.exposures_start for each in (full, less)]
        np.testing.assert_array_equal(full.request_id, less.request_id)
        expected += int((steps[0] != steps[1]).sum())
    assert 0 < expected == gaps.counts()["requests_with_gaps"]
    assert f"{expected} requests have gaps" in capsys.readouterr().err


def test_events_are_sorted_by_user_store_time_and_ordinal(tmp_path: Path) -> None:
    logs = numbered(make_logs(users=2), stores=2)
    same_time = logs.events.with_columns(time=pl.col("time") // 3_600_000 * 3_600_000)
    write_logs(replace(logs, events=same_time.sample(fraction=1, shuffle=True, seed=1)), tmp_path / "logs")
    events = load_logs(tmp_path / "logs").events
    keys = events.select("user_id", "store_id", "time", "ordinal").rows()
    assert keys == sorted(keys)


WRONG: list[tuple[pl.Expr, str]] = [
    (pl.when(pl.col("ordinal") == 3).then(2).otherwise(pl.col("ordinal")), "the ordinal 2 occurs twice"),
    (pl.when(pl.col("ordinal") == 3).then(30).otherwise(pl.col("ordinal")), "the ordinal 30 is earlier than 4"),
    (pl.when(pl.col("ordinal") != 3).then(pl.col("ordinal")), "has the ordinal 2 and another has none"),
    (pl.col("ordinal") - 1, "events.ordinal should be null, or from 0 to .*; received -1"),
    (pl.col("ordinal").cast(pl.Float64), "should be Int64; received Float64"),
]


@pytest.mark.parametrize(("change", "fault"), WRONG)
def test_wrong_ordinals_are_errors(tmp_path: Path, change: pl.Expr, fault: str) -> None:
    logs = numbered(make_logs(users=2), stores=2)
    wrong = logs.events.with_columns(
        pl.when(pl.col("kind") == "exposure").then(change).otherwise("ordinal").alias("ordinal")
    )
    with pytest.raises(LogsError, match=fault) as caught:
        write_logs(replace(logs, events=wrong), tmp_path / "logs")
    assert "\n" not in str(caught.value)


def test_wrong_ordinals_of_a_folder_name_user_and_store(tmp_path: Path) -> None:
    logs = numbered(make_logs(users=2), stores=2)
    write_logs(logs, tmp_path / "logs")
    part = tmp_path / "logs" / "events" / "part-00000.parquet"
    logs.events.with_columns(ordinal=pl.lit(0)).write_parquet(part)
    (tmp_path / "logs" / "logs.json").write_text('{"format": 1, "kind": "logs", "name": "x"}')
    with pytest.raises(LogsError, match="exposures of user 0 in store 10, the ordinal 0 occurs twice"):
        write_samples(tmp_path / "logs", tmp_path / "samples")


def test_only_one_table_with_stores_is_an_error(tmp_path: Path) -> None:
    logs = numbered(make_logs(users=2), stores=2)
    for wrong in (
        replace(logs, events=logs.events.drop("store_id")),
        replace(logs, requests=logs.requests.drop("store_id")),
    ):
        with pytest.raises(LogsError, match="write the column to both tables"):
            write_logs(wrong, tmp_path / "logs")
