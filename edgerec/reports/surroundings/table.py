"""The tables of `edgerec mix evaluate` and `edgerec mix ablate`, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgerec.reports.block import Block, Table
from edgerec.reports.markdown import to_markdown

METRICS = {"auc": "AUC", "logloss": "log loss", "calibration_error": "calibration error"}


def blocks(document: Mapping[str, Any]) -> list[Block]:
    """Return the blocks of a document of `edgerec.model.surroundings.document.comparison`."""
    size = f"{document['exposures']:,} exposures, {document['clicks']:,} clicks, {document['users']:,} users"
    note = f"{size}. Intervals are over users (95 %); differences are paired."
    return [
        Block("all", "All cards", note, _models(document["models"])),
        Block("kinds", "By kind of the card", "", _groups(document["kinds"])),
        Block("previous", "By kind of the card before", "", _groups(document["previous"])),
        Block(
            "pairs",
            "Click rates by kind of the card and of the card before",
            "The click rate of users, and the mean click rate that each model predicts.",
            _pairs(document["pairs"]),
        ),
    ]


def markdown(document: Mapping[str, Any]) -> str:
    """Return the tables as Markdown."""
    return to_markdown(["# Click rates given the cards around a card"], blocks(document))


def _models(models: Mapping[str, Mapping[str, Any]]) -> Table:
    columns = ["model"]
    for title in METRICS.values():
        columns += [title, "against the first"]
    return Table(columns, [[name, *_cells(row)] for name, row in models.items()])


def _groups(groups: Sequence[Mapping[str, Any]]) -> Table:
    columns = ["kind", "model", "exposures", "click rate"]
    for title in METRICS.values():
        columns += [title, "against the first"]
    rows = []
    for group in groups:
        for index, (name, row) in enumerate(group["models"].items()):
            size = [f"{group['exposures']:,}", f"{group['click_rate']:.4f}"] if not index else ["", ""]
            rows.append([group["kind"] if not index else "", name, *size, *_cells(row)])
    return Table(columns, rows, texts=2)


def _cells(row: Mapping[str, Any]) -> list[str]:
    cells = []
    for metric in METRICS:
        spread = row.get(f"{metric}_sd")
        cells.append(f"{row[metric]:.4f}" + ("" if spread is None else f" ± {spread:.4f}"))
        difference, interval = row.get(f"{metric}_vs"), row.get(f"{metric}_vs_ci95")
        text = "" if difference is None else f"{difference:+.4f}"
        cells.append(text if interval is None else f"{text} ({interval[0]:+.4f} to {interval[1]:+.4f})")
    return cells


def _pairs(pairs: Sequence[Mapping[str, Any]]) -> Table:
    names = list(pairs[0]["predicted"]) if pairs else []
    rows = [
        [
            row["kind"],
            row["previous"],
            f"{row['exposures']:,}",
            f"{row['click_rate']:.4f}",
            *(f"{row['predicted'][name]:.4f}" for name in names),
        ]
        for row in pairs
    ]
    return Table(["kind", "card before", "exposures", "click rate", *names], rows, texts=2)
