"""Write logs part by part, for data sets that do not fit into memory. Each part has all rows of some users.

As-of columns may need the rows of all users. So parts that lack such columns are written to a temporary folder first.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from edgerec.core.atomic import output_folder
from edgerec.core.errors import LogsError
from edgerec.core.leftovers import temporary_folder
from edgerec.data.as_of.columns import AbsentColumns
from edgerec.data.as_of.folder import fill_folder, open_without
from edgerec.data.catalogue import ItemIndex
from edgerec.data.log_checks import check_items, check_rows
from edgerec.data.logs import TABLES, Logs, LogsHead, write_heads, write_table
from edgerec.data.schema import EVENTS, ITEM_ID, ITEMS, REQUESTS, USER_ID
from edgerec.features.spec import FeatureSpec


class LogsWriter:
    """Writes the parts of a folder of logs. `logs_writer` creates it."""

    def __init__(self, folder: Path, *, head: LogsHead, spec: FeatureSpec, items: pl.DataFrame) -> None:
        self._folder, self._head, self._spec = folder, head, spec
        self.absent: AbsentColumns | None = None
        """The as-of columns that the parts lack; None before the first part."""
        self.items = check_items(items, spec)
        self._index = ItemIndex.of(self.items[ITEM_ID].to_numpy())
        self._counts: Counter[str] = Counter()
        self._last_user: int | None = None
        self.parts = 0

    def write(self, events: pl.DataFrame, requests: pl.DataFrame) -> None:
        """Check and write one part: all events and requests of its users. User IDs ascend from part to part.

        Parts are checked one by one. The caller must make sure that no two parts have the same `request_id`.

        Raises:
            LogsError: a table breaks its schema, a user ID is not above those of the earlier parts, or the part has
                other as-of columns than the first one.
            OutputError: a file cannot be written, for example because the disk is full.
        """
        absent = AbsentColumns.of(self._spec, events=events.columns, requests=requests.columns)
        if self.absent is None:
            self.absent = absent
        elif absent != self.absent:
            raise LogsError(
                f"logs: part {self.parts} lacks the columns {absent.names}, and the first part {self.absent.names}: "
                "write the same columns in all parts"
            )
        events, requests = check_rows(
            events, requests, absent.without(self._spec), self._index, repeated_items=self._head.repeated_items
        )
        logs = Logs(self._head, self._spec, self.items, events, requests)
        users = pl.concat([logs.events[USER_ID], logs.requests[USER_ID]])
        if not len(users):
            return
        first, last = int(users.min()), int(users.max())  # type: ignore[arg-type]
        if self._last_user is not None and first <= self._last_user:
            raise LogsError(
                f"logs: part {self.parts} holds user {first}, and the part before it user {self._last_user}: "
                "write users in ascending order, each in one part"
            )
        for name, table in ((EVENTS, logs.events), (REQUESTS, logs.requests)):
            write_table(table, self._folder / TABLES[name] / f"part-{self.parts:05d}.parquet")
        self._last_user, self.parts = last, self.parts + 1
        self._counts.update(logs.counts())

    def counts(self) -> dict[str, int]:
        """Return the numbers of `requests`, `exposures`, `clicks` and `users` in the parts written so far."""
        return {name: self._counts[name] for name in ("requests", "exposures", "clicks", "users")}


@contextlib.contextmanager
def logs_writer(
    path: Path, *, head: LogsHead, spec: FeatureSpec, items: pl.DataFrame, force: bool = False
) -> Iterator[LogsWriter]:
    """Yield a writer of parts. If the block ends without an error, its parts become the folder `path`.

    Args:
        path: the folder.
        head: name and test period of the data set.
        spec: the feature specification.
        items: the complete catalogue.
        force: replace `path` if it exists.

    Raises:
        LogsError: the catalogue breaks its schema, or the block wrote no part.
        OutputError: `path` exists and `force` is false.
    """
    with output_folder(path, force=force, kind="logs") as folder, contextlib.ExitStack() as stack:
        written = folder
        if AbsentColumns.of(spec, events=(), requests=()):
            scratch = stack.enter_context(temporary_folder(path.resolve(), "parts"))
            written = scratch / "logs"
            written.mkdir()
        for name in (EVENTS, REQUESTS):
            (written / TABLES[name]).mkdir()
        writer = LogsWriter(written, head=head, spec=spec, items=items)
        yield writer
        if not writer.parts:
            raise LogsError(f"logs: there is nothing to write to {path}: no events and no requests")
        write_table(writer.items, written / TABLES[ITEMS])
        write_heads(written, head, spec)
        if written != folder:
            opened, absent = open_without(written, spec)
            fill_folder(opened, spec, absent, folder, scratch=scratch)
