"""Which column has which role: from what the user says, from names, and from values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from edgerec.core.errors import InputError
from edgerec.core.text import did_you_mean, shown
from edgerec.data.casting import is_text
from edgerec.data.starting.clicks import click_rule
from edgerec.data.starting.tables import Table, unusable_name
from edgerec.data.starting.times import WRITE_TIMES, time_fault, time_rule
from edgerec.data.starting.words import ID_WORDS, rank_of, words_of

How = Literal["told", "sure", "likely", "unsure"]


@dataclass(frozen=True)
class Role:
    """A role and how its column is recognised.

    Attributes:
        name: the role; the option that names its column is ``--name``.
        what: what the column has.
        tiers: words of its name, the most certain ones first.
        fillers: words that may stand beside them.
        fits: whether the values of a column can have the role.
        expected: the same in words.
        needed: whether two columns that fit equally well are an error.
    """

    name: str
    what: str
    tiers: tuple[frozenset[str], ...]
    fits: Callable[[pl.Series], bool]
    expected: str
    fillers: frozenset[str] = field(default_factory=frozenset)
    needed: bool = False

    @property
    def option(self) -> str:
        return f"--{self.name.replace('_', '-')}"


@dataclass(frozen=True)
class Found:
    """The column of a role, how sure that is, and why."""

    role: str
    column: str
    how: How
    why: str


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def is_id(values: pl.Series) -> bool:
    """Return whether the values can be IDs: integers of 64 bits with a sign, texts, or floats without fractions."""
    if values.dtype.is_float():
        known = values.drop_nulls()
        return bool(known.is_finite().all() and (known == known.round()).all())
    if values.dtype.is_integer():
        return int(values.max() or 0) < 2**63  # type: ignore[arg-type]
    return is_text(values.dtype)


def is_number(values: pl.Series) -> bool:
    """Return whether the values are numbers and not all missing."""
    return (values.dtype.is_integer() or values.dtype.is_float()) and values.null_count() < len(values)


def _is_place(values: pl.Series) -> bool:
    """Return whether the values can be places in lists: places occur again in other lists, row numbers do not."""
    return is_number(values) and is_id(values) and values.n_unique() < max(len(values) // 2, 2)


def _is_time(values: pl.Series) -> bool:
    return time_rule(values) is not None


def is_rating(column: str) -> bool:
    """Return whether the name of a column says that it has ratings."""
    return bool(_RATING & set(words_of(column)))


def _is_click(values: pl.Series) -> bool:
    return click_rule(values, rating=is_rating(values.name)) is not None


def _is_flag(values: pl.Series) -> bool:
    return click_rule(values) is not None


_RATING = _words("rating ratings stars")
_UNITS = _words("s sec secs second seconds ms millis milliseconds")
_DID = _words("is was has flag did label")
ROLES = (
    Role(
        "user",
        "the user",
        (
            _words("user uid customer visitor member reader subscriber person viewer buyer profile"),
            _words("device client account cookie anon anonymous install installation"),
        ),
        is_id,
        "integers or texts",
        ID_WORDS,
        needed=True,
    ),
    Role(
        "item",
        "the item that was shown",
        (
            _words("item iid article product sku video movie film recipe song track book goods game podcast listing"),
            _words("content post doc document news ad adgroup creative offer card asin"),
        ),
        is_id,
        "integers or texts",
        ID_WORDS,
        needed=True,
    ),
    Role(
        "time",
        "when it was shown",
        (_words("time timestamp ts datetime at"), _words("date day")),
        _is_time,
        "times after the year 2000: numbers since 1970, or texts such as 2024-03-04 17:12:58",
        _words(
            "event impression impressions click clicked clicks shown show seen view viewed request server unix epoch "
            "utc stamp ms s sec seconds millis milliseconds created log logged occurred local open opened exposure"
        ),
        needed=True,
    ),
    Role(
        "clicked",
        "whether it was clicked",
        (_words("click clicked clicks clk opened open tapped tap"), _words("label y interaction"), _RATING),
        _is_click,
        "yes or no: 0 and 1, true and false, or a count",
        _words("is was has flag did label count item article"),
        needed=True,
    ),
    Role(
        "list",
        "the ID of the list",
        (
            _words("list request impression impressions page slate rec recommendation feed pageview batch query"),
            _words("session visit"),
        ),
        is_id,
        "integers or texts",
        ID_WORDS,
        needed=True,
    ),
    Role(
        "position",
        "the place in the list",
        (_words("position pos rank slot place index idx ordinal"),),
        _is_place,
        "whole numbers that occur several times",
        _words("display list shown in feed item at the card"),
    ),
    Role(
        "seen",
        "whether it was on the screen",
        (_words("seen visible viewable exposed examined viewed"),),
        _is_flag,
        "yes or no: 0 and 1, or true and false",
        _DID | _words("in view screen on"),
    ),
    Role(
        "seen_seconds",
        "how long it was on the screen",
        (_words("seen visible exposure view viewable"),),
        is_number,
        "numbers",
        _UNITS | _words("time duration for"),
    ),
    Role(
        "dwell",
        "how long its page was open",
        (_words("dwell read watch watched stay spent reading play played"), _words("page duration")),
        is_number,
        "numbers",
        _UNITS | _words("time duration on"),
    ),
    Role(
        "score",
        "the score that ordered the list",
        (_words("score scores"), _words("match relevance prediction pred pctr probability")),
        is_number,
        "numbers",
        _words("base model ranker ranking rank initial item ctr rec recommendation relevance match"),
    ),
)
BY_NAME = {role.name: role for role in ROLES}
LENGTH_WORDS = _UNITS | {"duration", "dwell", "spent", "read", "watch", "watched", "stay"}
"""Words in the names of columns that say how long something lasted."""


def find_roles(
    table: Table, told: Mapping[str, Sequence[str]], *, ignored: frozenset[str], roles: Sequence[str] = tuple(BY_NAME)
) -> dict[str, Found]:
    """Return the columns of the roles in a table. A role without a column is not in the result.

    Args:
        table: the table.
        told: the columns that the user named, by role. Columns of other tables are passed over.
        ignored: columns that no role gets.
        roles: the roles that the table may have.

    Raises:
        InputError: two columns fit a role equally well, or a named column does not fit.
    """
    found: dict[str, Found] = {}
    if table.list_rows is not None:
        made = table.list_rows.roles.items()
        found = {name: Found(name, column, "sure", "a row has a whole list") for name, column in made if name in roles}
    for name in [each for each in roles if each not in found]:
        for column in told.get(name, ()):
            if column in table.rows.columns:
                found[name] = _told(table, BY_NAME[name], column)
    taken = {each.column for each in found.values()}
    for name in roles:
        if name not in found:
            free = [each for each in table.rows.columns if each not in taken | ignored and not unusable_name(each)]
            guess = _guess(table, BY_NAME[name], free)
            if guess is not None:
                found[name] = guess
                taken.add(guess.column)
    return found


def _told(table: Table, role: Role, column: str) -> Found:
    reason = unusable_name(column)
    if reason:
        raise InputError(f"{role.option}: the column {shown(column)!r} of {table.name} cannot be used: {reason}")
    values = table.rows[column]
    fits = is_number(values) or _is_click(values) if role.name == "clicked" else role.fits(values)
    if not fits and role.name == "time":
        _refuse_times(table, column)
    if not fits:
        example = next(iter(values.drop_nulls().head(1)), None)
        advice = f": {WRITE_TIMES}" if role.name == "time" else ""
        raise InputError(
            f"{role.option}: the column {column!r} of {table.name} should have {role.expected}; received "
            f"{values.dtype}, for example {shown(repr(example)):.60}{advice}"
        )
    return Found(role.name, column, "told", role.option)


def _guess(table: Table, role: Role, columns: Sequence[str]) -> Found | None:
    ranks = {each: rank_of(each, role.tiers, role.fillers) for each in columns}
    if role.name == "time":
        # "read_time_s" is a length and no instant.
        ranks = {each: None if LENGTH_WORDS & set(words_of(each)) and not _is_time(table.rows[each]) else rank
                 for each, rank in ranks.items()}  # fmt: skip
    named = {each: rank for each, rank in ranks.items() if rank is not None}
    fitting = {each: rank for each, rank in named.items() if role.fits(table.rows[each])}
    if not fitting:
        return _by_values(table, role, columns)
    best = min(fitting.values())
    first = [each for each, rank in fitting.items() if rank == best]
    if len(first) > 1:
        if role.needed:
            names = " or ".join(map(repr, map(shown, first)))
            raise InputError(f"{table.name}: {role.what} may be in {names}: say which with {role.option} COLUMN")
        return None
    sure = best == 0
    others = [each for each in fitting if each != first[0]]
    why = "its name and its values" + (f"; more certain than {', '.join(map(shown, others))}" if others else "")
    return Found(role.name, first[0], "sure" if sure else "unsure" if is_rating(first[0]) else "likely", why)


def _by_values(table: Table, role: Role, columns: Sequence[str]) -> Found | None:
    """Return the only column whose type is that of times. No other role is seen from values alone."""
    if role.name != "time":
        return None
    types = [each for each in columns if isinstance(table.rows[each].dtype, pl.Datetime)]
    return Found(role.name, types[0], "unsure", "the only column of timestamps") if len(types) == 1 else None


def near_misses(table: Table, role: Role, ignored: frozenset[str]) -> str:
    """Return a text about columns whose name fits a role but whose values do not, for an error text."""
    for column, dtype in table.rows.schema.items():
        if role.name == "item" and isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Struct):
            return (
                f" (the column {shown(column)!r} has lists of records: write a row for each of them, or a list for "
                "each field)"
            )
        if _is_named(column, role, ignored):
            example = next(iter(table.rows[column].drop_nulls().head(1)), None)
            return f" (the values of {column!r} are no such values, for example {shown(repr(example)):.60})"
    return ""


def check_times(table: Table, role: Role, ignored: frozenset[str]) -> None:
    """Raise an InputError if a column has the name of a time, and times in some rows only."""
    for column in table.rows.columns:
        if _is_named(column, role, ignored):
            _refuse_times(table, column)


def _refuse_times(table: Table, column: str) -> None:
    fault = time_fault(table.rows[column])
    if fault is not None:
        raise InputError(
            f"{table.name}: column {shown(column)!r} has a value that is no time: {shown(fault):.120}: correct the "
            "file, or name another column with --time COLUMN"
        )


def _is_named(column: str, role: Role, ignored: frozenset[str]) -> bool:
    """Return whether the name of a column is that of a role."""
    return column not in ignored and not unusable_name(column) and rank_of(column, role.tiers, role.fillers) is not None


def check_told(tables: Sequence[Table], told: Mapping[str, Sequence[str]]) -> None:
    """Check that each column that the user named is in a table.

    Raises:
        InputError: it is in none, or it was named for two roles.
    """
    columns = list(dict.fromkeys(column for table in tables for column in table.rows.columns))
    used: dict[str, str] = {}
    for name, given in told.items():
        for column in given:
            option = f"--{name.replace('_', '-')}"
            if column not in columns:
                shown_columns = ", ".join(map(shown, columns[:20]))
                raise InputError(
                    f"{option}: there is no column {shown(column)!r}{did_you_mean(column, columns)}; the columns are: "
                    f"{shown_columns}"
                )
            if column in used:
                raise InputError(f"{used[column]} and {option} both name the column {column!r}: name it once")
            used[column] = option
