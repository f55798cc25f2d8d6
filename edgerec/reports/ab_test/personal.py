"""The blocks about personal patches in an A/B test: what they did, and whether they helped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgerec.reports.ab_test.buckets import count, rate
from edgerec.reports.block import Block, Table
from edgerec.reports.uplift import read_uplift


def patches(document: Mapping[str, Any]) -> Block | None:
    """Return the block that says what patches did, or None if no bucket has them."""
    found = document.get("personal") or {}
    rows = [
        (
            name,
            *(count(entry[key]) for key in ("trainings", "rejected", "failed", "rolled_back")),
            rate(entry["patched_share"]),
            rate(entry["changed_share"]),
        )
        for name, entry in found.items()
    ]
    note = (
        "The device trains a patch of the model for each user. Rejected: the gate left the shared model. Rolled back: "
        "a patch was given up, because it was worse than the shared model on later events. Changed: orders that the "
        "shared model would have made otherwise."
    )
    columns = ("bucket", "trainings", "rejected", "failed", "rolled back", "users with a patch", "orders changed")
    return Block("patches", "Personal patches", note, Table(columns, rows)) if rows else None


def patch_gain(document: Mapping[str, Any]) -> Block | None:
    """Return the block that compares buckets with patches to the same ones without, or None."""
    found = document.get("personal") or {}
    rows = [row for name, entry in found.items() if entry["gain"] for row in _rows(name, entry)]
    note = (
        "Each bucket with patches against the one that differs only in having none, for the same users, with 95 % "
        "intervals. Expected clicks are the sum of the true click probabilities of what was shown, so they have less "
        "noise. Users are worse or better if the expected clicks of their sessions differ beyond chance (one-sided "
        "test at 5 %); noise is what the same test finds without an effect. Groups are not adjusted for their number."
    )
    table = Table(("bucket", "against", "of", "users", "CLICK"), rows, texts=3)
    return Block("patch-gain", "Personal patches against the shared model", note, table) if rows else None


def _rows(name: str, entry: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    gain, pair = entry["gain"], (name, entry["against"])
    yield (*pair, "all: expected clicks", "", read_uplift(gain["expected_clicks"]).brief())
    for what, groups in (
        ("users with {} planned sessions", gain["activity"]),
        ("sessions {} of a user", gain["sessions"]),
    ):
        for group in groups:
            label = what.format(_range(group))
            yield (*pair, label, count(group["users"]), read_uplift(group["click"]).brief())
    worse = gain["worse"]
    for key in ("worse", "better", "noise"):
        yield (*pair, f"users: {key}", count(worse["users"]), rate(worse[key]))


def _range(group: Mapping[str, Any]) -> str:
    if group["to"] is None:
        return f"{group['from']} and more"
    return f"{group['from']}" if group["from"] == group["to"] else f"{group['from']} to {group['to']}"
