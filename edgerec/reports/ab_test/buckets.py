"""The buckets of a test: which one is the control, and the cells of what each one got."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgerec.reports.cells import digits
from edgerec.reports.uplift import NOT_MEASURED

BUCKET_COLUMNS = ("users", "sessions", "PV", "CTR", "CLICK", "GMV", "deletes")


def control_of(document: Mapping[str, Any]) -> str:
    """Return the name of the control, which is the first bucket."""
    return str(next(iter(document["buckets"])))


def treatment_of(document: Mapping[str, Any]) -> str | None:
    """Return the name of the treatment, which is the second bucket, or None if there is only one bucket."""
    names = list(document["buckets"])
    return names[1] if len(names) > 1 else None


def bucket_cells(bucket: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the cells of a bucket for `BUCKET_COLUMNS`. All but the number of users and CTR are means a user."""
    return (
        count(bucket.get("users")),
        mean(bucket.get("sessions")),
        mean(bucket.get("pv")),
        rate(bucket.get("ctr")),
        *(mean(bucket.get(key)) for key in ("click", "gmv", "deletes")),
    )


def count(value: float | None) -> str:
    """Return a number of things."""
    return NOT_MEASURED if value is None else f"{value:,.0f}"


def mean(value: float | None) -> str:
    """Return a mean a user."""
    return NOT_MEASURED if value is None else digits(value)


def rate(value: float | None) -> str:
    """Return a rate in percent."""
    return NOT_MEASURED if value is None else f"{100 * value:.2f} %"
