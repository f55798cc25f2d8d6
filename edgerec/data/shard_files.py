"""The files of a shard of samples, and their entry in `samples.json` (docs/formats.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)
FILES = (*(kind.plural for kind in BEHAVIOUR_KINDS), *SPLITS)
"""The names of a shard's files, without the ending."""
NOT_EXPOSED = 255
"""The label of a candidate that was never shown. The loss ignores this candidate, but it is context for the others."""


class SplitCounts(BaseModel):
    """The numbers of requests, pages, exposed candidates and clicked candidates in a split."""

    requests: int
    pages: int
    exposures: int
    clicks: int


class ShardEntry(BaseModel):
    """The entry of a shard in `samples.json`."""

    name: Annotated[str, Field(pattern=r"^\d+$")]
    """Name of the shard's folder."""
    exposures: int
    page_views: int
    splits: dict[str, SplitCounts]
    files: dict[str, str]
    """SHA-256 of each file, by its name without the ending. A damaged Parquet file can crash the process that decodes
    it, so a file is decoded only if its hash is right."""

    def count(self, kind: BehaviourKind) -> int:
        """Return how many behaviours of `kind` the shard has."""
        return int(getattr(self, kind.plural))


def shard_file(folder: Path, name: str) -> Path:
    """Return the path of a file in the shard's `folder`. `name` is one of `FILES`."""
    return folder / f"{name}.parquet"


def split_counts(user: NDArray[np.int64], page: NDArray[np.int64], label: NDArray[np.uint8]) -> SplitCounts:
    """Return the counts of a split. The arguments are attributes of its `edgerec.data.shards.Requests`."""
    order = np.lexsort((page, user))
    changes = (np.diff(user[order]) != 0) | (np.diff(page[order]) != 0)
    return SplitCounts(
        requests=len(user),
        pages=int(changes.sum()) + bool(len(user)),
        exposures=int((label != NOT_EXPOSED).sum()),
        clicks=int((label == 1).sum()),
    )
