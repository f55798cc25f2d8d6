"""As-of columns by a slow loop that follows docs/features.md word for word."""

from __future__ import annotations

from typing import Any

import polars as pl

from edgerec.features.as_of import AsOf, Total

Row = dict[str, Any]


def past(as_of: AsOf, fact: str, where: str | None, events: list[Row], requests: list[Row]) -> list[Row]:
    """Return all facts: user, item, and the time when each became known."""
    if fact == "listed":
        first: dict[Any, Row] = {}
        for request in sorted(requests, key=lambda row: (row["time"], row["user_id"], row["request_id"])):
            first.setdefault((request["user_id"], request.get("page_id", request["request_id"])), request)
        return [
            {"user_id": request["user_id"], "item_id": item, "time": request["time"]}
            for request in first.values()
            for item in request["item_id"]
        ]
    rows = [row for row in events if fact in (row["kind"], "behaviour")]
    if where is not None:
        rows = [row for row in rows if row[where] is not None and row[where] > 0]
    rows = [{**row, "time": row[as_of.time or "time"]} for row in rows]
    return [row for row in rows if row["time"] is not None]


def key(by: tuple[str, ...], row: Row, items: dict[int, Row]) -> tuple[Any, ...] | None:
    """Return the key of a fact or a question, or None if a column of the catalogue has no value."""
    values = [row[name] if name == "user_id" else items[row["item_id"]][name] for name in by]
    return None if None in values else tuple(values)


def value(
    as_of: AsOf, user: int, item: int, time: int, events: list[Row], requests: list[Row], items: dict[int, Row]
) -> float | None:
    """Return the value of a column for one user, item and instant."""

    def before(part: AsOf | Total) -> list[Row]:
        by = as_of.by if part.by is None else part.by
        wanted = key(by, {"user_id": user, "item_id": item}, items)
        fact = part.fact if isinstance(part, AsOf) else part.count
        facts = past(as_of, fact, part.where, events, requests)
        return [row for row in facts if row["time"] < time and wanted is not None and key(by, row, items) == wanted]

    def ages(part: AsOf | Total) -> list[int]:
        return [time - row["time"] for row in before(part)]

    def amount(part: AsOf | Total) -> float:
        total = 0.0
        for row in before(part):
            age, weight = time - row["time"], 1.0 if part.weight is None else row[part.weight] or 0
            if as_of.half_life_s is not None:
                total += weight * 0.5 ** (age / 1000 / as_of.half_life_s)
            elif as_of.within_s is None or age <= as_of.within_s * 1000:
                total += weight
        return total

    unit = 1000 * (as_of.unit_s or 1)
    if as_of.since_first is not None:
        return max(ages(as_of), default=0) / unit
    if as_of.since_last is not None:
        return min(ages(as_of)) / unit if ages(as_of) else None
    if as_of.per is None or as_of.prior is None or as_of.prior_weight is None:
        return amount(as_of)
    return (amount(as_of) + as_of.prior * as_of.prior_weight) / (amount(as_of.per) + as_of.prior_weight)


def columns(
    events: pl.DataFrame, requests: pl.DataFrame, catalogue: pl.DataFrame, wanted: AsOf
) -> tuple[list[list[float | None]], list[float | None]]:
    """Return a served column of the requests and of the events."""
    all_events, all_requests = events.to_dicts(), requests.to_dicts()
    items = {row["item_id"]: row for row in catalogue.to_dicts()}

    def page_time(request: Row) -> int:
        page = (request["user_id"], request.get("page_id", request["request_id"]))
        others = [r for r in all_requests if (r["user_id"], r.get("page_id", r["request_id"])) == page]
        return min(int(other["time"]) for other in others)

    def at(user: int, item: int, time: int | None) -> float | None:
        return None if time is None else value(wanted, user, item, time, all_events, all_requests, items)

    def offered(event: Row) -> int | None:
        if "offered_at" in event:
            return event["offered_at"]  # type: ignore[no-any-return]
        listed = [
            request
            for request in all_requests
            if request["user_id"] == event["user_id"]
            and request["time"] <= event["time"]
            and event["item_id"] in request["item_id"]
        ]
        return max((int(request["time"]), page_time(request)) for request in listed)[1] if listed else None

    in_requests = [
        [at(request["user_id"], item, page_time(request)) for item in request["item_id"]] for request in all_requests
    ]
    return in_requests, [at(event["user_id"], event["item_id"], offered(event)) for event in all_events]
