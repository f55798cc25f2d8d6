"""The commands on the patches of one store: `personalize inspect` and `personalize reset`."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgerec.cli.options import PATH, json_option
from edgerec.cli.output import emit, table_of
from edgerec.core.text import format_value

if TYPE_CHECKING:
    from edgerec.device_runtime.store.stored_patches import StoredPatch

_user = click.option(
    "--user-id", "--user", required=True, type=click.IntRange(-(2**63), 2**63 - 1), help="The user of the store."
)
_YEAR_10000 = 253_402_300_800_000
_ROWS = {
    "version_id": "model version",
    "ranks_with": "ranks with",
    "bytes": "bytes of the patch",
    "length": "its length",
    "trained_from": "events that trained it",
    "trained": "trained at",
    "tried": "latest training at",
    "outcome": "outcome",
    "rollbacks": "roll-backs",
    "pages": "stored pages",
    "events": "stored events",
}


@click.command()
@click.argument("store", type=PATH)
@_user
@json_option
def inspect(store: Path, user_id: int, as_json: bool) -> None:
    """Show what the behaviour store STORE keeps for the user's patch: sizes and outcomes, and none of its numbers.

    No client may use the store meanwhile. Nothing in it changes, but a store of an older format is brought to the
    present one.
    """
    from edgerec.device_runtime.store.stored_patches import read_patches

    found = [_row(each, user_id) for each in read_patches(store, user_id)]
    rows = [(_ROWS[name], _text(name, row[name])) for row in found for name in _ROWS]
    emit(
        {"store": str(store), "user_id": user_id, "patches": found},
        as_json=as_json,
        table=table_of(("", ""), rows or [("patches", "none, and no events")], header=False),
    )


@click.command()
@click.argument("store", type=PATH)
@_user
@json_option
def reset(store: Path, user_id: int, as_json: bool) -> None:
    """Delete the user's patch from the behaviour store STORE, and all events that patches learn from.

    No client may use the store meanwhile. The rows are overwritten with zeros. Behaviours and log rows stay. The user
    gets the shared model, until new pages have trained a new patch.
    """
    from edgerec.device_runtime.store.stored_patches import personal_tables

    with personal_tables(store, user_id) as tables:
        pages, events = (sum(each) for each in zip((0, 0), *tables.counts().values(), strict=True))
        removed = {"versions": tables.versions(), "pages": pages, "events": events}
        tables.forget()
    text = [(name, ", ".join(value) if isinstance(value, list) else str(value)) for name, value in removed.items()]
    table = table_of(("removed", ""), [(name, value or "none") for name, value in text])
    emit({"store": str(store), "user_id": user_id, "removed": removed}, as_json=as_json, table=table)


def _row(found: StoredPatch, user_id: int) -> dict[str, Any]:
    import numpy as np

    state = found.state
    patch = None if state is None else state.patch
    length = None if patch is None else float(np.linalg.norm(patch.theta.astype(np.float64)))
    usable = patch is not None and patch.user_id == user_id and bool(np.isfinite(patch.theta).all())
    return {
        "version_id": found.version_id,
        "ranks_with": "a patch" if usable else "the shared model",
        "bytes": 0 if patch is None else patch.theta.nbytes,
        "length": length if length is not None and np.isfinite(length) else None,
        "trained_from": 0 if patch is None else patch.events,
        "trained": None if patch is None else patch.time,
        "tried": None if state is None else state.time,
        "outcome": None if state is None else state.outcome,
        "rollbacks": 0 if state is None else state.rollbacks,
        "pages": found.pages,
        "events": found.events,
    }


def _text(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name in ("trained", "tried") and 0 <= value < _YEAR_10000:
        return f"{datetime.fromtimestamp(value / 1000, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    return format_value(value)
