"""How a column writes times: numbers since 1970, or texts in one of many formats."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from edgerec.data.casting import is_text
from edgerec.data.starting.code import quoted

UNITS = {"seconds": 1, "milliseconds": 1000, "microseconds": 1_000_000, "nanoseconds": 1_000_000_000}
YEAR_2000, YEAR_2100 = 946_684_800, 4_102_444_800
FORMATS = (
    "%Y-%m-%dT%H:%M:%S%.fZ",
    "%Y-%m-%d %H:%M:%S%.fZ",
    "%Y-%m-%dT%H:%M:%S%.f%z",
    "%Y-%m-%d %H:%M:%S%.f%z",
    "%Y-%m-%d %H:%M:%S%.f UTC",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %H:%M:%S%.f",
    "%d/%m/%Y %H:%M:%S%.f",
    "%m/%d/%Y %H:%M",
    "%d/%m/%Y %H:%M",
    "%d.%m.%Y %H:%M:%S%.f",
    "%d.%m.%Y %H:%M",
    "%d-%m-%Y %H:%M:%S%.f",
    "%d/%b/%Y:%H:%M:%S %z",
    "%a, %d %b %Y %H:%M:%S GMT",
    "%b %d, %Y %H:%M:%S",
    "%Y%m%d%H%M%S",
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%Y%m%d",
)
"""The first format that fits all values is taken."""
DAY_UNITS = ("days", "%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%Y%m%d")
"""The values of `TimeRule.unit` for times that are whole days."""
WRITE_TIMES = "write the times as 2024-03-04 17:12:58"
_FEW = 1000


@dataclass(frozen=True)
class TimeRule:
    """How a column becomes milliseconds since 1970.

    Attributes:
        unit: what the numbers count, or the format of the texts.
        code: the expression in the script.
        milliseconds: the same, for the rows that were read.
        check: what the user should check, or None.
    """

    unit: str
    code: str
    milliseconds: pl.Expr
    check: str | None = None

    @property
    def of_texts(self) -> bool:
        """Whether the column has texts, of the format `unit`."""
        return "%" in self.unit


def time_rule(values: pl.Series) -> TimeRule | None:
    """Return how a column writes times, or None if its values are no times after 2000."""
    column, name = pl.col(values.name), f"pl.col({quoted(values.name)})"
    if isinstance(values.dtype, pl.Datetime):
        zone = None if values.dtype.time_zone else _ZONE
        return TimeRule("timestamps", f'{name}.dt.epoch("ms")', column.dt.epoch("ms"), zone)
    if values.dtype == pl.Date:
        return TimeRule("days", f'{name}.dt.epoch("ms")', column.dt.epoch("ms"), _DAYS)
    if values.dtype.is_integer() or values.dtype.is_float():
        return _of_numbers(values, column, name)
    return _of_texts(values) if is_text(values.dtype) else None


_ZONE = "times have no time zone, so they are read as UTC"
_DAYS = "times are whole days, so nobody knows what happened first within a day: give a more exact time if you can"


def _of_numbers(values: pl.Series, column: pl.Expr, name: str) -> TimeRule | None:
    known = values.drop_nulls()
    if not len(known) or (known.dtype.is_float() and not known.is_finite().all()):
        return None
    low, high = float(known.min()), float(known.max())  # type: ignore[arg-type]
    units = [each for each, size in UNITS.items() if YEAR_2000 * size <= low and high <= YEAR_2100 * size]
    if not units:
        return _of_digits(values, low, high)
    unit = units[0]
    per_second = UNITS[unit]
    if values.dtype.is_float():
        factor = 1000 / per_second
        scaled = column * factor
        code = f"({name} * {factor:g}).round().cast(pl.Int64)" if factor != 1 else f"{name}.round().cast(pl.Int64)"
        return TimeRule(unit, code, scaled.round().cast(pl.Int64))
    whole, code = column.cast(pl.Int64), f"{name}.cast(pl.Int64)"
    if unit == "seconds":
        return TimeRule(unit, f"{code} * 1000", whole * 1000)
    if unit == "milliseconds":
        return TimeRule(unit, code, whole)
    return TimeRule(unit, f"{code} // {per_second // 1000}", whole // (per_second // 1000))


def _of_digits(values: pl.Series, low: float, high: float) -> TimeRule | None:
    """Return the rule for integers such as 20240304 and 20240304171258, which are written dates."""
    for pattern, size in (("%Y%m%d", 1), ("%Y%m%d%H%M%S", 1_000_000)):
        if values.dtype.is_integer() and 20_000_101 * size <= low and high < 21_000_101 * size:
            return _of_texts(values, formats=(pattern,))
    return None


def _of_texts(values: pl.Series, formats: Sequence[str] = FORMATS) -> TimeRule | None:
    known = values.cast(pl.String).drop_nulls()
    fitting = [each for each in formats if len(known) and _fits(known, each)]
    if not fitting:
        return None
    pattern = fitting[0]
    check = None
    if "%H" not in pattern and "%I" not in pattern:
        check = _DAYS
    elif any(each[:2] != pattern[:2] for each in fitting):
        check = f"days and months cannot be told apart, so times are read as {pattern}. If that is wrong, {WRITE_TIMES}"
    elif not pattern.endswith(("Z", "%z", "UTC")):
        check = _ZONE
    milliseconds = parsed(pl.col(values.name).cast(pl.String), pattern).dt.epoch("ms")
    return TimeRule(pattern, f"milliseconds({quoted(values.name)}, {quoted(pattern)})", milliseconds, check)


def time_fault(values: pl.Series) -> str | None:
    """Return the first value of a column that is no time, with its row, or None if all values are times, or none is.

    Values are compared with the format, or the unit, that fits most of them.
    """
    known = values.is_not_null()
    fitting = max(_fitting(values), key=lambda good: int(good.sum()), default=None)
    if fitting is None or not fitting.any() or not (known & ~fitting).any():
        return None
    wrong, good = int((known & ~fitting).arg_true()[0]), int(fitting.arg_true()[0])
    return f"row {wrong + 1} has {values[wrong]!r}, and row {good + 1} has {values[good]!r}"


def _fitting(values: pl.Series) -> Iterator[pl.Series]:
    """Yield a mask of the values that are times, for each unit and format."""
    texts = is_text(values.dtype)
    if texts or values.dtype.is_numeric():
        numbers = values.cast(pl.Float64, strict=False)
        for size in UNITS.values():
            yield numbers.is_between(YEAR_2000 * size, YEAR_2100 * size).fill_null(False)
    for pattern in FORMATS if texts else ():
        with contextlib.suppress(pl.exceptions.PolarsError):
            yield values.cast(pl.String).to_frame("x").select(parsed(pl.col("x"), pattern).is_not_null())["x"]


def precision_check(milliseconds: pl.Series) -> str | None:
    """Return what the user should know if all times are whole minutes or whole seconds, or None."""
    known = milliseconds.drop_nulls()
    for unit, size in (("minute", 60_000), ("second", 1000)):
        if len(known) and (known % size == 0).all():
            return (
                f"all times are whole {unit}s, so the order within a {unit} is not known, and a request may lose the "
                'behaviour that triggered it: write milliseconds if you can; if not, see docs/your-logs.md, "Whole '
                'seconds"'
            )
    return None


def parsed(column: pl.Expr, pattern: str) -> pl.Expr:
    """Return the expression for texts of one format as instants in UTC; null where the format does not fit."""
    return column.str.to_datetime(pattern, time_unit="ms", strict=False)


def _fits(known: pl.Series, pattern: str) -> bool:
    few = known.head(_FEW)
    for part in (few, known):
        try:
            times = part.to_frame("x").select(parsed(pl.col("x"), pattern))["x"]
        except pl.exceptions.PolarsError:
            return False
        if times.null_count():
            return False
    return True
