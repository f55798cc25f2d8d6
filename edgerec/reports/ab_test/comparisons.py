"""The comparisons of all buckets: a table with a row for each pair of buckets, and one with all p-values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgerec.reports.ab_test.warnings import FEW_USERS
from edgerec.reports.block import Block, Table
from edgerec.reports.metrics import in_order, metric
from edgerec.reports.uplift import change, measured_p, read_uplift


def comparisons(document: Mapping[str, Any]) -> Block | None:
    """Return the block of all comparisons. One comparison is already in the block of the uplift."""
    if len(document["comparisons"]) < 2:
        return None
    keys = _metrics(document)
    rows = [
        (_marked(document, entry), entry["against"], *(read_uplift(entry["uplift"].get(key)).brief() for key in keys))
        for entry in document["comparisons"]
    ]
    note = (
        "Uplift of each bucket against the control, and of further buckets against the treatment, with 95 % intervals."
    )
    if any(_few_users(document, entry) for entry in document["comparisons"]):
        note += f" * One of the two buckets has fewer than {FEW_USERS} users, which are too few for a conclusion."
    table = Table(("bucket", "against", *(metric(key).name for key in keys)), rows, texts=2)
    return Block("comparisons", "All comparisons", note, table)


def brief_comparisons(document: Mapping[str, Any]) -> Table:
    """Return a narrow table: the means of all metrics, and the interval of the primary one. Pairs are in groups."""
    keys, primary = _metrics(document), document["primary"]
    rows: list[tuple[str, ...]] = []
    for against in dict.fromkeys(entry["against"] for entry in document["comparisons"]):
        rows.append((f"against {against}", *[""] * (len(keys) + 1)))
        for entry in document["comparisons"]:
            if entry["against"] == against:
                means = (change(read_uplift(entry["uplift"].get(key)).mean) for key in keys)
                rows.append(
                    (f"  {_marked(document, entry)}", *means, read_uplift(entry["uplift"].get(primary)).interval())
                )
    return Table(("", *(metric(key).name for key in keys), f"95 % of {metric(primary).name}"), rows)


def p_values(document: Mapping[str, Any]) -> Block | None:
    """Return the block with a row for each comparison and metric."""
    if len(document["comparisons"]) < 2:
        return None
    rows = []
    for entry in document["comparisons"]:
        for key in in_order(entry["uplift"]):
            uplift = read_uplift(entry["uplift"][key])
            adjusted = measured_p(uplift.p_adjusted)
            rows.append((entry["bucket"], entry["against"], metric(key).name, *uplift.cells(), adjusted))
    table = Table(("bucket", "against", "metric", "uplift", "95 %", "p", "p, adjusted"), rows, texts=3)
    note = "They are adjusted for the number of metrics in one comparison, and not for the number of comparisons."
    return Block("p-values", "p-values of all comparisons", note, table, folded=True) if rows else None


def _marked(document: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    """Return the name of the bucket of a comparison, with a star if the comparison has few users."""
    return str(entry["bucket"]) + (" *" if _few_users(document, entry) else "")


def _few_users(document: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    buckets = document["buckets"]
    return any((buckets[entry[side]]["users"] or 0) < FEW_USERS for side in ("bucket", "against"))


def _metrics(document: Mapping[str, Any]) -> list[str]:
    return in_order({key for entry in document["comparisons"] for key in entry["uplift"]})
