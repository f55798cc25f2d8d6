"""What the other columns are: attributes of items, values of a request, served values, outcomes, or nothing useful."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from edgerec.core.text import shown
from edgerec.data.casting import NUMBER, is_text
from edgerec.data.starting.tables import Table, unusable_name
from edgerec.data.starting.times import time_rule
from edgerec.data.starting.words import words_of

Place = Literal["catalogue", "served", "context", "seen", "opened"]
"""Where a value comes from: the item, the instant when it was offered, the request, what the user did with the card, or
what the user did on the page."""

OUTCOMES = frozenset(
    [
        "like",
        "liked",
        "dislike",
        "disliked",
        "hide",
        "hidden",
        "hate",
        "delete",
        "deleted",
        "dismiss",
        "dismissed",
        "swipe",
        "swiped",
        "scroll",
        "scrolled",
        "hover",
        "buy",
        "bought",
        "purchase",
        "purchased",
        "order",
        "ordered",
        "cart",
        "favorite",
        "favourite",
        "fav",
        "saved",
        "save",
        "share",
        "shared",
        "comment",
        "commented",
        "follow",
        "followed",
        "convert",
        "converted",
        "conversion",
        "download",
        "downloaded",
        "bounce",
        "bounced",
        "rating",
        "rated",
        "forward",
        "forwarded",
        "repost",
        "reposted",
        "finish",
        "finished",
        "watch",
        "watched",
        "stay",
        "skip",
        "skipped",
        "enter",
        "entered",
    ]
)
"""Words in the names of what users do. Such values are not known before the list is shown."""
GIVEN_AWAY = 0.98
"""AUC of a column with the clicks, from which on it is the click under another name."""
SUSPICIOUS = 0.8
"""AUC from which on a column probably came after the click."""
_MAX_VALUES = 254
_LIKE_NUMBER = r"^[^\w\s]?\s?-?\d{1,3}([., ']?\d{3})*([.,]\d+)?\s?[^\w\s]?$"


@dataclass(frozen=True)
class Attribute:
    """A column without a role.

    Attributes:
        column: its name.
        place: where its values come from.
        why: how that was found out.
        separates: AUC of its values with the clicks.
    """

    column: str
    place: Place
    why: str
    separates: float = 0.5


def find_attributes(
    table: Table, rows: pl.DataFrame, columns: list[str], *, numbers: pl.Series, clicked: pl.Series
) -> tuple[list[Attribute], dict[str, str]]:
    """Return the useful columns of the impressions, and why each of the others is left out.

    Args:
        table: the table of impressions.
        rows: its rows, with `user`, `item` and `time`, in the order of `numbers` and `clicked`.
        columns: the columns without a role.
        numbers: the number of each row's list.
        clicked: whether each row was clicked.
    """
    found, left_out = [], {}
    repeated = len(rows) / max(rows["item"].n_unique(), 1) >= 1.5
    long = len(rows) / max(numbers.n_unique(), 1) >= 1.5
    for column in columns:
        values = table.rows[column]
        reason = useless(column, values)
        if reason:
            left_out[column] = reason
            continue
        if _only_where(values, clicked):
            found.append(Attribute(column, "opened", "it has values only where the item was clicked"))
        elif (separates := gives_away(values, clicked)) >= GIVEN_AWAY:
            left_out[column] = "it tells the click, so it is not known before"
        elif OUTCOMES & set(words_of(column)):
            found.append(Attribute(column, "seen", "its name is that of something users do"))
        elif repeated and _constant(values, rows["item"]):
            found.append(Attribute(column, "catalogue", "each item has one value"))
        elif long and _constant(values, numbers):
            found.append(Attribute(column, "context", "each list has one value"))
        else:
            found.append(Attribute(column, "served", "an item has several values", separates))
    return found, left_out


def useless(column: str, values: pl.Series) -> str | None:
    """Return why a column cannot be a feature, or None if it can."""
    reason = unusable_name(column)
    if reason:
        return reason
    if not (
        is_text(values.dtype) or values.dtype == pl.Boolean or values.dtype.is_integer() or values.dtype.is_float()
    ):
        if isinstance(values.dtype, (pl.Datetime, pl.Date)):
            return "it has times: the age at the request helps, as a served value"
        return f"its type is {values.dtype}"
    known = values.drop_nulls()
    different = known.n_unique()
    if different == 0:
        return "it has no values"
    if different == 1 and not values.null_count():
        return "it has one value in all rows"
    if is_text(values.dtype) and time_rule(known.head(1000)) is not None:
        return "it has times: the age at the request helps, as a served value"
    if is_text(values.dtype) and not known.str.contains(NUMBER).all() and known.str.contains(_LIKE_NUMBER).all():
        return f"its texts look like numbers, for example {shown(known[0])!r:.20}: write them as 12.5"
    if values.dtype.is_float() and not known.is_finite().all():
        return "it has infinite values or NaN"
    return None


def _only_where(values: pl.Series, clicked: pl.Series) -> bool:
    """Return whether a value is present, and not 0 or false, only in clicked rows."""
    present = values.is_not_null()
    if not is_text(values.dtype):
        present &= values.cast(pl.Float64).fill_null(0) != 0
    inside = int((present & clicked).sum())
    return inside > 0 and int((present & ~clicked).sum()) == 0 and bool((~clicked).any())


def _constant(values: pl.Series, keys: pl.Series) -> bool:
    pairs = pl.DataFrame({"key": keys, "value": values}).drop_nulls("value")
    different = pairs.group_by("key").agg(pl.col("value").n_unique())["value"]
    return len(different) > 0 and not (different > 1).any()


def gives_away(values: pl.Series, clicked: pl.Series) -> float:
    """Return how well a column separates clicked rows from others: the larger of AUC and 1 - AUC.

    The values of texts, and of numbers with few different values, are replaced by their click rate.
    """
    labels = clicked.to_numpy()
    positive = int(labels.sum())
    if not 0 < positive < len(labels):
        return 0.5
    if values.null_count() or is_text(values.dtype) or values.n_unique() <= _MAX_VALUES:
        if values.n_unique() > len(values) // 10:
            return 0.5
        table = pl.DataFrame({"value": values, "clicked": clicked.cast(pl.Float64)})
        numbers = table.select(pl.col("clicked").mean().over("value"))["clicked"]
    else:
        numbers = values.cast(pl.Float64)
    ranks = numbers.rank("average").to_numpy()
    area = (float(ranks[labels].sum()) - positive * (positive + 1) / 2) / (positive * (len(labels) - positive))
    return float(np.maximum(area, 1 - area))
