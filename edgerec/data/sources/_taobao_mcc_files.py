"""Read and check the files of Taobao-MCC (Tianchi 109858), block by block.

A row is a candidate with its label, its user, and the user's two behaviour sequences at that time. The sequences take
most of a row and are the same in all rows of a request. So the rows of a block are grouped by request first, and the
sequences are parsed once for each request.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.core.errors import LogsError, first_line
from edgerec.data.parts import POLARS_FAULTS
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW

TRAIN, TEST = "Part1-taobao_open_mcc_train.csv", "Part1-taobao_open_mcc_test.csv"

ATTRIBUTES = ("sex", "price_level", "age_level", "bc_type")
"""The attributes of an item. Items with the same attributes cannot be distinguished."""
PLACE = ("pos", "pagenum")
FIELDS = (*PLACE, *ATTRIBUTES)
USER = ("user_os", "user_gender", "user_age_level", "user_purchase_level", "user_hour")
PREFIXES = {EXPOSURE: "exp", PAGE_VIEW: "ipv"}
"""The prefix of column names, by the kind of behaviour."""

CANDIDATE = [f"cand_item_{field}" for field in FIELDS]
SEQUENCES = {prefix: [f"{prefix}_item_{field}_seq" for field in FIELDS] for prefix in PREFIXES.values()}
ALL_SEQUENCES = [column for columns in SEQUENCES.values() for column in columns]
COLUMNS = ["user_id", *USER, *CANDIDATE, *ALL_SEQUENCES, "label", "score"]

MAX_ATTRIBUTE = 99
"""The largest value of an attribute. Each attribute takes two decimal digits of an item's ID."""
MAX_PLACE = 32_767
BLOCK_BYTES = 16 << 20
LONGEST_LINE = 1 << 20

Columns = Sequence[str]


@dataclass(frozen=True)
class Block:
    """Complete lines of a file. `first` is the number of the first line; the header is line 1."""

    path: Path
    first: int
    text: bytes

    def fault(self, row: int, column: str, expected: str, received: object) -> NoReturn:
        """Raise LogsError about a value in a row of the block."""
        raise LogsError(
            f"Taobao-MCC: {self.path}: line {self.first + row}, column {column!r}: should be {expected}; "
            f"received {received!r}"
        )


def item_id(attributes: Sequence[pl.Expr]) -> pl.Expr:
    """Return the ID of items with these `ATTRIBUTES`. Each attribute takes two decimal digits."""
    code = pl.lit(0, pl.Int32)
    for attribute in attributes:
        code = code * (MAX_ATTRIBUTE + 1) + attribute.cast(pl.Int32)
    return code


def read_contexts(path: Path, *, block_bytes: int = BLOCK_BYTES) -> Iterator[tuple[int, pl.DataFrame]]:
    """Read the file `path` and yield for each block its number of rows, and a table with a row for each request.

    Rows of one user with the same sequences are one request. A request may continue in later blocks with the same key.

    Args:
        path: a CSV file with the columns `COLUMNS` and a header.
        block_bytes: size of a block of text.

    Yields:
        The number of rows, and a table with these columns: `key_high` and `key_low` (UInt64, 128 bits of BLAKE2 of the
        file's name, user and sequences), `line` (number of the first line), `user_id` (string) and `USER`; lists of the
        behaviours `exp_pos`, `exp_pagenum`, `exp_item_id`, `ipv_pos`, `ipv_pagenum` and `ipv_item_id`, in the file's
        order and without padding; lists of the candidates `lines`, `pos`, `pagenum`, `item_id`, `clicked` and `score`.

    Raises:
        LogsError: the file does not exist, has other columns, or has an invalid row. The error names line and column.
    """
    for block in _blocks(path, block_bytes):
        rows = _rows(block)
        yield len(rows), _contexts(block, rows)


def _blocks(path: Path, block_bytes: int) -> Iterator[Block]:
    if not path.is_file():
        raise LogsError(f"Taobao-MCC: {path} does not exist: give the folder with {TRAIN} and {TEST}")
    with path.open("rb") as file:
        _check_header(path, file.readline(LONGEST_LINE))
        line, rest = 2, b""
        while more := file.read(block_bytes):
            text, end, rest = (rest + more).rpartition(b"\n")
            if len(rest) > LONGEST_LINE:
                at = line + text.count(b"\n") + len(end)
                raise LogsError(f"Taobao-MCC: {path}: line {at} is longer than {LONGEST_LINE} bytes: is it a CSV file?")
            if text:
                yield Block(path, line, text + end)
            line += text.count(b"\n") + len(end)
        if rest.strip():
            yield Block(path, line, rest + b"\n")


def _check_header(path: Path, line: bytes) -> None:
    """Raise LogsError if the first line does not have the 26 column names in the right order."""
    names = _fields(path, 1, line.decode("utf-8-sig", errors="replace").strip())
    for index, (name, expected) in enumerate(zip(names, COLUMNS, strict=False)):
        if name != expected:
            raise LogsError(f"Taobao-MCC: {path}: line 1: column {index + 1} should be {expected!r}; received {name!r}")
    if len(names) != len(COLUMNS):
        raise LogsError(f"Taobao-MCC: {path}: line 1 should name {len(COLUMNS)} columns; received {len(names)}")


def _fields(path: Path, number: int, line: str) -> list[str]:
    try:
        return next(csv.reader([line]), [])
    except csv.Error as error:  # For example, a field has more than 131,072 characters.
        raise LogsError(f"Taobao-MCC: {path}: line {number} cannot be read as CSV ({error}): is it damaged?") from None


def _rows(block: Block) -> pl.DataFrame:
    """Return the block as a table of strings with a row for each line. A missing value is an error."""
    reason = ""
    try:
        rows = pl.read_csv(io.BytesIO(block.text), has_header=False, new_columns=COLUMNS, infer_schema=False)
        if rows.width == len(COLUMNS) and len(rows) == block.text.count(b"\n") and not _nulls(rows):
            return rows
    except POLARS_FAULTS as error:
        reason = f" ({first_line(error)})"
    for row, line in enumerate(block.text.splitlines()):
        fields = _fields(block.path, block.first + row, line.decode(errors="replace"))
        if len(fields) != len(COLUMNS):
            raise LogsError(
                f"Taobao-MCC: {block.path}: line {block.first + row} should have {len(COLUMNS)} columns; "
                f"received {len(fields)}"
            )
        for column, value in zip(COLUMNS, fields, strict=True):
            if not value:
                block.fault(row, column, "a value", value)
    last = block.first + block.text.count(b"\n") - 1
    raise LogsError(f"Taobao-MCC: {block.path}: lines {block.first} to {last} cannot be read as CSV{reason}")


def _nulls(rows: pl.DataFrame) -> bool:
    return any(rows[column].null_count() for column in rows.columns)


def _contexts(block: Block, rows: pl.DataFrame) -> pl.DataFrame:
    place = [_whole(block, rows[f"cand_item_{name}"], MAX_PLACE).alias(name) for name in PLACE]
    attributes = [_whole(block, rows[f"cand_item_{name}"], MAX_ATTRIBUTE) for name in ATTRIBUTES]
    wrong = ~rows["label"].is_in(["0", "1"])
    clicked = (rows["label"] == "1").cast(pl.Int8)
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        block.fault(row, "label", "0 or 1", rows["label"][row])
    score = rows["score"].cast(pl.Float64, strict=False)
    wrong = ~score.is_finite().fill_null(False)
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        block.fault(row, "score", "a number", rows["score"][row])
    sequences = ALL_SEQUENCES
    once = (
        rows.select("user_id", *USER, *sequences)
        .with_columns(
            *place,
            item_id=pl.select(item_id([pl.lit(values) for values in attributes])).to_series(),
            clicked=clicked,
            score=score.cast(pl.Float32),
            lines=block.first + pl.int_range(pl.len(), dtype=pl.Int64),
            # The strings have no line ends, so different requests have different keys.
            key=pl.concat_str("user_id", *sequences, separator="\n"),
        )
        .group_by("key", maintain_order=True)
        .agg(
            pl.col("user_id", *USER, *sequences).first(),
            pl.col("lines", *PLACE, "item_id", "clicked", "score"),
        )
    )
    first = once["lines"].list.first()
    where = (first - block.first).to_numpy()
    user = [_whole(block, once[name], MAX_PLACE, where).alias(name) for name in USER]
    windows = [_window(block, once, kind, where) for kind in SEQUENCES]
    high, low = _digests(block.path.name, once["key"])
    return pl.DataFrame([pl.Series("key_high", high), pl.Series("key_low", low), first.alias("line")]).hstack(
        [once["user_id"], *user, *windows[0], *windows[1]]
        + [once[name] for name in ("lines", *PLACE, "item_id", "clicked", "score")]
    )


def _digests(file: str, keys: pl.Series) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return both halves of a 128-bit hash of each key. The hash of polars is not used: it changes between versions."""
    start = hashlib.blake2b(file.encode() + b"\n", digest_size=16)
    digests = bytearray()
    for key in keys:
        digest = start.copy()
        digest.update(key.encode())
        digests += digest.digest()
    halves = np.frombuffer(bytes(digests), np.dtype(">u8")).astype(np.uint64).reshape(-1, 2)
    return halves[:, 0].copy(), halves[:, 1].copy()


def _whole(block: Block, texts: pl.Series, most: int, rows: NDArray[np.int64] | None = None) -> pl.Series:
    """Return `texts` as integers. `rows` has the row of each text in the block; default: text i is in row i."""
    # The cast gives null for a text that is not an integer of 16 bits.
    values: pl.Series = texts.cast(pl.Int16, strict=False)
    wrong = ~values.is_between(0, most).fill_null(False)
    # A text with a sign or a leading zero is longer than its number.
    wrong |= texts.str.len_bytes() != _digits(values)
    if wrong.any():
        at = int(wrong.arg_max() or 0)
        block.fault(at if rows is None else int(rows[at]), texts.name, f"an integer from 0 to {most}", texts[at])
    return values


def _digits(values: pl.Series) -> pl.Series:
    """Return the number of decimal digits of each value."""
    digits = pl.Series(np.ones(len(values), np.uint32))
    for power in (10, 100, 1000, 10_000):
        digits += (values >= power).fill_null(False)
    return digits


def _window(block: Block, once: pl.DataFrame, kind: str, rows: NDArray[np.int64]) -> list[pl.Series]:
    """Return lists of the positions and items of the behaviours of `kind`, in the file's order and without padding.

    A single zero may be a value. Padding is the end of the lists where all six sequences are zero.
    """
    flat: dict[str, pl.Series] = {}
    lengths: NDArray[np.int64] = np.empty(0, np.int64)
    for column, field in zip(SEQUENCES[kind], FIELDS, strict=True):
        lists = once[column].str.split(",")
        found = lists.list.len().to_numpy().astype(np.int64)
        if not flat:
            lengths = found
        elif (found != lengths).any():
            at = int((found != lengths).argmax())
            expected = f"as long as {SEQUENCES[kind][0]!r}, {lengths[at]} values"
            block.fault(int(rows[at]), column, expected, f"{found[at]} values")
        most = MAX_PLACE if field in PLACE else MAX_ATTRIBUTE
        flat[field] = _whole(block, lists.explode().alias(column), most, np.repeat(rows, lengths))
    values = pl.DataFrame(flat)
    filled = values.select(pl.any_horizontal(pl.all() != 0)).to_series().to_numpy()
    ends = np.cumsum(lengths)
    place = np.arange(len(filled)) - np.repeat(ends - lengths, lengths)
    kept = np.maximum.reduceat(np.where(filled, place + 1, 0), ends - lengths)
    values = values.filter(pl.Series(place < np.repeat(kept, lengths)))
    items = values.select(item_id([pl.col(name) for name in ATTRIBUTES])).to_series()
    columns = {"pos": values["pos"], "pagenum": values["pagenum"], "item_id": items}
    return [_relisted(series, kept).alias(f"{kind}_{name}") for name, series in columns.items()]


def _relisted(flat: pl.Series, lengths: NDArray[np.int64]) -> pl.Series:
    """Split `flat` into lists with the given `lengths` (n,)."""
    which = pl.Series("which", np.repeat(np.arange(len(lengths)), lengths))
    filled = pl.DataFrame({"which": which, "value": flat}).group_by("which", maintain_order=True).agg("value")
    everyone = pl.DataFrame({"which": np.arange(len(lengths))})
    lists: pl.Series = everyone.join(filled, on="which", how="left", maintain_order="left")["value"]
    nothing = pl.Series([[]], dtype=lists.dtype)
    return lists.fill_null(nothing)
