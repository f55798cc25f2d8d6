"""Parts of events that are there twice: as a copy, written again, or put together with others.

A behaviour may stand twice in logs, for example where times are whole seconds. A part of which every behaviour also
stands in other parts is a repetition. All parts draw the same sample of behaviours, by a hash, so that memory does not
grow with the logs. (No such thing is needed for requests, whose identities are unique.)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.core.errors import LogsError
from edgerec.data.parts import Parts, count_rows, reading
from edgerec.data.schema import ITEM_ID, KIND, TIME, USER_ID

SAMPLE = 2**18
"""Behaviours, of all parts together, that are compared with each other at first."""
SLICE = 2**20
"""Rows that are read at a time."""

Hashes = NDArray[np.uint64]


def check_repeats(events: Parts) -> None:
    """Refuse `events` in which all rows of one part also stand in other parts.

    Raises:
        LogsError: such a part, or a file cannot be read.
    """
    if len(events.files) < 2:
        return
    rows = {file: count_rows(file) for file in events.files}
    every = -(-sum(rows.values()) // SAMPLE)
    drawn = {file: _draw(file, rows[file], every) for file in events.files}
    hashes, counts = np.unique(np.concatenate(list(drawn.values())), return_counts=True)
    shared = hashes[counts > 1]
    for file, own in drawn.items():
        if len(own) and bool(np.isin(own, shared).all()):
            others = [other for other in events.files if other != file and bool(np.isin(drawn[other], own).any())]
            if _contained(events, file, others, rows):
                more = f" and {len(others) - 1} more" if len(others) > 1 else ""
                raise LogsError(
                    f"logs: every row of {file} also stands in {others[0]}{more}, and would count twice: remove one "
                    "of them"
                )


def _draw(file: Path, rows: int, every: int) -> Hashes:
    """Hashes (n,) of those behaviours of the file whose hash is a multiple of `every`, each once."""
    drawn = [np.empty(0, np.uint64)]
    for offset in range(0, rows, SLICE):
        with reading(file):
            part = pl.scan_parquet(file, glob=False).slice(offset, SLICE).select(hash=_hash())
            drawn.append(part.filter(pl.col("hash") % every == 0).collect()["hash"].to_numpy())
    return np.unique(np.concatenate(drawn))


def _hash() -> pl.Expr:
    """Of who did what and when, whatever the types of a part."""
    numbers = [pl.col(name).cast(pl.Int64, strict=False) for name in (USER_ID, TIME, ITEM_ID)]
    return pl.struct(*numbers, pl.col(KIND).cast(pl.String)).hash()


def _contained(events: Parts, file: Path, others: list[Path], rows: dict[Path, int]) -> bool:
    """Whether all rows of `file`, or a large sample of them, stand in `others`, with all that is read of them."""
    wanted = _draw(file, rows[file], -(-rows[file] // SAMPLE))
    left = _rows(events, file, wanted, rows[file])
    for other in others:
        found = _rows(events, other, wanted, rows[other])
        left = left.join(found, on=list(events.columns), how="anti", nulls_equal=True)
    return not len(left)


def _rows(events: Parts, file: Path, wanted: Hashes, rows: int) -> pl.DataFrame:
    """Those rows of the file that have one of the hashes `wanted`."""
    schema = pl.Schema({name: events.schema[name] for name in events.columns})
    # What cannot be cast is refused, with its row, when the file is read.
    columns = [pl.col(name).cast(dtype, strict=False) for name, dtype in schema.items()]
    frames = [schema.to_frame()]
    for offset in range(0, rows, SLICE):
        with reading(file):
            part = pl.scan_parquet(file, glob=False).slice(offset, SLICE).with_columns(_hash().alias("hash of row"))
            frame = part.filter(pl.col("hash of row").is_in(pl.Series(wanted).implode())).select(columns).collect()
        frames.append(frame)
    return pl.concat(frames)
