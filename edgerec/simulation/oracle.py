"""What could be reached on simulated logs: GAUC of the true click probabilities, and of a rule anybody might try."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.core.errors import InputError, LogsError, first_line
from edgerec.data.part_files import part_files
from edgerec.data.parts import POLARS_FAULTS
from edgerec.data.samples import Requests, Samples, Shard
from edgerec.features.spec import Embedding
from edgerec.model.baselines import Exposed, Gaucs, exposed
from edgerec.simulation.population import TRUTH

CATEGORY = "category"
"""Source column of the feature by which `last_category` ranks."""


def oracle(samples: Samples, logs: Path, *, split: str) -> dict[str, float]:
    """GAUC of two rankers on the requests of a split.

    Args:
        samples: made from simulated logs.
        logs: those logs.
        split: whose requests are ranked.

    Returns:
        `last_category`: first what has the category of the last page-view known, each in the order on offer; and
        `truth`: by true click probability as of the request's instant, were the items shown in the order on offer, as
        they were: which no ranker can beat on these logs but by luck.

    Raises:
        InputError: no item feature reads the column ``category``, or no request has both labels.
        LogsError: the logs have no truth, it is damaged, or it is not about these requests.
    """
    column = _category(samples)
    truth, found = Truth(logs), Gaucs()
    for shard in samples.shards(split):
        seen = exposed(shard.requests)
        known = truth.probabilities(shard.requests)[seen.which]
        found.add(seen, {"last_category": _last_category(shard, seen, column), "truth": known})
    return found.values()


def _category(samples: Samples) -> int:
    """Place of the category among the embedded item features."""
    embeddings = [feature for feature in samples.head.spec.item if isinstance(feature, Embedding)]
    for place, feature in enumerate(embeddings):
        if feature.source == CATEGORY:
            return place
    raise InputError(
        f"oracle: samples {samples.head.name!r} are not of simulated logs (no embedding reads the column "
        f"{CATEGORY!r}): leave --oracle out"
    )


def _last_category(shard: Shard, seen: Exposed, column: int) -> NDArray[np.float64]:
    """1 for exposed candidates (n,) of the last page-view's category, less a bit for each place in the list."""
    ranges = shard.requests.page_views
    known = ranges[:, 1] > ranges[:, 0]
    last = np.zeros(len(ranges), np.int64)
    # Row 0 of the table, the unknown category, is nobody's wish.
    last[known] = shard.page_views.item.ids[ranges[known, 1] - 1, column]
    wanted = last[seen.group]
    same = (shard.requests.item.ids[seen.which, column] == wanted) & (wanted > 0)
    scores: NDArray[np.float64] = same - seen.place / (1 + seen.place.max(initial=0))
    return scores


class Truth:
    """True click probabilities of a simulation's requests, read a shard at a time."""

    def __init__(self, logs: Path) -> None:
        """Raises:
        LogsError: `logs` has no truth, or a file is no part of it.
        """
        self._logs = logs
        self._files = part_files(logs / TRUTH / "requests")
        if not self._files:
            fault = f"has no parts of {TRUTH}/requests" if logs.is_dir() else "is no folder"
            raise LogsError(
                f"oracle: {logs} {fault}: give the folder that `edgerec simulate` wrote with --logs, or leave "
                "--oracle out"
            )

    def probabilities(self, requests: Requests) -> NDArray[np.float64]:
        """Of a click on each candidate (c,) of `requests`, were it exposed at the request's instant.

        Raises:
            LogsError: a file is damaged, or a request is not there or has other candidates.
        """
        asked = pl.DataFrame({"request_id": requests.request_id, "length": requests.lengths})
        low, high = int(requests.request_id.min()), int(requests.request_id.max())
        try:
            known = (
                pl.scan_parquet(self._files, glob=False)
                .filter(pl.col("request_id").is_between(low, high))
                .select("request_id", "probability")
                .collect()
            )
            found = asked.join(known, on="request_id", how="left", maintain_order="left")
            lengths = found["probability"].list.len().fill_null(0)
        except POLARS_FAULTS as error:
            raise LogsError(
                f"oracle: the truth of {self._logs} cannot be read ({first_line(error)}): simulate again"
            ) from None
        other = (lengths != asked["length"]).arg_true()
        if len(other):
            raise LogsError(
                f"oracle: the truth of {self._logs} does not know request {asked['request_id'][int(other[0])]} of the "
                "samples with its candidates: give the logs that the samples were made from, with all parts of their "
                "truth"
            )
        return found["probability"].explode().to_numpy().astype(np.float64)
