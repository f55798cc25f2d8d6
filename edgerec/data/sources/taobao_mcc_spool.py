"""Tables set aside on disk in the order of writing, any number of them in one file."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import polars as pl


def append(path: Path, table: pl.DataFrame) -> None:
    """Write `table` behind what stands in the file `path`."""
    buffer = io.BytesIO()
    table.write_ipc_stream(buffer, compression="lz4")
    with path.open("ab") as file:
        file.write(buffer.tell().to_bytes(8, "little"))
        file.write(buffer.getbuffer())


def tables(path: Path) -> Iterator[pl.DataFrame]:
    """What was appended to the file `path`, one after the other."""
    with path.open("rb") as file:
        while length := file.read(8):
            yield pl.read_ipc_stream(io.BytesIO(file.read(int.from_bytes(length, "little"))))
