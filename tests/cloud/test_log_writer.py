from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from edgerec.cloud import log_writer
from edgerec.cloud.app import create_app
from edgerec.cloud.journal import Journal
from edgerec.cloud.log_rows import ANSWER, CheckedRows, LogTables, WrongRowsError
from edgerec.cloud.log_writer import LogWriter
from edgerec.cloud.start import open_service
from edgerec.core.errors import OutputError
from edgerec.data.build_samples import write_samples
from edgerec.data.logs import JOURNAL, Logs, load_logs, write_logs
from edgerec.data.samples import open_samples
from edgerec.device_runtime.store import BehaviourStore, StoredRequest
from edgerec.features.spec import FeatureSpec
from edgerec.paging.log_body import encode_batch
from edgerec.paging.log_rows import LogBatch
from tests.cloud.asking import ask
from tests.cloud.batches import batches_of
from tests.synthetic import LIMITS, SPEC, make_logs_with_context, whole

LOGS = make_logs_with_context(users=4, requests=5)
BATCHES = list(batches_of(LOGS))


def writer(path: Path, **settings: Any) -> LogWriter:
    return LogWriter(path, [LOGS.spec], LOGS.items.sort("item_id"), **settings)


def send(to: LogWriter, batches: list[LogBatch]) -> list[dict[str, Any]]:
    return [done.result(10) for done in [to.submit(batch) for batch in batches]]


def assert_same_rows(path: Path, logs: Logs = LOGS) -> None:
    """Check that the written logs have the same rows as `logs`."""
    written = load_logs(path)
    for name in ("events", "requests", "items"):
        one, other = getattr(written, name), getattr(logs, name)
        order = [column for column in ("user_id", "time", "kind", "item_id") if column in other.columns][:4]
        order = ["request_id"] if name == "requests" else order
        assert (
            one.select(other.columns)
            .sort(order)
            .equals(other.cast({c: t for c, t in one.schema.items() if c in other.columns}).sort(order))
        )


def test_samples_read_what_was_written_without_a_converter(tmp_path: Path) -> None:
    with writer(tmp_path / "out") as logs:
        assert all(answer == {"stored": True, "dropped_rows": 0} for answer in send(logs, BATCHES))
    assert_same_rows(tmp_path / "out")
    written = load_logs(tmp_path / "out")
    assert written.events["ordinal"].null_count() == 0
    answer = written.requests.row(0, named=True)
    assert (answer["outcome"], answer["duration_ms"], answer["page_views_end"]) == ("shadow", 1.5, 1)
    assert sorted(answer["positions"]) == list(range(len(answer["item_id"])))
    write_samples(tmp_path / "out", tmp_path / "samples", limits=LIMITS)
    samples = open_samples(tmp_path / "samples")
    total = sum(len(whole(samples, split).requests) for split in ("train", "validation", "test"))
    assert total == len(LOGS.requests)


def test_a_repeated_batch_is_dropped_also_after_a_restart(tmp_path: Path) -> None:
    for _ in range(2):
        with writer(tmp_path / "out") as logs:
            for _ in range(2):
                answers = send(logs, BATCHES)
    assert answers == [{"stored": False, "dropped_rows": 0}] * len(BATCHES)
    assert_same_rows(tmp_path / "out")


def test_a_lost_batch_does_not_stop_a_store(tmp_path: Path) -> None:
    with writer(tmp_path / "out") as logs:
        batches = [LogBatch(1, 2, number, [{**EVENT, "ordinal": number}], []) for number in (0, 5, 3)]
        assert [answer["stored"] for answer in send(logs, batches)] == [True, True, False]


def test_the_journal_becomes_parquet_after_some_rows_or_time(tmp_path: Path) -> None:
    def files(path: Path) -> int:
        return len(list((path / "events").glob("*.parquet"))) - 1

    with writer(tmp_path / "rows", roll_rows=30) as logs:
        for batch in BATCHES:
            send(logs, [batch])
        assert files(tmp_path / "rows") >= 2
    assert_same_rows(tmp_path / "rows")
    with writer(tmp_path / "time", roll_s=0.05) as logs:
        send(logs, BATCHES[:1])
        deadline = time.monotonic() + 10
        while not files(tmp_path / "time") and time.monotonic() < deadline:
            time.sleep(0.01)
        assert files(tmp_path / "time") == 1


def test_new_rows_are_learnt_after_they_are_on_disk(tmp_path: Path) -> None:
    learnt: list[tuple[int, int]] = []

    def learn(events: pl.DataFrame, requests: pl.DataFrame) -> None:
        learnt.append((len(events), len(requests)))
        raise RuntimeError("a fault of the recall")

    with writer(tmp_path / "out", learn=learn) as logs:
        send(logs, BATCHES)
        send(logs, BATCHES)
    assert np.sum(learnt, axis=0).tolist() == [len(LOGS.events), len(LOGS.requests)]


def test_a_caller_that_gives_up_loses_no_batch_of_others(tmp_path: Path) -> None:
    started, proceed = threading.Event(), threading.Event()

    def learn(events: pl.DataFrame, requests: pl.DataFrame) -> None:
        started.set()
        proceed.wait()

    with writer(tmp_path / "out", learn=learn) as logs:
        logs.submit(BATCHES[0])
        started.wait()  # the next two batches wait together
        given_up, other = logs.submit(BATCHES[1]), logs.submit(BATCHES[2])
        assert given_up.cancel()
        proceed.set()
        assert other.result(60)["stored"]
    with writer(tmp_path / "out") as logs:
        answers = send(logs, BATCHES)
    assert [answer["stored"] for answer in answers[:3]] == [False, True, False]
    assert_same_rows(tmp_path / "out")


def test_rows_that_samples_could_not_read_are_refused(tmp_path: Path) -> None:
    """A restored backup sends the same ordinals again, in batches with new numbers."""
    first, last = BATCHES[0], BATCHES[-1]
    events = [row for row in first.events if row["kind"] == "exposure"]
    twice = replace(first, events=[events[0], {**events[1], "ordinal": 0}])
    backup = replace(first, number=1000)
    earlier = replace(first, number=1000, events=[{**events[0], "ordinal": 10**6}])
    repeated = replace(last, number=1000, events=[], requests=[*last.requests, *last.requests])
    assert last.requests
    with writer(tmp_path / "out") as logs:
        with pytest.raises(WrongRowsError, match="the ordinal 0 occurs twice"):
            send(logs, [twice])
        send(logs, BATCHES)
    with writer(tmp_path / "out") as logs:
        for batch, text in ((backup, "should follow the ordinal"), (earlier, "should follow"), (repeated, "unique")):
            with pytest.raises(WrongRowsError, match=text):
                send(logs, [batch])
    assert_same_rows(tmp_path / "out")
    write_samples(tmp_path / "out", tmp_path / "samples", limits=LIMITS)


KILLED = """
import os, sys, signal
from pathlib import Path
from edgerec.cloud.log_writer import LogWriter
from tests.cloud.asking import ask
from tests.cloud.batches import batches_of
from tests.synthetic import make_logs_with_context
made = make_logs_with_context(users=4, requests=5)
logs = LogWriter(Path(sys.argv[1]), [made.spec], made.items.sort("item_id"), roll_rows=60)
for number, batch in enumerate(batches_of(made)):
    logs.submit(batch).result()
    print(number, flush=True)
    if number == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_an_answered_batch_survives_a_killed_process(tmp_path: Path) -> None:
    """Some batches are in Parquet when the process is killed, and others are only in the journal."""
    out, last = tmp_path / "out", len(BATCHES) - 2
    command = [sys.executable, "-c", KILLED, str(out), str(last)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert done.stdout.split() == [str(number) for number in range(last + 1)]
    learnt: list[int] = []
    with writer(out, learn=lambda events, requests: learnt.append(len(events) + len(requests))) as logs:
        assert len(learnt) == 1
        assert learnt[0] >= len(BATCHES[last].events) + len(BATCHES[last].requests)
        answers = send(logs, BATCHES)
    assert [answer["stored"] for answer in answers] == [False] * (last + 1) + [True] * (len(BATCHES) - last - 1)
    assert_same_rows(out)


def test_a_process_that_is_killed_while_it_writes_parquet_writes_no_row_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    logs = writer(out)
    send(logs, BATCHES[:3])
    with monkeypatch.context() as patch:
        # The files are written, and the journal is not cleared: the state of a process that is killed in between.
        patch.setattr(logs._journal, "clear", lambda: None)
        logs.close()
    with writer(out) as logs:
        assert not any(answer["stored"] for answer in send(logs, BATCHES[:3]))
        send(logs, BATCHES)
    assert_same_rows(out)


def test_rows_of_items_that_the_catalogue_lacks_are_dropped_and_counted(tmp_path: Path) -> None:
    batch = BATCHES[-1]
    assert batch.requests
    event = {"time": 5, "kind": "exposure", "item_id": 9, "ordinal": 0}
    request = {**batch.requests[0], "request_id": 99, "item_id": [100, 9], "clicked": [0, None], "score": [1.0, 2.0]}
    request |= {"positions": None, "scores": None}
    kept = {**event, "item_id": 100, "ordinal": 1}
    with writer(tmp_path / "out") as logs:
        answer = send(logs, [replace(batch, events=[event, kept], requests=[request])])
        assert answer == [{"stored": True, "dropped_rows": 2}]
        assert logs.state()["dropped_rows"] == 2
    written = load_logs(tmp_path / "out")
    assert (len(written.events), len(written.requests)) == (1, 0)


EVENT = {"time": 5, "kind": "exposure", "item_id": 100, "ordinal": 0}
REQUEST = {
    "request_id": 1, "time": 5, "trigger": "page", "model_version": None, "item_id": [100], "clicked": [1],
    "score": [0.5], "page_id": 3,
}  # fmt: skip


@pytest.mark.parametrize(
    ("table", "change", "text"),
    [
        ("events", {"time": None}, "events.time has no value in 1 row"),
        ("events", {"time": 10**14}, "should be milliseconds since 1970"),
        ("events", {"time": "5"}, 'events: row 1: time should be a whole number; received "5"'),
        ("events", {"kind": "click"}, "events.kind should be 'exposure' or 'page_view'; received 'click'"),
        ("events", {"duration_s": "long"}, 'duration_s should be a number; received "long"'),
        ("events", {"reason": 3}, "reason should be text; received 3"),
        ("events", {"item_id": [1]}, "item_id should be a whole number; received [1]"),
        ("events", {"item_id": None}, "events: row 1: item_id should have a value"),
        ("requests", {"item_id": None}, "requests: row 1: item_id should have a value"),
        ("requests", {"item_id": [100, None], "clicked": [1, 0]}, "requests: row 1: item_id should have a value"),
        ("requests", {"clicked": ["x"]}, "clicked should be a list of 0, 1 or null"),
        ("requests", {"positions": [1]}, "positions should have each number from 0 to 0 once, or be null"),
        ("requests", {"positions": [None]}, "positions should have each number from 0 to 0 once, or be null"),
        ("requests", {"scores": []}, "scores should have 1 numbers, one for each item, or be null; received 0"),
        ("requests", {"propensities": []}, "propensities should have 1 to 1 numbers above 0 and at most 1, or be null"),
        ("requests", {"propensities": [0.5, 0.5]}, "propensities should have 1 to 1 numbers"),
        ("requests", {"propensities": [0.0]}, "propensities should have 1 to 1 numbers above 0"),
        ("requests", {"propensities": [1.5]}, "at most 1, or be null; received [1.5]"),
        ("requests", {"propensities": [None]}, "propensities should have 1 to 1 numbers"),
        ("requests", {"propensities": 0.5}, "propensities should be a list of numbers or null"),
        ("requests", {"explored_among": 5}, "explored_among should be at least 1, or null without propensities"),
        ("requests", {"propensities": [1.0], "explored_among": 0}, "explored_among should be at least 1"),
        ("requests", {"personal": 1}, "personal should be true or false; received 1"),
        ("requests", {"trigger": "x" * 101}, "trigger should have at most 100 characters; received 101"),
        ("events", {"ordinal": None}, "ordinal should have a value in every row"),
        ("events", {"ordinal": -1}, "events.ordinal should be null, or from 0"),
        ("events", {"user_id": 2}, "events: user_id should be 1 in all rows; received 2"),
        ("requests", {"item_id": 100}, "item_id should be a list of whole numbers or null; received 100"),
        ("requests", {"item_id": [], "clicked": [], "score": []}, "every request needs at least one candidate"),
        ("requests", {"clicked": [2]}, "clicked"),
        ("requests", {"clicked": [1, 0]}, "clicked"),
        ("requests", {"score": [1.0, 2.0]}, "score"),
        ("requests", {"page_id": None}, "requests.page_id has no value"),
        ("requests", {"item_id": [100, 100], "clicked": [1, 0], "score": [1.0, 2.0]}, "100"),
    ],
)
def test_a_batch_with_a_wrong_row_is_refused(table: str, change: dict[str, Any], text: str, tmp_path: Path) -> None:
    rows: dict[str, list[Any]] = {"events": [EVENT], "requests": [REQUEST]}
    wrong = LogBatch(1, 2, 0, **{**rows, table: [{**rows[table][0], **change}]})
    with writer(tmp_path / "out") as logs:
        with pytest.raises(WrongRowsError) as error:
            send(logs, [wrong])
        assert text in str(error.value)
        assert send(logs, [LogBatch(1, 2, 0, **rows)])[0]["stored"]
    assert len(load_logs(tmp_path / "out").events) == 1


def test_explored_requests_are_stored_beside_the_files_of_an_earlier_version(tmp_path: Path) -> None:
    out, explored = tmp_path / "out", {"propensities": [1.0], "explored_among": 5, "personal": True}
    with writer(out) as logs:
        send(logs, [LogBatch(1, 2, 0, [], [REQUEST])])
    (part,) = [file for file in (out / "requests").iterdir() if len(pl.read_parquet(file))]
    # Earlier versions wrote files without these columns.
    pl.read_parquet(part).drop(list(explored)).write_parquet(part)
    with writer(out) as logs:
        send(logs, [LogBatch(1, 2, 1, [], [{**REQUEST, "request_id": 2, "time": 6, **explored}])])
    assert load_logs(out).requests["request_id"].to_list() == [1, 2]
    (row,) = [
        row for file in (out / "requests").iterdir() for row in pl.read_parquet(file).to_dicts() if row["time"] == 6
    ]
    assert {name: row[name] for name in explored} == explored
    pl.read_parquet(part).drop("outcome").write_parquet(part)
    with pytest.raises(OutputError, match="column 'outcome': the file has no such column"):
        writer(out)


def test_all_that_a_store_writes_of_a_request_is_accepted(tmp_path: Path) -> None:
    answer = {"propensities": [0.5], "explored_among": 2, "personal": True, "phi": np.ones((1, 2), np.float16)}
    with BehaviourStore(tmp_path / "store.db", user_id=1) as store:
        store.record_request(
            StoredRequest(
                request_id=1,
                page_id=1,
                time=5,
                trigger="page",
                model_version="v1",
                item_ids=[100],
                served={"score": [1.0]},
                context={},
                exposures_end=0,
                page_views_end=0,
                outcome="reordered",
                positions=[0],
                scores=[0.5],
                duration_ms=1.0,
                **answer,
            )
        )
        store.end_page(1)
        batch = store.unsent(10)
    assert batch is not None
    (row,) = batch.requests
    assert "phi" not in row
    with writer(tmp_path / "out") as logs:
        assert send(logs, [batch])[0]["stored"]
    (kept,) = [row for file in (tmp_path / "out" / "requests").iterdir() for row in pl.read_parquet(file).to_dicts()]
    assert {name: kept[name] for name in ANSWER} == {name: row[name] for name in ANSWER}


def test_columns_that_no_specification_knows_are_left_out(tmp_path: Path) -> None:
    with writer(tmp_path / "out") as logs:
        send(logs, [LogBatch(1, 2, 0, [{**EVENT, "colour": "red", "bought": True}], [])])
    row = load_logs(tmp_path / "out").events.row(0, named=True)
    assert "colour" not in row
    assert row["bought"] == 1


def test_items_of_an_earlier_catalogue_are_kept(tmp_path: Path) -> None:
    with writer(tmp_path / "out") as logs:
        send(logs, BATCHES)
    items = LOGS.items.sort("item_id").filter(pl.col("item_id") > 110)
    with LogWriter(tmp_path / "out", [LOGS.spec], items):
        pass
    assert_same_rows(tmp_path / "out")


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=f"contains something else and no {JOURNAL}"):
        writer(tmp_path / "full")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be used"):
        writer(tmp_path / "file")
    with writer(tmp_path / "out"), pytest.raises(OutputError, match="is used by another server"):
        writer(tmp_path / "out")
    with pytest.raises(OutputError, match="has another specification"):
        LogWriter(tmp_path / "out", [SPEC], LOGS.items)


def test_a_store_belongs_to_one_user_also_after_a_restart(tmp_path: Path) -> None:
    batch = LogBatch(1, 2, 0, [EVENT], [])
    with writer(tmp_path / "out") as logs:
        send(logs, [batch])
    with writer(tmp_path / "out") as logs:
        for number in (0, 1):
            with pytest.raises(WrongRowsError, match="store_id 2 belongs to another user than 7"):
                send(logs, [replace(batch, user_id=7, number=number)])
        with pytest.raises(WrongRowsError, match="store_id should be at least 0; received -1"):
            send(logs, [LogBatch(1, -1, 0, [], [])])


def test_a_journal_that_did_not_keep_users_is_read(tmp_path: Path) -> None:
    with writer(tmp_path / "out") as logs:
        send(logs, BATCHES)
    with sqlite3.connect(tmp_path / "out" / JOURNAL) as database:
        database.execute("ALTER TABLE stores DROP COLUMN user_id")
        database.execute("PRAGMA user_version = 2")
    database.close()
    with writer(tmp_path / "out") as logs:
        assert not any(answer["stored"] for answer in send(logs, BATCHES))


@pytest.mark.parametrize("fresh", [False, True])
def test_a_replaced_journal_is_refused_and_no_part_is_overwritten(fresh: bool, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for folder in (out, tmp_path / "other") if fresh else (out,):
        with writer(folder) as logs:
            send(logs, BATCHES if folder == out else [])
    (out / JOURNAL).write_bytes((tmp_path / "other" / JOURNAL).read_bytes() if fresh else b"")
    for _ in range(2):
        with pytest.raises(OutputError, match=r"part-0{11}1\.parquet exists, but the journal .* choose another"):
            writer(out)
    assert_same_rows(out)


def test_a_journal_of_an_earlier_day_overwrites_no_part(tmp_path: Path) -> None:
    out = tmp_path / "out"
    logs = writer(out)
    send(logs, BATCHES[:3])
    copy = {name: (out / name).read_bytes() for name in (JOURNAL, f"{JOURNAL}-wal")}
    send(logs, BATCHES)
    logs.close()
    for name, content in copy.items():
        (out / name).write_bytes(content)
    with pytest.raises(OutputError, match="has rows that are not in the journal, and is not replaced: choose another"):
        writer(out)
    assert_same_rows(out)


def test_parts_with_other_columns_than_the_specifications_are_refused(tmp_path: Path) -> None:
    document = LOGS.spec.model_dump(mode="json", exclude_none=True)
    document["item"].append({"name": "stock", "source": "stock", "origin": "served", "kind": "raw"})
    specs = [LOGS.spec, FeatureSpec.model_validate(document)]
    items = LOGS.items.sort("item_id")
    for name, (before, after) in {"more": (specs[:1], specs), "fewer": (specs, specs[:1])}.items():
        with LogWriter(tmp_path / name, before, items) as logs:
            send(logs, BATCHES)
        with pytest.raises(OutputError, match=r"do not fit .* column 'stock': .* choose another --logs"):
            LogWriter(tmp_path / name, after, items)
        with LogWriter(tmp_path / name, before, items):
            pass
        assert_same_rows(tmp_path / name)


def test_a_closed_writer_refuses_batches(tmp_path: Path) -> None:
    logs = writer(tmp_path / "out")
    logs.close()
    logs.close()
    with pytest.raises(OutputError, match="the server is being stopped"):
        send(logs, BATCHES[:1])
    assert json.loads((tmp_path / "out" / "logs.json").read_text())["kind"] == "logs"
    assert os.access(tmp_path / "out" / "features.json", os.R_OK)


class Slow:
    """A recall that learns only when it is let go. Meanwhile, batches wait."""

    def __init__(self) -> None:
        self.busy, self.go = threading.Event(), threading.Event()

    def __call__(self, events: pl.DataFrame, requests: pl.DataFrame) -> None:
        self.busy.set()
        assert self.go.wait(20)


def test_batches_that_wait_together_are_stored_together_and_a_wrong_one_alone_is_refused(tmp_path: Path) -> None:
    slow = Slow()
    with writer(tmp_path / "out", learn=slow) as logs:
        first = logs.submit(BATCHES[0])
        assert slow.busy.wait(20)
        wrong = LogBatch(77, 77, 0, [{**BATCHES[1].events[0], "user_id": 77, "store_id": 77, "time": -5}], [])
        unknown = {**BATCHES[1].events[0], "user_id": 78, "store_id": 78, "item_id": 10**9}
        futures = [logs.submit(batch) for batch in (*BATCHES[1:], wrong, LogBatch(78, 78, 0, [unknown], []))]
        repeated = logs.submit(BATCHES[-1])
        slow.go.set()
        assert first.result(20) == {"stored": True, "dropped_rows": 0}
        assert [future.result(20)["stored"] for future in futures[:-2]] == [True] * len(BATCHES[1:])
        with pytest.raises(WrongRowsError, match=r"events.time"):
            futures[-2].result(20)
        assert futures[-1].result(20) == {"stored": True, "dropped_rows": 1}
        assert repeated.result(20)["stored"] is False
        counts = logs.state()
        assert (counts["batches"], counts["repeated"], counts["dropped_rows"]) == (len(BATCHES) + 1, 1, 1)
    assert_same_rows(tmp_path / "out")


def test_batches_wait_only_up_to_a_number_of_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_logs(LOGS, tmp_path / "catalogue")
    service, slow = open_service(tmp_path / "catalogue"), Slow()
    bodies = [encode_batch(batch) for batch in BATCHES[:4]]
    monkeypatch.setattr(log_writer, "_MOST_BYTES", len(bodies[1]) + len(bodies[2]))
    with writer(tmp_path / "out", learn=slow) as logs:
        futures = [logs.submit(BATCHES[0], body=bodies[0])]
        assert slow.busy.wait(20)
        futures += [logs.submit(batch, body=body) for batch, body in zip(BATCHES[1:3], bodies[1:3], strict=True)]
        answer = ask(create_app(service, logs), "POST", "/v1/logs", bodies[3])
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        slow.go.set()
        assert all(future.result(20)["stored"] for future in futures)
        assert logs.submit(BATCHES[3], body=bodies[3]).result(20)["stored"]


def test_a_fault_of_the_writer_does_not_end_its_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with writer(tmp_path / "out") as logs:
        with monkeypatch.context() as patch:
            patch.setattr(CheckedRows, "marks", lambda self: 1 // 0)
            with pytest.raises(OutputError, match="division"):
                logs.submit(BATCHES[0]).result(20)
        assert logs.submit(BATCHES[0]).result(20)["stored"]


def test_one_wrong_batch_costs_few_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, checks = Slow(), []
    many = [replace(BATCHES[0], store_id=5000 + number, events=[], requests=[]) for number in range(64)]
    wrong = replace(many[40], events=[{"kind": "exposure"}])
    checked = LogTables.of
    with writer(tmp_path / "out", learn=slow) as logs:
        logs.submit(BATCHES[0])
        assert slow.busy.wait(20)
        monkeypatch.setattr(
            LogTables, "of", lambda self, batches: checks.append(len(batches)) or checked(self, batches)
        )
        futures = [logs.submit(batch) for batch in (*many[:40], wrong, *many[41:])]
        slow.go.set()
        stored = [future.exception(20) is None for future in futures]
    assert stored == [True] * 40 + [False] + [True] * 23
    assert len(checks) == 13  # both halves of 64, 32, ..., 2


def test_rows_that_were_stored_before_a_fault_become_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with writer(tmp_path / "out") as logs:
        with monkeypatch.context() as patch:
            # A lack of memory just after the commit.
            patch.setattr(Journal, "append", after(Journal.append, MemoryError("no memory")))
            with pytest.raises(OutputError, match="no memory"):
                logs.submit(BATCHES[0]).result(20)
        # The device sends the batch again, because it got no answer.
        assert logs.submit(BATCHES[0]).result(20)["stored"] is False
        send(logs, BATCHES[1:])
    assert_same_rows(tmp_path / "out")


def after(method: Any, error: Exception) -> Any:
    """Return a method that does what `method` does, and then raises an error."""

    def failing(*arguments: Any) -> None:
        method(*arguments)
        raise error

    return failing


def test_a_version_that_counts_less_does_not_change_the_order_of_columns(tmp_path: Path) -> None:
    def counting(*columns: str) -> FeatureSpec:
        document = LOGS.spec.model_dump(mode="json", exclude_none=True)
        for column in columns:
            as_of = {"count": "exposure", "by": ["item_id"], "weight": column, "within_s": 3600}
            feature = {
                "name": f"n_{column}",
                "source": f"n_{column}",
                "origin": "served",
                "kind": "raw",
                "as_of": as_of,
            }
            document["item"].append(feature)
        return FeatureSpec.model_validate(document)

    items = LOGS.items.sort("item_id")
    with LogWriter(tmp_path / "out", [counting("price", "watts")], items) as logs:
        send(logs, BATCHES[:1])
        logs.admit(counting("watts"))
        send(logs, BATCHES[1:])
    names = [pl.read_parquet_schema(file).names() for file in sorted((tmp_path / "out" / "events").iterdir())]
    assert len(names) == 2
    assert names[0] == names[1]
    assert_same_rows(tmp_path / "out")
