"""The table of an ablation: its columns, its cells, and the whole table in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edgerec.reports.cells import p_value


def columns_of(document: Mapping[str, Any], *, brief: bool = False) -> list[str]:
    """Return the headings of the table. With `brief`, leave out columns, so that the table fits on a terminal."""
    return [heading for heading, _, short in _layout(document) if short or not brief]


def table_rows(document: Mapping[str, Any], *, brief: bool = False) -> list[list[str]]:
    """Return the cells of the table: one list for each model. `brief` is as in `columns_of`."""
    layout = [cell for _, cell, short in _layout(document) if short or not brief]
    return [[cell(row) for cell in layout] for row in document["rows"]]


def _layout(document: Mapping[str, Any]) -> list[tuple[str, Callable[[Mapping[str, Any]], str], bool]]:
    """Return the columns. Each has a heading, a function that makes the cell of a row, and whether `brief` keeps it."""
    truth = "truth" in document["baselines"]
    seeds = len(document["seeds"])
    return [
        ("model", lambda row: row["model"], True),
        (f"GAUC, {seeds} seed{'s' if seeds > 1 else ''}", _gauc, True),
        ("95 % of users", lambda row: "{:.4f} to {:.4f}".format(*row["gauc_ci95"]), False),
        ("against DLCM", lambda row: _relative(row["relative_vs_dlcm"]), True),
        ("p", lambda row: _p(row["p_vs_dlcm"]), True),
        *(
            [
                ("against LightGBM", lambda row: _relative(row["relative_vs_lightgbm"]), True),
                ("p", lambda row: _p(row["p_vs_lightgbm"]), True),
            ]
            if document["trees"]
            else []
        ),
        *([("gap closed", lambda row: f"{row['gap_closed']:.1%}", True)] if truth else []),
        ("NDCG@10", lambda row: f"{row['ndcg@10']:.4f}", False),
        ("log loss", lambda row: "" if row["logloss"] is None else f"{row['logloss']:.4f}", False),
        ("parameters", lambda row: f"{row['parameters']:,}", True),
        ("training, s", lambda row: f"{row['train_seconds']:.0f}", True),
    ]


def gap_note(document: Mapping[str, Any]) -> str | None:
    """Return what a negative "gap closed" means, or None if no model has one."""
    if any(row.get("gap_closed", 0.0) < 0 for row in document["rows"]):
        return "A negative gap closed: the model is worse than the served order."
    return None


def _gauc(row: Mapping[str, Any]) -> str:
    return f"{row['gauc_mean']:.4f}" + ("" if row["gauc_sd"] is None else f" ± {row['gauc_sd']:.4f}")


def _relative(value: float | None) -> str:
    return "" if value is None else f"{value:+.2%}"


def _p(value: float | None) -> str:
    return "" if value is None else p_value(value)


def markdown(document: Mapping[str, Any]) -> str:
    """Return the table in Markdown, with the baselines below it."""
    columns = columns_of(document)
    lines = [columns, ["---"] * len(columns), *table_rows(document)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    baselines = "\n".join(f"| {name} | {value:.4f} |" for name, value in document["baselines"].items())
    size = f"{document['requests']:,} requests, {document['impressions']:,} impressions ({document['split']})"
    note = "".join(f"{line}\n\n" for line in [gap_note(document)] if line)
    return f"{size}\n\n{table}\n\n{note}| ranker | GAUC |\n| --- | --- |\n{baselines}\n"
