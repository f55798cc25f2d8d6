from __future__ import annotations

import copy
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from edgerec.core.errors import LogsError
from edgerec.data.as_of.timeline import AsOfInstants, Integers, Timeline
from edgerec.data.build_samples import write_samples
from edgerec.data.logs import Logs, load_logs, write_logs
from edgerec.data.sources._kuairand_files import ACTIONS, CATALOGUE, EARLIER, LATER, read_slice
from edgerec.data.sources._kuairand_files import Slice as SliceTables
from edgerec.data.sources.kuairand import MAX_LIST, Kuairand
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.features.encoder import GroupEncoder
from edgerec.features.spec import of_origin
from edgerec.model.metrics import gauc
from tests.data.real_data import real_data
from tests.data.sources.imported import imported

SERVED = list(dict.fromkeys(feature.source for feature in of_origin(Kuairand.spec().item, "served")))

# The first midnight of the example, in the time zone of China.
START = int((datetime(2024, 1, 7, 16) - datetime(1970, 1, 1)).total_seconds()) * 1000
DAY = 86_400

Row = dict[str, Any]
Slice = dict[str, list[Row]]


def shown(user: int, video: int, at: float, *, click: int = 0, play: int = 0, length: int = 100, **flags: int) -> Row:
    """Return an impression `at` seconds after the first midnight, played for `play` of `length` seconds."""
    return {"user": user, "video": video, "at": at, "click": click, "play": play, "length": length, **flags}


EXAMPLE: Slice = {
    "earlier": [
        shown(1, 11, 0, click=1, play=60, like=1),
        shown(2, 11, 30, play=5),
        shown(1, 12, 100, play=1),
        # The video is shown again on the same day.
        shown(1, 11, 200, hate=1),
        shown(1, 13, 300, play=300),
        # The impression is reported again at the end of this file, and in the later file.
        shown(1, 12, 100, play=1),
    ],
    "later": [
        shown(1, 11, 0, play=70, comment=1),
        shown(3, 12, DAY - 20, play=1, length=0),
        shown(1, 12, DAY + 50, click=1, play=150),
    ],
}


def write_slice(folder: Path, rows: Slice) -> Path:
    """Write `rows` in the file format of the slice of KuaiRand-Pure."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, split in ((EARLIER, "earlier"), (LATER, "later")):
        table = [
            {
                "user_id": row["user"],
                "video_id": row["video"],
                "time_ms": START + round(row["at"] * 1000),
                "is_click": row["click"],
                **{f"is_{action}": row.get(action, 0) for action in ACTIONS},
                "play_time_ms": row["play"] * 1000,
                "duration_ms": row["length"] * 1000,
                "tab": 1,
            }
            for row in rows[split]
        ]
        pl.DataFrame(table).write_parquet(folder / name)
    pl.DataFrame(
        {
            "video_id": [10, 11, 12, 13],
            "author_id": [9, 7, 8, 7],
            "video_type": ["AD", "NORMAL", "NORMAL", "UNKNOWN"],
            "upload_type": ["Web", "Web", "Kmovie", "Other"],
            "video_duration": [5000.0, 100_000.0, None, 7000.0],
            "music_type": [None, 9.0, 4.0, 9.0],
            "tag": ["3", "39,68", None, "2"],
        }
    ).write_csv(folder / CATALOGUE)
    return folder


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> tuple[Logs, dict[str, Any]]:
    return imported(Kuairand, write_slice(tmp_path_factory.mktemp("kuairand"), EXAMPLE))


@pytest.fixture(scope="module")
def logs(example: tuple[Logs, dict[str, Any]]) -> Logs:
    return example[0]


def of_user(logs: Logs, user: int, kind: str, *columns: str) -> list[tuple[Any, ...]]:
    """Return time (seconds after the first midnight), video and `columns` of a user's events."""
    table = logs.events.filter((pl.col("user_id") == user) & (pl.col("kind") == kind))
    return table.select((pl.col("time") - START) / 1000, "item_id", *columns).rows()


def test_counts_and_dropped_duplicates(example: tuple[Logs, dict[str, Any]]) -> None:
    logs, counts = example
    assert logs.counts() == {"requests": 5, "exposures": 7, "clicks": 2, "users": 3}
    assert counts["duplicates"] == 2


def test_a_request_has_the_videos_of_one_day_and_ends_before_a_repeated_video(logs: Logs) -> None:
    asked = logs.requests.select("request_id", "user_id", pl.col("time") - START, "item_id", "clicked")
    assert asked.rows() == [
        (0, 1, -1, [11, 12], [1, 0]),
        (1, 2, 29_999, [11], [0]),
        (2, 1, 199_999, [11, 13], [0, 0]),
        (3, 3, (DAY - 20) * 1000 - 1, [12], [0]),
        (4, 1, (DAY + 50) * 1000 - 1, [12], [1]),
    ]
    assert logs.requests["trigger"].to_list() == ["page"] * 5


def test_the_test_period_has_whole_days(logs: Logs) -> None:
    # The training period ends with the last day of the earlier file. The later file also has an impression on that
    # day.
    assert logs.head.test_from == START + DAY * 1000 + 49_999


def test_reports_of_one_impression_are_merged(logs: Logs) -> None:
    # One report has the click, the other has the longer play and the comment.
    assert of_user(logs, 1, "page_view", "page_duration_s", "play_share", "comment", "like")[0] == (
        70.0,
        11,
        70.0,
        pytest.approx(0.7),
        1,
        1,
    )


def test_behaviours_become_known_when_the_play_is_over(logs: Logs) -> None:
    columns = ("exposure_duration_s", "exposure_count", "hate", "time_decay_s")
    assert of_user(logs, 1, "exposure", *columns) == [
        (70.0, 11, 70.0, 1, 0, None),
        (101.0, 12, 1.0, 1, 0, 31.0),
        (200.0, 11, 0.0, 2, 1, 99.0),
        (600.0, 13, 300.0, 1, 0, 400.0),
        (DAY + 200, 12, 150.0, 2, 0, DAY - 400.0),
    ]
    assert of_user(logs, 1, "page_view", "time_decay_s") == [(70.0, 11, None), (DAY + 200, 12, DAY + 130.0)]
    # The length of this video is unknown.
    assert of_user(logs, 3, "exposure", "play_share")[0] == (DAY - 19, 12, None)


def test_served_values_use_only_what_is_known_before_the_request(logs: Logs) -> None:
    first, other, again, _, next_day = logs.requests.iter_rows(named=True)
    assert first["ctr_24h"] == pytest.approx([0.45, 0.45])
    # A play that started before this request is still running, so its click is not known yet.
    assert (other["clicks_24h"], other["ctr_24h"]) == ([0], pytest.approx([0.45]))
    assert other["age_h"] == pytest.approx([29.999 / 3600])
    assert (again["clicks_24h"], again["clicks_168h"]) == ([1, 0], [1, 0])
    assert again["ctr_72h"] == pytest.approx([(1 + 20 * 0.45) / (2 + 20), 0.45])
    assert (again["user_exposures"], again["author_exposures"]) == ([1, 0], [1, 1])
    assert again["age_h"] == pytest.approx([199.999 / 3600, 0.0])
    # Two plays of this video count. One ended almost 24 hours before the request, the other about a minute before it.
    assert next_day["ctr_24h"] == pytest.approx([20 * 0.45 / 22])
    assert (next_day["user_exposures"], next_day["author_exposures"]) == ([1], [1])


def test_events_have_the_served_values_of_their_list(logs: Logs) -> None:
    listed = logs.requests.filter(pl.col("request_id") == 2).select("item_id", *SERVED).explode("item_id", *SERVED)
    events = logs.events.filter((pl.col("user_id") == 1) & pl.col("time").is_in([START + 200_000, START + 600_000]))
    assert_frame_equal(events.select("item_id", *SERVED), listed)


def test_items_have_attributes_known_at_upload(logs: Logs) -> None:
    assert logs.items.rows(named=True)[1:3] == [
        {
            "item_id": 11,
            "video": 11,
            "author": 7,
            "tag": 39,
            "video_type": "NORMAL",
            "upload_type": "Web",
            "music_type": 9,
            "video_duration_s": 100.0,
        },
        {
            "item_id": 12,
            "video": 12,
            "author": 8,
            "tag": None,
            "video_type": "NORMAL",
            "upload_type": "Kmovie",
            "music_type": 4,
            "video_duration_s": None,
        },
    ]


def test_a_video_that_is_not_in_the_catalogue_has_no_attributes(tmp_path: Path) -> None:
    rows = copy.deepcopy(EXAMPLE)
    rows["earlier"] += [shown(1, 98, 400), shown(1, 99, 500), shown(1, 98, 600)]
    logs, _ = imported(Kuairand, write_slice(tmp_path, rows))
    assert logs.items.row(-1, named=True)["author"] is None
    # Unknown authors do not count as the same author.
    assert logs.requests.filter(pl.col("item_id").list.contains(98))["author_exposures"].to_list()[-1] == [0]


def test_a_long_day_is_divided_into_several_requests(tmp_path: Path) -> None:
    rows = copy.deepcopy(EXAMPLE)
    rows["later"] += [shown(4, video, 2 * DAY + video) for video in range(1000, 1000 + 2 * MAX_LIST + 1)]
    logs, _ = imported(Kuairand, write_slice(tmp_path, rows))
    mine = logs.requests.filter(pl.col("user_id") == 4)
    assert mine["item_id"].list.len().to_list() == [MAX_LIST, MAX_LIST, 1]
    assert mine["item_id"].explode().to_list() == list(range(1000, 1000 + 2 * MAX_LIST + 1))
    # Each list starts after all videos of the list before were shown.
    assert (mine["time"].diff().drop_nulls() == MAX_LIST * 1000).all()


def test_the_order_of_rows_does_not_matter(tmp_path: Path, logs: Logs) -> None:
    rows = {split: list(reversed(part)) for split, part in EXAMPLE.items()}
    write_logs(imported(Kuairand, write_slice(tmp_path / "source", rows))[0], tmp_path / "a")
    write_logs(logs, tmp_path / "b")
    for name in ("items.parquet", "events/part-00000.parquet", "requests/part-00000.parquet", "features.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert_frame_equal(load_logs(tmp_path / "a").events, logs.events)


def test_the_specification_reads_the_logs(logs: Logs) -> None:
    spec = Kuairand.spec()
    for kind in BEHAVIOUR_KINDS:
        features, table = spec.actions(kind), logs.events.filter(pl.col("kind") == kind.name)
        encoder = GroupEncoder(features)
        columns = {f.source: table[f.source].cast(pl.Float64).fill_null(np.nan).to_numpy() for f in features}
        dense = encoder.expand(encoder.encode(columns))
        assert dense.shape == (len(table), encoder.width)
        assert np.isfinite(dense).all()


# Tests of leakage: later events must not change earlier requests and events.


def random_slice(rng: np.random.Generator) -> Slice:
    """Return random impressions of four users on two days. Times are on a coarse grid, so that many are equal."""

    def some(begin: int, number: int) -> list[Row]:
        return [
            shown(
                int(rng.integers(1, 5)),
                int(rng.integers(10, 16)),
                begin + int(rng.integers(0, 12)) * 10,
                click=int(rng.integers(0, 2)),
                play=int(rng.integers(0, 5)) * 10,
                like=int(rng.integers(0, 2)),
                hate=int(rng.integers(0, 2)),
            )
            for _ in range(number)
        ]

    return {"earlier": some(0, 20), "later": [*some(0, 3), *some(DAY, 20)]}


KEPT = (1, 2)
"""Users whose lists are not changed. Only the outcomes of their impressions are new random values."""


def other_future(rows: Slice, instant: int, rng: np.random.Generator) -> Slice:
    """Return `rows` with new random values for all that is unknown at `instant`. They become known after `instant`.

    For users in `KEPT`, only outcomes change, because the test compares their lists. For other users, times and videos
    change, too.
    """
    changed = copy.deepcopy(rows)
    for part in changed.values():
        for row in part:
            if row["at"] + row["play"] <= instant:
                continue
            begun = row["at"] <= instant
            if not begun and row["user"] not in KEPT:
                row["video"] = int(rng.integers(10, 18))
                row["at"] += int(rng.integers(0, 7)) * 10
            open_for = instant - row["at"] + 10 if begun else 0
            row["play"] = open_for + int(rng.integers(0, 6)) * 10
            row.update(click=int(rng.integers(0, 2)), like=int(rng.integers(0, 2)), hate=int(rng.integers(0, 2)))
    return changed


def known(logs: Logs, instant: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the requests of `KEPT` users without labels, and all events, with times up to `instant` (seconds)."""
    requests, events = (
        table.filter(pl.col("time") <= START + instant * 1000) for table in (logs.requests, logs.events)
    )
    return requests.filter(pl.col("user_id").is_in(KEPT)).drop("clicked"), events


def both(seed: int, instant: int, folder: Path) -> tuple[tuple[pl.DataFrame, ...], tuple[pl.DataFrame, ...]]:
    """Return what is known at `instant`: first with the original later events, then with changed ones."""
    rng = np.random.default_rng(seed)
    rows = random_slice(rng)
    before, _ = imported(Kuairand, write_slice(folder / "one", rows))
    after, _ = imported(Kuairand, write_slice(folder / "other", other_future(rows, instant, rng)))
    return known(before, instant), known(after, instant)


INSTANTS = [day + 10 * tens for day in (0, DAY) for tens in range(13)]


@settings(max_examples=3)
@given(seed=st.integers(0, 2**32 - 1), instant=st.sampled_from(INSTANTS))
def test_later_events_do_not_change_the_past(seed: int, instant: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    before, after = both(seed, instant, tmp_path_factory.mktemp("slices"))
    for one, other in zip(before, after, strict=True):
        assert_frame_equal(one, other, check_exact=True)


at = Timeline.at


def peek(timeline: Timeline, keys: Integers, times: Integers) -> AsOfInstants:
    """A faulty past that includes events of the next minute."""
    return at(timeline, keys, times + 60_000)


def totals(timeline: Timeline, keys: Integers, times: Integers) -> AsOfInstants:
    """A faulty past of the whole period, as in the data set's statistics of videos."""
    return at(timeline, keys, np.full_like(times, 2**42))


def foreseen(instants: AsOfInstants) -> Integers:
    """A faulty age, which reveals when a video will be seen for the first time."""
    timeline = instants._timeline
    offsets: Integers = timeline.axis[instants._first] - instants._base
    return instants._as_asked(np.abs(instants._times - timeline.start - offsets))


def outcomes_at_once(folder: Path) -> SliceTables:
    found = read_slice(folder)
    return replace(found, impressions=found.impressions.with_columns(ended="time"))


def next_minute(requests: pl.DataFrame) -> pl.Expr:
    """A faulty instant of the served values, after the beginning of the list."""
    return pl.col("time") + 60_000


@pytest.mark.parametrize(
    ("name", "leak"),
    [
        ("as_of.timeline.Timeline.at", peek),
        ("as_of.timeline.Timeline.at", totals),
        ("as_of.timeline.AsOfInstants.since_first", foreseen),
        ("as_of.fill._page_time", next_minute),
        ("sources.kuairand.read_slice", outcomes_at_once),
    ],
)
def test_a_leak_is_detected(name: str, leak: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"edgerec.data.{name}", leak)
    for seed in range(60):
        before, after = both(seed, INSTANTS[seed % len(INSTANTS)], tmp_path / str(seed))
        if not all(one.equals(other) for one, other in zip(before, after, strict=True)):
            return
    pytest.fail("no change of later events changed an earlier request or event")


# Tests of faulty sources: each error is one line.


def test_the_name_of_a_folder_is_not_a_glob_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "a[b]*"
    folder.mkdir()
    logs, _ = imported(Kuairand, write_slice(folder, EXAMPLE))
    assert len(logs.requests)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LogsError, match=r"^KuaiRand: .*nowhere is not a folder"):
        imported(Kuairand, tmp_path / "nowhere")


FAULTS = [(name, fault) for name in (EARLIER, LATER) for fault in ("missing", "truncated", "text", "column")]


ODD: dict[str, tuple[str, dict[str, pl.Expr], str]] = {
    "a click of 0.9": (
        EARLIER, {"is_click": pl.col("is_click").cast(pl.Float64) * 0.9},
        r"is_click should be Int8; row 1 \(the first is 1\) holds 0\.9"),
    "a user in words": (LATER, {"user_id": pl.col("user_id").cast(pl.String)}, "user_id should be Int64; received Str"),
    "a user in categories": (
        LATER, {"user_id": pl.col("user_id").cast(pl.String).cast(pl.Categorical)},
        "user_id should be Int64; received Categorical"),
    "a time with a fraction": (
        LATER, {"time_ms": pl.col("time_ms") + 0.5}, r"time_ms should be Int64; row 1 .* holds 17\d+\.5"),
    "a video with zeros before it": (
        CATALOGUE, {"video_id": pl.format("00{}", "video_id")}, "video_id should be Int64; row 1 .* holds '0010'"),
    "an author with a sign": (
        CATALOGUE, {"author_id": pl.format("+{}", "author_id")}, r"author_id should be Int64; row 1 .* holds '\+9'"),
    "a music type with a fraction": (
        CATALOGUE, {"music_type": pl.col("music_type").cast(pl.Float64) + 0.5},
        r"music_type should be Int64; row 2 .* holds 9\.5"),
    "a length in words": (CATALOGUE, {"video_duration": pl.lit("long")}, "video_duration should be Float64; row 1"),
    "a tag with zeros before it": (CATALOGUE, {"tag": pl.lit("03,4")}, "tag should be whole numb.*; received '03,4'"),
}  # fmt: skip


@pytest.mark.parametrize("fault", ODD)
def test_a_value_that_a_cast_would_change_is_an_error(tmp_path: Path, fault: str) -> None:
    name, change, said = ODD[fault]
    file = write_slice(tmp_path, EXAMPLE) / name
    if name == CATALOGUE:
        pl.read_csv(file, infer_schema=False).with_columns(**change).write_csv(file)
    else:
        pl.read_parquet(file).with_columns(**change).write_parquet(file)
    with pytest.raises(LogsError, match=said) as caught:
        imported(Kuairand, tmp_path)
    assert str(caught.value).startswith(f"KuaiRand: {file}: ")


def test_whole_floats_and_booleans_are_read_as_integers(tmp_path: Path, logs: Logs) -> None:
    file = write_slice(tmp_path, EXAMPLE) / EARLIER
    types = {"user_id": pl.Float64, "is_click": pl.Boolean, "is_like": pl.Float32}
    pl.read_parquet(file).cast(types).write_parquet(file)
    assert_frame_equal(imported(Kuairand, tmp_path)[0].events, logs.events)


@pytest.mark.parametrize(("name", "fault"), [*FAULTS, (CATALOGUE, "missing"), (CATALOGUE, "column")])
def test_a_faulty_file_is_an_error(tmp_path: Path, name: str, fault: str) -> None:
    file = write_slice(tmp_path, EXAMPLE) / name
    if fault == "missing":
        file.unlink()
    elif fault == "column" and name == CATALOGUE:
        file.write_text(file.read_text().replace("author_id", "other"))
    elif fault == "column":
        pl.read_parquet(file).drop("is_click").write_parquet(file)
    else:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2] if fault == "truncated" else b"a,b\n1,2\n")
    said = {"missing": "does not exist", "column": "has no column"}.get(fault, "cannot be read")
    with pytest.raises(LogsError, match=said) as caught:
        imported(Kuairand, tmp_path)
    assert "\n" not in str(caught.value)
    assert file.name in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"click": 2}, "is_click should be from 0 to 1; received 2"),
        ({"like": -1}, "is_like should be from 0 to 1"),
        ({"play": -1}, "play_time_ms should be from 0 to 86400000"),
        ({"play": 86_401}, "play_time_ms should be from 0 to 86400000"),
        ({"user": None}, "user_id has no value in 1 rows"),
        ({"user": 2**31}, "user_id should be from 0 to 2147483647"),
        ({"at": -1e10}, "time_ms should be from 1 to"),
        ({"at": 1e13}, "time_ms should be from 1 to"),
        ({"at": 9 * DAY}, "no day after the last day of the earlier split"),
    ],
)
def test_a_faulty_row_is_an_error(tmp_path: Path, change: Row, said: str) -> None:
    rows = copy.deepcopy(EXAMPLE)
    rows["earlier"][0].update(change)
    with pytest.raises(LogsError, match=said) as caught:
        imported(Kuairand, write_slice(tmp_path, rows))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("39,68", "sport", "tag should be whole numbers"),
        ("100000.0", "long", "video_duration should be"),
        ("\n12,", "\n11,", "video_id should be there and unique; received 11"),
    ],
)
def test_a_faulty_catalogue_is_an_error(tmp_path: Path, old: str, new: str, said: str) -> None:
    file = write_slice(tmp_path, EXAMPLE) / CATALOGUE
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(LogsError, match=said):
        imported(Kuairand, tmp_path)


# Tests on the real data set. They are skipped if it is missing.


@pytest.fixture(scope="module")
def real() -> tuple[Logs, dict[str, Any]]:
    return imported(Kuairand, real_data("kuairand_pure_slice", what="the slice of KuaiRand-Pure"))


@pytest.mark.slow
def test_counts_of_the_real_data_set(real: tuple[Logs, dict[str, Any]]) -> None:
    logs, counts = real
    assert logs.counts() == {"requests": 121_475, "exposures": 222_444, "clicks": 100_008, "users": 25_156}
    assert counts["duplicates"] == 5_885
    test = logs.requests.filter(pl.col("time") >= logs.head.test_from)
    assert (len(test), len(test["clicked"].explode())) == (69_804, 130_455)


@pytest.mark.slow
def test_figures_of_simple_rankers_on_the_real_data_set(real: tuple[Logs, dict[str, Any]]) -> None:
    logs, _ = real
    test = logs.requests.filter(pl.col("time") >= logs.head.test_from).with_row_index("group")
    place = pl.int_ranges(0, pl.col("item_id").list.len())
    rows = test.select("group", "clicked", "ctr_168h", "clicks_24h", place=place).explode(pl.all().exclude("group"))
    group, label = rows["group"].to_numpy().astype(np.int64), rows["clicked"].to_numpy()
    figures = {
        "random": np.random.default_rng(1).random(len(rows)),
        "order": -rows["place"].to_numpy(),
        "clicks_24h": rows["clicks_24h"].to_numpy(),
        "ctr_168h": rows["ctr_168h"].to_numpy(),
    }
    reached = {name: gauc(group, label, np.asarray(score, np.float64)) for name, score in figures.items()}
    expected = {"random": 0.5, "order": 0.517, "clicks_24h": 0.535, "ctr_168h": 0.597}
    assert reached == pytest.approx(expected, abs=0.004)


@pytest.mark.slow
def test_samples_of_the_real_data_set_can_be_made(real: tuple[Logs, int], tmp_path: Path) -> None:
    write_logs(real[0], tmp_path / "logs")
    samples = write_samples(tmp_path / "logs", tmp_path / "samples")
    assert samples.counts()["requests"] == 121_475
