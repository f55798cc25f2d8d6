"""The commands and the example of docs/your-logs.md run, and their results are those on the page."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from edgerec.data.logs import Logs, load_logs
from edgerec.data.samples import SPLITS, Samples, open_samples
from tests.synthetic import whole

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "your-logs.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "your_logs"
BLOCK = re.compile(r"^(?:<!-- (?P<mark>[^\n]*) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = [match.groupdict() for match in BLOCK.finditer(PAGE)]
DAY_MS = 86_400_000


def raw(name: str) -> list[dict[str, str]]:
    with open(EXAMPLE / "raw" / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def at(row: dict[str, str]) -> int:
    return round(datetime.fromisoformat(row["at"].replace("Z", "+00:00")).timestamp() * 1000)


def ended(row: dict[str, str]) -> int:
    return at(row) + round(1000 * float(row["seconds"] or 0))


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Run all blocks of the page that are marked to be run, in order. Return the folder and what the blocks printed."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "examples").symlink_to(ROOT / "examples")
    commands = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
    shown = []
    for block in BLOCKS:
        if block["mark"] == "run":
            done = run([*commands[block["kind"]], block["text"]], folder)
            assert done.returncode == 0, f"{block['text']}\n{done.stderr}"
            shown.append(done.stdout)
    return folder, shown


@pytest.fixture(scope="module")
def logs(followed: tuple[Path, list[str]]) -> Logs:
    return load_logs(followed[0] / "LOGS")


@pytest.fixture(scope="module")
def samples(followed: tuple[Path, list[str]]) -> Samples:
    return open_samples(followed[0] / "SAMPLES")


def test_every_code_block_is_run_or_is_part_of_the_example() -> None:
    kinds = [(block["kind"], block["mark"] or "") for block in BLOCKS if block["kind"]]
    assert len(kinds) == len(re.findall(r"^```\w+$", PAGE, re.MULTILINE)) > 7
    for block in BLOCKS:
        mark, kind = block["mark"] or "", block["kind"]
        if mark.startswith("from "):
            assert block["text"] in (ROOT / mark.removeprefix("from ")).read_text(encoding="utf-8")
        else:
            assert mark == ("run" if kind else ""), block["text"]
    whole = next(block for block in BLOCKS if block["kind"] == "json")
    assert json.loads(whole["text"]) == json.loads((EXAMPLE / "features.json").read_text(encoding="utf-8"))


def test_the_readme_of_the_example_agrees_with_the_page() -> None:
    readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    first = next(block["text"] for block in BLOCKS if block["kind"] == "sh")
    assert f"```sh\n{first}edgerec train SAMPLES" in readme
    lists, actions = raw("lists.csv"), raw("actions.csv")
    assert f"| {len(raw('recipes.csv'))} recipes |" in readme
    assert f"| {len(lists)} orders" in readme
    assert f"to {len({row['user'] for row in lists})} users" in readme
    assert f"| {len(actions)} cards" in readme
    assert all(path.stat().st_size < 60_000 for path in (EXAMPLE / "raw").iterdir())


def test_counts_equal_those_of_the_raw_files(logs: Logs, samples: Samples) -> None:
    lists, actions = raw("lists.csv"), raw("actions.csv")
    shown = {(row["list"], row["recipe"]) for row in actions if row["list"]}
    opened = {(row["list"], row["recipe"]) for row in actions if row["list"] and row["action"] == "opened"}
    seen_lists = {name for name, _ in shown}
    users = {row["user"] for row in lists if row["list"] in seen_lists}
    expected = {"requests": len(seen_lists), "exposures": len(shown), "clicks": len(opened), "users": len(users)}
    assert expected == {"requests": 96, "exposures": 365, "clicks": 46, "users": 24}
    assert logs.counts() == expected
    assert len(logs.events) == len(actions) == 424
    counts = samples.counts()
    # No request repeats the labels of another one.
    assert [counts[key] for key in ("requests", "labels", "positive_labels", "users")] == list(expected.values())
    assert [counts["splits"][split]["requests"] for split in SPLITS] == [68, 8, 20]


def test_each_label_belongs_to_its_candidate(logs: Logs) -> None:
    actions = raw("actions.csv")
    for row in raw("lists.csv"):
        requests = logs.requests.filter(pl.col("request_id") == int(row["list"]))
        of_list = [action for action in actions if action["list"] == row["list"]]
        assert len(requests) == bool(of_list)
        if of_list:
            by_action = {name: {a["recipe"] for a in of_list if a["action"] == name} for name in ("seen", "opened")}
            recipes = row["recipes"].split()
            expected = [1 if r in by_action["opened"] else 0 if r in by_action["seen"] else None for r in recipes]
            assert requests["clicked"].to_list() == [expected]
            assert requests["match"].to_list() == [[float(value) for value in row["match"].split()]]
            assert requests["time"].to_list() == [at(row)]


def test_a_request_knows_only_behaviours_that_have_ended(samples: Samples) -> None:
    lists, actions = {int(row["list"]): row for row in raw("lists.csv")}, raw("actions.csv")
    for split in SPLITS:
        requests = whole(samples, split).requests
        for row, number in enumerate(requests.request_id):
            shown = lists[int(number)]
            past = [a["action"] for a in actions if a["user"] == shown["user"] and ended(a) < at(shown)]
            for name, ranges, most in (("seen", requests.exposures, 30), ("opened", requests.page_views, 15)):
                assert np.diff(ranges[row]).item() == min(past.count(name), most)


def test_served_counts_cover_the_24_hours_before_the_request(logs: Logs) -> None:
    opened = [(row["recipe"], ended(row)) for row in raw("actions.csv") if row["action"] == "opened"]
    lists = {int(row["list"]): row for row in raw("lists.csv")}
    found = {row["request_id"]: row["opens_24h"] for row in logs.requests.iter_rows(named=True)}
    for number, counts in found.items():
        now = at(lists[number])
        expected = [
            sum(recipe == other and now - DAY_MS <= time < now for other, time in opened)
            for recipe in lists[number]["recipes"].split()
        ]
        assert counts == expected
    assert max(map(max, found.values())) > 1


def test_counts_made_on_the_device_use_only_earlier_events(logs: Logs) -> None:
    last: dict[Any, int] = {}
    times: dict[Any, int] = {}
    for event in logs.events.iter_rows(named=True):
        kind = event["user_id"], event["kind"]
        before = last.get(kind)
        assert event["time_decay_s"] == (None if before is None else pytest.approx((event["time"] - before) / 1000))
        last[kind] = event["time"]
        if event["kind"] == "exposure":
            key = event["user_id"], event["item_id"]
            assert event["seen_before"] == times.get(key, 0)
            times[key] = times.get(key, 0) + 1
        assert (event["seen_before"] is None) == (event["kind"] == "page_view")


def test_a_page_view_from_search_has_no_served_values(logs: Logs) -> None:
    searched = sum(not row["list"] for row in raw("actions.csv"))
    unserved = logs.events.filter(pl.col("match").is_null())
    assert len(unserved) == searched == 5
    assert unserved["kind"].unique().to_list() == ["page_view"]
    assert unserved["opens_24h"].null_count() == searched


def test_logs_with_only_required_columns_can_be_read(followed: tuple[Path, list[str]]) -> None:
    counts = open_samples(followed[0] / "PLAIN-SAMPLES").counts()
    assert {key: counts[key] for key in ("requests", "labels", "positive_labels", "users")} == {
        "requests": 3, "labels": 4, "positive_labels": 1, "users": 1,
    }  # fmt: skip


def test_the_check_finds_no_error_in_the_example(followed: tuple[Path, list[str]]) -> None:
    *_, found = followed[1]
    assert re.search(r"^0 errors, \d+ warnings? in [\d,]+ rows$", found, re.MULTILINE), found


Change = Callable[[Path], object]
FAULTS: dict[str, tuple[Change, str]] = {
    "no such file": (lambda folder: (folder / "lists.csv").unlink(), "lists.csv"),
    "a recipe that is not in the catalogue": (
        lambda folder: (folder / "recipes.csv").write_text("recipe,cuisine,minutes,diet\npozole,mexican,150,meat\n"),
        "items that items does not have",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failed_conversion_leaves_no_output(fault: str, tmp_path: Path) -> None:
    change, message = FAULTS[fault]
    source = tmp_path / "raw"
    source.mkdir()
    for path in (EXAMPLE / "raw").iterdir():
        (source / path.name).write_bytes(path.read_bytes())
    change(source)
    done = run([sys.executable, str(EXAMPLE / "make_logs.py"), str(source), "LOGS"], tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]


def test_existing_logs_are_replaced_only_with_force(followed: tuple[Path, list[str]]) -> None:
    command = [sys.executable, "examples/your_logs/make_logs.py", "examples/your_logs/raw", "LOGS"]
    done = run(command, followed[0])
    assert done.returncode == 1
    assert done.stderr.startswith("make_logs.py: output LOGS exists already")
    assert "--force" in done.stderr
    before = (followed[0] / "LOGS" / "events" / "part-00000.parquet").read_bytes()
    assert run([*command, "--force"], followed[0]).returncode == 0
    assert (followed[0] / "LOGS" / "events" / "part-00000.parquet").read_bytes() == before
