"""The tables of `edgerec train --tune`, `edgerec evaluate` and `edgerec ablate`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table

from edgerec.cli.output import scalars, table_of
from edgerec.reports.ablation.table import columns_of, gap_note, table_rows

_BASELINES = {
    "random": "a random order",
    "base_order": "the served order",
    "last_category": "the category of the last page-view first",
    "truth": "the true click probabilities: no model can be better",
}
"""What baselines are. The name of the best single number is not fixed."""
_SAME = 5e-5
"""Two GAUC that differ by less are shown as equal."""
_FIGURES = (
    ("AUC", "auc"),
    ("NDCG@5", "ndcg@5"),
    ("NDCG@10", "ndcg@10"),
    ("log loss", "logloss"),
    ("calibration error", "calibration_error"),
)


def search_table(document: Mapping[str, Any]) -> Group:
    """Return the tables of a search: one row for each trial, then the run of the best trial."""
    rows = [
        [
            str(trial["number"]),
            "best" if trial["number"] == document["best_trial"] else trial["state"],
            f"{max(trial['validation_gauc']):.4f}" if trial["validation_gauc"] else "none",
            str(len(trial["validation_gauc"])),
            ", ".join(f"{name} {value:g}" for name, value in trial["settings"].items()),
        ]
        for trial in document["trials"]
    ]
    table = table_of(("trial", "state", "GAUC", "epochs", "settings"), rows)
    # In a narrow terminal, only the settings are broken into several lines.
    *others, settings = table.columns
    settings.justify = "left"
    for column in others:
        column.no_wrap = True
    return Group(table, "", scalars(document))


def evaluation_table(document: Mapping[str, Any]) -> Table:
    """Return the table of the document of `evaluate`."""
    low, high = document["gauc_ci95"]
    rows = [
        ("model", f"{document['model']} {document['version_id']}"),
        ("GAUC", f"{document['gauc']:.4f}  (95 % interval {low:.4f} to {high:.4f}, over {document['users']:,} users)"),
        *((name, "none" if document[key] is None else f"{document[key]:.4f}") for name, key in _FIGURES),
        *_baseline_rows(document),
    ]
    return table_of(("", ""), rows, header=False)


def baselines_table(document: Mapping[str, Any]) -> Table:
    """Return the table of the document of `baselines_document`."""
    return table_of(("", ""), _baseline_rows(document), header=False)


def _baseline_rows(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the table rows that describe the split, and those with the GAUC of the baselines."""
    size = f"{document['requests']:,} requests with {document['impressions']:,} shown candidates"
    found = document["baselines"]
    return [
        ("split", f"{document['split']}: {size}"),
        *((f"GAUC of {name}", f"{value:.4f}  ({_baseline(name, found)})") for name, value in found.items()),
    ]


def _baseline(name: str, found: Mapping[str, float]) -> str:
    """Return what a baseline is."""
    if name in _BASELINES:
        return _BASELINES[name]
    same = abs(found[name] - found["base_order"]) < _SAME
    return "the best number of an item" + (", as good as the served order: probably its score" if same else "")


def ablation_table(document: Mapping[str, Any]) -> Group:
    """Return the table of the document of an ablation, with its note. Models come first, then baselines."""
    columns, rows = columns_of(document, brief=True), table_rows(document, brief=True)
    rows += [[name, f"{value:.4f}"] for name, value in document["baselines"].items()]
    table = table_of(columns, [[*row, *[""] * (len(columns) - len(row))] for row in rows])
    note = gap_note(document)
    return Group(table, *([note] if note else []))
