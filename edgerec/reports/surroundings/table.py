"""The tables of `edgerec mix evaluate` and `edgerec mix ablate`, for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from edgerec.reports.block import Block, Table
from edgerec.reports.markdown import to_markdown

METRICS = {"auc": "AUC", "logloss": "log loss", "calibration_error": "calibration error"}
_SHORT = ["model", "AUC", "log loss", "calibration"]


def blocks(document: Mapping[str, Any]) -> list[Block]:
    """Return the blocks of a document of `edgerec.model.surroundings.document.comparison`."""
    note = f"{_size(document)}. Intervals are over users (95 %); differences are paired."
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


def terminal_blocks(document: Mapping[str, Any]) -> list[Block]:
    """Return the same blocks for a terminal of 80 columns: without intervals, and pairs of the first two models."""
    whole = blocks(document)
    note = f"{_size(document)}. The second number is the difference from the first model. --json has 95 % intervals."
    names = list(document["models"])
    pairs = f"The click rate of users, and the mean click rate predicted by {' and by '.join(names[:2])}."
    more = f" --json has {', '.join(names[2:])}, too." if names[2:] else ""
    return [
        replace(
            whole[0], note=note, table=Table(_SHORT, [[name, *_short(row)] for name, row in document["models"].items()])
        ),
        replace(whole[1], table=_short_groups(document["kinds"])),
        replace(whole[2], table=_short_groups(document["previous"])),
        replace(whole[3], note=pairs + more, table=_pairs(document["pairs"], most=2)),
    ]


def markdown(document: Mapping[str, Any]) -> str:
    """Return the tables as Markdown."""
    return to_markdown(["# Click rates given the cards around a card"], blocks(document))


def _size(document: Mapping[str, Any]) -> str:
    return f"{document['exposures']:,} exposures, {document['clicks']:,} clicks, {document['users']:,} users"


def _short_groups(groups: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table with a row for each group, and below it one for each model."""
    rows = []
    for group in groups:
        rows.append([group["kind"], f"{group['exposures']:,} seen", f"clicked {group['click_rate']:.4f}", ""])
        rows += [[f"  {name}", *_short(row)] for name, row in group["models"].items()]
    return Table(_SHORT, rows)


def _short(row: Mapping[str, Any]) -> list[str]:
    """Return a cell for each metric: its value, and the difference from the first model."""
    cells = []
    for metric in METRICS:
        difference = row.get(f"{metric}_vs")
        cells.append(f"{row[metric]:.4f} " + ("-" if difference is None else f"{difference:+.4f}").rjust(7))
    return cells


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


def _pairs(pairs: Sequence[Mapping[str, Any]], *, most: int | None = None) -> Table:
    """Return the table of pairs, with the first `most` models."""
    names = list(pairs[0]["predicted"])[:most] if pairs else []
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
