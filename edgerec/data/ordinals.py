"""Stores and ordinals: a device numbers the behaviours of each kind in its store (docs/formats.md)."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.data.log_faults import Fault, Found, Place, refuse
from edgerec.data.schema import EVENTS, KIND, ORDINAL, REQUESTS, STORE_ID, USER_ID
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind

NONE = -1
"""Stands for a null in `store_id` and `ordinal`. The numbers of logs are at least 0."""

STORES, ORDINALS = 2**63, 2**62
"""The numbers of `store_id` and `ordinal` are smaller than these."""

Integers = NDArray[np.int64]


def numbers_of(table: pl.DataFrame, column: str) -> Integers | None:
    """Return `store_id` or `ordinal` of each row, with `NONE` for null. Return None if there is no such column."""
    return table[column].fill_null(NONE).to_numpy() if column in table.columns else None


def check_store_columns(events: Collection[str], requests: Collection[str]) -> None:
    """Raise LogsError if only one of the two tables has the column `store_id`. The arguments are their columns."""
    refuse(find_store_columns(events, requests))


def find_store_columns(events: Collection[str], requests: Collection[str]) -> Found[None]:
    """Find out whether only one of the two tables has the column `store_id`. The arguments are their columns."""
    if (STORE_ID in events) != (STORE_ID in requests):
        having, lacking = (EVENTS, REQUESTS) if STORE_ID in events else (REQUESTS, EVENTS)
        yield Fault(
            f"logs: {having} has the column {STORE_ID!r} and {lacking} has not: a request knows only the behaviours of "
            "its own store, so write the column to both tables",
            expected=f"the column {STORE_ID!r} in both tables, or in neither",
            found=f"only {having} has it",
            advice="write the column to both tables: a request knows only the behaviours of its own store",
            column=STORE_ID,
            table=lacking,
        )


def find_numbers(name: str, table: pl.DataFrame, column: str, *, below: int) -> Found[None]:
    """Find numbers in `column` that are negative or not smaller than `below`. Nulls are valid."""
    if column not in table.columns:
        return
    least, most = table[column].min(), table[column].max()
    if least is None or (least >= 0 and most < below):  # type: ignore[operator]
        return
    wrong = ~table[column].is_between(0, below - 1)
    if wrong.any():
        place = Place.of(wrong)
        received = table[column][place.row]
        yield Fault(
            f"logs: {name}.{column} should be null, or from 0 to {below - 1}; received {received}",
            expected=f"null, or from 0 to {below - 1}",
            found=str(received),
            advice="correct the number",
            column=column,
            row=place.row,
            rows=place.rows,
        )


def check_ordinals(events: pl.DataFrame) -> None:
    """Check the ordinals of events, which must be in order of user, store, time and ordinal.

    Raises:
        LogsError: within a kind in a store, an ordinal occurs twice, a later behaviour has a smaller ordinal, or only
            some behaviours have an ordinal.
    """
    refuse(find_ordinals(events))


def find_ordinals(events: pl.DataFrame) -> Found[None]:
    """Find what `check_ordinals` refuses: one fault for each kind of behaviour. Its row is an index in `events`."""
    for kind in BEHAVIOUR_KINDS if ORDINAL in events.columns else ():
        of_kind = events[KIND] == kind.name
        rows = events.filter(of_kind)
        keys = [name for name in (USER_ID, STORE_ID) if name in rows.columns]
        pairs = rows.select(*keys, ORDINAL, *(pl.col(name).shift().alias(f"last {name}") for name in (*keys, ORDINAL)))
        last, now = pl.col(f"last {ORDINAL}"), pl.col(ORDINAL)
        same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"last {name}")) for name in keys)
        # A comparison with null is null, so the second condition finds only two numbers.
        wrong = pairs[1:].select(wrong=same & ((last.is_null() != now.is_null()) | (last >= now)))["wrong"]
        if wrong.any():
            place = Place.of(wrong)
            row = int(of_kind.arg_true()[place.row + 1])
            yield _fault(pairs.row(place.row + 1, named=True), kind, Place(row, place.rows))


def _fault(row: dict[str, int | None], kind: BehaviourKind, place: Place) -> Fault:
    last, now = row[f"last {ORDINAL}"], row[ORDINAL]
    if last is None or now is None:
        fault = f"one behaviour has the ordinal {now if last is None else last} and another has none"
    elif last == now:
        fault = f"the ordinal {now} occurs twice"
    else:
        fault = f"the ordinal {last} is earlier than {now}"
    store = row.get(STORE_ID)
    of_store = "" if store is None else f" in store {store}"
    of_user = f"of the {kind.plural} of user {row[USER_ID]}{of_store}, {fault}"
    return Fault(
        f"logs: {EVENTS}.{ORDINAL} should number the behaviours of a kind in a store in order of time; {of_user}: "
        "correct the ordinals, or remove the column",
        expected=f"the numbers of the {kind.plural} in a store, in order of time",
        found=of_user,
        advice="correct the ordinals, or remove the column",
        column=ORDINAL,
        row=place.row,
        rows=place.rows,
    )
