"""The table as JSON, as Markdown, and as the terminal shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.table import Table

from edgerec.core.console import table_of
from edgerec.core.statistics import bootstrap_weighted_mean, paired_ratio_test
from edgerec.model.ablation.cells import Cell
from edgerec.model.ablation.config import TREES, AblationConfig
from edgerec.model.registry import MODELS
from edgerec.model.tally import UserSums

REFERENCE = "dlcm"
"""What the paper holds its models against."""
_MEANS = ("auc", "ndcg@5", "ndcg@10", "logloss", "calibration_error")


def ablation_document(
    cells: Sequence[Cell], *, baselines: Mapping[str, Any], config: AblationConfig, samples: str
) -> dict[str, Any]:
    """The document of `edgerec ablate`: a row a model.

    Intervals and tests are over users, with each user's sums averaged over seeds: they say what other users of the same
    kind would change. `gauc_sd` says what another seed would change.

    Args:
        cells: of all models and seeds.
        baselines: of `baselines_document`.
        config: what was trained.
        samples: where the samples stand.
    """
    by_model: dict[str, list[Cell]] = {}
    for cell in cells:
        by_model.setdefault(cell.model, []).append(cell)
    sums = {name: _mean_sums(found) for name, found in by_model.items()}
    known = baselines["baselines"]
    rows = [_row(found, sums, known) for found in by_model.values()]
    return {"samples": samples, **baselines, **config.document(), "rows": rows}


def _row(cells: Sequence[Cell], sums: Mapping[str, UserSums], baselines: Mapping[str, float]) -> dict[str, Any]:
    name = cells[0].model
    own, gaucs = sums[name], np.array([cell.figures["gauc"] for cell in cells])
    row: dict[str, Any] = {
        "model": name,
        "what": "LightGBM lambdarank on the inputs of crban_plus" if name == TREES else MODELS[name].what,  # type: ignore[index]
        "gauc_mean": float(gaucs.mean()),
        "gauc_sd": float(gaucs.std(ddof=1)) if len(gaucs) > 1 else None,
        "gauc_ci95": list(bootstrap_weighted_mean(own.above / own.impressions, own.impressions, seed=1)),
        "gauc_seeds": gaucs.tolist(),
    }
    for other, key in ((REFERENCE, "dlcm"), (TREES, TREES)):
        if other in sums:
            compared = name != other
            difference, p = paired_ratio_test(own.above - sums[other].above, own.impressions)
            row[f"vs_{key}"] = difference if compared else None
            row[f"relative_vs_{key}"] = difference / sums[other].gauc if compared else None
            row[f"p_vs_{key}"] = p if compared else None
    if "truth" in baselines:
        base = baselines["base_order"]
        row["gap_closed"] = float((gaucs.mean() - base) / (baselines["truth"] - base))
    for key in _MEANS:
        values = [cell.figures[key] for cell in cells]
        row[key] = None if None in values else float(np.mean(values))
    row["parameters"] = int(np.mean([cell.parameters for cell in cells]))
    row["train_seconds"] = float(np.mean([cell.train_seconds for cell in cells]))
    return row


def _mean_sums(cells: Sequence[Cell]) -> UserSums:
    first = cells[0].sums
    # One split gives every model the same requests, so users and impressions agree.
    above = np.mean([cell.sums.above for cell in cells], axis=0)
    return UserSums(first.user, above, first.impressions, first.requests)


def columns_of(document: Mapping[str, Any], *, brief: bool = False) -> list[str]:
    """Headings of the table; `brief` for a terminal."""
    return [heading for heading, _, short in _layout(document) if short or not brief]


def table_rows(document: Mapping[str, Any], *, brief: bool = False) -> list[list[str]]:
    """Its cells, a list a model."""
    layout = [cell for _, cell, short in _layout(document) if short or not brief]
    return [[cell(row) for cell in layout] for row in document["rows"]]


def _layout(document: Mapping[str, Any]) -> list[tuple[str, Callable[[Mapping[str, Any]], str], bool]]:
    """Of each column its heading, how a row's cell reads, and whether a terminal has room for it."""
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
                ("against LightGBM", lambda row: _relative(row[f"relative_vs_{TREES}"]), True),
                ("p", lambda row: _p(row[f"p_vs_{TREES}"]), True),
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


def _gauc(row: Mapping[str, Any]) -> str:
    return f"{row['gauc_mean']:.4f}" + ("" if row["gauc_sd"] is None else f" ± {row['gauc_sd']:.4f}")


def _relative(value: float | None) -> str:
    return "" if value is None else f"{value:+.2%}"


def _p(value: float | None) -> str:
    if value is None:
        return ""
    if value < 1e-99:
        return "< 1e-99"
    return f"{value:.1e}" if value < 0.001 else f"{value:.3f}"


def ablation_table(document: Mapping[str, Any]) -> Table:
    """What the terminal shows: the models, then what learns nothing."""
    columns, rows = columns_of(document, brief=True), table_rows(document, brief=True)
    rows += [[name, f"{value:.4f}"] for name, value in document["baselines"].items()]
    return table_of(columns, [[*row, *[""] * (len(columns) - len(row))] for row in rows])


def markdown(document: Mapping[str, Any]) -> str:
    """The table in Markdown, with the baselines below it."""
    columns = columns_of(document)
    lines = [columns, ["---"] * len(columns), *table_rows(document)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    baselines = "\n".join(f"| {name} | {value:.4f} |" for name, value in document["baselines"].items())
    size = f"{document['requests']:,} requests, {document['impressions']:,} impressions ({document['split']})"
    return f"{size}\n\n{table}\n\n| ranker | GAUC |\n| --- | --- |\n{baselines}\n"
