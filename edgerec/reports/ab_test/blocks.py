"""The blocks of the report of an A/B test, in the order in which they are shown. A block without data is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgerec.core.text import printable
from edgerec.reports.ab_test.buckets import (
    BUCKET_COLUMNS,
    bucket_cells,
    control_of,
    count,
    mean,
    rate,
    treatment_of,
)
from edgerec.reports.ab_test.comparisons import comparisons, p_values
from edgerec.reports.ab_test.personal import patch_gain, patches
from edgerec.reports.ab_test.run_blocks import settings, time, world
from edgerec.reports.ab_test.trust_blocks import aa, power, sample_ratio
from edgerec.reports.ab_test.warnings import warnings
from edgerec.reports.block import Block, Table
from edgerec.reports.cells import NONE
from edgerec.reports.metrics import in_order, metric
from edgerec.reports.simulated import PAPER, words_block
from edgerec.reports.uplift import NOT_MEASURED, change, measured_p, read_uplift

LEAST_SHARE = 0.02
"""Positions with fewer exposures, as a share of the largest number, are not drawn: their intervals hide the others."""
_WORDS = {
    "bucket": "a way to serve, and the users who get it",
    "uplift": "relative change of a metric against another bucket: +5 % means 1.05 times as much",
    "95 %": "interval that contains the true value in 95 of 100 such tests",
    "p": "probability of a difference at least as large as this one, if the buckets were equal",
    "p, adjusted": "p of the secondary metrics, corrected because several of them are tested at once (Holm)",
}
_CUPED = {"CUPED": "a method that subtracts what is known from before the test, so that users add less noise"}


def blocks_of(document: Mapping[str, Any]) -> list[Block]:
    """Return the blocks of the document of `edgerec abtest`."""
    made = (
        warnings(document),
        _uplift(document),
        _positions(document),
        _buckets(document),
        comparisons(document),
        p_values(document),
        patches(document),
        patch_gain(document),
        _activity(document),
        _feedback(document),
        power(document),
        sample_ratio(document),
        aa(document),
        settings(document),
        time(document),
        world(document),
        words_block(list(document["uplift"]), {**_WORDS, **(_CUPED if document["design"] == "split" else {})}),
    )
    return [block for block in made if block is not None]


def position_label(entry: Mapping[str, Any]) -> str:
    """Return the name of a range of display positions."""
    if entry["to"] is None:
        return f"{entry['from']} and more"
    return f"{entry['from']}" if entry["to"] == entry["from"] else f"{entry['from']} to {entry['to']}"


def activity_label(entry: Mapping[str, Any]) -> str:
    """Return the name of a group of users."""
    return f"{entry['sessions']} session{'' if str(entry['sessions']) == '1' else 's'}"


def _uplift(document: Mapping[str, Any]) -> Block | None:
    treatment = treatment_of(document)
    if treatment is None or not document["uplift"]:
        return None
    found = {key: read_uplift(document["uplift"][key]) for key in in_order(document["uplift"])}
    rows = [
        (
            metric(key).name,
            *uplift.cells(),
            measured_p(uplift.p_adjusted),
            NONE if uplift.paper is None else change(uplift.paper),
        )
        for key, uplift in found.items()
    ]
    table = Table(("", "uplift", "95 %", "p", "p, adjusted", PAPER), rows)
    return Block("uplift", f"Uplift of {printable(treatment)} against {printable(control_of(document))}", table=table)


def _positions(document: Mapping[str, Any]) -> Block | None:
    rows = [
        (
            bucket,
            position_label(entry),
            count(entry["exposures"]),
            count(entry["clicks"]),
            rate(entry["rate"]),
            NOT_MEASURED
            if entry["ci95"] is None
            else "{:.2f} to {:.2f} %".format(*(100 * end for end in entry["ci95"])),
        )
        for bucket, entries in document["positions"].items()
        for entry in entries
    ]
    table = Table(("bucket", "positions", "exposures", "clicks", "click rate", "95 %"), rows, texts=2)
    note = (
        "The first item of a session has position 1. EdgeRec orders items again while the user scrolls, so it can help "
        "more at later positions (figure 5 of the paper). Positions with less than "
        f"{100 * LEAST_SHARE:g} % of the exposures of the most frequent ones are only in the table."
    )
    return Block("positions", "Click rate by display position", note, table, folded=True) if rows else None


def _buckets(document: Mapping[str, Any]) -> Block:
    rows = [(name, *bucket_cells(bucket)) for name, bucket in document["buckets"].items()]
    note = "Means per user, apart from the number of users and CTR."
    winsorised = document.get("winsorised")
    if winsorised and winsorised.get("cap") is not None:
        note += (
            f" The GMV of a user counts as at most {mean(winsorised['cap'])}, so that a few large purchases do not "
            f"decide: the {100 * winsorised['quantile']:g} % quantile of users with a purchase."
        )
    return Block("buckets", "Buckets", note, Table(("bucket", *BUCKET_COLUMNS), rows))


def _activity(document: Mapping[str, Any]) -> Block | None:
    entries = document["activity"]
    if not entries:
        return None
    keys = in_order({key for entry in entries for key in entry["uplift"]})
    rows = [
        (
            activity_label(entry),
            count(entry["users"]),
            *(read_uplift(entry["uplift"].get(key)).brief() for key in keys),
        )
        for entry in entries
    ]
    table = Table(("users with", "users", *(metric(key).name for key in keys)), rows)
    note = (
        "Uplift of the treatment against the control, for users who planned more and fewer sessions, with 95 % "
        "intervals."
    )
    if any(str(entry["sessions"]) == "0" for entry in entries):
        note += " Users with 0 planned all of theirs before the test period, and came back in it."
    return Block("activity", "Uplift by user activity", note, table)


def _feedback(document: Mapping[str, Any]) -> Block | None:
    rows = []
    for name, bucket in document["buckets"].items():
        orders, pages = bucket.get("orders"), bucket.get("pages")
        ratio = orders / pages if orders is not None and pages else None
        rows.append((name, *(mean(value) for value in (orders, pages, ratio))))
    if all(set(row[1:]) == {NOT_MEASURED} for row in rows):
        return None
    note = (
        "How often the feed can react to a user: the device orders it again after behaviour, the cloud only with the "
        "next page. Means per user."
    )
    table = Table(("bucket", "orders by the device", "pages of the cloud", "orders for each page"), rows)
    return Block("feedback", "Feedback", note, table)
