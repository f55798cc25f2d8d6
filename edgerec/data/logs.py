"""Logs: the three tables that a feed writes and everything else is made from (docs/formats.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict

from edgerec.core.atomic import output_folder, write_json
from edgerec.core.documents import read_document
from edgerec.core.errors import LogsError, OutputError
from edgerec.data.schema import CLICK_COUNT, CLICKED, EVENTS, ITEMS, REQUESTS, USER_ID, check_tables
from edgerec.features.spec import FeatureSpec, load_spec

FORMAT = 1
HEAD = "logs.json"
SPEC = "features.json"


class LogsHead(BaseModel):
    """`logs.json`: what stands beside the tables."""

    model_config = ConfigDict(extra="ignore")

    format: Literal[1] = 1
    kind: Literal["logs"] = "logs"
    name: str
    """Of the data set."""
    test_from: int | None = None
    """Milliseconds since 1970 at which the test period begins, where the data set has a customary one."""


@dataclass(frozen=True)
class Logs:
    """The tables of a data set, checked.

    Attributes:
        head: name and customary test period.
        spec: what the columns mean.
        items: one row an item.
        events: one row a behaviour, in order of user, time and, at one instant, of writing.
        requests: one row a re-rank opportunity, in order of time, user and request_id.
    """

    head: LogsHead
    spec: FeatureSpec
    items: pl.DataFrame
    events: pl.DataFrame
    requests: pl.DataFrame

    def counts(self) -> dict[str, int]:
        """`requests`, `exposures` (listed items that were shown), `clicks` (each of several on one item), `users`."""
        clicked = self.requests[CLICKED].explode()
        clicks = self.requests[CLICK_COUNT].explode() if CLICK_COUNT in self.requests.columns else clicked
        return {
            "requests": len(self.requests),
            "exposures": len(clicked) - clicked.null_count(),
            "clicks": int(clicks.sum() or 0),
            "users": self.requests[USER_ID].n_unique(),
        }


def write_logs(logs: Logs, path: Path, *, force: bool = False) -> None:
    """Check `logs` and write them as the folder `path`, whole or not at all.

    Raises:
        LogsError: a table breaks its schema.
        OutputError: `path` exists and `force` is false.
    """
    with output_folder(path, force=force, kind="logs") as folder:
        checked = _checked(logs)
        (folder / "events").mkdir()
        (folder / "requests").mkdir()
        write_table(checked.items, folder / "items.parquet")
        write_table(checked.events, folder / "events" / "part-00000.parquet")
        write_table(checked.requests, folder / "requests" / "part-00000.parquet")
        write_json(folder / SPEC, logs.spec.model_dump(mode="json", exclude_none=True))
        write_json(folder / HEAD, logs.head.model_dump(mode="json"))


def write_table(table: pl.DataFrame, path: Path) -> None:
    """Write `table` as the Parquet file `path`.

    Raises:
        OutputError: the disk is full, or otherwise refuses.
    """
    try:
        table.write_parquet(path)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        # polars does not pass on the system's error as one.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise OutputError(f"cannot write {path} ({reason}): free some space or choose another --out") from None


def read_logs(path: Path, *, spec: FeatureSpec | None = None) -> Logs:
    """Read and check the folder `path`.

    Args:
        path: the folder.
        spec: what the columns mean; default: the folder's own `features.json`.

    Raises:
        FormatError: no such folder, or another format number.
        LogsError: a table is missing, cannot be read, or breaks its schema.
        SpecificationError: the folder's `features.json` is not valid.
    """
    head = read_document(path / HEAD, LogsHead, what="logs", format_number=FORMAT)
    if spec is None and not (path / SPEC).is_file():
        raise LogsError(f"logs: {path} has no {SPEC}: write one (docs/features.md), or name one with --features")
    return _checked(
        Logs(
            head=head,
            spec=spec if spec is not None else load_spec(path / SPEC),
            items=_read_table(ITEMS, [path / "items.parquet"]),
            events=_read_table(EVENTS, sorted((path / "events").glob("*.parquet"))),
            requests=_read_table(REQUESTS, sorted((path / "requests").glob("*.parquet"))),
        )
    )


def _checked(logs: Logs) -> Logs:
    tables = check_tables({ITEMS: logs.items, EVENTS: logs.events, REQUESTS: logs.requests}, logs.spec)
    return replace(logs, items=tables[ITEMS], events=tables[EVENTS], requests=tables[REQUESTS])


def _read_table(name: str, files: Sequence[Path]) -> pl.DataFrame:
    if not files or not all(file.is_file() for file in files):
        where = files[0] if files else f"{name}/*.parquet"
        raise LogsError(f"logs: {where} is not there: the table {name!r} is needed (docs/formats.md)")
    parts = []
    for file in files:
        try:
            parts.append(pl.read_parquet(file, glob=False))
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            # polars panics (no Exception) on some damaged pages.
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise LogsError(
                f"logs: {file} cannot be read as Parquet ({reason}): it is damaged, make it again"
            ) from None
    for file, part in zip(files, parts, strict=True):
        odd = sorted(set(part.columns) ^ set(parts[0].columns))
        if odd:
            raise LogsError(f"logs: {file} and {files[0]} are parts of one table; only one of them has {odd[0]!r}")
    try:
        return pl.concat([part.select(parts[0].columns) for part in parts], how="vertical_relaxed")
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise LogsError(f"logs: the parts of {name} have columns of different types ({reason})") from None
