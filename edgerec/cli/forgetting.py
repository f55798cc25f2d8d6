"""The command that removes a user's data: `forget`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from edgerec.cli.command import need
from edgerec.cli.options import PATH, json_option
from edgerec.cli.output import emit, table_of
from edgerec.core.errors import InputError
from edgerec.core.text import counted


@click.command()
@click.option("--user", required=True, type=click.IntRange(-(2**63), 2**63 - 1), help="The `user_id`.")
@click.option("--logs", multiple=True, type=PATH, help="Folder of logs. Repeat it for several folders.")
@click.option("--store", "stores", multiple=True, type=PATH, help="File of a behaviour store of the user. Repeatable.")
@click.option("--force", is_flag=True, help="Also delete a damaged store if whose it is cannot be read.")
@json_option
def forget(user: int, logs: tuple[Path, ...], stores: tuple[Path, ...], force: bool, as_json: bool) -> None:
    """Remove everything that logs and behaviour stores keep about a user.

    No server and no client may use them meanwhile. Start servers anew afterwards, because they keep what they learnt.
    Samples and models that were made from the logs do not change: make them again.
    """
    if not logs and not stores:
        raise click.UsageError("give --logs, --store or both")
    removed: list[dict[str, Any]] = []
    # The store is first. If it is kept, its device sends rows that are no longer in the logs.
    if stores:
        from edgerec.device_runtime.store.forget import forget_store

        _check_stores(stores)
        for store in stores:
            files = forget_store(store, user, force=force)
            removed.append({"path": str(store), "kind": "store", "files": len(files)})
    if logs:
        need("cloud", "numpy", "polars")
        from edgerec.cloud.forget import forget_user

        for folder in logs:
            removed.append({"path": str(folder), "kind": "logs", **asdict(forget_user(folder, user))})
    emit(
        {"user_id": user, "removed": removed},
        as_json=as_json,
        table=table_of(("where", "removed"), [(each["path"], _text(each)) for each in removed]),
    )


def _check_stores(stores: tuple[Path, ...]) -> None:
    """Check that each file is there, before anything is removed: a wrong path should not look like an erasure.

    Raises:
        InputError: there is no such file, or it is a folder.
    """
    from edgerec.device_runtime.store.damaged import SUFFIXES, damaged_files

    for store in stores:
        if store.is_dir():
            raise InputError(f"forget: {store} is a folder: give the file of the store; nothing was removed")
        files = [*(Path(f"{store}{suffix}") for suffix in SUFFIXES), *damaged_files(store)]
        if not any(file.exists() for file in files):
            raise InputError(f"forget: there is no file {store}: check the path; nothing was removed")


def _text(removed: dict[str, Any]) -> str:
    if removed["kind"] == "store":
        return counted(removed["files"], "file", "files")
    rows = ("events", "requests", "truth", "journal")
    names = {"truth": "rows of the truth", "journal": "rows of the journal"}
    return ", ".join(f"{removed[name]:,} {names.get(name, name)}" for name in rows if removed[name]) or "no rows"
