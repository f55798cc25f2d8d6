"""Remove all rows of a user from a folder of logs: from its Parquet files and from the journal.

The new files are written beside the old ones, and then the change is decided at once (`edgerec.core.together`). If the
process is killed before that, the logs are as before. If it is killed later, whoever opens the folder next completes
the change: readers, the next server, or a second run.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from edgerec.cloud.journal import Journal
from edgerec.core.atomic import json_bytes
from edgerec.core.documents import read_document
from edgerec.core.errors import FormatError, OutputError, first_line
from edgerec.core.hashing import sha256_file
from edgerec.core.leftovers import clear_leftovers, lock
from edgerec.core.together import clear_staged, decide, finish_replacing, planned, staged
from edgerec.data.logs import ADVICE, FORMAT, HEAD, JOURNAL, TABLES, LogsDocument
from edgerec.data.part_files import part_files
from edgerec.data.part_stamps import PartStamp
from edgerec.data.parts import POLARS_FAULTS, count_rows, reading
from edgerec.data.schema import EVENTS, REQUESTS, STORE_ID, USER_ID

_TRUTH = "truth"
"""The folder of simulated logs that has what only the simulator knows."""


@dataclass(frozen=True)
class Forgotten:
    """What was removed.

    Attributes:
        events, requests: the rows of these tables.
        truth: the rows of the tables that only simulated logs have.
        journal: the rows that were not in Parquet yet. Some of them may also be counted in `events` and `requests`, if
            the server was killed after it had written them.
        files: the Parquet files that were written anew.
    """

    events: int = 0
    requests: int = 0
    truth: int = 0
    journal: int = 0
    files: int = 0


def forget_user(logs: Path, user_id: int) -> Forgotten:
    """Remove all rows of a user from the folder `logs`.

    A file system may keep the blocks of the old files until it needs them, and so do its snapshots and backups.

    Args:
        logs: a folder of logs, with or without a journal.
        user_id: the user.

    Raises:
        FormatError: there are no logs in the folder.
        LogsError: a file cannot be read. Nothing was removed.
        OutputError: a server or another run uses the folder, or it cannot be written. If the text does not say that
            the change has to be completed, nothing was removed.
    """
    with _alone(logs), _journal(logs) as journal:
        finish_forgetting(logs, journal)
        document = read_document(logs / HEAD, LogsDocument, what="logs", format_number=FORMAT, advice=ADVICE)
        clear_staged(logs)
        tables = {name: part_files(logs / TABLES[name]) for name in (EVENTS, REQUESTS)}
        tables[_TRUTH] = sorted((logs / _TRUTH).rglob("*.parquet"))
        for name in (EVENTS, REQUESTS):
            _clear_partial_files(logs / TABLES[name])
        counts, stores, changed = dict.fromkeys(tables, 0), set[int](), list[Path]()
        try:
            for name, parts in tables.items():
                for file in parts:
                    removed = _stage_without(file, user_id, stores)
                    counts[name] += removed
                    changed += [file] if removed else []
            if document.parts is not None and changed:
                changed.append(_stage_head(logs, document, changed))
            decide(logs, changed, {"user_id": user_id, "stores": sorted(stores)})
        except BaseException:
            if planned(logs) is None:
                clear_staged(logs)
            raise
        rows = _complete(logs, journal)
    files = sum(file.suffix != ".json" for file in changed)
    return Forgotten(counts[EVENTS], counts[REQUESTS], counts[_TRUTH], rows, files)


def finish_forgetting(logs: Path, journal: Journal | None) -> None:
    """Complete the change that a killed process had decided. The journal of the folder, if there is one, must be open.

    Raises:
        OutputError: the folder cannot be written.
    """
    if planned(logs) is not None:
        _complete(logs, journal)


def _complete(logs: Path, journal: Journal | None) -> int:
    """Carry out the plan. Return the number of rows that were removed from the journal."""
    finish_replacing(logs, keep_plan=True)
    rows, note = 0, planned(logs)
    if journal is not None and note is not None:
        rows = journal.forget(note["user_id"], note["stores"])
    finish_replacing(logs)
    return rows


@contextlib.contextmanager
def _alone(logs: Path) -> Iterator[None]:
    """Let only one run at a time change the folder."""
    if not (logs / HEAD).is_file():
        raise FormatError(f"logs: {logs} has no {HEAD}: give a folder of logs")
    try:
        handle = lock(logs.resolve())
    except BlockingIOError:
        raise OutputError(f"logs: {logs} is being changed by another run of edgerec forget: wait for it") from None
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


@contextlib.contextmanager
def _journal(logs: Path) -> Iterator[Journal | None]:
    """Open the journal, so that no server can. Folders that no server wrote have none."""
    if not (logs / JOURNAL).exists():
        yield None
        return
    journal = Journal(logs / JOURNAL)
    try:
        yield journal
    finally:
        journal.close()


def _stage_without(file: Path, user_id: int, stores: set[int]) -> int:
    """Write the rows of a file that belong to other users to its staged file. Return how many do not.

    Nothing is written if all of them belong to others. The stores of the user's rows are added to `stores`.
    """
    with reading(file):
        table = pl.scan_parquet(file, glob=False)
        columns = table.collect_schema().names()
        if USER_ID not in columns:
            return 0
        mine = table.filter(pl.col(USER_ID) == user_id)
        removed: int = mine.select(pl.len()).collect().item()
        if not removed:
            return 0
        if STORE_ID in columns:
            stores.update(mine.select(pl.col(STORE_ID).drop_nulls().unique()).collect()[STORE_ID].to_list())
    try:
        table.filter(pl.col(USER_ID).ne_missing(user_id)).sink_parquet(staged(file), compression="zstd")
        staged(file).chmod(0o644)
    except (OSError, *POLARS_FAULTS) as error:
        raise OutputError(f"logs: cannot write beside {file} ({first_line(error)}): free some space") from None
    return removed


def _stage_head(logs: Path, document: LogsDocument, changed: list[Path]) -> Path:
    """Write `logs.json` with the stamps of the new files to its staged file. Return the path of `logs.json`."""
    stamps = dict(document.parts or {})
    for file in changed:
        new, name = staged(file), file.relative_to(logs).as_posix()
        if name in stamps:
            stamps[name] = PartStamp(size=new.stat().st_size, sha256=sha256_file(new), rows=count_rows(new))
    head = logs / HEAD
    try:
        staged(head).write_bytes(json_bytes(document.model_copy(update={"parts": stamps}).model_dump(mode="json")))
    except OSError as error:
        raise OutputError(f"logs: cannot write beside {head} ({error.strerror}): free some space") from None
    return head


def _clear_partial_files(table: Path) -> None:
    """Remove what killed servers left in the folder of a table. Such files may have rows of the user."""
    for entry in table.glob(".*.edgerec-partial-*"):
        clear_leftovers(table / entry.name[1:].partition(".edgerec-partial-")[0])
