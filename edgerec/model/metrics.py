"""Ranking metrics over flat arrays of exposed candidates, computed for all requests at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def request_aucs(group: NDArray[np.int64], label: NDArray[np.uint8], score: Floats) -> tuple[Floats, Floats]:
    """Return the AUC of each request that has a clicked and an unclicked exposure. A tie counts one half.

    Args:
        group: (n,) the request of each exposure, in any order.
        label: (n,) 0 or 1.
        score: (n,) finite.

    Returns:
        AUCs (g,) and number of exposures (g,) of these requests, in ascending order of request.

    Source: the rank-sum form of Mann and Whitney, 1947.
    """
    if not len(group):
        return np.empty(0), np.empty(0)
    order = np.lexsort((score, group))
    group, label, score = group[order], label[order], score[order]
    new_group = np.concatenate([[True], group[1:] != group[:-1]])
    new_run = new_group | np.concatenate([[True], score[1:] != score[:-1]])
    # Rank the exposures of each request from 1. Equal scores form a run and get the average rank of the run.
    runs = np.cumsum(new_run) - 1
    run_start = np.flatnonzero(new_run)
    run_size = np.diff(np.append(run_start, len(score)))
    group_start = np.flatnonzero(new_group)
    groups = np.cumsum(new_group) - 1
    rank = run_start[runs] + (run_size[runs] + 1) / 2 - group_start[groups]
    positives = np.add.reduceat(label.astype(np.float64), group_start)
    sizes = np.diff(np.append(group_start, len(score)))
    negatives = sizes - positives
    rank_sum = np.add.reduceat(rank * label, group_start)
    mixed = (positives > 0) & (negatives > 0)
    auc = (rank_sum[mixed] - positives[mixed] * (positives[mixed] + 1) / 2) / (positives[mixed] * negatives[mixed])
    return auc, sizes[mixed].astype(np.float64)


def gauc(group: NDArray[np.int64], label: NDArray[np.uint8], score: Floats) -> float:
    """Return GAUC: the mean AUC of the requests, weighted by their number of exposures (eq. 12).

    Requests without a clicked or without an unclicked exposure do not count. If there are no others, return NaN.
    """
    aucs, impressions = request_aucs(group, label, score)
    return float(np.average(aucs, weights=impressions)) if len(aucs) else float("nan")


def ndcg_sum(group: NDArray[np.int64], label: NDArray[np.uint8], score: Floats, *, at: int) -> tuple[float, int]:
    """Return the sum of NDCG at `at` over the requests with a click, and the number of these requests.

    Candidates with equal scores keep their order in the arrays.

    Source: Järvelin and Kekäläinen, *Cumulated gain-based evaluation of IR techniques*, 2002.
    """
    if not len(group):
        return 0.0, 0
    order = np.lexsort((np.arange(len(score)), -score, group))
    group, label = group[order], label[order]
    starts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
    sizes = np.diff(np.append(starts, len(group)))
    position = np.arange(len(group)) - np.repeat(starts, sizes)
    discount = np.where(position < at, 1 / np.log2(position + 2), 0.0)
    gain = np.add.reduceat(discount * label, starts)
    clicks = np.add.reduceat(label.astype(np.int64), starts)
    ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(at) + 2))])[np.minimum(clicks, at)]
    clicked = clicks > 0
    return float((gain[clicked] / ideal[clicked]).sum()), int(clicked.sum())
