"""A partition has all rows of its users. Samples do not depend on how the logs are divided into files."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from edgerec.core.errors import FormatError, InputError, LogsError, OutputError
from edgerec.data.build_samples import write_samples
from edgerec.data.logs import Logs, load_logs, open_logs, write_logs
from edgerec.data.partition import map_partitions, partitions, survey
from edgerec.data.samples import Samples
from edgerec.data.schema import REQUEST_ID, TIME, USER_ID
from tests.data.test_samples import files_of, read_back
from tests.stopped import stop_at
from tests.synthetic import build, make_logs, unstamp

LIMITS = {"candidates": 10, "exposures": 5, "page_views": 3}
LOGS = make_logs(users=16)


@pytest.fixture(scope="module")
def whole_logs(tmp_path_factory: pytest.TempPathFactory) -> Logs:
    """Write the logs with one file for each table, and read them again."""
    path = tmp_path_factory.mktemp("whole") / "logs"
    write_logs(LOGS, path)
    return load_logs(path)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    """Return samples of the same logs. They are made from one file for each table and have one shard."""
    return build(tmp_path_factory.mktemp("expected"), LOGS, limits=LIMITS)


def write_parts(folder: Path, events: list[pl.DataFrame], requests: list[pl.DataFrame]) -> Path:
    """Write the logs with their rows divided into the given parts."""
    path = Path(tempfile.mkdtemp(dir=folder)) / "logs"
    write_logs(LOGS, path)
    unstamp(path)
    for name, parts in (("events", events), ("requests", requests)):
        (path / name / "part-00000.parquet").unlink()
        for number, part in enumerate(parts):
            part.write_parquet(path / name / f"part-{number:05d}.parquet", row_group_size=50)
    return path


def by_rows(table: pl.DataFrame, cuts: list[int]) -> list[pl.DataFrame]:
    bounds = [0, *sorted(min(cut, len(table)) for cut in cuts), len(table)]
    return [table[begin:end] for begin, end in itertools.pairwise(bounds)]


def by_users(table: pl.DataFrame, parts: int) -> list[pl.DataFrame]:
    return [table.filter(pl.col("user_id") % parts == part) for part in range(parts)]


def by_ranges(table: pl.DataFrame, size: int) -> list[pl.DataFrame]:
    return [table.filter(pl.col("user_id") // size == part) for part in range(-(-16 // size))]


def equal(found: Samples, expected: Samples) -> None:
    """Check that everything that training reads is equal, bit by bit."""
    rest = {"shards": [], "logs": ""}
    assert found.head.model_copy(update=rest) == expected.head.model_copy(update=rest)
    assert found.vocabularies["shop"].keys.tolist() == expected.vocabularies["shop"].keys.tolist()
    assert files_of(found.path / "items") == files_of(expected.path / "items")
    assert read_back(found) == read_back(expected)
    assert found.counts() == expected.counts()


CUTS = st.lists(st.integers(0, 1200), max_size=4)


@settings(max_examples=3)
@given(
    events=CUTS,
    requests=CUTS,
    target=st.sampled_from([1, 60, 300, 900, 10**6]),
    interleaved=st.booleans(),
    slice_=st.sampled_from([40, 250, 10**6]),
    seed=st.integers(0, 9),
)
def test_samples_do_not_depend_on_files_nor_on_shards(
    tmp_path: Path,
    expected: Samples,
    events: list[int],
    requests: list[int],
    target: int,
    interleaved: bool,
    slice_: int,
    seed: int,
) -> None:
    table = LOGS.events
    if interleaved:
        # Rows of different users may be in any order. Only the order of each user's rows matters.
        table = table.with_columns(at=pl.Series(np.random.default_rng(seed).random(len(table))))
        table = table.with_columns(pl.col("at").sort().over("user_id")).sort("at").drop("at")
    path = write_parts(
        tmp_path, by_rows(table, events), by_rows(LOGS.requests.sample(fraction=1, shuffle=True, seed=seed), requests)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgerec.data.user_ranges.SLICE", slice_)
        found = write_samples(path, path.with_name("samples"), limits=LIMITS, target=target)
    equal(found, expected)
    shutil.rmtree(path.parent)


@pytest.mark.parametrize("size", [1, 3])
def test_files_divided_by_user_give_the_same_samples(tmp_path: Path, expected: Samples, size: int) -> None:
    for number, cut in enumerate((by_ranges, by_users)):
        path = write_parts(tmp_path, cut(LOGS.events, size), cut(LOGS.requests, size))
        equal(write_samples(path, tmp_path / f"samples-{number}", limits=LIMITS, target=400), expected)


@pytest.mark.parametrize(("target", "shards"), [pytest.param(400, 5, marks=pytest.mark.slow), (10**6, 1)])
def test_bytes_do_not_depend_on_processes(tmp_path: Path, expected: Samples, target: int, shards: int) -> None:
    path = write_parts(tmp_path, by_users(LOGS.events, 3), by_users(LOGS.requests, 4))
    one, two = (write_samples(path, tmp_path / str(n), limits=LIMITS, target=target, processes=n) for n in (1, 2))
    assert files_of(one.path) == files_of(two.path)
    assert len(one.head.shards) == shards
    equal(two, expected)


@settings(max_examples=8)
@given(events=CUTS, requests=CUTS, target=st.integers(1, 2000))
def test_each_user_is_in_one_partition_with_all_rows(
    tmp_path: Path, whole_logs: Logs, events: list[int], requests: list[int], target: int
) -> None:
    path = write_parts(tmp_path, by_rows(LOGS.events, events), by_rows(LOGS.requests, requests))
    parts = list(map_partitions(_itself, open_logs(path), target=target))
    users = [set(part.events["user_id"]) | set(part.requests["user_id"]) for part in parts]
    assert all(max(one) < min(next_) for one, next_ in itertools.pairwise(users))
    assert_frame_equal(pl.concat([part.events for part in parts]), whole_logs.events)
    asked = pl.concat([part.requests for part in parts]).sort(TIME, USER_ID, REQUEST_ID)
    assert_frame_equal(asked, whole_logs.requests)
    for part in parts:
        assert part.items.equals(whole_logs.items)
        assert part.requests.equals(part.requests.sort(TIME, USER_ID, REQUEST_ID))
    shutil.rmtree(path.parent)


def test_small_files_share_a_partition_and_large_files_are_divided_by_user(tmp_path: Path) -> None:
    path = write_parts(tmp_path, by_ranges(LOGS.events, 1), by_ranges(LOGS.requests, 1))
    logs = open_logs(path)
    found = survey(logs)
    weights = [part.weight for part in partitions(logs, found, scratch=tmp_path / "none", target=400)]
    assert len(weights) == 5
    assert max(weights) <= 400
    assert not (tmp_path / "none").exists()
    path = write_parts(tmp_path, [LOGS.events], [LOGS.requests])
    logs = open_logs(path)
    made = partitions(logs, survey(logs), scratch=tmp_path / "ranges", target=400)
    assert [part.weight for part in made] == weights
    assert {part.file.parents[1] for one in made for part in one.events} == {tmp_path / "ranges"}


def _itself(logs: Logs) -> Logs:
    return logs


def _users(logs: Logs) -> set[int]:
    return set(logs.requests["user_id"])


def test_several_processes_return_partitions_in_order(tmp_path: Path) -> None:
    path = write_parts(tmp_path, [LOGS.events], [LOGS.requests])
    found = list(map_partitions(_users, open_logs(path), target=400, processes=2))
    assert len(found) == 5
    assert [user for users in found for user in sorted(users)] == list(range(16))


def test_temporary_rows_are_written_next_to_the_logs_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = open_logs(write_parts(tmp_path, [LOGS.events], [LOGS.requests]))
    before = set(logs.path.parent.iterdir())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    mapped = map_partitions(_users, logs, target=400)
    next(mapped)
    [scratch] = set(logs.path.parent.iterdir()) - before
    assert scratch.name.startswith(".logs.edgerec-parts-")
    assert any(file.is_file() for file in scratch.rglob("*"))
    assert not list(elsewhere.iterdir())
    mapped.close()
    assert set(logs.path.parent.iterdir()) == before
    with pytest.raises(KeyboardInterrupt):
        list(map_partitions(_interrupt, logs, target=400))
    assert set(logs.path.parent.iterdir()) == before

    make = tempfile.mkdtemp

    def refuse(suffix: str | None = None, prefix: str | None = None, dir: Any = None) -> str:
        if dir == logs.path.parent:
            raise PermissionError(13, "Permission denied")
        return make(suffix, prefix, dir)

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    mapped = map_partitions(_users, logs, target=400)
    next(mapped)
    assert len(list(elsewhere.iterdir())) == 1
    assert len([*mapped]) == 4
    assert not list(elsewhere.iterdir())


def faults_of_parts() -> list[tuple[list[pl.DataFrame], list[pl.DataFrame], str]]:
    """Return events and requests in several parts with a fault, and the text of the error."""
    events, requests = by_ranges(LOGS.events, 8), by_ranges(LOGS.requests, 8)
    twice = requests[1].with_columns(request_id=pl.col("request_id") - 8000)
    seconds = 1_700_000_000
    late = [part.with_columns(time=pl.col("time") + seconds + 10**10 * n) for n, part in enumerate(events)]
    single = requests[1].with_columns(score=pl.lit(1.0))
    shorter = requests[1].with_columns(clicked=pl.col("clicked").list.head(1))
    return [
        (events, [requests[0], twice], r"requests\.request_id should be unique; 0 occurs more than once"),
        (late, requests, r"events\.time should be milliseconds since 1970"),
        ([events[0], events[1].with_columns(score=pl.lit("a"))], requests, "should hold numbers .*received String"),
        ([events[0], events[1].drop("score")], requests, "only one of them has the column 'score'"),
        ([part.drop("kind") for part in events], requests, "table 'events' has no column 'kind'"),
        ([events[0], events[1].with_columns(user_id=None)], requests, r"events\.user_id has no value in"),
        ([events[0], events[1].with_columns(item_id=7)], requests, "names 1 items that items does not have"),
        (events, [requests[0], single], r"part-00001\.parquet: requests\.score should be a list .*received Float64"),
        (events, [requests[0], shorter], "clicked should have one value for each of its"),
    ]  # fmt: skip


def test_faults_that_no_single_part_shows_are_found(tmp_path: Path) -> None:
    for number, (one, other, said) in enumerate(faults_of_parts()):
        path = write_parts(tmp_path, one, other)
        before = sorted(entry.name for entry in tmp_path.iterdir())
        with pytest.raises(LogsError, match=said) as caught:
            write_samples(path, tmp_path / f"samples-{number}", limits=LIMITS, target=100)
        assert "\n" not in str(caught.value)
        assert sorted(entry.name for entry in tmp_path.iterdir()) == before


def test_times_of_a_single_user_that_look_like_seconds_are_accepted(tmp_path: Path) -> None:
    """Times are refused only if the earliest time of all users looks like seconds. Here, one user has such times."""
    events = LOGS.events.with_columns(time=pl.when(pl.col("user_id") == 3).then(10**9).otherwise("time"))
    path = write_parts(tmp_path, [events], [LOGS.requests])
    assert len(write_samples(path, tmp_path / "samples", limits=LIMITS, target=1).head.shards) == 16


SCRIPT = """
import sys
from pathlib import Path
from edgerec.data.build_samples import write_samples

if __name__ == "__main__":
    logs, out = sys.argv[1:]
    write_samples(Path(logs), Path(out), target=1, processes=2)
"""


def run(script: str, folder: Path, *arguments: Path) -> subprocess.Popen[bytes]:
    (folder / "make.py").write_text(script)
    command = [sys.executable, "-W", "error", folder / "make.py", *arguments]
    return subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
@pytest.mark.parametrize(("part", "processes"), [("scratch/*/counts-00001.json", 2), ("parts/00001.json", 1)])
def test_a_killed_and_resumed_command_gives_the_same_bytes(tmp_path: Path, part: str, processes: int) -> None:
    """The killed command has two worker processes. The command that resumes it has `processes`."""
    logs = write_parts(tmp_path, [make_logs(users=6).events], [make_logs(users=6).requests])
    expected = write_samples(logs, tmp_path / "expected", target=1)
    work = tmp_path / ".samples.samples"
    process = run(stop_at(work / part) + SCRIPT, tmp_path, logs, tmp_path / "samples")
    try:
        while process.poll() is None and not list(work.glob(part)):
            time.sleep(0.01)
        # Only the main process is killed. Its workers must notice that and end.
        process.kill()
        process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "samples").exists()
    done = times_of(work)
    if any((work / "parts").iterdir()):
        with pytest.raises(OutputError, match=r"partial results exist in .*--resume"):
            write_samples(logs, tmp_path / "samples", target=1)
    with pytest.raises(FormatError, match="come from other settings"):
        write_samples(logs, tmp_path / "samples", target=2, resume=True)
    assert times_of(work) == done
    write_samples(logs, tmp_path / "samples", target=1, processes=processes, resume=True)
    assert files_of(tmp_path / "samples") == files_of(expected.path)
    assert not work.exists()


def times_of(folder: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}


def test_logs_that_changed_are_not_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_logs(LOGS, tmp_path / "logs")
    with monkeypatch.context() as patch:
        patch.setattr("edgerec.data.samples_shards.fit", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_samples(tmp_path / "logs", tmp_path / "samples")
        # No part of the samples was finished, so nothing is left.
        assert [path.name for path in tmp_path.iterdir()] == ["logs"]
        patch.undo()
        patch.setattr("edgerec.data.samples_shards.SamplesHead", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_samples(tmp_path / "logs", tmp_path / "samples")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".samples.samples", "logs"]
    file = tmp_path / "logs" / "events" / "part-00000.parquet"
    os.utime(file, ns=(0, 0))
    with pytest.raises(FormatError, match="other settings or input"):
        write_samples(tmp_path / "logs", tmp_path / "samples", resume=True)
    with pytest.raises(InputError, match="--processes should be a whole number of at least 1"):
        write_samples(tmp_path / "logs", tmp_path / "samples", force=True, processes=0)
    assert len(write_samples(tmp_path / "logs", tmp_path / "samples", force=True).head.shards) == 1


def _interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_pages_count_each_exposure_once(tmp_path: Path) -> None:
    """Later requests of a page repeat the labels of its first request."""
    first = LOGS.requests.with_columns(page_id=pl.col("request_id") + 7)
    later = first.filter(pl.col("clicked").list.len() > 4).with_columns(
        request_id=pl.col("request_id") + 10**6,
        time=pl.col("time") + 500,
        **{name: pl.col(name).list.slice(1) for name in ("item_id", "clicked", "score")},
    )
    logs = replace(LOGS, requests=pl.concat([later, first]))
    counts = logs.counts()
    assert counts == {**LOGS.counts(), "requests": len(first) + len(later)}
    samples = build(tmp_path, logs)
    found = samples.counts()
    assert found["behaviours"]["exposures"] == LOGS.counts()["exposures"] < found["labels"]
    assert found["requests"] == len(first) + len(later)
    with pytest.raises(LogsError, match=r"requests\.page_id should be Int64; received String"):
        build(tmp_path, replace(LOGS, requests=LOGS.requests.with_columns(page_id=pl.lit("a"))))
