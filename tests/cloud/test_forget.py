"""Tests of `edgerec forget` on the side of the cloud. Bytes of the user are searched in every file of the folder."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from edgerec.cloud.forget import Forgotten, forget_user
from edgerec.cloud.journal import Journal
from edgerec.cloud.log_writer import LogWriter
from edgerec.core.errors import FormatError, OutputError
from edgerec.core.together import PLAN, finish_replacing
from edgerec.data.logs import JOURNAL, Logs, load_logs, write_logs
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.paging.log_rows import LogBatch
from tests.cloud.batches import batches_of
from tests.command_line import document, edgerec_here, error_line
from tests.full_disk import files_up_to
from tests.quicker import some_of
from tests.synthetic import make_logs_with_context

USER = 7_777_123_456_789_012_345
"""An ID whose bytes occur nowhere by chance."""
STORE = 6_123_456_789_012_345_678
BYTES = tuple(
    part
    for number in (USER, STORE)
    for part in (str(number).encode(), struct.pack("<q", number), struct.pack(">q", number))
)
"""How the numbers look in JSON, in Parquet and in SQLite."""
MADE = make_logs_with_context(users=4, requests=4)


def mine(batch: LogBatch) -> LogBatch:
    """Return the batch as one of the user. Its rows have the user's ID, too, and a text of the user's."""
    owner = {"user_id": USER, "store_id": STORE}
    rows = [[{**row, **owner} for row in each] for each in (batch.events, batch.requests)]
    return replace(batch, **owner, events=rows[0], requests=rows[1])


def every_batch() -> list[LogBatch]:
    """Return the batches of all users, in turns. The first of them is the user."""
    batches = sorted(batches_of(MADE, rows=5), key=lambda batch: batch.number)
    first = batches[0].user_id
    return [mine(batch) if batch.user_id == first else batch for batch in batches]


def writer(folder: Path) -> LogWriter:
    return LogWriter(folder, [MADE.spec], MADE.items)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return what a killed server leaves: a Parquet part, a journal with more batches, and pages that it has freed."""
    batches = every_batch()
    with writer(tmp_path / "served") as first:
        for batch in batches[: len(batches) * 3 // 4]:
            first.submit(batch).result()
    with writer(tmp_path / "served") as second:
        for batch in batches[len(batches) * 3 // 4 :]:
            second.submit(batch).result()
        shutil.copytree(tmp_path / "served", tmp_path / "out")
    return tmp_path / "out"


def found(folder: Path) -> list[str]:
    """Return the files that have bytes of the user. What was compressed is searched after decompression."""
    names = [path.name for path in folder.rglob("*") if path.is_file() and any(b in path.read_bytes() for b in BYTES)]
    for path in folder.rglob("*.parquet"):
        table = pl.read_parquet(path)
        if "user_id" in table.columns and (table["user_id"] == USER).any():
            names.append(path.name)
    return sorted(names)


def rows_of_others(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows of others, after a server has written the journal as Parquet."""
    writer(folder).close()
    logs = load_logs(folder)
    return logs.events.filter(pl.col("user_id") != USER), logs.requests.filter(pl.col("user_id") != USER)


def test_nothing_of_the_user_stays_and_everything_of_others(folder: Path, tmp_path: Path) -> None:
    before = tmp_path / "before"
    shutil.copytree(folder, before)
    expected = rows_of_others(before)
    assert JOURNAL in " ".join(found(folder))
    done = document(edgerec_here("forget", "--user", str(USER), "--logs", folder, "--json"))
    assert found(folder) == []
    assert done["user_id"] == USER
    (removed,) = done["removed"]
    sent = [batch for batch in every_batch() if batch.user_id == USER]
    assert removed["events"] + removed["requests"] + removed["journal"] == sum(
        len(batch.events) + len(batch.requests) for batch in sent
    )
    assert removed["journal"] > 0
    for table, other in zip(rows_of_others(folder), expected, strict=True):
        assert table.equals(other)
    assert found(folder) == []
    assert not (folder / PLAN).exists()
    # Others go on where they were, and the user begins anew.
    with writer(folder) as logs:
        for batch in every_batch():
            assert logs.submit(batch).result()["stored"] == (batch.user_id == USER)


def test_a_user_without_rows_changes_no_part(folder: Path) -> None:
    parts = {path: path.read_bytes() for path in folder.rglob("*.parquet")}
    assert forget_user(folder, 5) == Forgotten()
    assert {path: path.read_bytes() for path in folder.rglob("*.parquet")} == parts


def test_the_journal_of_an_old_version_forgets_the_stores_of_the_user(folder: Path) -> None:
    with sqlite3.connect(folder / JOURNAL) as journal:
        journal.execute("UPDATE stores SET user_id = NULL")
    journal.close()
    forget_user(folder, USER)
    assert found(folder) == []
    journal = sqlite3.connect(folder / JOURNAL)
    assert STORE not in [store for (store,) in journal.execute("SELECT store_id FROM stores")]
    journal.close()


def test_logs_with_stamps_keep_them_valid(tmp_path: Path) -> None:
    ids = pl.col("user_id").replace(MADE.events["user_id"][0], USER)
    made = Logs(MADE.head, MADE.spec, MADE.items, MADE.events.with_columns(ids), MADE.requests.with_columns(ids))
    write_logs(made, tmp_path / "logs")
    done = forget_user(tmp_path / "logs", USER)
    assert done == Forgotten(
        events=(made.events["user_id"] == USER).sum(), requests=(made.requests["user_id"] == USER).sum(), files=2
    )
    left = load_logs(tmp_path / "logs")
    assert len(left.events) == len(made.events) - done.events
    assert found(tmp_path / "logs") == []


def test_a_used_folder_and_other_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    with writer(folder), pytest.raises(OutputError, match="is used by another server: stop it"):
        forget_user(folder, USER)
    with pytest.raises(FormatError, match=r"has no logs.json: give a folder of logs"):
        forget_user(tmp_path, USER)
    assert "has no logs.json" in error_line(edgerec_here("forget", "--user", "1", "--logs", tmp_path))
    assert edgerec_here("forget", "--user", "1").returncode == 2


def test_a_full_disk_changes_nothing(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*.parquet")}
    with files_up_to(100), pytest.raises(OutputError):
        forget_user(folder, USER)
    assert {path: path.read_bytes() for path in folder.rglob("*.parquet")} == before
    assert not list(folder.rglob(".*edgerec*"))
    forget_user(folder, USER)
    assert found(folder) == []


def test_the_store_of_a_device_is_deleted_by_the_same_command(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with BehaviourStore(path, user_id=USER):
        pass
    assert USER.to_bytes(8, "big") in path.read_bytes()
    done = document(edgerec_here("forget", "--user", str(USER), "--logs", folder, "--store", path, "--json"))
    assert [each["kind"] for each in done["removed"]] == ["store", "logs"]
    assert not list(tmp_path.glob("store.sqlite*"))
    assert found(folder) == []
    # A store of somebody else stops the command before the logs change.
    with BehaviourStore(path, user_id=5):
        pass
    assert "belongs to user 5" in error_line(edgerec_here("forget", "--user", str(USER), "--store", path))
    assert path.exists()


STEPS = {
    "before the plan": ("edgerec.cloud.forget", "decide"),
    "before the first rename": ("edgerec.cloud.forget", "finish_replacing"),
    "after the first rename": ("pathlib.Path", "replace"),
    "before the journal": ("edgerec.cloud.journal.Journal", "forget"),
    "in the journal": ("sqlite3", "VACUUM"),
}
KILL = """
import os, signal, sys, pathlib, sqlite3
from pathlib import Path
import edgerec.cloud.forget as module
from edgerec.cloud.journal import Journal
def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
step = sys.argv[3]
if step in ("decide", "finish_replacing"):
    setattr(module, step, kill)
elif step == "replace":
    real, seen = Path.replace, []
    def replace(self, target):
        if ".edgerec-new" in self.name:
            if seen:
                kill()
            seen.append(self)
        return real(self, target)
    Path.replace = replace
elif step == "forget":
    Journal.forget = kill
else:
    real_forget = Journal.forget
    def forget(self, *rest):
        self._database.set_trace_callback(lambda text: kill() if text == "VACUUM" else None)
        return real_forget(self, *rest)
    Journal.forget = forget
module.forget_user(Path(sys.argv[1]), int(sys.argv[2]))
"""


@pytest.mark.parametrize("step", some_of(STEPS, fast=("after the first rename",)))
@pytest.mark.parametrize("then", ["server", "again"])
def test_a_killed_run_leaves_the_logs_as_before_or_is_completed(folder: Path, step: str, then: str) -> None:
    before = len(load_logs(folder).events)
    of_user = int((load_logs(folder).events["user_id"] == USER).sum())
    code = subprocess.run([sys.executable, "-c", KILL, folder, str(USER), STEPS[step][1]], check=False).returncode
    assert code == -signal.SIGKILL
    decided = step != "before the plan"
    assert (folder / PLAN).exists() == decided
    # Readers see the logs before or after the change, and never between.
    events = load_logs(folder).events
    assert len(events) == (before - of_user if decided else before)
    if then == "server":
        writer(folder).close()
    else:
        forget_user(folder, USER)
    assert (found(folder) == []) == (decided or then == "again")
    assert not (folder / PLAN).exists()
    if then == "again":
        assert not list(folder.rglob(".*edgerec*"))


def test_a_plan_that_leads_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    for name in ("../x", "/etc/passwd", "", "a\0b", 5):
        (folder / PLAN).write_text(f'{{"replace": [{name!r}]}}'.replace("'", '"').replace("\\x00", "\\u0000"))
        with pytest.raises(OutputError, match="is damaged: remove it"):
            finish_replacing(folder)


def test_the_journal_has_the_numbers_of_its_batches_after_it(folder: Path) -> None:
    journal = Journal(folder / JOURNAL)
    last = journal.last()
    journal.close()
    forget_user(folder, USER)
    journal = Journal(folder / JOURNAL)
    assert journal.last() == last > 0
    journal.close()


def test_a_part_that_was_written_before_a_kill_is_written_once_more_and_not_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, batches = tmp_path / "out", every_batch()
    logs = writer(out)
    for batch in batches:
        logs.submit(batch).result(20)
    with monkeypatch.context() as patch:
        # The server ends after it wrote the parts and before it cleared the journal.
        patch.setattr(Journal, "clear", lambda self: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            logs.close()
    assert forget_user(out, USER).events > 0
    writer(out).close()
    others = sum(len(batch.events) for batch in batches if batch.user_id != USER)
    assert len(load_logs(out).events) == others
    assert len(list((out / "events").glob("*.parquet"))) == 2  # with the part that shows the types


def test_a_wrong_path_of_a_store_is_no_erasure(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    BehaviourStore(path, user_id=USER).close()
    for wrong, text in (
        (tmp_path / "nope", "there is no file "),
        (tmp_path, "is a folder: give the file of the store"),
    ):
        done = edgerec_here("forget", "--user", str(USER), "--store", path, "--store", wrong, "--logs", folder)
        assert text in (line := error_line(done))
        assert line.endswith("nothing was removed")
    assert path.exists()
    assert edgerec_here("forget", "--user", str(USER), "--store", path).returncode == 0
