from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
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
from edgerec.data.logs import Logs, write_logs
from edgerec.data.sources import _movielens_files, movielens
from edgerec.data.sources._movielens_files import GENRES, INTER, ITEM, MEMBERS, USER
from edgerec.data.sources.movielens import MAX_LIST, MAX_PER_SECOND, PAUSE_S, Movielens
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.features.encoder import GroupEncoder
from edgerec.features.spec import of_origin
from edgerec.model.metrics import gauc
from tests.data.real_data import real_data
from tests.data.sources.imported import imported

SERVED = list(dict.fromkeys(feature.source for feature in of_origin(Movielens.spec().item, "served")))

START = 800_000_000
"""The second of the first rating of the example."""


@dataclass(frozen=True)
class Rated:
    """A rating, `at` seconds after the first one. All users and films of these tests are invented."""

    user: int
    film: int
    stars: int
    at: int


FILMS = {
    1: ("A Quiet Harbour", "1994", "Drama Romance"),
    2: ('The "Last" Ferry', "1931", "Children's Sci-Fi"),
    3: ("Unnamed", "V", "unknown"),
}
USERS = {1: (34, "F", "writer"), 2: (19, "M", "student")}

# User 1 rates twelve films in one visit, and one film long after it. User 2 begins later. No file has user 3 and films
# above 3.
EXAMPLE = [
    Rated(2, 1, 5, 100),
    Rated(1, 1, 4, 0),
    Rated(1, 3, 3, 0),
    Rated(1, 2, 5, 0),
    *(Rated(1, film, 1 + film % 5, film) for film in range(4, 13)),
    Rated(1, 50, 4, 12 + PAUSE_S + 1),
    Rated(3, 2, 2, 60),
    Rated(2, 2, 2, 101),
]


def texts(rows: list[Rated]) -> dict[str, str]:
    """Return the three files of `rows`, in RecBole's format."""
    inter = [f"{row.user}\t{row.film}\t{row.stars}\t{START + row.at}" for row in rows]
    item = [f"{film}\t{title}\t{year}\t{genres}" for film, (title, year, genres) in FILMS.items()]
    user = [f"{user}\t{age}\t{gender}\t{work}\t00000" for user, (age, gender, work) in USERS.items()]
    heads = {
        INTER: "user_id:token\titem_id:token\trating:float\ttimestamp:float",
        ITEM: "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq",
        USER: "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token",
    }
    return {name: "\n".join([heads[name], *lines, ""]) for name, lines in ((INTER, inter), (ITEM, item), (USER, user))}


def write_files(folder: Path, rows: list[Rated]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts(rows).items():
        (folder / name).write_text(text)
    return folder


def write_wheel(path: Path, rows: list[Rated], *, more: dict[str, bytes] | None = None, compression: int = 8) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in (more or {}).items():
            archive.writestr(name, content)
        for name, text in texts(rows).items():
            archive.writestr(MEMBERS + name, text)
    return path


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> tuple[Logs, dict[str, Any]]:
    return imported(Movielens, write_files(tmp_path_factory.mktemp("movielens"), EXAMPLE))


@pytest.fixture(scope="module")
def logs(example: tuple[Logs, dict[str, Any]]) -> Logs:
    return example[0]


def since_start(column: str) -> pl.Expr:
    return pl.col(column) - START * 1000


def test_counts(example: tuple[Logs, dict[str, Any]]) -> None:
    logs, counts = example
    assert logs.counts() == {"requests": 5, "exposures": 16, "clicks": 7, "users": 3}
    assert counts["left_out"] == 0


def test_a_list_has_ten_films_in_a_row_and_ends_before_a_pause(logs: Logs) -> None:
    lists = [(user, asked, sorted(films)) for user, asked, films in logs.requests["user_id", "time", "item_id"].rows()]
    assert [(user, asked - START * 1000, films) for user, asked, films in lists] == [
        (1, 0, list(range(1, 11))),
        (1, 11_000, [11, 12]),
        (3, 60_000, [2]),
        (2, 100_000, [1, 2]),
        (1, (12 + PAUSE_S + 1) * 1000, [50]),
    ]
    assert logs.requests["request_id"].to_list() == [0, 1, 2, 3, 4]


def test_a_pause_of_an_hour_does_not_end_a_list(tmp_path: Path) -> None:
    rows = [*EXAMPLE, Rated(4, 1, 3, 0), Rated(4, 2, 3, PAUSE_S)]
    logs, _ = imported(Movielens, write_files(tmp_path, rows))
    assert logs.requests.filter(pl.col("user_id") == 4)["item_id"].list.len().to_list() == [2]


def test_ratings_of_one_second_keep_the_order_of_the_file(logs: Logs) -> None:
    events = logs.events.filter((pl.col("user_id") == 1) & (pl.col("kind") == "exposure"))
    assert events.select(since_start("time"), "item_id", "rating").rows()[:4] == [
        (1, 1, 4),
        (3, 3, 3),
        (5, 2, 5),
        (4001, 4, 5),
    ]


def test_clicks_and_page_views_are_ratings_of_four_and_five(logs: Logs) -> None:
    labels = logs.requests.select("user_id", "item_id", "clicked").explode("item_id", "clicked")
    stars = {(row.user, row.film): row.stars for row in EXAMPLE}
    assert {(user, film): label for user, film, label in labels.rows()} == {
        pair: int(star >= 4) for pair, star in stars.items()
    }
    views = logs.events.filter(pl.col("kind") == "page_view")
    assert {(user, film): star for user, film, star in views["user_id", "item_id", "rating"].rows()} == {
        pair: star for pair, star in stars.items() if star >= 4
    }


def test_the_order_of_candidates_tells_neither_labels_nor_the_order_of_ratings(tmp_path: Path, logs: Logs) -> None:
    def turned(rows: list[Rated]) -> list[Rated]:
        """Give the first list of user 1 its films in the opposite order, with other ratings."""
        mine = [row for row in rows if row.user == 1][:MAX_LIST]
        other = {
            row: replace(row, film=last.film, stars=6 - row.stars)
            for row, last in zip(mine, reversed(mine), strict=True)
        }
        return [other.get(row, row) for row in rows]

    after, _ = imported(Movielens, write_files(tmp_path, turned(EXAMPLE)))
    first, second = logs.requests.row(0, named=True), after.requests.row(0, named=True)
    assert first["clicked"] != second["clicked"]
    assert first["item_id"] == second["item_id"]
    assert first["item_id"] not in (sorted(first["item_id"]), sorted(first["item_id"], reverse=True))


def test_candidates_are_in_no_order_of_labels_films_or_time(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    # Films with small IDs are liked, and films that are rated first, too.
    films = {user: np.sort(rng.choice(np.arange(1, 400), 100, replace=False)) for user in range(1, 31)}
    rows = [
        Rated(user, int(film), 5 if place % MAX_LIST < 5 else 1, place)
        for user in films
        for place, film in enumerate(films[user])
    ]
    logs, _ = imported(Movielens, write_files(tmp_path, rows))
    flat = logs.requests.select("request_id", "clicked", place=pl.int_ranges(0, pl.col("item_id").list.len())).explode(
        "clicked", "place"
    )
    reached = gauc(
        flat["request_id"].to_numpy(), flat["clicked"].to_numpy(), -flat["place"].to_numpy().astype(np.float64)
    )
    # 300 lists, each with an AUC of standard deviation 0.19.
    assert reached == pytest.approx(0.5, abs=0.05)


def test_served_values_use_only_earlier_ratings(logs: Logs) -> None:
    rows = {
        (user, film): (count, mean, share)
        for user, film, count, mean, share in logs.requests.select("user_id", "item_id", *SERVED)
        .explode("item_id", *SERVED)
        .rows()
    }
    assert rows[1, 1] == pytest.approx((0, 3.5, 0.55))
    assert rows[3, 2] == pytest.approx((1, (5 + 35) / 11, (1 + 5.5) / 11))
    assert rows[2, 1] == pytest.approx((1, (4 + 35) / 11, (1 + 5.5) / 11))
    assert rows[2, 2] == pytest.approx((2, (5 + 2 + 35) / 12, (1 + 5.5) / 12))


def test_events_have_the_served_values_of_their_list(logs: Logs) -> None:
    listed = logs.requests.explode("item_id", "clicked", *SERVED).select("user_id", "item_id", *SERVED)
    events = logs.events.filter(pl.col("kind") == "exposure").select("user_id", "item_id", *SERVED)
    assert_frame_equal(events, listed, check_row_order=False)


def test_time_decay_counts_from_the_previous_rating(logs: Logs) -> None:
    mine = logs.events.filter(pl.col("user_id") == 2)
    assert mine.select("kind", "item_id", "time_decay_s").rows() == [
        ("exposure", 1, None),
        ("page_view", 1, None),
        ("exposure", 2, 1.0),
    ]


def test_items_have_genres_and_the_year(logs: Logs) -> None:
    first, second, third, fourth = logs.items.head(4).rows(named=True)
    assert (first["year"], second["year"], third["year"], fourth["year"]) == (1994, 1931, None, None)
    assert {name for name, value in first.items() if value == 1 and name.startswith("genre_")} == {
        "genre_drama",
        "genre_romance",
    }
    assert (second["genre_childrens"], second["genre_sci_fi"], second["genre_war"]) == (1, 1, 0)
    assert first["category"] == 2 ** GENRES.index("Drama") + 2 ** GENRES.index("Romance")
    assert (third["category"], third["genre_drama"], fourth["category"]) == (None, None, None)


def test_requests_have_the_attributes_of_the_user(logs: Logs) -> None:
    asked = logs.requests.select("user_id", "age", "gender", "occupation").unique("user_id").sort("user_id")
    assert asked.rows() == [(1, 34, "F", "writer"), (2, 19, "M", "student"), (3, None, None, None)]


def ten_users() -> list[Rated]:
    """Return ten users who begin one after the other; the first one comes back after all others."""
    rows = [Rated(user, film, 1 + (user + film) % 5, 10_000 * user + film) for user in range(10) for film in range(4)]
    return [*rows, *(Rated(0, film, 3, 200_000 + film) for film in range(4, 10))]


def test_the_test_period_begins_when_the_last_tenths_of_users_begin(tmp_path: Path) -> None:
    logs, counts = imported(Movielens, write_files(tmp_path, ten_users()))
    assert logs.head.test_from == (START + 70_000) * 1000
    later = logs.requests.filter(pl.col("time") >= logs.head.test_from)
    assert later["user_id"].to_list() == [7, 8, 9, 0]
    assert counts["left_out"] == 0


def test_a_split_by_users_leaves_only_new_users_in_the_test_period(tmp_path: Path) -> None:
    everything, _ = imported(Movielens, write_files(tmp_path, ten_users()))
    logs, counts = imported(Movielens, tmp_path, split="users")
    assert logs.head == everything.head
    later = logs.requests.filter(pl.col("time") >= logs.head.test_from)
    assert later["user_id"].to_list() == [7, 8, 9]
    assert counts["left_out"] == 6
    assert not len(logs.events.filter((pl.col("time") >= logs.head.test_from) & (pl.col("user_id") == 0)))
    earlier = [table.filter(pl.col("time") < logs.head.test_from) for table in (everything.events, logs.events)]
    assert_frame_equal(*earlier)


def test_the_order_of_users_in_the_files_does_not_matter(tmp_path: Path, logs: Logs) -> None:
    # The order of a user's own ratings stays.
    other, _ = imported(Movielens, write_files(tmp_path, sorted(EXAMPLE, key=lambda row: -row.user)))
    for one, two in ((logs.events, other.events), (logs.requests, other.requests), (logs.items, other.items)):
        assert_frame_equal(one, two)


def test_the_specification_reads_the_logs(logs: Logs, tmp_path: Path) -> None:
    spec = Movielens.spec()
    for kind in BEHAVIOUR_KINDS:
        features, table = spec.actions(kind), logs.events.filter(pl.col("kind") == kind.name)
        encoder = GroupEncoder(features)
        columns = {f.source: table[f.source].cast(pl.Float64).fill_null(np.nan).to_numpy() for f in features}
        dense = encoder.expand(encoder.encode(columns))
        assert dense.shape == (len(table), encoder.width)
        assert np.isfinite(dense).all()
    read = {feature.source for feature in of_origin(spec.item, "catalogue")}
    assert read == set(logs.items.columns) - {"item_id"}
    source = write_files(tmp_path / "ten", ten_users())
    write_logs(imported(Movielens, source)[0], tmp_path / "logs")
    assert write_samples(tmp_path / "logs", tmp_path / "samples").counts()["requests"] == 11


# Tests of leakage: later ratings must not change earlier requests and events.


def random_rows(rng: np.random.Generator) -> list[Rated]:
    """Return random ratings of four users. Times are on a coarse grid, so that many are equal."""
    rows = [
        Rated(user, int(film), int(rng.integers(1, 6)), int(rng.integers(0, 12)) * 10)
        for user in range(1, 5)
        for film in rng.permutation(np.arange(1, 20))
    ]
    return [rows[index] for index in rng.permutation(len(rows))]


def known(logs: Logs, instant: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the requests without labels, and the events, that are known at `instant` (seconds)."""
    until = (START + instant) * 1000
    requests = logs.requests.filter(pl.col("time") <= until).drop("clicked", "request_id")
    return requests, logs.events.filter(pl.col("time") <= until)


def both(seed: int, instant: int, folder: Path) -> tuple[tuple[pl.DataFrame, ...], tuple[pl.DataFrame, ...]]:
    """Return what is known at `instant`: first with the original later ratings, then with other stars."""
    rng = np.random.default_rng(seed)
    rows = random_rows(rng)
    changed = [replace(row, stars=int(rng.integers(1, 6))) if row.at >= instant else row for row in rows]
    before, _ = imported(Movielens, write_files(folder / "one", rows))
    after, _ = imported(Movielens, write_files(folder / "other", changed))
    return known(before, instant), known(after, instant)


@settings(max_examples=2)
@given(seed=st.integers(0, 2**32 - 1), instant=st.integers(0, 12).map(lambda tens: 10 * tens))
def test_later_ratings_do_not_change_the_past(
    seed: int, instant: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before, after = both(seed, instant, tmp_path_factory.mktemp("rows"))
    for one, other in zip(before, after, strict=True):
        assert_frame_equal(one, other, check_exact=True)


@settings(max_examples=2)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_request_knows_all_lists_before_it_and_nothing_of_its_own(
    seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    logs, _ = imported(
        Movielens, write_files(tmp_path_factory.mktemp("rows"), random_rows(np.random.default_rng(seed)))
    )
    for user, mine in logs.requests.sort("time").group_by("user_id"):
        before: list[int] = []
        for asked, films in mine["time", "item_id"].rows():
            seen = logs.events.filter((pl.col("user_id") == user[0]) & (pl.col("kind") == "exposure"))
            assert sorted(seen.filter(pl.col("time") < asked)["item_id"]) == sorted(before)
            before += films


at = Timeline.at


def peek(timeline: Timeline, keys: Integers, times: Integers) -> AsOfInstants:
    """A faulty past that includes ratings of the next minute."""
    return at(timeline, keys, times + 60_000)


def by_label(listed: pl.DataFrame) -> Any:
    """A faulty order of candidates: liked films first."""
    return (1 - listed["clicked"].to_numpy()).astype(np.uint64)


LEAKS = [("as_of.timeline.Timeline.at", peek)]


@pytest.mark.parametrize(("name", "leak"), LEAKS)
def test_a_leak_is_detected(name: str, leak: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"edgerec.data.{name}", leak)
    for seed in range(20):
        before, after = both(seed, 10 * (seed % 13), tmp_path / str(seed))
        if not all(one.equals(other) for one, other in zip(before, after, strict=True)):
            return
    pytest.fail("no change of later ratings changed an earlier request or event")


def test_an_order_that_carries_labels_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(movielens, "_keys", by_label)
    with pytest.raises(AssertionError):
        test_candidates_are_in_no_order_of_labels_films_or_time(tmp_path)


# Tests of the wheel.


def test_a_wheel_gives_the_same_logs_as_the_folder(tmp_path: Path, logs: Logs) -> None:
    # The other members of the wheel are not read, whatever they are.
    more = {
        "recbole/__init__.py": b"raise SystemExit(1)",
        "../outside.inter": b"x",
        f"{MEMBERS}ml-100k.kg": b"x",
        f"other/{INTER}": b"x",
        "recbole/model.pth": pickle.dumps([1]),
    }
    source = tmp_path / "recbole-1.2.1-py3-none-any.whl"
    found, _ = imported(Movielens, write_wheel(source, EXAMPLE, more=more))
    for one, two in ((logs.events, found.events), (logs.requests, found.requests), (logs.items, found.items)):
        assert_frame_equal(one, two)
    assert list(tmp_path.iterdir()) == [source]


def renamed(wheel: Path) -> None:
    wheel.write_bytes(wheel.read_bytes().replace(ITEM.encode(), b"ml-100k.film"))


def doubled(wheel: Path) -> None:
    with zipfile.ZipFile(wheel, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(MEMBERS + INTER, "another text")


def encrypted(wheel: Path) -> None:
    content = bytearray(wheel.read_bytes())
    # Bit 0 of the flags in each local header (at byte 6) and in each entry of the directory (at byte 8).
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.find(signature)
        while place >= 0:
            content[place + offset] |= 1
            place = content.find(signature, place + 1)
    wheel.write_bytes(content)


def flipped(wheel: Path) -> None:
    content = bytearray(wheel.read_bytes())
    content[content.find(INTER.encode()) + len(INTER) + 20] ^= 0xFF
    wheel.write_bytes(content)


def truncated(wheel: Path) -> None:
    wheel.write_bytes(wheel.read_bytes()[:-40])


def of_text(wheel: Path) -> None:
    wheel.write_text(texts(EXAMPLE)[INTER])


def in_bzip2(wheel: Path) -> None:
    write_wheel(wheel, EXAMPLE, compression=zipfile.ZIP_BZIP2)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (renamed, f"should have {MEMBERS}{ITEM} once; it has it 0 times"),
        (doubled, f"should have {MEMBERS}{INTER} once; it has it 2 times"),
        (encrypted, r"cannot be read as a wheel \(.*encrypted"),
        (flipped, "cannot be read as a wheel"),
        (truncated, "cannot be read as a wheel"),
        (of_text, "cannot be read as a wheel"),
        (in_bzip2, r"cannot be read as a wheel \(compression 12"),
    ],
)
def test_a_faulty_wheel_is_an_error(tmp_path: Path, damage: Callable[[Path], None], said: str) -> None:
    wheel = write_wheel(tmp_path / "recbole.whl", EXAMPLE)
    damage(wheel)
    with pytest.raises(LogsError, match=f"^MovieLens: .*{said}") as caught:
        imported(Movielens, wheel)
    assert "\n" not in str(caught.value)


def test_a_member_that_expands_too_far_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "recbole.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (INTER, ITEM, USER):
            archive.writestr(MEMBERS + name, b"0" * 5_000_000)
    read: list[int] = []
    original = zipfile.ZipExtFile.read

    def counted(member: zipfile.ZipExtFile, n: int | None = -1) -> bytes:
        content = original(member, n)
        read.append(len(content))
        return content

    monkeypatch.setattr(zipfile.ZipExtFile, "read", counted)
    monkeypatch.setattr(_movielens_files, "MAX_BYTES", 1_000_000)
    with pytest.raises(LogsError, match=f"{INTER} should have at most 1000000 bytes"):
        imported(Movielens, wheel)
    assert read == [1_000_001]


def test_a_file_or_wheel_that_is_too_large_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, wheel = write_files(tmp_path / "folder", EXAMPLE), write_wheel(tmp_path / "recbole.whl", EXAMPLE)
    monkeypatch.setattr(_movielens_files, "MAX_BYTES", 100)
    monkeypatch.setattr(_movielens_files, "MAX_WHEEL", 200)
    with pytest.raises(LogsError, match=f"{INTER} should have at most 100 bytes"):
        imported(Movielens, folder)
    with pytest.raises(LogsError, match=r"recbole\.whl should have at most 200 bytes"):
        imported(Movielens, wheel)


# Tests of faulty files: each error is one line.


def test_a_missing_source_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LogsError, match=r"^MovieLens: .*nowhere is neither a file nor a folder"):
        imported(Movielens, tmp_path / "nowhere")


@pytest.mark.parametrize("name", [INTER, ITEM, USER])
@pytest.mark.parametrize("fault", ["missing", "empty", "column", "value", "latin-1", "wide"])
def test_a_faulty_file_is_an_error(tmp_path: Path, name: str, fault: str) -> None:
    file = write_files(tmp_path, EXAMPLE) / name
    lines = file.read_text().splitlines()
    if fault == "missing":
        file.unlink()
    elif fault == "latin-1":
        file.write_bytes("\n".join([*lines, "9\té\té\té\té"]).encode("latin-1"))
    else:
        changed = {
            "empty": [],
            "column": [lines[0].replace(":token", ":other"), *lines[1:]],
            "value": [*lines, lines[1].partition("\t")[0]],
            "wide": [*lines, lines[1] + "\t1\t2\t3"],
        }
        file.write_text("\n".join(changed[fault]))
    said = {"missing": "does not exist", "column": "has no column", "value": "has no value in row"}
    with pytest.raises(LogsError, match=said.get(fault, "cannot be read")) as caught:
        imported(Movielens, tmp_path)
    assert "\n" not in str(caught.value)
    assert file.name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        (INTER, "2\t1\t5\t", "2\t1\t6\t", r"rating:float should be from 1 to 5; received 6"),
        (INTER, "2\t1\t5\t", "2\t1\t4.5\t", r"rating:float should be Int64; row 1 .* holds 4\.5"),
        (INTER, "2\t1\t5\t", "2\t1\tgood\t", r"rating:float should be Float64; row 1 .* holds 'good'"),
        (INTER, "2\t1\t5\t", "x2\t1\t5\t", r"user_id:token should be Int64; row 1 .* holds 'x2'"),
        (INTER, "2\t1\t5\t", "02\t1\t5\t", r"user_id:token should be Int64; row 1 .* holds '02'"),
        (INTER, "2\t1\t5\t", "2\t2147483648\t5\t", r"item_id:token should be from 0 to 2147483647"),
        (INTER, "2\t1\t5\t800000100", "2\t1\t5\t-1", r"timestamp:float should be from 0 to \d+; received -1"),
        (INTER, "2\t1\t5\t800000100", "2\t1\t5\t800000100000", r"timestamp:float should be from 0 to"),
        (INTER, "2\t1\t5\t", "2\t2\t5\t", "user 2 rates film 2 twice"),
        (ITEM, "\n2\t", "\n1\t", "item_id:token should be unique; received 1 more than once"),
        (ITEM, "Drama Romance", "Drama Sport", "class:token_seq should have genres of .*; received 'Sport'"),
        (USER, "\n2\t", "\n1\t", "user_id:token should be unique; received 1 more than once"),
        (USER, "\t34\t", "\t340\t", "age:token should be from 0 to 150; received 340"),
    ],
)
def test_a_faulty_row_is_an_error(tmp_path: Path, name: str, old: str, new: str, said: str) -> None:
    file = write_files(tmp_path, EXAMPLE) / name
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(LogsError, match=said) as caught:
        imported(Movielens, tmp_path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"MovieLens: {tmp_path}: {name}")


def test_a_file_without_ratings_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LogsError, match=f"{INTER} has no rows"):
        imported(Movielens, write_files(tmp_path, []))


def test_numbers_with_decimals_are_read_if_they_are_whole(tmp_path: Path, logs: Logs) -> None:
    file = write_files(tmp_path, EXAMPLE) / INTER
    table = pl.read_csv(io.StringIO(file.read_text()), separator="\t")
    table.cast({"rating:float": pl.Float64, "timestamp:float": pl.Float64}).write_csv(file, separator="\t")
    assert ".0" in file.read_text()
    assert_frame_equal(imported(Movielens, tmp_path)[0].events, logs.events)


def test_ratings_without_times_are_an_error(tmp_path: Path) -> None:
    rows = [Rated(1, film, 3, 0) for film in range(MAX_PER_SECOND)]
    logs, _ = imported(Movielens, write_files(tmp_path, rows))
    assert logs.events["time"].max() < (START + 1) * 1000
    with pytest.raises(LogsError, match=r"user 1 should have at most 499 ratings with one timestamp"):
        imported(Movielens, write_files(tmp_path, [*rows, Rated(1, 5000, 3, 0)]))


# Tests on the real data set. They are skipped if it is missing.


@pytest.fixture(scope="module")
def wheel() -> Path:
    folder = real_data("recbole", what="a folder with the wheel of recbole (`pip download recbole --no-deps`)")
    wheels = sorted(folder.glob("recbole-*.whl"))
    return wheels[-1] if wheels else pytest.skip(f"needs the wheel of recbole (recbole-*.whl) in {folder}")


@pytest.mark.slow
def test_counts_of_the_real_data_set(wheel: Path) -> None:
    logs, _ = imported(Movielens, wheel)
    assert logs.counts() == {"requests": 11_552, "exposures": 100_000, "clicks": 55_375, "users": 943}
    later = logs.requests.filter(pl.col("time") >= logs.head.test_from)
    assert (len(later), later["user_id"].n_unique(), len(later["clicked"].explode())) == (3_692, 414, 31_315)
    new, counts = imported(Movielens, wheel, split="users")
    later = new.requests.filter(pl.col("time") >= new.head.test_from)
    assert (len(later), later["user_id"].n_unique(), counts["left_out"]) == (2_966, 283, 4_297)


@pytest.mark.slow
def test_figures_of_simple_rankers_on_the_real_data_set(wheel: Path) -> None:
    logs, _ = imported(Movielens, wheel)
    test = logs.requests.filter(pl.col("time") >= logs.head.test_from).with_row_index("group")
    place = pl.int_ranges(0, pl.col("item_id").list.len())
    rows = test.select("group", "clicked", *SERVED, place=place).explode(pl.all().exclude("group"))
    group, label = rows["group"].to_numpy().astype(np.int64), rows["clicked"].to_numpy()
    scores = {"order": -rows["place"], **{name: rows[name] for name in SERVED}}
    reached = {name: gauc(group, label, score.to_numpy().astype(np.float64)) for name, score in scores.items()}
    expected = {"order": 0.5, "ratings": 0.555, "mean_rating": 0.655, "liked_share": 0.653}
    assert reached == pytest.approx(expected, abs=0.003)
