"""The tables of `edgerec personalize evaluate`, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgerec.reports.block import Block, Table
from edgerec.reports.markdown import to_markdown


def blocks(document: Mapping[str, Any]) -> list[Block]:
    """Return the blocks of a document of `edgerec.model.personalization.evaluate`."""
    users = document["users"]
    note = (
        f"{users['users']:,} users, {users['query_events']:,} exposures that measure. A patch learns from "
        f"{users['known_events']['50']:.0f} exposures (median). It reads: {document['reads']}. Intervals are over "
        "users (95 %), differences are paired. `refit` gets the same numbers and events, but for all users together."
    )
    rows = document["rows"]
    return [
        Block("methods", "Methods", note, _methods(rows)),
        Block(
            "groups",
            "By number of known pages",
            "The difference of GAUC to the shared model, for users with few and with many known pages.",
            _groups(rows, "gauc_vs_shared"),
        ),
        Block(
            "groups_refit",
            "By number of known pages, against refit",
            "The same to `refit`: what a patch gains because it is the user's own.",
            _groups(rows, "gauc_vs_refit"),
        ),
        Block(
            "harm",
            "Users who lose, and the gate",
            "Worse: the share of users whose requests became worse beyond chance (one-sided test at 5 %). Noise: what "
            "the same test finds without an effect. Tail: the mean rise of the log loss of the 5 % of users for whom "
            "it rises most.",
            _harm(rows),
        ),
    ]


def markdown(document: Mapping[str, Any]) -> str:
    """Return the tables as Markdown."""
    return to_markdown(["# Personal patches"], blocks(document))


def _methods(rows: Any) -> Table:
    columns = ["method", "GAUC", "against shared", "against refit", "log loss", "against shared", "ms", "bytes"]
    return Table(
        columns,
        [
            [
                row["method"],
                _number(row["gauc"]),
                _interval(row["gauc_vs_shared"]),
                _interval(row["gauc_vs_refit"]),
                _number(row["logloss"]),
                _interval(row["logloss_vs_shared"]),
                f"{row['ms']:.2f}",
                str(row["bytes"]),
            ]
            for row in rows
        ],
    )


def _groups(rows: Any, difference: str) -> Table:
    names = list(rows[0]["groups"]) if rows else []
    columns = ["method", *(f"{name} ({rows[0]['groups'][name]['users']:,} users)" for name in names)]
    return Table(
        columns, [[row["method"], *(_interval(row["groups"][name][difference]) for name in names)] for row in rows]
    )


def _harm(rows: Any) -> Table:
    columns = ["method", "worse", "better", "noise", "tail", "rejected", "GAUC with gate, against shared"]
    return Table(
        columns,
        [
            [
                row["method"],
                f"{row['worse_share']:.1%}",
                f"{row['better_share']:.1%}",
                f"{row['worse_share_noise']:.1%}",
                f"{row['tail']:+.4f}",
                f"{row['rejected_share']:.1%}",
                _interval(row["gauc_gated_vs_shared"]),
            ]
            for row in rows
        ],
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _interval(value: Mapping[str, float] | None) -> str:
    return "-" if value is None else f"{value['mean']:+.4f} ({value['low']:+.4f} to {value['high']:+.4f})"
