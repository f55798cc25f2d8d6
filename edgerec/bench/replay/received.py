"""What devices answered, as the server has written it to logs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.data.part_files import part_files
from edgerec.data.parts import read_part
from edgerec.data.schema import REQUEST_ID, REQUESTS

SCORES, OUTCOME = "scores", "outcome"


@dataclass(frozen=True)
class Answers:
    """The answers of devices.

    Attributes:
        scores: the logits (c,) of each request that was scored, by request ID.
        outcomes: number of requests with each outcome. Reasons of orders that were kept are left out.
    """

    scores: dict[int, NDArray[np.float32]]
    outcomes: dict[str, int]


def read_answers(logs: Path) -> Answers:
    """Read the answers in a folder of logs that `edgerec serve` wrote.

    Raises:
        LogsError: a file cannot be read.
    """
    columns = [REQUEST_ID, SCORES, OUTCOME]
    table = pl.concat([read_part(file, columns) for file in part_files(logs / REQUESTS)])
    scored = table.drop_nulls(SCORES)
    scores = {
        request: np.array(values, np.float32)
        for request, values in zip(scored[REQUEST_ID].to_list(), scored[SCORES].to_list(), strict=True)
    }
    outcome = table.select(pl.col(OUTCOME).str.split(":").list.first())
    return Answers(scores, dict(outcome[OUTCOME].value_counts().sort(OUTCOME).iter_rows()))
