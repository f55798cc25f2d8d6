"""EdgeRec writes the size, the hash and the number of rows of each table file to `logs.json`, and checks the files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from edgerec.core.errors import FormatError, LogsError
from edgerec.core.hashing import sha256_file
from edgerec.data.build_samples import write_samples
from edgerec.data.logs import LogsHead, load_logs, open_logs, write_logs
from edgerec.data.sources.logs_writer import logs_writer
from edgerec.data.statistics.document import stats_document
from edgerec.simulation.config import SimulationConfig
from edgerec.simulation.population import simulate
from tests.data.test_samples import files_of
from tests.synthetic import make_logs, unstamp

LOGS = make_logs()
PART = "events/part-00000.parquet"


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    write_logs(LOGS, tmp_path / "logs")
    return tmp_path / "logs"


def parts_of(logs: Path) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads((logs / "logs.json").read_text())["parts"]
    return found


def by_writer(path: Path) -> None:
    with logs_writer(path, head=LogsHead(name="parts"), spec=LOGS.spec, items=LOGS.items) as writer:
        for first in (0, 6):
            writer.write(
                *(rows.filter(pl.col("user_id").is_between(first, first + 5)) for rows in (LOGS.events, LOGS.requests))
            )


def by_simulator(path: Path) -> None:
    simulate(SimulationConfig(users=5, items=50, days=2), path, seed=1)


WRITERS: dict[str, Callable[[Path], None]] = {
    "write_logs": lambda path: write_logs(LOGS, path),
    "logs_writer": by_writer,
    "simulate": by_simulator,
}


@pytest.mark.parametrize("writer", WRITERS)
def test_every_writer_of_logs_writes_sizes_and_hashes(tmp_path: Path, writer: str) -> None:
    path = tmp_path / "logs"
    WRITERS[writer](path)
    files = [path / "items.parquet", *(path / "events").iterdir(), *(path / "requests").iterdir()]
    assert parts_of(path) == {
        file.relative_to(path).as_posix(): {
            "size": file.stat().st_size, "sha256": sha256_file(file), "rows": len(pl.read_parquet(file)),
        }
        for file in files
    }  # fmt: skip
    opened = open_logs(path)
    assert [len(table.files) for table in (opened.events, opened.requests)] == [2 if writer == "logs_writer" else 1] * 2


def test_equal_logs_get_equal_hashes_and_other_logs_get_other_hashes(logs: Path, tmp_path: Path) -> None:
    read = load_logs(logs)
    assert read.head == LOGS.head
    write_logs(read, tmp_path / "again")
    assert files_of(tmp_path / "again") == files_of(logs)
    write_logs(make_logs(seed=1), tmp_path / "other")
    assert parts_of(tmp_path / "other") != parts_of(logs)


@pytest.mark.parametrize("file", ["items.parquet", PART, "requests/part-00000.parquet"])
@pytest.mark.parametrize("place", [0.001, 0.3, 0.6, 0.999])
def test_a_flipped_bit_in_any_table_is_an_error(logs: Path, file: str, place: float) -> None:
    """polars writes Parquet without checksums, so most flipped bits would be read as other values."""
    content = bytearray((logs / file).read_bytes())
    content[int(place * len(content))] ^= 1
    (logs / file).write_bytes(content)
    for read in (open_logs, load_logs, stats_document):
        with pytest.raises(
            LogsError, match=rf"{file} was changed after it was written: restore it, or delete"
        ) as caught:
            read(logs)
        assert "\n" not in str(caught.value)


def test_missing_and_additional_parts_are_an_error(logs: Path) -> None:
    part = logs / PART
    rows = pl.read_parquet(part)
    for name in ("events/part-00001.parquet", "events/dt=2/part.pq"):
        (logs / name).parent.mkdir(exist_ok=True)
        rows[:3].write_parquet(logs / name)
        with pytest.raises(
            LogsError, match=rf"{name} is not in the 'parts' of logs\.json: remove it, or delete 'parts'"
        ):
            open_logs(logs)
        (logs / name).unlink()
    part.rename(logs / "events" / "x.parquet")
    with pytest.raises(LogsError, match=rf"{PART} does not exist, but logs\.json lists it"):
        open_logs(logs)
    (logs / "events" / "x.parquet").rename(logs / "events" / "_x.parquet")
    with pytest.raises(LogsError, match=rf"{PART} does not exist"):
        open_logs(logs)


def test_logs_without_sizes_and_hashes_are_read(logs: Path, tmp_path: Path) -> None:
    expected = write_samples(logs, tmp_path / "expected", logs_path=tmp_path)
    unstamp(logs)
    found = write_samples(logs, tmp_path / "samples", logs_path=tmp_path)
    assert files_of(found.path) == files_of(expected.path)


@pytest.mark.parametrize(
    "stamp",
    [
        [],
        {PART: None},
        {PART: {"size": -1, "sha256": "0" * 64, "rows": 0}},
        {PART: {"size": 1, "sha256": "x", "rows": 1}},
    ],
)
def test_invalid_sizes_and_hashes_are_an_error(logs: Path, stamp: object) -> None:
    head = json.loads((logs / "logs.json").read_text())
    (logs / "logs.json").write_text(json.dumps({**head, "parts": stamp}))
    with pytest.raises(FormatError, match=r"logs\.json: parts") as caught:
        open_logs(logs)
    assert "\n" not in str(caught.value)


def test_logs_may_be_moved(logs: Path, tmp_path: Path) -> None:
    shutil.move(logs, tmp_path / "elsewhere")
    assert len(load_logs(tmp_path / "elsewhere").events) == len(LOGS.events)
