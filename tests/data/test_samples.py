from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgerec.core.errors import FormatError, InputError, LogsError, SpecificationError
from edgerec.data.build_samples import write_samples
from edgerec.data.log_checks import check_tables
from edgerec.data.logs import Logs, LogsHead, write_logs
from edgerec.data.samples import NOT_EXPOSED, SPLITS, TEST, TRAIN, VALIDATION, Samples, open_samples
from edgerec.data.sources.ebnerd import Ebnerd
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.features.spec import FeatureSpec
from edgerec.model.batches import make_batch
from tests.data.real_data import ebnerd_demo
from tests.data.sources.imported import imported
from tests.synthetic import HOUR, SPEC, build, flat, make_logs, restamp, stretch, whole

LIMITS = {"candidates": 10, "exposures": 5, "page_views": 3}

PLAIN = {"kind": "raw", "low": -1e9, "high": 1e9, "mean": 0.0, "scale": 1.0}
MARKED = FeatureSpec.model_validate(
    {
        "format": 1,
        "name": "marked",
        "ie_action": [{"name": "mark", "source": "mark", **PLAIN}],
        "ipv_action": [{"name": "mark", "source": "mark", **PLAIN}],
        "item": [
            {"name": "number", "source": "number", "origin": "catalogue", **PLAIN},
            {"name": "score", "source": "score", "origin": "served", **PLAIN},
        ],
    }
)
"""Features that do not change the logged values: `mark` of a behaviour, and `number` of an item."""

Event = tuple[int, int, str, int]
"""An event: user, time, kind (`e` or `p`), item."""
Asked = tuple[int, int, list[int], list[int | None]]
"""A request: user, time, candidates, labels."""


def marked_logs(events: Iterable[Event], requests: Iterable[Asked], *, items: int = 6) -> Logs:
    """Return logs. The mark of an event is its index in `events`; the number of an item is ten times its ID."""
    kinds = {"e": "exposure", "p": "page_view"}
    rows = [
        {"user_id": user, "time": time, "kind": kinds[kind], "item_id": item, "mark": float(mark), "score": -1.0 - mark}
        for mark, (user, time, kind, item) in enumerate(events)
    ]
    asked = [
        {
            "request_id": number, "user_id": user, "time": time, "trigger": "page", "model_version": None,
            "item_id": offered, "clicked": labels, "score": [number + place / 10 for place in range(len(offered))],
        }
        for number, (user, time, offered, labels) in enumerate(requests)
    ]  # fmt: skip
    return checked(
        Logs(
            head=LogsHead(name="marked"),
            spec=MARKED,
            items=pl.DataFrame({"item_id": range(items), "number": [10.0 * item for item in range(items)]}),
            events=pl.DataFrame(
                rows,
                schema={
                    **{"user_id": pl.Int64, "time": pl.Int64, "kind": pl.String, "item_id": pl.Int64},
                    **{"mark": pl.Float64, "score": pl.Float64},
                },
            ),
            requests=pl.DataFrame(
                asked, schema_overrides={"model_version": pl.String, "clicked": pl.List(pl.Int8)}, strict=False
            ),
        )
    )


def checked(logs: Logs) -> Logs:
    tables = check_tables({"items": logs.items, "events": logs.events, "requests": logs.requests}, logs.spec)
    return replace(logs, **tables)


def read_back(samples: Samples, *, until: int | None = None, last: int | None = None) -> dict[int, dict[str, Any]]:
    """Return the model's inputs for each request, without padding.

    Only requests at or before `until` are used, and of these only the `last` ones of each split.
    """
    found = {}
    for split in SPLITS:
        shard = whole(samples, split)
        requests = shard.requests
        order = np.argsort(requests.time, kind="stable")
        rows = order if until is None else order[requests.time[order] <= until]
        for part in np.array_split(rows[-last:] if last else rows, len(rows) // 2000 + 1):
            if not len(part):
                continue
            batch = make_batch(shard, part)
            inputs = batch.inputs
            for at, row in enumerate(part):
                size = inputs["candidate_length"][at]
                given = {
                    "label": batch.label[at, :size].tobytes(),
                    "weight": batch.weight[at, :size].tobytes(),
                    "row": inputs["candidate_row"][at, :size].tobytes(),
                    **{field: array[at, :size].tobytes() for field, array in inputs["candidates"].items()},
                }
                for kind in ("exposures", "page_views"):
                    part, length = inputs[kind], inputs[kind]["length"][at]
                    given[f"{kind}.age"] = part["age"][at, :length].tobytes()
                    # The recurrence starts earlier than the window, because older behaviours still change the state.
                    seen = stretch(part, at)
                    given[f"{kind}.row"] = flat(part["row"])[seen].tobytes()
                    for group in ("action", "item"):
                        for field, array in part[group].items():
                            given[f"{kind}.{group}.{field}"] = flat(array)[seen].tobytes()
                found[int(requests.request_id[row])] = given
    return found


def marks(samples: Samples, kind: str) -> dict[int, list[int]]:
    """Return the marks of each request's behaviours, oldest first."""
    found = {}
    for split in SPLITS:
        shard = whole(samples, split)
        for row, request in enumerate(shard.requests.request_id.tolist()):
            part = make_batch(shard, np.array([row])).inputs[kind]
            seen = stretch(part, 0, window=True)
            found[request] = [int(mark) for mark in flat(part["action"]["numbers"])[seen, 0]]
    return found


EVERY: list[int | None] = [1, 0]


def test_known_behaviours_of_a_small_example(tmp_path: Path) -> None:
    events: list[Event] = [
        (1, 50, "e", 0),  # The first three have the same time. The last column is a mark of the event.
        (1, 50, "e", 1),
        (1, 50, "e", 2),
        (2, 60, "e", 3),  # Mark 3 is of another user.
        (1, 40, "e", 4),  # Mark 4 is earlier, but is written later.
        (1, 70, "p", 5),  # Mark 5 is of the other kind.
        (1, 90, "e", 0),
        (1, 100, "e", 1),  # Mark 7 has the same time as a request.
        (1, 101, "e", 2),
        (1, 95, "e", 3),
        (1, 96, "e", 4),
    ]
    asked: list[Asked] = [(1, time, [0, 1], EVERY) for time in (40, 41, 51, 100, 200)]
    asked += [(2, 60, [0, 1], EVERY), (2, 300, [0, 1], EVERY), (3, 400, [0, 1], EVERY)]
    samples = build(tmp_path, marked_logs(events, asked), limits=LIMITS, test_from=300, validation_fraction=0.4)
    assert [found for _, found in sorted(marks(samples, "exposures").items())] == [
        [], [4], [4, 0, 1, 2], [1, 2, 6, 9, 10], [6, 9, 10, 7, 8], [], [3], [],
    ]  # fmt: skip
    assert [found for _, found in sorted(marks(samples, "page_views").items())] == [[], [], [], [5], [5], [], [], []]


TIMES = st.integers(0, 12)
EVENT = st.tuples(st.integers(0, 2), TIMES, st.sampled_from("eep"), st.integers(0, 5))


@settings(max_examples=10)
@given(events=st.lists(EVENT, max_size=40), limit=st.integers(1, 6))
def test_known_behaviours_equal_a_loop_over_all_events(tmp_path: Path, events: list[Event], limit: int) -> None:
    asked: list[Asked] = [(user, time, [0, 1], EVERY) for time in range(1, 13) for user in range(4)]
    limits = {"candidates": 2, "exposures": limit, "page_views": 2}
    samples = build(tmp_path, marked_logs(events, asked), limits=limits, test_from=10, validation_fraction=0.3)
    for kind, letter, most in (("exposures", "e", limit), ("page_views", "p", 2)):
        found = marks(samples, kind)
        assert sorted(found) == list(range(len(asked)))
        for request, (user, time, *_) in enumerate(asked):
            known = [(e[1], mark) for mark, e in enumerate(events) if e[0] == user and e[1] < time and e[2] == letter]
            assert found[request] == [mark for _, mark in sorted(known)[-most:]]


def test_candidates_labels_and_periods_of_a_small_example(tmp_path: Path) -> None:
    asked: list[Asked] = [
        (1, 30, [3, 1, 2], [0, 1, None]),
        (2, 10, [5], [1]),
        (1, 20, [4, 0], [None, None]),
        (1, 40, [2, 3], [0, 0]),
    ]
    samples = build(tmp_path, marked_logs([], asked), limits=LIMITS, test_from=40, validation_fraction=0.4)
    assert {split: whole(samples, split).requests.request_id.tolist() for split in SPLITS} == {
        TRAIN: [1], VALIDATION: [2, 0], TEST: [3],
    }  # fmt: skip
    assert (samples.head.validation_from, samples.head.test_from) == (20, 40)
    shard = whole(samples, VALIDATION)
    held = shard.requests
    assert held.label.tolist() == [NOT_EXPOSED, NOT_EXPOSED, 0, 1, NOT_EXPOSED]
    assert held.offsets.tolist() == [0, 2, 5]
    np.testing.assert_allclose(held.item.numbers, [[40, 2.0], [0, 2.1], [30, 0.0], [10, 0.1], [20, 0.2]], rtol=1e-6)
    batch = make_batch(shard, np.array([0, 1]))
    assert batch.label.tolist() == [[0, 0, 0], [0, 1, 0]]
    assert batch.weight.tolist() == [[0, 0, 0], [1, 1, 0]]
    assert samples.counts() == {
        "requests": 4, "labels": 5, "positive_labels": 2, "users": 2,
        "splits": {
            TRAIN: {"requests": 1, "pages": 1, "labels": 1, "positive_labels": 1},
            VALIDATION: {"requests": 2, "pages": 2, "labels": 2, "positive_labels": 1},
            TEST: {"requests": 1, "pages": 1, "labels": 2, "positive_labels": 0},
        },
        "behaviours": {"exposures": 0, "page_views": 0},
    }  # fmt: skip


def test_periods_follow_the_logs_and_fractions(tmp_path: Path) -> None:
    logs = checked(make_logs())
    times = logs.requests["time"].sort().to_numpy()
    by_fraction = build(tmp_path, logs).head
    assert by_fraction.test_from == times[96]
    assert by_fraction.validation_from == times[86]
    customary = replace(logs, head=LogsHead(name="synthetic", test_from=int(times[60])))
    assert build(tmp_path, customary).head.test_from == times[60]
    assert build(tmp_path, customary, test_from=int(times[30])).head.test_from == times[30]
    for beginning in (0, 10**12):
        with pytest.raises(InputError, match="at least 1 and 2 are needed"):
            build(tmp_path, customary, test_from=beginning)
    with pytest.raises(InputError, match="no request"):
        build(tmp_path, replace(logs, requests=logs.requests[:0]))
    with pytest.raises(InputError, match="the training period has no request"):
        build(tmp_path, logs, validation_fraction=0.9999)


def test_vocabulary_means_and_scales_of_a_small_example(tmp_path: Path) -> None:
    logs = checked(make_logs())
    samples = build(tmp_path, logs, limits=LIMITS)
    known = pl.col("time") < samples.head.validation_from
    listed = logs.requests.filter(known).select("item_id", "score").explode("item_id", "score")
    events = logs.events.filter(known)
    shops = pl.concat([listed["item_id"], events["item_id"]]).to_frame().join(logs.items, on="item_id")["shop"]
    frequent = shops.value_counts().filter(pl.col("count") >= 2)["shop"].sort().to_list()
    assert samples.vocabularies["shop"].keys.tolist() == frequent
    score = samples.head.spec.item[2]
    assert (score.mean, score.scale) == pytest.approx((listed["score"].mean(), listed["score"].std(ddof=0)))
    viewed = events.filter(pl.col("kind") == "page_view")["duration_s"].log1p()
    duration = samples.head.spec.ipv_action[0]
    assert (duration.mean, duration.scale) == pytest.approx((viewed.mean(), viewed.std(ddof=0)))


def future(logs: Logs, instant: int, seed: int) -> Logs:
    """Change everything in `logs` that is unknown at `instant`, except times of requests: they define the periods."""
    rng = np.random.default_rng(seed)
    items = logs.items["item_id"].to_numpy()

    def shuffled(table: pl.DataFrame, keep: list[str]) -> pl.DataFrame:
        order = rng.permutation(len(table))
        return table.with_columns(table[name][order] for name in table.columns if name not in keep)

    # A request at `instant` does not know an event of the same time.
    early, late = (logs.events.filter((pl.col("time") >= instant) == flag) for flag in (False, True))
    moved = shuffled(late, ["time"]).with_columns(
        time=pl.col("time") + pl.Series(rng.integers(0, 5, len(late))), item_id=pl.Series(rng.choice(items, len(late)))
    )
    moved = moved.with_columns(pl.col(pl.Float64) * 3 + 1)
    events = pl.concat([moved[: len(moved) // 2], early, moved, moved[:3]])
    asked, later = (logs.requests.filter((pl.col("time") > instant) == flag) for flag in (False, True))
    later = shuffled(later, ["request_id", "user_id", "time"])
    flipped = pl.col("clicked").list.eval(1 - pl.element().fill_null(0))
    later = later.with_columns(
        clicked=flipped,
        score=pl.col("score").list.eval(pl.element() * -7),
        item_id=pl.col("item_id").list.eval(pl.element().max() + pl.element().min() - pl.element().reverse()),
    )
    later = later.with_columns(item_id=pl.col("item_id").list.eval(pl.element().clip(items.min(), items.max())))
    return checked(replace(logs, events=events, requests=pl.concat([later, asked])))


@settings(max_examples=8)
@given(
    events=st.lists(EVENT, min_size=10, max_size=60),
    asked=st.lists(st.tuples(st.integers(0, 2), TIMES), min_size=3, max_size=20),
    instant=st.integers(0, 13),
    seed=st.integers(0, 99),
)
def test_later_events_do_not_change_a_request(
    tmp_path: Path, events: list[Event], asked: list[tuple[int, int]], instant: int, seed: int
) -> None:
    ends = [(0, -1), (0, 6), (0, 14)]
    requests: list[Asked] = [(user, time + 1, [time % 3, 3 + user], [user % 2, None]) for user, time in [*asked, *ends]]
    logs = marked_logs([(user, time + 1, *rest) for user, time, *rest in events], requests)
    fixed = {"limits": LIMITS, "test_from": 15, "validation_fraction": 0.3}
    before, after = (build(tmp_path, one, **fixed) for one in (logs, future(logs, instant, seed)))
    assert before.head.validation_from == after.head.validation_from
    assert read_back(before, until=instant) == read_back(after, until=instant)


@settings(max_examples=3)
@given(share=st.floats(0, 1), seed=st.integers(0, 99))
def test_later_events_do_not_change_fitted_features(tmp_path: Path, share: float, seed: int) -> None:
    logs = checked(make_logs(users=8))
    periods = build(tmp_path, logs, limits=LIMITS).head
    begin, end = periods.validation_from, int(logs.requests["time"].max())
    instant = int(begin + share * (end - begin)) // HOUR * HOUR + 3
    instant = max(instant, begin)
    changed = future(logs, instant, seed)
    before, after = (build(tmp_path, one, limits=LIMITS, test_from=periods.test_from) for one in (logs, changed))
    assert before.head.spec == after.head.spec
    assert before.vocabularies["shop"].keys.tolist() == after.vocabularies["shop"].keys.tolist()
    known = read_back(before, until=instant)
    assert known == read_back(after, until=instant)
    assert len(known) >= 50
    assert read_back(before) != read_back(after) or instant >= end


# Tests on the raw tables of the real data set. They are skipped if it is missing.


def change_raw(source: Path, target: Path, instant: pl.Expr) -> None:
    """Copy the bundle, and change everything that is unknown at `instant` (a datetime without time zone)."""
    shutil.copytree(source / "article_features", target / "article_features")
    for split in ("train", "validation"):
        (target / split).mkdir(parents=True)
        table = pl.read_parquet(source / split / "behaviors.parquet")
        time, seconds = pl.col("impression_time"), pl.col("read_time").fill_null(0)
        ended = time + pl.duration(milliseconds=(seconds.cast(pl.Float64) * 1000).round().cast(pl.Int64))
        left = ended + pl.duration(seconds=pl.col("next_read_time").fill_null(0))
        later, is_open, reading = time > instant, ended >= instant, left >= instant
        # Pages that are still open at `instant` get other clicks and longer reading times.
        clicks = pl.when(is_open).then(pl.col("article_ids_inview").list.slice(0, 1))
        table = table.with_columns(
            article_ids_clicked=clicks.otherwise("article_ids_clicked"),
            read_time=pl.when(is_open & (seconds > 0)).then(pl.col("read_time") + 30).otherwise("read_time"),
            scroll_percentage=pl.when(is_open).then(50.0).otherwise("scroll_percentage"),
            next_read_time=pl.when(reading).then(pl.col("next_read_time") + 40).otherwise("next_read_time"),
            next_scroll_percentage=pl.when(reading).then(10.0).otherwise("next_scroll_percentage"),
            article_ids_inview=pl.when(later)
            .then(pl.col("article_ids_inview").list.reverse())
            .otherwise("article_ids_inview"),
            impression_time=pl.when(later).then(time + pl.duration(hours=1)).otherwise(time),
        )
        table.select(list(pl.read_parquet_schema(source / split / "behaviors.parquet"))).write_parquet(
            target / split / "behaviors.parquet"
        )
        shutil.copy(source / split / "history.parquet", target / split / "history.parquet")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, ebnerd_logs: Logs) -> Samples:
    return build(tmp_path_factory.mktemp("real"), ebnerd_logs)


# If a list is left at once, its exposures and clicks become known at the time of the list itself. If a page is still
# open when the user opens another page, its actions are unknown to the request of the other page.
MOMENTS = {
    "a list left at once": pl.col("read_time") == 0,
    "a page still open": pl.col("ended").cum_max().shift(1).over("user_id") > pl.col("impression_time"),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment_of", MOMENTS)
def test_later_events_do_not_change_a_real_request(tmp_path: Path, real: Samples, moment_of: str) -> None:
    source = ebnerd_demo()
    raw = pl.read_parquet(source / "validation" / "behaviors.parquet").sort("user_id", "impression_time")
    raw = raw.with_columns(
        ended=pl.col("impression_time") + pl.duration(seconds=pl.col("read_time").fill_null(0).cast(pl.Int64))
    )
    moments = raw.filter(MOMENTS[moment_of])["impression_time"].sort()
    moment = moments[len(moments) // 2]
    instant = int(pl.Series([moment]).dt.epoch("ms")[0])
    change_raw(source, tmp_path / "bundle", pl.lit(moment))
    changed = imported(Ebnerd, tmp_path / "bundle")[0]
    before, after = real, build(tmp_path, changed)
    rest = {"splits": {}, "shards": [], "logs": ""}
    assert before.head.model_copy(update=rest) == after.head.model_copy(update=rest)
    known, again = (read_back(samples, until=instant, last=6000) for samples in (before, after))
    assert len(known) > 12_000
    assert known.keys() == again.keys()
    ends = pl.concat([pl.read_parquet(source / s / "behaviors.parquet") for s in ("train", "validation")])
    ended = pl.col("impression_time").dt.epoch("ms") + (pl.col("read_time").fill_null(0) * 1000)
    still_open = set(ends.filter(ended >= instant)["impression_id"].to_list())
    for request, sample in known.items():
        # The labels are the clicks in the list. They become known when the list is left.
        skipped = {"label"} if request in still_open else set()
        for name, value in sample.items():
            assert name in skipped or value == again[request][name], (request, name)
    assert read_back(before, last=100) != read_back(after, last=100)


# Tests of the folder with samples.


@pytest.fixture
def folder(samples_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(samples_path, tmp_path / "samples"))


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_equal_logs_give_equal_bytes(tmp_path: Path) -> None:
    write_logs(make_logs(), tmp_path / "logs")
    written = write_samples(tmp_path / "logs", tmp_path / "a", limits=LIMITS)
    write_samples(tmp_path / "logs", tmp_path / "b", limits=LIMITS)
    assert open_samples(tmp_path / "a").head == written.head
    assert written.head.logs == str(tmp_path / "logs")
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "logs"]


@pytest.mark.parametrize("kind", ["exposure", "page_view", None])
def test_logs_may_lack_a_kind_of_behaviour(tmp_path: Path, kind: str | None) -> None:
    logs = make_logs()
    kept = pl.lit(False) if kind is None else pl.col("kind") != kind
    write_logs(replace(logs, events=logs.events.filter(kept)), tmp_path / "logs")
    write_samples(tmp_path / "logs", tmp_path / "samples", limits=LIMITS)
    samples = open_samples(tmp_path / "samples")
    shard = whole(samples, TEST)
    batch = make_batch(shard, np.arange(6)).inputs
    for each in BEHAVIOUR_KINDS:
        name = each.plural
        if kind in (None, each.name):
            assert len(shard.behaviours(each)) == 0
            assert batch[name]["length"].tolist() == [0] * 6
            assert {array.shape[:2] for part in ("action", "item") for array in batch[name][part].values()} == {(1, 2)}
        else:
            assert batch[name]["length"].min() > 0


def test_an_item_attribute_and_a_column_of_events_may_have_the_same_name(tmp_path: Path) -> None:
    logs = checked(make_logs())
    # Events may have a column `level` of their own, for example of the user. It does not change the item's `level`.
    # The same is true for a column `clicked` of the items.
    noisy = replace(
        logs,
        events=logs.events.with_columns(level=pl.lit(3), shop=pl.lit(99)),
        items=logs.items.with_columns(clicked=pl.lit(1), user_id=pl.lit(5)),
    )
    assert read_back(build(tmp_path, checked(noisy))) == read_back(build(tmp_path, logs))


@pytest.mark.parametrize("source", ["clicked", "click_count"])
def test_no_feature_may_read_the_label(tmp_path: Path, source: str) -> None:
    feature = {"name": "cheat", "source": source, "origin": "served", **PLAIN}
    spec = SPEC.model_dump(mode="json", exclude_none=True)
    cheating = FeatureSpec.model_validate({**spec, "item": [*spec["item"], feature]})
    write_logs(make_logs(), tmp_path / "logs")
    (tmp_path / "logs" / "features.json").write_text(cheating.model_dump_json(exclude_none=True))
    with pytest.raises(SpecificationError, match=f"cheat reads '{source}'"):
        write_samples(tmp_path / "logs", tmp_path / "samples")


def test_a_list_longer_than_the_limit_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LogsError, match=r"offers 8 candidates, more than the limit of 7: raise --candidates"):
        build(tmp_path, checked(make_logs()), limits={"candidates": 7})


@pytest.mark.parametrize(
    ("settings_", "said"),
    [
        ({"limits": {"candidates": 0}}, "samples: candidates"),
        ({"limits": {"exposures": 10**6}}, "samples: exposures"),
        ({"validation_fraction": 1.0}, "between 0 and 1"),
        ({"validation_fraction": float("nan")}, "between 0 and 1"),
    ],
)
def test_settings_out_of_range_are_an_error(tmp_path: Path, settings_: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        write_samples(tmp_path / "nothing", tmp_path / "out", **settings_)
    assert list(tmp_path.iterdir()) == []


def _array(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], object]:
    return lambda folder: np.save(folder / name, change(np.load(folder / name)))


def _at(index: Any, value: int | float) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array[index] = value
        return array

    return change


def _table(name: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        file = folder / "shards" / "00000" / f"{name}.parquet"
        change(pl.read_parquet(file)).write_parquet(file)
        restamp(folder)

    return write


def _put(name: str, column: str, value: Any) -> Callable[[Path], object]:
    """Change the first row of a column."""

    def change(table: pl.DataFrame) -> pl.DataFrame:
        values = [value, *table[column].to_list()[1:]]
        return table.with_columns(pl.Series(column, values, dtype=table.schema[column]))

    return _table(name, change)


def _head(**change: Any) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        head = json.loads((folder / "samples.json").read_text())
        (folder / "samples.json").write_text(json.dumps({**head, **change}))

    return write


def _cut(name: str, size: int) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def _cut_and_stamped(name: str, size: int) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        _cut(name, size)(folder)
        restamp(folder)

    return write


def _no_hash(folder: Path) -> None:
    head = json.loads((folder / "samples.json").read_text())
    head["shards"][0]["files"] = {}
    (folder / "samples.json").write_text(json.dumps(head))


SHARD = "shards/00000"
FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "another format": (_head(format=3), "reads format 4"),
    "no limits": (_head(limits=None), "limits"),
    "missing split": (_head(splits={}), "does not name the split 'train'"),
    "a shard outside": (
        _head(shards=[{"name": "../x", "exposures": 0, "page_views": 0, "splits": {}, "files": {}}]),
        "name",
    ),
    "missing shard": (lambda folder: shutil.rmtree(folder / SHARD), "does not exist"),
    "missing file": (lambda folder: (folder / SHARD / "test.parquet").unlink(), r"test\.parquet does not exist"),
    "missing head": (lambda folder: (folder / "samples.json").unlink(), r"has no samples\.json"),
    "missing vocabulary": (lambda folder: (folder / "vocabulary" / "shop.npy").unlink(), "cannot be read"),
    "missing items": (lambda folder: (folder / "items" / "ids.npy").unlink(), "cannot be read"),
    "truncated array": (_cut("items/ids.npy", 150), "cannot be read"),
    "objects": (_array("items/item_id.npy", lambda a: a.astype(object)), "cannot be read"),
    "items of another type": (_array("items/numbers.npy", lambda a: a.astype(np.float64)), "should be float32"),
    "fewer items": (_array("items/codes.npy", lambda a: a[:-1]), "should be uint8"),
    "items twice": (_array("items/item_id.npy", _at(1, 100)), "should be ascending"),
    "item id above the table": (_array("items/ids.npy", _at(0, 10_000)), "out of range"),
    "negative item id": (_array("items/ids.npy", _at(0, -1)), "out of range"),
    "item code above the buckets": (_array("items/codes.npy", _at((0, 0), 9)), "out of range"),
    "changed": (lambda folder: (folder / SHARD / "train.parquet").write_bytes(b"x" * 400), "was changed after it was"),
    "truncated file": (_cut(f"{SHARD}/page_views.parquet", 1000), "was changed after it was written"),
    "no hash": (_no_hash, "was changed after it was written"),
    "never whole": (_cut_and_stamped(f"{SHARD}/train.parquet", 3000), "cannot be read"),
    "never begun": (_cut_and_stamped(f"{SHARD}/exposures.parquet", 0), "cannot be read"),
    "an item beyond": (_put("exposures", "item", 4000), "out of range"),
    "an item below": (_put("train", "item", [-1] * 3), "should have lists of|out of range"),
    "code above the buckets": (_put("exposures", "action.duration", 9), "out of range"),
    "not a number": (_put("exposures", "served.score", float("nan")), "out of range"),
    "an empty value": (_put("exposures", "served.score", None), "has nulls"),
    "another type": (_table("train", lambda t: t.with_columns(pl.col("time").cast(pl.Float32))), "received.*time"),
    "a column less": (_table("train", lambda t: t.drop("served.score")), "should have the columns"),
    "a column more": (_table("train", lambda t: t.with_columns(x=1)), "should have the columns .*received.*x"),
    "fewer behaviours": (_table("exposures", lambda t: t[:-1]), r"should hold \d+ rows"),
    "fewer requests": (_table("train", lambda t: t[:-1]), "should hold requests="),
    "label 2": (
        _table("train", lambda t: t.with_columns(label=pl.col("label").list.eval(pl.element() * 0 + 2))),
        "labels",
    ),
    "other labels": (
        _table("train", lambda t: t.with_columns(label=pl.col("label").list.eval(pl.element() * 0))),
        "should hold requests=",
    ),
    "label beyond the lists": (_put("train", "label", [0] * 50), "should have lists of equal length"),
    "an empty label": (
        _table("train", lambda t: t.with_columns(label=pl.col("label").list.eval(pl.element().replace(1, None)))),
        "has nulls in lists",
    ),
    "no candidates": (
        _table("train", lambda t: t.with_columns(pl.col("item", "label", "served.score").list.head(0))),
        "should have lists of equal length",
    ),
    "window from another world": (_put("train", "exposures_begin", 10**9), "refers to exposures"),
    "window below zero": (_put("train", "page_views_begin", -1), "refers to page_views"),
    "window of less than nothing": (_put("train", "exposures_count", -1), "refers to exposures"),
    "window too long": (_head(limits={"candidates": 10, "exposures": 2, "page_views": 8}), "refers to exposures that"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_folder_is_an_error_of_one_line(folder: Path, fault: str) -> None:
    damage, said = FAULTS[fault]
    damage(folder)
    with pytest.raises(FormatError, match=said) as caught:
        read_all(open_samples(folder))
    assert "\n" not in str(caught.value).strip()


def read_all(samples: Samples) -> None:
    for split in SPLITS:
        for shard in samples.shards(split):
            make_batch(shard, np.arange(len(shard.requests)))


@cache
def _files(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


@settings(max_examples=60)
@given(data=st.data())
@pytest.mark.filterwarnings("ignore")  # NumPy warns about damaged headers.
def test_damage_of_samples_gives_an_edgerec_error_or_does_no_harm(folder: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(_files(folder)))
    intact = (folder / name).read_bytes()
    content = bytearray(intact)
    for _ in range(data.draw(st.integers(1, 3))):
        # Arrays have their headers in the first bytes, Parquet files in the last ones.
        near = data.draw(st.integers(0, min(len(content), 140) - 1))
        place = near if name.suffix == ".npy" else len(content) - 1 - near * (len(content) // 140 or 1)
        content[place] = data.draw(st.integers(0, 255))
    (folder / name).write_bytes(content)
    try:
        read_all(open_samples(folder))
    except (FormatError, SpecificationError) as error:
        assert "\n" not in str(error)  # noqa: PT017 - whatever is raised has to be one line
    finally:
        (folder / name).write_bytes(intact)


def test_a_served_feature_may_read_the_item_id(tmp_path: Path) -> None:
    identity = {"name": "identity", "source": "item_id", "origin": "served", "kind": "raw"}
    logs = make_logs(users=4)
    spec = logs.spec.model_dump(exclude_none=True)
    spec["item"] = [*spec["item"], identity]
    samples = build(tmp_path, replace(logs, spec=FeatureSpec.model_validate(spec)))
    fitted = samples.head.spec.item[-1]
    for shard in samples.shards(TRAIN):
        known = samples.items.item_id
        values = shard.requests.item.numbers[:, -1] * fitted.scale + fitted.mean
        assert np.isin(np.round(values), known).all()
