"""Find parts of events that are copies: all of their rows are also in other parts.

A single behaviour may be repeated in logs, for example if times are whole seconds. But if every behaviour of a part is
also in other parts, the part is a copy. Only a sample of the behaviours is compared, so memory does not grow with the
logs. The sample is chosen by a hash, so it has the same behaviours in all parts. Requests need no such check, because
their IDs are unique.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.data.log_faults import Fault, Found, refuse
from edgerec.data.parts import Parts, count_rows, reading
from edgerec.data.schema import ITEM_ID, KIND, TIME, USER_ID

SAMPLE = 2**18
"""About the number of behaviours, in all parts together, that are compared in the first step."""
SLICE = 2**20
"""Number of rows that are read at a time."""

Hashes = NDArray[np.uint64]


def check_repeats(events: Parts) -> None:
    """Raise LogsError if all rows of one part are also in other parts, or if a file cannot be read."""
    refuse(find_repeats(events))


def find_repeats(events: Parts) -> Found[None]:
    """Find the parts whose rows are all in other parts. A part that was found is no other part for the next ones.

    Raises:
        LogsError: a file cannot be read.
    """
    if len(events.files) < 2:
        return
    rows = {file: count_rows(file) for file in events.files}
    every = -(-sum(rows.values()) // SAMPLE)
    samples = {file: _sample(file, rows[file], every) for file in events.files}
    hashes, counts = np.unique(np.concatenate(list(samples.values())), return_counts=True)
    shared = hashes[counts > 1]
    left = dict(samples)
    for file, own in samples.items():
        if len(own) and bool(np.isin(own, shared).all()):
            others = [other for other in left if other != file and bool(np.isin(samples[other], own).any())]
            if _contained(events, file, others, rows):
                more = f" and {len(others) - 1} more" if len(others) > 1 else ""
                del left[file]
                yield Fault(
                    f"logs: every row of {file} is also in {others[0]}{more} and would count twice: remove one of them",
                    expected="each part once",
                    found=f"every row is also in {others[0]}{more}",
                    advice="remove one of them",
                    file=file,
                    rows=rows[file],
                    row=0,
                )


def _sample(file: Path, rows: int, every: int) -> Hashes:
    """Return the distinct hashes (n,) of the file's behaviours. Only hashes that are multiples of `every` are kept."""
    hashes = [np.empty(0, np.uint64)]
    for offset in range(0, rows, SLICE):
        with reading(file):
            part = pl.scan_parquet(file, glob=False).slice(offset, SLICE).select(hash=_hash())
            hashes.append(part.filter(pl.col("hash") % every == 0).collect()["hash"].to_numpy())
    return np.unique(np.concatenate(hashes))


def _hash() -> pl.Expr:
    """Return the hash of a row's user, time, item and kind. It does not depend on the column types."""
    numbers = [pl.col(name).cast(pl.Int64, strict=False) for name in (USER_ID, TIME, ITEM_ID)]
    return pl.struct(*numbers, pl.col(KIND).cast(pl.String)).hash()


def _contained(events: Parts, file: Path, others: list[Path], rows: dict[Path, int]) -> bool:
    """Return whether all rows of `file` are also in `others`. If the file is large, only a sample is compared."""
    wanted = _sample(file, rows[file], -(-rows[file] // SAMPLE))
    left = _rows(events, file, wanted, rows[file])
    for other in others:
        candidates = _rows(events, other, wanted, rows[other])
        left = left.join(candidates, on=list(events.columns), how="anti", nulls_equal=True)
    return not len(left)


def _rows(events: Parts, file: Path, wanted: Hashes, rows: int) -> pl.DataFrame:
    """Return the rows of the file that have one of the hashes `wanted`."""
    schema = pl.Schema({name: events.schema[name] for name in events.columns})
    # A value that cannot be cast is an error later, when the file is read.
    columns = [pl.col(name).cast(dtype, strict=False) for name, dtype in schema.items()]
    frames = [schema.to_frame()]
    for offset in range(0, rows, SLICE):
        with reading(file):
            part = pl.scan_parquet(file, glob=False).slice(offset, SLICE).with_columns(_hash().alias("hash of row"))
            frame = part.filter(pl.col("hash of row").is_in(pl.Series(wanted).implode())).select(columns).collect()
        frames.append(frame)
    return pl.concat(frames)
