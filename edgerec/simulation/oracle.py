"""Reference values for models on simulated logs: the GAUC of the true click probabilities and of a simple rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.core.errors import InputError, LogsError, first_line
from edgerec.data.part_files import part_files
from edgerec.data.parts import POLARS_FAULTS
from edgerec.data.samples import Requests, Samples, Shard
from edgerec.model.baselines import Exposed, Gaucs, exposed
from edgerec.simulation.population import TRUTH

CATEGORY = "category"
"""Source column of the item feature that `last_category` compares."""


def oracle(samples: Samples, logs: Path, *, split: str) -> dict[str, float]:
    """Return the GAUC of two reference rankers on the requests of a split.

    Args:
        samples: samples made from simulated logs.
        logs: the folder of those logs.
        split: the split whose requests are ranked.

    Returns:
        A dictionary with two values. `last_category` puts candidates of the last page-view's category first and keeps
        the logged order otherwise. `truth` ranks by the true click probabilities at the time of the request, in the
        logged order. No ranker can beat `truth` on these logs except by chance.

    Raises:
        InputError: no embedded item feature reads the column ``category``, or no request has both labels.
        LogsError: the true click probabilities are missing, damaged, or not those of these requests.
    """
    column = _category(samples)
    truth, gaucs = Truth(logs), Gaucs()
    for shard in samples.shards(split):
        seen = exposed(shard.requests)
        known = truth.probabilities(shard.requests)[seen.row]
        gaucs.add(seen, {"last_category": _last_category(shard, seen, column), "truth": known})
    return gaucs.values()


def _category(samples: Samples) -> int:
    """Return the index of the category among the embedded item features."""
    for index, feature in enumerate(samples.head.spec.embeddings):
        if feature.source == CATEGORY:
            return index
    raise InputError(
        f"oracle: samples {samples.head.name!r} are not from simulated logs (no embedding reads the column "
        f"{CATEGORY!r}). Only a simulation knows the true click probabilities: leave --oracle out"
    )


def _last_category(shard: Shard, seen: Exposed, column: int) -> NDArray[np.float64]:
    """Score exposed candidates (n,): 1 if they have the category of the last page-view, else 0.

    A fraction that grows with the position is subtracted, so that equal candidates keep the logged order.
    """
    ranges = shard.requests.page_views
    known = ranges[:, 1] > ranges[:, 0]
    last = np.zeros(len(ranges), np.int64)
    # Row 0 of the embedding table is the unknown category. It matches nothing.
    last[known] = shard.page_views.item.ids[ranges[known, 1] - 1, column]
    wanted = last[seen.group]
    same = (shard.requests.item.ids[seen.row, column] == wanted) & (wanted > 0)
    scores: NDArray[np.float64] = same - seen.position / (1 + seen.position.max(initial=0))
    return scores


class Truth:
    """The true click probabilities of simulated requests, read for one shard at a time."""

    def __init__(self, logs: Path) -> None:
        """Raises:
        LogsError: `logs` has no true click probabilities, or their folder holds an unexpected file.
        """
        self._logs = logs
        self._files = part_files(logs / TRUTH / "requests")
        if not self._files:
            fault = f"has no files in {TRUTH}/requests" if logs.is_dir() else "is not a folder"
            raise LogsError(
                f"oracle: {logs} {fault}: give the folder that `edgerec simulate` wrote with --logs, because only a "
                "simulation knows the true click probabilities, or leave --oracle out"
            )

    def probabilities(self, requests: Requests) -> NDArray[np.float64]:
        """Return the true click probability of each candidate (c,), if it were exposed at the time of the request.

        Raises:
            LogsError: a file is damaged, a request is missing, or a request has a different number of candidates.
        """
        requested = pl.DataFrame({"request_id": requests.request_id, "length": requests.lengths})
        low, high = int(requests.request_id.min()), int(requests.request_id.max())
        try:
            known = (
                pl.scan_parquet(self._files, glob=False)
                .filter(pl.col("request_id").is_between(low, high))
                .select("request_id", "probability")
                .collect()
            )
            joined = requested.join(known, on="request_id", how="left", maintain_order="left")
            lengths = joined["probability"].list.len().fill_null(0)
        except POLARS_FAULTS as error:
            raise LogsError(
                f"oracle: the true click probabilities in {self._logs} cannot be read ({first_line(error)}): simulate "
                "again"
            ) from None
        different = (lengths != requested["length"]).arg_true()
        if len(different):
            raise LogsError(
                f"oracle: the true click probabilities in {self._logs} do not match the samples: request "
                f"{requested['request_id'][int(different[0])]} is missing or has another number of candidates. "
                f"Give the logs that the samples were made from, with all files in {TRUTH}/"
            )
        return joined["probability"].explode().to_numpy().astype(np.float64)
