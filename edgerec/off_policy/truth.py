"""The true click probabilities of simulated places, which only a simulation knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from edgerec.core.errors import LogsError, first_line
from edgerec.data.casting import exact_cast
from edgerec.data.part_files import part_files
from edgerec.data.parts import POLARS_FAULTS
from edgerec.off_policy.candidate_orders import Floats
from edgerec.off_policy.places import Places

TRUE_PLACES = Path("truth") / "places"
"""The folder of the true click probabilities, in the folder of simulated logs."""
_TYPES: dict[str, pl.DataType] = {
    "request_id": pl.Int64(),
    "place": pl.Int64(),
    "item_id": pl.List(pl.Int64()),
    "probability": pl.List(pl.Float64()),
}


def true_probabilities(logs: Path, places: Places) -> Floats | None:
    """Return the true click probability of each of the best candidates (n, m), NaN where it is not known.

    None if the logs have no true probabilities.

    Args:
        logs: the folder of the logs.
        places: the places.

    Raises:
        LogsError: a file is damaged.
    """
    files = part_files(logs / TRUE_PLACES)
    if not files:
        return None
    try:
        table = pl.concat([exact_cast(_read(file), _TYPES, where=f"logs: {file}: ") for file in files])
        explored = table.filter(pl.col("request_id").is_in(np.unique(places.request_id)))
        known = explored.explode("item_id", "probability").unique(["request_id", "place", "item_id"])
    except POLARS_FAULTS as error:
        raise LogsError(
            f"logs: the true click probabilities in {logs / TRUE_PLACES} cannot be read ({first_line(error)}): "
            "simulate again"
        ) from None
    if known["probability"].null_count() or not known["probability"].is_between(0, 1).all():
        raise LogsError(
            f"logs: the true click probabilities in {logs / TRUE_PLACES} should be from 0 to 1: simulate again"
        )
    most = places.item.shape[1]
    wanted = pl.DataFrame(
        {
            "request_id": np.repeat(places.request_id, most),
            "place": np.repeat(places.place, most),
            "item_id": places.item.ravel(),
        }
    )
    joined = wanted.join(known, on=["request_id", "place", "item_id"], how="left", maintain_order="left")
    found = joined["probability"].fill_null(np.nan).to_numpy().reshape(places.item.shape)
    return np.where(places.possible, found, np.nan)


def _read(file: Path) -> pl.DataFrame:
    return pl.read_parquet(file, columns=list(_TYPES), glob=False)
