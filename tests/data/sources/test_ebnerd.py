from __future__ import annotations

import copy
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from edgerec.core.errors import LogsError
from edgerec.data.logs import Logs, load_logs, write_logs
from edgerec.data.sources.ebnerd import Ebnerd
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.features.encoder import GroupEncoder
from edgerec.features.spec import of_origin
from edgerec.features.vocabulary import Vocabulary
from tests.data.sources.imported import imported

SERVED = list(dict.fromkeys(feature.source for feature in of_origin(Ebnerd.spec().item, "served")))

WEEK_1 = datetime(2024, 1, 8, 7)
START = int((WEEK_1 - datetime(1970, 1, 1)).total_seconds()) * 1000
DAY, HOUR = 86_400, 3_600

Row = dict[str, Any]
Bundle = dict[str, list[Row]]


def page(number: int, user: int, at: int, inview: list[int], clicked: list[int], **more: Any) -> Row:
    """Return a row of the file `behaviors`: a page that was shown `at` seconds after the start of the train week."""
    row = {"read_time": 0.0, "scroll_percentage": None, "next_read_time": None, "next_scroll_percentage": None}
    listed = {"article_id": None, "article_ids_inview": inview, "article_ids_clicked": clicked}
    return {"impression_id": number, "user_id": user, "at": at, **listed, **row, **more}


def click(user: int, at: int, article: int, read: float, scroll: float | None) -> Row:
    """Return a click of the file `history`, `at` seconds after the start of the train week."""
    return {"user_id": user, "at": at, "article": article, "read": read, "scroll": scroll}


EXAMPLE: Bundle = {
    "train": [
        page(1, 1, 0, [11, 12], [12], read_time=10.0, next_read_time=30.0, next_scroll_percentage=80.0),
        page(2, 2, 5, [12, 13], [12, 12], read_time=20.0, scroll_percentage=100.0),
        page(3, 1, 10, [12, 11], [11, 12], next_read_time=5.0),
        page(4, 1, 11, [12, 13], [13], read_time=60.0, next_read_time=2.0),
    ],
    "validation": [
        page(1, 2, 7 * DAY, [11, 14], [15], read_time=None, next_read_time=3.0),
        page(2, 2, 7 * DAY + 2 * HOUR, [13], [], read_time=5.0),
    ],
    "train_history": [click(1, -2 * HOUR, 11, 60.0, 50.0)],
    "validation_history": [
        click(1, -2 * HOUR, 11, 60.0, 50.0),
        click(1, DAY, 12, 4.0, 9.0),
        click(3, -HOUR, 14, 0.0, None),
    ],
}


def write_bundle(folder: Path, bundle: Bundle) -> Path:
    """Write `bundle` in the file format of EB-NeRD."""
    for split in ("train", "validation"):
        (folder / split).mkdir(parents=True)
        rows = [{**row, "impression_time": WEEK_1 + timedelta(seconds=row["at"])} for row in bundle[split]]
        integers = {**dict.fromkeys(("impression_id", "user_id"), pl.UInt32), "article_id": pl.Int32}
        lists = {name: pl.List(pl.Int32) for name in ("article_ids_inview", "article_ids_clicked")}
        names = ("read_time", "scroll_percentage", "next_read_time", "next_scroll_percentage")
        floats = dict.fromkeys(names, pl.Float32)
        schema = {**integers, "impression_time": pl.Datetime("us"), **lists, **floats}
        pl.DataFrame([{name: row[name] for name in schema} for row in rows], schema=schema).write_parquet(
            folder / split / "behaviors.parquet"
        )
        clicks: dict[int, list[Row]] = {}
        for row in bundle[f"{split}_history"]:
            clicks.setdefault(row["user_id"], []).append(row)
        pl.DataFrame(
            {
                "user_id": list(clicks),
                "impression_time_fixed": [[WEEK_1 + timedelta(seconds=r["at"]) for r in rs] for rs in clicks.values()],
                "scroll_percentage_fixed": [[r["scroll"] for r in rs] for rs in clicks.values()],
                "article_id_fixed": [[r["article"] for r in rs] for rs in clicks.values()],
                "read_time_fixed": [[r["read"] for r in rs] for rs in clicks.values()],
            },
            schema={
                "user_id": pl.UInt32,
                "impression_time_fixed": pl.List(pl.Datetime("us")),
                "scroll_percentage_fixed": pl.List(pl.Float32),
                "article_id_fixed": pl.List(pl.Int32),
                "read_time_fixed": pl.List(pl.Float32),
            },
        ).write_parquet(folder / split / "history.parquet")
    features = folder / "article_features"
    features.mkdir()
    articles = pl.Series("article_id", [11, 12, 99], dtype=pl.Int32)
    lengths = pl.Series("article_length", [700, 1500, 90], dtype=pl.UInt32)
    pl.DataFrame([articles, lengths]).write_parquet(features / "article_length.parquet")
    premium = pl.Series("premium", [0, 1, 1], dtype=pl.Float32)
    pl.DataFrame([articles, premium]).write_parquet(features / "premium_articles.parquet")
    return folder


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Logs:
    return imported(Ebnerd, write_bundle(tmp_path_factory.mktemp("ebnerd"), EXAMPLE))[0]


def request(logs: Logs, request_id: int) -> Row:
    return logs.requests.row(by_predicate=pl.col("request_id") == request_id, named=True)


def of_user(logs: Logs, user: int, kind: str, *columns: str) -> list[tuple[Any, ...]]:
    """Return time (seconds after the start of the train week), item and `columns` of a user's events."""
    table = logs.events.filter((pl.col("user_id") == user) & (pl.col("kind") == kind))
    return table.select((pl.col("time") - START) / 1000, "item_id", *columns).rows()


def test_counts_and_test_period(logs: Logs) -> None:
    # An article that is clicked twice in one list is one positive label and two clicks. Unlisted articles do not count.
    assert logs.counts() == {"requests": 6, "exposures": 11, "clicks": 6, "users": 2}
    assert logs.requests["clicked"].explode().sum() == 5
    assert logs.head.test_from == START + 7 * DAY * 1000


def test_request_ids_are_unique_over_both_splits(logs: Logs) -> None:
    assert logs.requests["request_id"].to_list() == [1, 2, 3, 4, 6, 7]


def test_each_list_is_one_request(logs: Logs) -> None:
    row = request(logs, 2)
    assert (row["user_id"], row["time"], row["trigger"], row["model_version"]) == (2, START + 5000, "page", None)
    assert (row["item_id"], row["clicked"], row["click_count"]) == ([12, 13], [1, 0], [2, 0])
    assert request(logs, 6)["clicked"] == [0, 0]


def test_served_values_use_only_what_is_known_before_the_request(logs: Logs) -> None:
    # The first list ends at 10 s. A request at 10 s does not yet know the click of this list.
    assert request(logs, 3)["clicks_1h"] == [0, 0]
    # A request at 11 s knows the lists that ended at 10 s (two clicks on 12), but not the list that ends at 25 s.
    row = request(logs, 4)
    assert row["clicks_1h"] == row["clicks_6h"] == row["clicks_24h"] == [2, 0]
    assert row["ctr_1h"] == pytest.approx([(2 + 20 * 0.09) / (2 + 20), 0.09])
    assert request(logs, 6)["clicks_24h"] == [0, 0]


def test_user_exposures_count_a_list_from_the_time_at_which_it_is_shown(logs: Logs) -> None:
    # At 5 s, user 1 still reads the first list. Lists of user 1 do not count for user 2.
    assert request(logs, 2)["user_exposures"] == [0, 0]
    assert request(logs, 3)["user_exposures"] == [1, 1]
    assert request(logs, 4)["user_exposures"] == [2, 0]


def test_age_counts_from_the_first_listing_or_click(logs: Logs) -> None:
    assert request(logs, 1)["age_h"] == [2.0, 0.0]
    assert request(logs, 4)["age_h"] == pytest.approx([11 / 3600, 6 / 3600])
    assert request(logs, 6)["age_h"] == [170.0, 169.0]


def test_exposures_become_known_when_the_page_is_left(logs: Logs) -> None:
    columns = ("exposure_duration_s", "exposure_count", "time_decay_s")
    assert of_user(logs, 1, "exposure", *columns) == [
        (10.0, 11, 10.0, 1, None),
        (10.0, 12, 10.0, 1, None),
        (10.0, 12, 0.0, 1, None),
        (10.0, 11, 0.0, 1, None),
        (71.0, 12, 60.0, 3, 61.0),
        (71.0, 13, 60.0, 1, 61.0),
    ]
    # The list at the start of the second week has no reading time. So it ends at the time at which it starts.
    assert of_user(logs, 2, "exposure", "exposure_duration_s", "scroll_percentage")[:4] == [
        (25.0, 12, 20.0, 100.0),
        (25.0, 13, 20.0, 100.0),
        (7.0 * DAY, 11, None, None),
        (7.0 * DAY, 14, None, None),
    ]


def test_page_views_become_known_when_the_article_is_left(logs: Logs) -> None:
    columns = ("page_duration_s", "scroll_depth", "time_decay_s")
    assert of_user(logs, 1, "page_view", *columns) == [
        (-7140.0, 11, 60.0, 50.0, None),
        # If several articles are opened from one list, `next_read_time` belongs to the first of them.
        (10.0, 12, None, None, 7150.0),
        (15.0, 11, 5.0, None, 5.0),
        (40.0, 12, 30.0, 80.0, 25.0),
        (73.0, 13, 2.0, None, 33.0),
    ]
    assert of_user(logs, 2, "page_view", "page_duration_s") == [(25.0, 12, None), (7.0 * DAY + 3, 15, 3.0)]
    assert of_user(logs, 3, "page_view", *columns) == [(-3600.0, 14, 0.0, None, None)]


def test_events_have_the_served_values_of_their_list(logs: Logs) -> None:
    listed = logs.requests.explode("item_id", *SERVED)
    four = listed.filter(pl.col("request_id") == 4).select("item_id", *SERVED)
    last = logs.events.filter((pl.col("user_id") == 1) & (pl.col("time") == START + 71_000))
    assert_frame_equal(last.select("item_id", *SERVED), four)
    view = logs.events.filter((pl.col("user_id") == 1) & (pl.col("time") == START + 73_000))
    assert_frame_equal(view.select("item_id", *SERVED), four[1:])


def test_events_of_the_history_have_an_age_but_no_other_served_values(logs: Logs) -> None:
    row = logs.events.row(by_predicate=pl.col("user_id") == 3, named=True)
    assert row["age_h"] == 0.0
    assert [row[name] for name in SERVED if name != "age_h"] == [None] * 17


def test_every_article_that_any_file_names_is_an_item(logs: Logs) -> None:
    assert logs.items["item_id"].to_list() == [11, 12, 13, 14, 15, 99]
    assert logs.items["article"].to_list() == logs.items["item_id"].to_list()
    assert logs.items["article_length"].to_list() == [700, 1500, None, None, None, 90]
    assert logs.items["premium"].to_list() == [0, 1, None, None, None, 1]


def test_a_second_import_gives_the_same_bytes(logs: Logs, tmp_path: Path) -> None:
    write_logs(logs, tmp_path / "a")
    again = imported(Ebnerd, write_bundle(tmp_path / "source", EXAMPLE))[0]
    write_logs(again, tmp_path / "b")
    for name in ("items.parquet", "events/part-00000.parquet", "requests/part-00000.parquet", "features.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert_frame_equal(load_logs(tmp_path / "a").events, logs.events)


def test_the_specification_reads_the_logs(logs: Logs) -> None:
    spec = Ebnerd.spec()
    for kind in BEHAVIOUR_KINDS:
        features, table = spec.actions(kind), logs.events.filter(pl.col("kind") == kind.name)
        encoder = GroupEncoder(features)
        dense = encoder.expand(encoder.encode({f.source: table[f.source].to_numpy() for f in features}))
        assert dense.shape == (len(table), encoder.width)
        assert (dense.sum(1) == len(features)).all()
    assert Vocabulary.fit(logs.items["article"].to_numpy(), size=20_000, min_count=1).rows == 7


# Tests of leakage: later events must not change earlier requests and events.


def random_bundle(rng: np.random.Generator) -> Bundle:
    def pages(first: int, begin: int) -> list[Row]:
        rows = []
        # Times are on a coarse grid, so that many are equal.
        for number, at in enumerate(np.sort(rng.integers(0, 12, 14)) * 10):
            inview = rng.choice(np.arange(1, 9), rng.integers(1, 5), replace=False).tolist()
            clicked = rng.choice([*inview, 9], rng.integers(0, 3)).tolist()
            rows.append(
                page(
                    first + number,
                    int(rng.integers(1, 4)),
                    begin + int(at),
                    inview,
                    clicked,
                    read_time=float(rng.integers(0, 5) * 10),
                    scroll_percentage=None if rng.random() < 0.5 else float(rng.integers(0, 101)),
                    next_read_time=None if rng.random() < 0.2 else float(rng.integers(0, 5) * 10),
                    next_scroll_percentage=None if rng.random() < 0.2 else float(rng.integers(0, 101)),
                )
            )
        return rows

    def clicks(begin: int) -> list[Row]:
        return [
            click(int(rng.integers(1, 5)), begin + int(at) * 10, int(rng.integers(1, 11)), float(read) * 10, 5.0)
            for at, read in zip(rng.integers(0, 20, 10), rng.integers(0, 4, 10), strict=True)
        ]

    return {
        "train": pages(100, 0),
        "validation": pages(200, 130),
        "train_history": clicks(-150),
        "validation_history": clicks(-100),
    }


def other_future(bundle: Bundle, instant: int, rng: np.random.Generator) -> Bundle:
    """Return `bundle` with new random values for all that is unknown at `instant`. They become known later."""
    changed = copy.deepcopy(bundle)

    def later(than: float) -> float:
        return instant - than + float(rng.integers(1, 60))

    for split in ("train", "validation"):
        for row in changed[split]:
            ended = row["at"] + row["read_time"]
            if row["at"] > instant:
                row["article_ids_inview"] = rng.choice(np.arange(1, 12), rng.integers(1, 6), replace=False).tolist()
                row["user_id"] = int(rng.integers(1, 5))
            if ended > instant:
                row["read_time"] = max(later(row["at"]), 0.0)
                row["scroll_percentage"] = float(rng.integers(0, 101))
                row["article_ids_clicked"] = rng.choice(row["article_ids_inview"], rng.integers(0, 4)).tolist()
                row["next_read_time"] = float(rng.integers(0, 90))
                row["next_scroll_percentage"] = float(rng.integers(0, 101))
            elif row["next_read_time"] is not None and ended + row["next_read_time"] > instant:
                row["next_read_time"] = later(ended)
                row["next_scroll_percentage"] = None
        for row in changed[f"{split}_history"]:
            if row["at"] > instant:
                row["article"] = int(rng.integers(1, 12))
                row["at"] += int(rng.integers(0, 50))
            if row["at"] + row["read"] > instant:
                row["read"] = max(later(row["at"]), 0.0)
                row["scroll"] = None
    return changed


def known(logs: Logs, instant: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the requests without their labels, and the events, with times up to `instant` (seconds)."""
    requests, events = (
        table.filter(pl.col("time") <= START + instant * 1000) for table in (logs.requests, logs.events)
    )
    return requests.drop("clicked", "click_count"), events


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), instant=st.integers(-12, 27).map(lambda tens: 10 * tens))
def test_later_events_do_not_change_the_past(seed: int, instant: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    rng = np.random.default_rng(seed)
    bundle = random_bundle(rng)
    before = imported(Ebnerd, write_bundle(tmp_path_factory.mktemp("one"), bundle))[0]
    after = imported(Ebnerd, write_bundle(tmp_path_factory.mktemp("other"), other_future(bundle, instant, rng)))[0]
    for one, other in zip(known(before, instant), known(after, instant), strict=True):
        assert_frame_equal(one, other, check_exact=True)


# Tests of faulty sources: each error is one line.


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LogsError, match=r"^EB-NeRD: .*nowhere is not a folder"):
        imported(Ebnerd, tmp_path / "nowhere")[0]


def test_a_wrong_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LogsError, match=r"behaviors.parquet does not exist"):
        imported(Ebnerd, tmp_path)[0]


FILES = [f"{split}/{name}.parquet" for split in ("train", "validation") for name in ("behaviors", "history")]
FILES += [f"article_features/{name}.parquet" for name in ("article_length", "premium_articles")]


def fraction(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Float64) + 0.9


ODD: dict[str, tuple[str, dict[str, pl.Expr], str]] = {
    "an article ID with a fraction": (
        FILES[-2], {"article_id": fraction("article_id")}, r"article_id should be Int64; row 1 .* holds 11\.9"),
    "listed article IDs with a fraction": (
        FILES[0], {"article_ids_inview": pl.col("article_ids_inview").list.eval(pl.element() + 0.9)},
        r"article_ids_inview should be List\(Int64\); row 1 .* holds 11\.9"),
    "a user ID of 1.9": (FILES[0], {"user_id": fraction("user_id")}, r"user_id should be .*; row 1 .* holds 1\.9"),
    "a time with a fraction of a millisecond": (
        FILES[0], {"impression_time": pl.col("impression_time") + pl.duration(microseconds=1)},
        "impression_time should be Datetime.*; row 1 .* holds datetime"),
    "a premium flag of 0.5": (FILES[-1], {"premium": pl.lit(0.5)}, r"premium should be Int64; row 1 .* holds 0\.5"),
    "an article twice": (FILES[-1], {"article_id": pl.lit(11)}, "article_id should be unique; 11 occurs more"),
}  # fmt: skip


@pytest.mark.parametrize("fault", ODD)
def test_a_value_that_a_cast_would_change_is_an_error(tmp_path: Path, fault: str) -> None:
    name, change, said = ODD[fault]
    file = write_bundle(tmp_path, EXAMPLE) / name
    pl.read_parquet(file).with_columns(**change).write_parquet(file)
    with pytest.raises(LogsError, match=said) as caught:
        imported(Ebnerd, tmp_path)[0]
    assert str(caught.value).startswith(f"EB-NeRD: {file}: ")


def test_lists_of_a_fixed_length_are_accepted(tmp_path: Path, logs: Logs) -> None:
    file = write_bundle(tmp_path, EXAMPLE) / "train" / "behaviors.parquet"
    pl.read_parquet(file).cast({"article_ids_inview": pl.Array(pl.Int32, 2)}).write_parquet(file)
    assert_frame_equal(imported(Ebnerd, tmp_path)[0].requests, logs.requests)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("fault", ["missing", "truncated", "text", "column"])
def test_a_faulty_file_is_an_error(tmp_path: Path, name: str, fault: str) -> None:
    file = write_bundle(tmp_path / "source", EXAMPLE) / name
    if fault == "missing":
        file.unlink()
    elif fault == "column":
        pl.read_parquet(file).rename({pl.read_parquet(file).columns[-1]: "other"}).write_parquet(file)
    else:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2] if fault == "truncated" else b"a,b\n1,2\n")
    said = {"missing": "does not exist", "column": "has no column"}.get(fault, "cannot be read as Parquet")
    with pytest.raises(LogsError, match=said) as caught:
        imported(Ebnerd, tmp_path / "source")[0]
    assert "\n" not in str(caught.value)
    assert file.name in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"read_time": -1.0}, "read_time should be seconds"),
        ({"read_time": 1e17}, r"/behaviors\.parquet: read_time should be seconds from 0 to 86400"),
        ({"next_read_time": 86_401.0}, "next_read_time should be seconds"),
        ({"next_read_time": float("nan")}, "next_read_time should be seconds"),
        ({"article_ids_inview": []}, "impression 1 lists no article"),
        ({"article_ids_inview": [-4]}, "article_ids_inview should hold IDs"),
        ({"article_ids_clicked": None}, "article_ids_clicked has no value in 1 rows"),
        ({"at": 8 * DAY}, "train should end before validation begins"),
        ({"impression_id": 2}, "request_id should be unique"),
    ],
)
def test_a_faulty_row_is_an_error(tmp_path: Path, change: Row, said: str) -> None:
    bundle = copy.deepcopy(EXAMPLE)
    bundle["train"][0].update(change)
    with pytest.raises(LogsError, match=said) as caught:
        imported(Ebnerd, write_bundle(tmp_path / "source", bundle))[0]
    assert "\n" not in str(caught.value)


def test_a_faulty_duration_in_the_history_is_an_error(tmp_path: Path) -> None:
    bundle = copy.deepcopy(EXAMPLE)
    bundle["validation_history"][0]["read"] = 1e17
    with pytest.raises(LogsError, match=r"history\.parquet: read_time_fixed should be seconds") as caught:
        imported(Ebnerd, write_bundle(tmp_path / "source", bundle))[0]
    assert "\n" not in str(caught.value)


# Tests on the real data set. They are skipped if it is missing.


def gauc(requests: pl.DataFrame, score: str) -> float:
    """Return the mean AUC of lists with a click and a non-click, weighted by length. A tie counts 0.5."""
    areas, weights = [], []
    for labels, scores in requests.select("clicked", score).iter_rows():
        label, value = np.array(labels) == 1, np.array(scores)
        if label.any() and not label.all():
            gap = value[label][:, None] - value[~label][None, :]
            areas.append(float((np.sign(gap) + 1).mean() / 2))
            weights.append(len(label))
    return float(np.average(areas, weights=weights))


@pytest.mark.slow
def test_counts_of_the_real_data_set(ebnerd_logs: Logs) -> None:
    assert {**ebnerd_logs.counts(), "users": 0} == {
        "requests": 50_080,
        "exposures": 583_054,
        "clicks": 50_393,
        "users": 0,
    }
    train = ebnerd_logs.requests.filter(pl.col("time") < ebnerd_logs.head.test_from)
    assert (len(train), len(train["clicked"].explode())) == (24_724, 278_139)


@pytest.mark.slow
def test_figures_of_simple_rankers_on_the_real_data_set(ebnerd_logs: Logs) -> None:
    test = ebnerd_logs.requests.filter(pl.col("time") >= ebnerd_logs.head.test_from)
    fewest = pl.col("user_exposures").list.eval(-pl.element())
    test = test.with_columns(fewest=fewest)
    assert gauc(test, "clicks_24h") == pytest.approx(0.727, abs=0.001)
    assert gauc(test, "fewest") == pytest.approx(0.589, abs=0.001)
    assert gauc(test, "item_id") == pytest.approx(0.547, abs=0.001)
