"""The JSON document of an ablation, with one row for each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgerec.core.statistics import bootstrap_weighted_mean, paired_ratio_test
from edgerec.model.ablation.cells import Cell
from edgerec.model.ablation.config import TREES, AblationConfig
from edgerec.model.tally import UserSums
from edgerec.rankers.registry import find_model

REFERENCE = "dlcm"
"""The model to which the paper compares its models."""
_MEANS = ("auc", "ndcg@5", "ndcg@10", "logloss", "calibration_error")


def ablation_document(
    cells: Sequence[Cell], *, baselines: Mapping[str, Any], config: AblationConfig, samples: str
) -> dict[str, Any]:
    """Return the document of `edgerec ablate`, which has one row for each model.

    Confidence intervals and tests are over users; the sums of a user are averaged over seeds. So they show how much the
    result depends on the sample of users. `gauc_sd` shows how much it depends on the seed.

    Args:
        cells: the cells of all models and seeds.
        baselines: the document of `baselines_document`.
        config: the configuration of the ablation.
        samples: the folder of the samples.
    """
    by_model: dict[str, list[Cell]] = {}
    for cell in cells:
        by_model.setdefault(cell.model, []).append(cell)
    sums = {name: _mean_sums(seeds) for name, seeds in by_model.items()}
    rows = [_row(seeds, sums, baselines["baselines"]) for seeds in by_model.values()]
    return {"samples": samples, **baselines, **config.document(), "rows": rows}


def _row(cells: Sequence[Cell], sums: Mapping[str, UserSums], baselines: Mapping[str, float]) -> dict[str, Any]:
    name = cells[0].model
    own, gaucs = sums[name], np.array([cell.figures["gauc"] for cell in cells])
    row: dict[str, Any] = {
        "model": name,
        "what": "LightGBM lambdarank on the inputs of crban_plus" if name == TREES else find_model(name).what,
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
    # All seeds rank the same requests, so users and impressions are equal.
    above = np.mean([cell.sums.above for cell in cells], axis=0)
    return UserSums(first.user, above, first.impressions, first.requests)
