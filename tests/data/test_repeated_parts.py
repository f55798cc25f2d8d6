"""A repeated part is an error. A repeated behaviour is accepted, because it may have happened twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from edgerec.core.errors import LogsError
from edgerec.data.logs import open_logs, write_logs
from tests.synthetic import make_logs, unstamp

LOGS = make_logs()
ROWS = LOGS.events.sort("user_id", "time")
HALF = len(ROWS) // 2


def write_events(folder: Path, **parts: pl.DataFrame) -> Path:
    path = folder / "logs"
    write_logs(LOGS, path)
    unstamp(path)
    (path / "events" / "part-00000.parquet").unlink()
    for name, rows in parts.items():
        rows.write_parquet(path / "events" / f"{name}.parquet", compression="lz4" if name == "b" else "zstd")
    return path


REPEATS: dict[str, tuple[dict[str, pl.DataFrame], str]] = {
    "a copy": ({"a": ROWS, "b": ROWS}, r"a\.parquet is also in .*/events/b\.parquet and "),
    "another order": ({"a": ROWS[:HALF], "b": ROWS[:HALF].reverse(), "c": ROWS[HALF:]}, r"a\.parquet is also in "),
    "another type": (
        {"a": ROWS, "b": ROWS.with_columns(pl.col("item_id").cast(pl.Int32), pl.col("kind").cast(pl.Categorical))},
        r"a\.parquet is also in .*b\.parquet",
    ),
    "put together": (
        {"a": ROWS, "b": ROWS[:HALF], "c": ROWS[HALF:]}, r"a\.parquet is also in .*b\.parquet and 1 more and "
    ),
    "a smaller one": ({"a": ROWS, "b": ROWS[100:110]}, r"b\.parquet is also in .*a\.parquet"),
}  # fmt: skip


@pytest.mark.parametrize("repeat", REPEATS)
@pytest.mark.parametrize("sample", [100, 2**18])
def test_a_repeated_part_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repeat: str, sample: int) -> None:
    if repeat == "a smaller one" and sample == 100:
        pytest.skip("a sample of 100 rows may miss the ten repeated rows")
    monkeypatch.setattr("edgerec.data.repeated_parts.SAMPLE", sample)
    monkeypatch.setattr("edgerec.data.repeated_parts.SLICE", 77)
    parts, said = REPEATS[repeat]
    with pytest.raises(LogsError, match=rf"every row of .*/events/{said}") as caught:
        open_logs(write_events(tmp_path, **parts))
    assert "\n" not in str(caught.value)


def other(column: str) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda rows: rows.with_columns(pl.col(column) + 1)


@pytest.mark.parametrize(
    "parts",
    [
        {"a": ROWS[:HALF], "b": ROWS[HALF:]},
        {"a": ROWS[: HALF + 5], "b": ROWS[HALF:]},
        {"a": pl.concat([ROWS, ROWS]), "b": ROWS.clear()},
        {"a": ROWS[:HALF], "b": other("time")(ROWS[:HALF])},
        {"a": ROWS[:HALF], "b": other("score")(ROWS[:HALF])},
        {"a": ROWS, "b": ROWS.clear(), "c": ROWS.clear()},
    ],
    ids=["none", "some rows", "rows within a part", "another time", "another score", "empty parts"],
)
@pytest.mark.parametrize("sample", [100, 2**18])
def test_repeated_rows_are_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: dict[str, pl.DataFrame], sample: int
) -> None:
    monkeypatch.setattr("edgerec.data.repeated_parts.SAMPLE", sample)
    open_logs(write_events(tmp_path, **parts))


def test_a_repeated_part_of_requests_is_an_error(tmp_path: Path) -> None:
    from edgerec.data.build_samples import write_samples

    path = write_events(tmp_path, a=ROWS)
    part = path / "requests" / "part-00000.parquet"
    part.with_name("b.parquet").write_bytes(part.read_bytes())
    with pytest.raises(LogsError, match="occurs more than once: is a part repeated"):
        write_samples(path, tmp_path / "samples")
