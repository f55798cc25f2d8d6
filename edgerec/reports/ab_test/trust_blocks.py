"""The blocks that say how far a test can be trusted: its power, the numbers of users, and A/A tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgerec.core.text import counted
from edgerec.reports.ab_test.buckets import count, rate
from edgerec.reports.block import Block, Table
from edgerec.reports.metrics import in_order, metric
from edgerec.reports.uplift import change, measured_p


def power(document: Mapping[str, Any]) -> Block | None:
    """Return the block about the users that a split test needs."""
    found = document.get("power") or {}
    cuped = any(entry.get("with_cuped") for entry in found.values())
    rows = []
    for key in in_order(found):
        cells = _power_cells(found[key])
        rows.append((metric(key).name, *cells, *(_power_cells(found[key].get("with_cuped") or {}) if cuped else ())))
    columns = ("", "smallest uplift", "users needed", *(("smallest, CUPED", "users, CUPED") if cuped else ()))
    note = (
        "Smallest uplift that a split test with 2,000 users in each bucket finds in 80 % of tests (two-sided, level "
        "5 %), and the users that each bucket needs to find the uplift of the paper in the same way."
    )
    return Block("power", "Power", note, Table(columns, rows)) if rows else None


def sample_ratio(document: Mapping[str, Any]) -> Block | None:
    """Return the block about the numbers of users in the buckets, or None if the design has no split."""
    found = document.get("sample_ratio")
    if not found:
        return None
    rows = [(name, count(number)) for name, number in found["counts"].items()]
    note = (
        "The split should give each bucket about the same number of users. The p-value of a larger deviation by chance "
        f"is: {measured_p(found['p'])}. Below 0.001, something removes users from a bucket."
    )
    return Block("sample-ratio", "Sample ratio", note, Table(("bucket", "users"), rows))


def aa(document: Mapping[str, Any]) -> Block | None:
    """Return the block about tests of the control against itself, or None if there were none."""
    found = document.get("aa")
    if not found:
        return None
    without = found.get("without_cuped") or {}
    rows = []
    for key in in_order(found["metrics"]):
        further = _uniformity_cells(without.get(key) or {}) if without else ()
        rows.append((metric(key).name, *_uniformity_cells(found["metrics"][key]), *further))
    note = (
        f"The users of the control were divided at random into two halves {counted(found['splits'], 'time', 'times')}. "
        "Both halves got the same, so about 5 % of the p-values should be below 0.05, and they should be uniform."
    )
    heads = ("p below 0.05", "p of uniformity")
    columns = ("", *heads, *(f"{head}, without CUPED" for head in heads if without))
    return Block("aa", "A/A test", note, Table(columns, rows))


def _power_cells(entry: Mapping[str, Any]) -> tuple[str, str]:
    return change(entry.get("smallest_uplift")), count(entry.get("users_for_paper"))


def _uniformity_cells(entry: Mapping[str, Any]) -> tuple[str, str]:
    return rate(entry.get("below_5_percent")), measured_p(entry.get("ks_p"))
