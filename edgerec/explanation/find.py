"""Find a request in logs, and the request to explain if none is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from edgerec.core.errors import InputError
from edgerec.data.logs import LogsFolder
from edgerec.data.parts import cast_part, read_part
from edgerec.data.schema import CLICKED, MODEL_VERSION, REQUEST_ID, TIME, USER_ID

SCORES = "scores"
"""The column with the scores of the device, in logs that `edgerec serve` wrote."""


@dataclass(frozen=True)
class FoundRequest:
    """A request of logs.

    Attributes:
        request_id: its ID.
        user_id: the user.
        model_version: the version that answered it; None if none did.
        scores: the scores that the device logged; None if there are none.
    """

    request_id: int
    user_id: int
    model_version: str | None
    scores: Sequence[float] | None


def find_request(logs: LogsFolder, request_id: int) -> FoundRequest:
    """Return the request with this ID.

    Raises:
        InputError: the logs have no such request, or several.
        LogsError: a file cannot be read.
    """
    scored = SCORES in logs.requests.schema
    columns = [REQUEST_ID, USER_ID, MODEL_VERSION, *([SCORES] if scored else [])]
    rows: list[dict[str, Any]] = []
    for file in logs.requests.files:
        table = cast_part(logs.requests, read_part(file, columns), file)
        rows += table.filter(pl.col(REQUEST_ID) == request_id).rows(named=True)
    if len(rows) != 1:
        fault = "no request" if not rows else f"{len(rows)} requests"
        raise InputError(
            f"explain: {logs.path} has {fault} with the ID {request_id}: give a value of the column {REQUEST_ID} of "
            "its requests, or leave out --request"
        )
    [row] = rows
    return FoundRequest(row[REQUEST_ID], row[USER_ID], row[MODEL_VERSION], row.get(SCORES))


def latest_clicked(logs: LogsFolder, users: int) -> dict[int, int]:
    """Return the latest request with a click of each of the first users that have one: request ID by user.

    If no request has a click, the latest request of each user counts.

    Args:
        logs: the logs.
        users: the number of users, in order of their IDs.

    Raises:
        InputError: the logs have no request.
        LogsError: a file cannot be read.
    """
    frames = []
    for file in logs.requests.files:
        table = cast_part(logs.requests, read_part(file, [REQUEST_ID, USER_ID, TIME, CLICKED]), file)
        frames.append(table.with_columns(pl.col(CLICKED).list.contains(pl.lit(1, pl.Int8)).fill_null(False)))
    requests = pl.concat(frames, how="vertical_relaxed")
    if not len(requests):
        raise InputError(f"explain: {logs.path} has no request")
    if requests[CLICKED].any():
        requests = requests.filter(CLICKED)
    latest = requests.sort(USER_ID, TIME, REQUEST_ID).unique(USER_ID, keep="last", maintain_order=True).head(users)
    return dict(zip(latest[USER_ID].to_list(), latest[REQUEST_ID].to_list(), strict=True))
