"""Calls of the application's own recall and served values. Their answers are checked. Faults become InputError."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.cloud.catalogue import Catalogue
from edgerec.cloud.recall import Recall
from edgerec.cloud.served_values import ServedValues
from edgerec.core.errors import InputError, first_line
from edgerec.features.kinds.base import Reads
from edgerec.paging.columns import ColumnArray
from edgerec.paging.page import PageRequest

_ACCEPTED: Mapping[Reads, tuple[tuple[type, ...], str]] = {
    "numbers": ((int, float, bool), "finite numbers"),
    "identities": ((int,), "integers"),
    "strings": ((str,), "strings"),
}
"""For what a feature reads: the types of its values, and their name in error texts."""


def recalled(
    recall: Recall, request: PageRequest, catalogue: Catalogue
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return the rows (n,) of the candidates in the catalogue, and their scores (n,).

    Raises:
        InputError: `candidates` raised an exception, or what it returned is not valid.
    """
    with _naming("recall: `candidates`"):
        answer = recall.candidates(request.user_id, request.count, request.held, request.time)
    try:
        found, scores = answer
        found, scores = np.asarray(found), np.asarray(scores, np.float64)
        integers = found.ndim == scores.ndim == 1 and (not len(found) or found.dtype.kind in "iu")
    except (TypeError, ValueError, OverflowError):
        integers = False
    if not integers:
        raise InputError(
            f"recall: `candidates` should return an array of item IDs and an array of scores; received {answer!r:.80}"
        )
    rows = catalogue.rows(found.astype(np.int64))
    if not len(found) == len(scores) <= request.count or (rows < 0).any() or len(set(rows.tolist())) < len(rows):
        raise InputError(
            f"recall: `candidates` should return at most {request.count} different items of the catalogue and "
            f"their scores; received {len(found)} items, {len(scores)} scores, {int((rows < 0).sum())} items "
            "that are not in the catalogue"
        )
    if not np.isfinite(scores).all():
        raise InputError("recall: `candidates` should return finite scores; received NaN or infinity")
    return rows, scores


def served_values(
    served: ServedValues,
    reads: Mapping[str, Reads],
    user_id: int,
    item_ids: NDArray[np.int64],
    scores: NDArray[np.float64],
    time: int,
) -> dict[str, Sequence[Any]]:
    """Return the values (n,) of each column of `reads`. A column that is left out has the values None.

    Args:
        served: the served values.
        reads: the columns, and what the features read of each.
        user_id, item_ids, scores, time: as for `ServedValues.values`.

    Raises:
        InputError: `values` raised an exception, or what it returned is not valid.
    """
    if not reads:
        return {}
    with _naming("served values: `values`"):
        found = served.values(list(reads), user_id, item_ids, scores, time)
    if not isinstance(found, Mapping):
        raise InputError(f"served values: `values` should return a dictionary of columns; received {found!r:.80}")
    return {name: _column(name, found.get(name), kind, len(item_ids)) for name, kind in reads.items()}


@contextlib.contextmanager
def _naming(method: str) -> Iterator[None]:
    """Turn any exception of a method of the application into InputError, which names the method."""
    try:
        yield
    except Exception as error:
        raise InputError(f"{method} raised {type(error).__name__}: {first_line(error):.200}") from error


def _column(name: str, values: Any, kind: Reads, count: int) -> Sequence[Any]:
    """Return the values of a column as a page has them."""
    if values is None:
        return [None] * count
    if kind == "numbers" and isinstance(values, np.ndarray) and values.dtype == np.float64:
        one_each = values.shape == (count,)
        if one_each and np.isfinite(values).all():
            return ColumnArray("numbers", values)
    tolist = getattr(values, "tolist", None) or getattr(values, "to_list", None)
    column = tolist() if tolist else values
    if not isinstance(column, Sequence) or isinstance(column, str) or len(column) != count:
        received = f"{len(column)} values" if isinstance(column, Sequence) else repr(column)
        raise InputError(
            f"served values: `values` should return {count} values of {name!r}, one for each item; received "
            f"{received:.80}"
        )
    accepted, words = _ACCEPTED[kind]
    made = [value.item() if isinstance(value, np.generic) else value for value in column]
    for value in made:
        if value is not None and (type(value) not in accepted or (type(value) is float and not math.isfinite(value))):
            raise InputError(
                f"served values: `values` should return {words} or None for {name!r}; received {value!r:.80}"
            )
    return made
