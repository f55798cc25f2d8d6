"""Checks that a bundle was trained on the logs of a simulated world."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from edgerec.bundle.golden import raw_case_names
from edgerec.bundle.manifest_file import read_bundle_manifest
from edgerec.bundle.raw_cases import read_raw
from edgerec.core.errors import InputError
from edgerec.simulation.closed_loop.loop_world import LoopWorld


def check_same_world(bundle: Path, world: LoopWorld) -> None:
    """Check that the items in the bundle's golden cases are in the catalogue of the world.

    Item IDs mean other items in a world with another seed. A model that was trained there would rank nonsense, and
    nothing else would tell.

    Raises:
        InputError: the bundle has items that the catalogue does not have.
        FormatError: the bundle cannot be read.
    """
    table = world.catalogue.table()
    for name in raw_case_names(read_bundle_manifest(bundle)):
        candidates = read_raw(bundle / name).candidates
        columns = [column for column in candidates if column in table.columns]
        if not columns:
            continue
        items = pl.DataFrame({column: list(candidates[column]) for column in columns})
        known = table.select(columns).unique()
        different = items.cast(dict(known.schema), strict=False).join(known, on=columns, how="anti", nulls_equal=True)
        if len(different):
            raise InputError(
                f"{bundle} was not trained on this simulated world: {len(different)} of {len(items)} of its items are "
                f"not in the catalogue. Give the logs that it was trained on with --world, or train on this world"
            )
