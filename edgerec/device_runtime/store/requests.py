"""Requests: open until their page ends, then complete with labels and ready to be sent."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from edgerec.core.errors import StoreError
from edgerec.device_runtime.store.database import Database
from edgerec.device_runtime.store.personal import PersonalTables, ScoredRequest
from edgerec.device_runtime.store.rows import StoredRequest
from edgerec.device_runtime.store.statements import read_statements
from edgerec.device_runtime.store.values import HALF, array, blob, json_text, optional, whole

MOST_OPEN = 500
"""Number of open requests of one page. The oldest one gets the labels that it has by then, and can be sent."""

MOST_READ = 50
"""So many of these requests keep `phi`, the newest ones. With 100 candidates and rank 83, each has 16.6 KB."""


class RequestTables:
    """The requests of open pages, the clicks on these pages, and the complete requests that were not sent yet.

    When a page ends, `personal` gets its labelled candidates.
    """

    def __init__(self, database: Database, personal: PersonalTables, *, user_id: int, store_id: int) -> None:
        self._database, self._personal = database, personal
        self._identity = {"user_id": user_id, "store_id": store_id}
        self._sql = read_statements("requests")
        self._open = Counter(page_id for (page_id,) in database.rows(self._sql["page_of_each"]))

    def click(self, page_id: int, item_id: int, time: int) -> None:
        """Record a click."""
        values = (whole("page_id", page_id), whole("item_id", item_id), time)
        self._database.write(self._sql["click"], values)

    def append(self, request: StoredRequest, time: int) -> None:
        """Record a request with the given time. It is open until its page ends."""
        values = (whole("page_id", request.page_id), time, request.exposures_end)
        phi = None if request.phi is None else blob("phi", request.phi, HALF)
        self._database.write(self._sql["open"], (*values, json_text("request", self._log_row(request, time)), phi))
        self._open[request.page_id] += 1
        if phi is not None and self._open[request.page_id] > MOST_READ:
            self._database.write(self._sql["drop_phi"], (request.page_id, MOST_READ))
        if self._open[request.page_id] > MOST_OPEN:
            with self._database.transaction():
                self._finish(request.page_id, 1)

    def end_page(self, page_id: int) -> None:
        """Complete the requests of a page: compute their labels and let them be sent."""
        with self._database.transaction():
            self._finish(page_id, -1)
            self._database.execute(self._sql["forget_clicks"], (page_id,))
        self._open.pop(page_id, None)

    def _finish(self, page_id: int, most: int) -> None:
        """Complete the oldest requests of a page, as a part of the caller's transaction. -1: all of them."""
        scored = []
        for sequence, time, exposures_end, text, phi in self._database.rows(self._sql["open_on_page"], (page_id, most)):
            try:
                row = json.loads(text)
                row["clicked"] = self._labels(row["item_id"], page_id, time, exposures_end)
                if phi is not None:
                    scored.append(_scored(row, phi))
            except (ValueError, TypeError, KeyError) as error:
                raise self._database.damaged(f"open request {sequence}: {error}") from None
            self._database.execute(self._sql["finish"], (time, json_text("request", row)))
            self._database.execute(self._sql["close"], (sequence,))
            self._open[page_id] -= 1
        # Requests that are complete before their page ends, because it has too many, give no events: candidates can get
        # a label in a later request of the page, too, and would count twice.
        if most < 0:
            self._personal.add_page(scored)

    def end_all_pages(self) -> None:
        """End every open page, because the process that showed them has ended."""
        for (page_id,) in self._database.rows(self._sql["open_pages"]):
            self.end_page(page_id)
        self._database.write(self._sql["forget_all_clicks"])

    def first_exposure(self) -> int | None:
        """Return the smallest ordinal of exposures that a label may still need, or None if no page is open."""
        first: int | None = self._database.rows(self._sql["first_exposure"])[0][0]
        return first

    def last_time(self) -> int:
        """Return the time of the latest stored request; -1 if there is none."""
        time = self._database.rows(self._sql["last_time"])[0][0]
        return -1 if time is None else int(time)

    def counts(self) -> tuple[int, int]:
        """Return the number of open requests and of complete requests."""
        opened, complete = self._database.rows(self._sql["counts"])[0]
        return opened, complete

    def _labels(self, item_ids: list[int], page_id: int, time: int, exposures_end: int) -> list[int | None]:
        """Return 1 for a candidate that was clicked since the request, 0 if only exposed since then, else None."""
        exposed = {row[0] for row in self._database.rows(self._sql["exposed"], (exposures_end, page_id))}
        clicked = {row[0] for row in self._database.rows(self._sql["clicked"], (page_id, time))}
        return [1 if item_id in clicked else 0 if item_id in exposed else None for item_id in item_ids]

    def _log_row(self, request: StoredRequest, time: int) -> dict[str, Any]:
        """Return the row of the logs, without labels."""
        row: dict[str, Any] = {
            "request_id": whole("request_id", request.request_id),
            **self._identity,
            "time": time,
            "page_id": request.page_id,
            "trigger": request.trigger,
            "model_version": request.model_version,
            "item_id": [whole("item_ids", item_id) for item_id in request.item_ids],
            "clicked": None,
            "exposures_end": whole("exposures_end", request.exposures_end),
            "page_views_end": whole("page_views_end", request.page_views_end),
            "positions": None if request.positions is None else [int(one) for one in request.positions],
            "scores": None if request.scores is None else [float(one) for one in request.scores],
            "outcome": request.outcome,
            "duration_ms": request.duration_ms,
        }
        if request.propensities is not None:
            row["propensities"] = [float(one) for one in request.propensities]
            row["explored_among"] = optional("explored_among", request.explored_among)
        if request.personal is not None:
            row["personal"] = bool(request.personal)
        for name, values in (("served", request.served), ("context", request.context)):
            if reserved := row.keys() & values.keys():
                raise StoreError(f"`{name}` should not have the column {min(reserved)!r}: a request has it already")
        return {**row, **{name: list(values) for name, values in request.served.items()}, **request.context}


def _scored(row: Mapping[str, Any], phi: bytes) -> ScoredRequest:
    item_ids, scores = row["item_id"], row["scores"]
    if len(scores) != len(item_ids):
        raise ValueError("it has another number of scores than of candidates")
    read = array(phi, HALF).reshape(len(item_ids), -1)
    return ScoredRequest(str(row["model_version"]), row["time"], item_ids, row["clicked"], scores, read)
