"""`edgerec init` finds the roles of columns, and its script turns the same files into logs with the right labels."""

from __future__ import annotations

import json
import runpy
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from edgerec.cli.starting import ROLES as OPTIONS
from edgerec.data.logs import Logs, load_logs, write_logs
from edgerec.data.starting.roles import BY_NAME
from edgerec.data.starting.start import write_start
from edgerec.features.hashed_ids import hash_id
from tests.command_line import document, edgerec_here
from tests.data.starting.tables_of_feeds import CASES, ROWS, Case, Shown, text_time

ROOT = Path(__file__).resolve().parents[3]


def converted(start: Path, raw: Path) -> Logs:
    """Run the script that `edgerec init` wrote, and return the logs after all checks."""
    write_logs(runpy.run_path(str(start / "make_logs.py"))["make_logs"](raw), start / "logs")
    return load_logs(start / "logs")


def check_format(start: Path) -> None:
    command = [sys.executable, "-m", "ruff", "format", "--check", "--config", str(ROOT / "pyproject.toml")]
    done = subprocess.run([*command, str(start / "make_logs.py")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def begin(folder: Path, case: Case, **more: Any) -> dict[str, Any]:
    (folder / "raw").mkdir(exist_ok=True)
    path = case.write(folder / "raw")
    told = {case.options[0].removeprefix("--"): [case.options[1]]} if case.options else {}
    return write_start([path], folder / "start", told=told, **more)


@pytest.mark.parametrize("name", CASES)
def test_roles_and_lists_are_found_and_the_script_runs(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    found = begin(tmp_path, case)
    assert {each["role"]: each["column"] for each in found["roles"]} == case.roles
    assert found["lists"]["by"] == case.lists
    assert {each["column"] for each in found["left_out"]} >= case.left_out
    kinds = {each["feature"]: each["kind"] for each in found["features"]}
    assert case.more.items() <= kinds.items(), kinds
    logs = converted(tmp_path / "start", tmp_path / "raw")
    check_format(tmp_path / "start")
    seen = [row for row in ROWS if "viewable" not in case.columns or row.place < 4]
    clicks = sum(row.clicked for row in seen)
    assert logs.events["kind"].value_counts().sort("kind")["count"].to_list() == [len(seen), clicks]
    if name == "labels of visits":  # Some visits show an item twice, and it has one label.
        assert logs.counts() == {"requests": 56, "exposures": 355, "clicks": 88, "users": 8}
    else:
        assert logs.counts() == {"requests": 60, "exposures": len(seen), "clicks": clicks, "users": 8}


def test_each_label_and_value_belongs_to_its_candidate(tmp_path: Path) -> None:
    begin(tmp_path, CASES["a shop"])
    logs = converted(tmp_path / "start", tmp_path / "raw")
    lists: dict[int, list[Shown]] = {}
    for row in ROWS:
        lists.setdefault(row.list, []).append(row)
    for request in logs.requests.iter_rows(named=True):
        rows = lists[request["request_id"]]
        assert request["item_id"] == [hash_id(f"S{row.item}") for row in rows]
        assert request["clicked"] == [int(row.clicked) for row in rows]
        assert request["score"] == pytest.approx([0.9 - row.place / 10 for row in rows])
        assert (request["user_id"], request["time"]) == (hash_id(f"c-{rows[0].user}"), rows[0].time)
        assert request["device"] == ("phone", "tablet")[rows[0].list % 2]
    views = logs.events.filter(kind="page_view").sort("time")
    clicked = [row for row in ROWS if row.clicked]
    # A page-view is known when it has ended.
    assert views["time"].to_list() == sorted(row.time + 40_000 + row.item for row in clicked)
    assert views["page_s"].sort().to_list() == pytest.approx(sorted(40 + row.item / 1000 for row in clicked))
    assert views["purchased"].null_count() == 0
    assert "purchased" not in logs.requests.columns


def test_an_item_that_was_not_seen_has_no_label(tmp_path: Path) -> None:
    begin(tmp_path, CASES["stories"])
    logs = converted(tmp_path / "start", tmp_path / "raw")
    assert logs.requests["clicked"].list.slice(4).explode().null_count() == 2 * len(logs.requests)
    assert logs.requests["clicked"].list.head(4).explode().null_count() == 0


def _two_files(folder: Path, *, with_lists: bool) -> list[Path]:
    shown = {
        "request_id": [f"q{row.list}" for row in ROWS],
        "user_id": [row.user for row in ROWS],
        "product_id": [row.item for row in ROWS],
        "time": [row.time for row in ROWS],
        "position": [row.place for row in ROWS],
    }
    clicked = [row for row in ROWS if row.clicked]
    clicks = {
        "request_id": [f"q{row.list}" for row in clicked] + ["unknown"],
        "user_id": [row.user for row in clicked] + [0],
        "product_id": [row.item for row in clicked] + [24],
        "time": [row.time + 5000 for row in clicked] + [ROWS[0].time - 1],
        "dwell_s": [12.5] * len(clicked) + [None],
        "bought": [row.item % 2 == 0 for row in clicked] + [None],
    }
    items = {"id": list(range(40)), "title": [f"product {number}" for number in range(40)]}
    items |= {"price": [5.0 + number**2 for number in range(40)], "kind": [number % 2 == 1 for number in range(40)]}
    for table in (shown, clicks):
        if not with_lists:
            del table["request_id"]
    paths = [folder / "impressions.csv", folder / "clicks.parquet", folder / "products.csv"]
    pl.DataFrame(shown).write_csv(paths[0])
    pl.DataFrame(clicks).write_parquet(paths[1])
    pl.DataFrame(items).write_csv(paths[2])
    return paths


@pytest.mark.parametrize("with_lists", [True, False])
def test_files_of_impressions_clicks_and_items_are_joined(with_lists: bool, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    paths = _two_files(tmp_path / "raw", with_lists=with_lists)
    found = write_start(paths, tmp_path / "start")
    assert {each["role"]: each["file"] for each in found["files"]} == {
        "impressions": "impressions.csv", "clicks": "clicks.parquet", "items": "products.csv",
    }  # fmt: skip
    assert any("1 click fits no impression" in each for each in found["check"])
    assert {each["column"] for each in found["left_out"]} >= {"title"}
    check_format(tmp_path / "start")
    logs = converted(tmp_path / "start", tmp_path / "raw")
    clicks = sum(row.clicked for row in ROWS)
    assert logs.counts() == {"requests": 60, "exposures": len(ROWS), "clicks": clicks, "users": 8}
    assert len(logs.items) == 40
    views = logs.events.filter(kind="page_view")
    # The click that fits no impression is a behaviour, without the time of a request.
    assert len(views) == clicks + 1
    assert views["offered_at"].null_count() == views["bought"].null_count() == 1
    assert (views.drop_nulls("offered_at").select(pl.col("time") - pl.col("offered_at"))["time"] == 17_500).all()
    labels = {
        (time, item): label
        for time, items, clicked in logs.requests.select("time", "item_id", "clicked").iter_rows()
        for item, label in zip(items, clicked, strict=True)
    }
    assert labels == {(row.time, row.item): int(row.clicked) for row in ROWS}


def test_a_click_is_of_its_own_user_if_the_ids_of_lists_begin_anew_for_each_user(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    paths = _two_files(tmp_path / "raw", with_lists=True)[:2]
    begun = {(row.user, f"q{row.list}"): None for row in ROWS}
    numbers = {name: sum(of == user for of, _ in list(begun)[:index]) for index, (user, name) in enumerate(begun)}
    numbered = pl.col("request_id").replace_strict(numbers, default=None)
    pl.read_csv(paths[0]).with_columns(numbered).write_csv(paths[0])
    pl.read_parquet(paths[1]).with_columns(numbered).write_parquet(paths[1])
    found = write_start(paths, tmp_path / "start")
    assert found["lists"]["by"] == "rows with the same ID and user are a list"
    clicks = sum(row.clicked for row in ROWS)
    assert found["clicks"] == clicks
    assert converted(tmp_path / "start", tmp_path / "raw").counts()["clicks"] == clicks


def test_rows_without_a_list_are_behaviours_only(tmp_path: Path) -> None:
    case = CASES["a shop"]
    lists = [None if row.list == 1000 else row.list for row in ROWS]
    begin(tmp_path, Case({**case.columns, "impression_id": lists}, {}))
    check_format(tmp_path / "start")
    logs = converted(tmp_path / "start", tmp_path / "raw")
    assert len(logs.requests) == 59
    assert logs.events.filter(kind="exposure")["offered_at"].null_count() == 6
    assert len(logs.events.filter(kind="exposure")) == len(ROWS)


def test_an_item_that_a_list_has_twice_keeps_its_first_place(tmp_path: Path) -> None:
    case = CASES["a shop"]
    twice = {name: [*values, values[2]] for name, values in case.columns.items()}
    twice["is_clicked"][2], twice["is_clicked"][-1], twice["pos"][-1] = 0, 1, 99
    begin(tmp_path, Case(twice, {}))
    logs = converted(tmp_path / "start", tmp_path / "raw")
    request = logs.requests.filter(request_id=1000).row(0, named=True)
    assert len(request["item_id"]) == 6
    assert request["clicked"][2] == 1


def test_rows_without_a_user_are_left_out_and_counted(tmp_path: Path) -> None:
    case = CASES["a shop"]
    users = [None if row.list < 1003 else f"c-{row.user}" for row in ROWS]
    found = begin(tmp_path, Case({**case.columns, "customerId": users}, {}))
    assert any("18 rows have no user" in each for each in found["check"])
    check_format(tmp_path / "start")
    assert len(converted(tmp_path / "start", tmp_path / "raw").requests) == 57


def test_a_later_file_may_lack_values_that_the_first_one_had(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = CASES["a shop"]
    found = begin(tmp_path, case)
    assert any("column 'shown_at': all times are whole minutes" in each for each in found["check"])
    items = case.columns["sku"]
    Case({**case.columns, "sku": [*items[:9], None, *items[10:]]}, {}).write(tmp_path / "raw")
    logs = converted(tmp_path / "start", tmp_path / "raw")
    assert logs.requests["item_id"].list.len().sum() == len(items) - 1
    assert "shown.csv: row 10 is left out, because it has no value in column 'sku'" in capsys.readouterr().err


def test_ctrl_c_ends_the_script_with_one_line(tmp_path: Path) -> None:
    begin(tmp_path, CASES["a shop"])
    script = tmp_path / "start" / "make_logs.py"
    text = script.read_text()
    assert text.count("\nimport polars as pl\n") == 1
    # A pause before the import, so that the signal comes at a known moment.
    script.write_text(
        text.replace("\nimport polars as pl\n", '\nimport time\n\nprint("begun", flush=True)\ntime.sleep(60)\n')
    )
    command = [sys.executable, str(script), str(tmp_path / "raw"), str(tmp_path / "logs")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "begun\n"
            child.send_signal(signal.SIGINT)
            assert child.communicate(timeout=30) == ("", "make_logs.py: interrupted\n")
        finally:
            child.kill()
    assert child.returncode == 130


def test_names_from_the_file_cannot_become_code(tmp_path: Path) -> None:
    case = CASES["a shop"]
    evil = {
        "quote \" and '": [row.item * 1.5 for row in ROWS],
        '"""\nraise SystemExit("x")': [row.item * 2.5 for row in ROWS],
        "back\\slash": [row.item * 3.5 for row in ROWS],
        "{{ 7 * 7 }} # a": [row.item * 4.5 for row in ROWS],
        "score": [row.item * 5.5 for row in ROWS],
        "Score ": [row.item * 6.5 for row in ROWS],
        "time_decay_s": [row.item * 7.5 for row in ROWS],
        "class": [row.item * 8.5 for row in ROWS],
        "self": [row.item * 9.5 for row in ROWS],
    }
    columns = {**case.columns, **evil}
    del columns["model_score"]
    (tmp_path / "raw").mkdir()
    path = tmp_path / "raw" / "a 'b' {{ d }}.parquet"
    pl.DataFrame(columns).write_parquet(path)
    found = write_start([path], tmp_path / "start", told={"time": ["shown_at"]})
    left = {each["column"]: each["why"] for each in found["left_out"]}
    assert list(left.values()) == ["its name has control characters: rename it"]
    check_format(tmp_path / "start")
    logs = converted(tmp_path / "start", tmp_path / "raw")
    assert {"quote_and", "back_slash", "x_7_7_a", "time_decay_s_value", "class_value", "self_value"} <= set(
        logs.items.columns
    )


def test_only_the_first_rows_are_read(tmp_path: Path) -> None:
    found = begin(tmp_path, CASES["a shop"], rows=120)
    assert found["files"] == [{"file": "shown.csv", "role": "impressions", "rows_read": 120, "complete": False}]
    assert found["lists"]["number"] == 20
    # The script reads the whole file.
    assert len(converted(tmp_path / "start", tmp_path / "raw").requests) == 60


def test_a_file_that_is_sorted_by_clicks_is_noticed(tmp_path: Path) -> None:
    rows = sorted(ROWS, key=lambda row: (row.list, not row.clicked))
    columns = {
        "user": [row.user for row in rows],
        "item": [row.item for row in rows],
        "request": [row.list for row in rows],
        "time": [text_time(row.time) for row in rows],
        "click": [int(row.clicked) for row in rows],
    }
    found = begin(tmp_path, Case(columns, {}))
    assert any("clicked items are almost always first" in each for each in found["check"])
    other = tmp_path / "other"
    other.mkdir()
    assert not any("almost always" in each for each in begin(other, CASES["a shop"])["check"])


def test_the_command_prints_what_it_found(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    path = CASES["Taobao"].write(tmp_path / "raw")
    done = edgerec_here("init", path, "--out", tmp_path / "start")
    assert done.returncode == 0, done.stderr
    for text in ("adgroup_id", "likely", "nonclk", "it tells the click", "To check:", "Next:", "make_logs.py"):
        assert text in done.stdout
    found = document(edgerec_here("init", path, "--out", tmp_path / "again", "--user", "user", "--json"))
    assert {each["role"]: each["how"] for each in found["roles"]}["user"] == "told"
    written = json.loads((tmp_path / "again" / "features.json").read_text(encoding="utf-8"))
    names = [feature["name"] for group in ("ie_action", "ipv_action", "item", "context") for feature in written[group]]
    assert sorted(names) == sorted(each["feature"] for each in found["features"])


def test_the_next_steps_can_be_pasted_to_a_shell(tmp_path: Path) -> None:
    raw = tmp_path / "the logs; of 'May'"
    raw.mkdir()
    found = write_start([CASES["Taobao"].write(raw)], tmp_path / "a start")
    assert shlex.split(found["next"][0]) == ["python", str(tmp_path / "a start" / "make_logs.py"), str(raw), "LOGS"]


def test_every_role_has_an_option() -> None:
    assert {name: role.what for name, role in BY_NAME.items()}.keys() == OPTIONS.keys()
